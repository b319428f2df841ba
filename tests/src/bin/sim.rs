//! `sim --seed N [--trace]` runs one seed of the simulation; `sim --soak` goes on until it is stopped or something is broken.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use kv_tests::sim::{Counts, Options, Outcome, run, run_with_lying_gossip};

/// Simulates clusters from seeds.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds to run, from the first on.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// With gossip that lies about who lives.
    #[arg(long)]
    lying_gossip: bool,
    /// Run seed after seed.
    #[arg(long)]
    soak: bool,
}

fn main() -> ExitCode {
    let Arguments {
        seed,
        count,
        trace,
        lying_gossip,
        soak,
    } = Arguments::parse();
    let end = if soak {
        u64::MAX
    } else {
        seed.saturating_add(count)
    };
    let simulate = if lying_gossip {
        run_with_lying_gossip
    } else {
        run
    };
    let mut total = Counts::default();
    let mut broken = false;
    for (done, seed) in (1..).zip(seed..end) {
        let Outcome {
            counts,
            digest,
            text,
            failure,
            ..
        } = simulate(Options {
            seed,
            with_text: trace,
        });
        total.add(&counts);
        if let Some(text) = text {
            // A reader that has seen enough closes the pipe.
            if std::io::stdout().write_all(text.as_bytes()).is_err() {
                return ExitCode::FAILURE;
            }
        }
        if let Some(why) = failure {
            println!("seed {seed}: {why}\nreplay it with: make sim SEED={seed}");
            broken = true;
            if soak {
                break;
            }
        }
        if !soak && count == 1 {
            println!(
                "seed {seed}: {} events, trace {:016x}",
                counts.events, digest.0
            );
        } else if done % 100 == 0 {
            println!("{done} seeds");
        }
    }
    for (name, number) in total.list() {
        println!("{number:>12} {}", name.replace('_', " "));
    }
    if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
