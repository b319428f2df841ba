//! The simulation: whole clusters of the real core on one thread, under a network, clocks, disks and crashes drawn from a seed.
//!
//! ```text
//!   schedule ─ faults ─┐
//!   workload ─ requests ┼─► world: a heap of events in true time ─► node: Shard::step ─► outputs ─► disk, network, clients
//!   network, clock, disk ┘             │                                                   │
//!                                  trace (replays byte for byte)        invariants at each step; checker at the end
//! ```
//! A run is a function of its seed. What it found is an [`Outcome`].

mod bootstrap;
pub mod checker;
pub mod clock;
pub mod counts;
pub mod disk;
mod faults;
pub mod history;
pub mod invariants;
pub mod ledger;
pub mod network;
pub mod node;
pub mod random;
pub mod schedule;
pub mod serial;
mod splits;
mod topology;
pub mod trace;
pub mod workload;
mod world;

use std::panic::{UnwindSafe, catch_unwind};

pub use counts::Counts;
pub use world::World;

/// True µs of a run.
pub const RUN_US: u64 = 60_000_000;

/// What a run is made with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub seed: u64,
    /// Keep the text of the trace.
    pub with_text: bool,
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub counts: Counts,
    /// Checksum and number of the trace's lines.
    pub digest: (u64, u64),
    pub text: Option<String>,
    /// What was broken.
    pub failure: Option<String>,
}

/// Runs one seed. A panic of the core counts as broken.
pub fn run(options: Options) -> Outcome {
    run_world(options, || World::new(options))
}

/// Runs one seed with gossip that calls nodes away at random, so that requests go astray at first.
pub fn run_with_lying_gossip(options: Options) -> Outcome {
    run_world(options, || World::new(options).with_lying_gossip())
}

fn run_world(options: Options, make: impl FnOnce() -> World + UnwindSafe) -> Outcome {
    catch_unwind(|| make().run()).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let failure = Some(format!("panic: {}", words.unwrap_or_default()));
        Outcome {
            seed: options.seed,
            counts: Counts::default(),
            digest: (0, 0),
            text: None,
            failure,
        }
    })
}
