//! Seeds of sixty simulated seconds, and a look at what happened in them. `SEEDS` says how many, `FIRST_SEED` from where on.
//! Made for the release profile; there a seed takes a fraction of a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_tests::sim::{Counts, Options, run, run_with_lying_gossip};

/// Seeds by default: what CI runs.
const SEEDS: u64 = 1000;
/// Fewer seeds need not have seen everything.
const SEEDS_THAT_SEE_ALL: u64 = 200;
const FAILURES_MAX: usize = 5;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Runs a failed seed again and writes down everything that happens in it.
fn write_trace(seed: u64) -> String {
    let path = format!(
        "{}/simulation-seed-{seed}.trace",
        env!("CARGO_TARGET_TMPDIR")
    );
    let text = run(Options {
        seed,
        with_text: true,
    })
    .text
    .unwrap_or_default();
    match std::fs::write(&path, text) {
        Ok(()) => format!("its trace is in {path}"),
        Err(error) => format!("its trace could not be written: {error}"),
    }
}

#[test]
fn all_seeds_hold_and_everything_happened() {
    let (seeds, first) = (number("SEEDS", SEEDS), number("FIRST_SEED", 1));
    let next = AtomicU64::new(first);
    let total = Mutex::new(Counts::default());
    let failures: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let work = || {
        let mut mine = Counts::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || failures.lock().unwrap().len() >= FAILURES_MAX {
                break;
            }
            let outcome = run(Options {
                seed,
                with_text: false,
            });
            mine.add(&outcome.counts);
            if let Some(why) = outcome.failure {
                failures.lock().unwrap().push((seed, why));
            }
        }
        total.lock().unwrap().add(&mine);
    };
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let total = total.into_inner().unwrap();
    println!("{seeds} seeds:");
    for (name, count) in total.list() {
        println!("{count:>12} {}", name.replace('_', " "));
    }
    let failures = failures.into_inner().unwrap();
    for (seed, why) in &failures {
        println!(
            "seed {seed}: {why}\n  replay it with: make sim SEED={seed}; {}",
            write_trace(*seed)
        );
    }
    assert!(failures.is_empty(), "{} seeds failed", failures.len());
    if seeds >= SEEDS_THAT_SEE_ALL {
        let never: Vec<&str> = total
            .list()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect();
        assert!(
            never.is_empty(),
            "this never happened, so nothing was proven about it: {never:?}"
        );
    }
}

/// Silent gossip is what all other runs have.
#[test]
fn with_lying_gossip_all_is_as_correct() {
    for seed in 1..=number("LYING_SEEDS", 24) {
        let options = Options {
            seed,
            with_text: false,
        };
        let outcome = run_with_lying_gossip(options);
        assert_ne!(
            outcome.digest,
            run(options).digest,
            "seed {seed}: nobody heard the lies"
        );
        assert!(
            outcome.failure.is_none(),
            "seed {seed}: {:?}",
            outcome.failure
        );
    }
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [2, 3, 5, 8] {
        let runs = [(); 2].map(|()| {
            run(Options {
                seed,
                with_text: true,
            })
        });
        let [first, second] = &runs;
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert!(
            first.text == second.text,
            "the traces of seed {seed} differ"
        );
        assert!(
            first.text.as_ref().is_some_and(|text| text.len() > 100_000),
            "seed {seed} has hardly a trace"
        );
    }
}
