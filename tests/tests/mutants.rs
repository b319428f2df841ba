//! Classic bugs, brought back one at a time: the simulation must catch each within 500 seeds. `MUTANT` picks one by name, `SAMPLE`
//! says of how many seeds the rate is reported.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_core::mutants::{Mutant, activate};
use kv_tests::sim::{Options, run};

/// Seeds that hold without a mutant: what fails there is the mutant's doing.
const SEEDS_MAX: u64 = 500;
const SAMPLE: u64 = 24;

/// How a mutant fared.
struct Hunt {
    mutant: Mutant,
    /// First seed that caught it, and by what.
    caught: Option<(u64, String)>,
    /// Seeds of the sample that did.
    rate: (u64, u64),
}

fn hunt(mutant: Mutant, sample: u64) -> Hunt {
    activate(Some(mutant));
    let mut hunt = Hunt {
        mutant,
        caught: None,
        rate: (0, 0),
    };
    for seed in 1..=SEEDS_MAX {
        if hunt.caught.is_some() && seed > sample {
            break;
        }
        let failure = run(Options {
            seed,
            with_text: false,
        })
        .failure;
        if seed <= sample {
            hunt.rate = (hunt.rate.0 + u64::from(failure.is_some()), seed);
        }
        if let (Some(why), None) = (failure, &hunt.caught) {
            hunt.caught = Some((seed, why));
        }
    }
    activate(None);
    hunt
}

#[test]
fn every_mutant_is_caught() {
    let wanted = std::env::var("MUTANT").ok();
    let sample = std::env::var("SAMPLE")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(SAMPLE);
    let mutants: Vec<Mutant> = Mutant::ALL
        .iter()
        .copied()
        .filter(|m| wanted.as_ref().is_none_or(|w| *w == format!("{m:?}")))
        .collect();
    let next = AtomicUsize::new(0);
    let hunts = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hunt = hunt(*mutant, sample);
                    hunts.lock().unwrap().push(hunt);
                }
            });
        }
    });
    let mut hunts = hunts.into_inner().unwrap();
    hunts.sort_by_key(|h| h.mutant as u32);
    for Hunt {
        mutant,
        caught,
        rate,
    } in &hunts
    {
        match caught {
            Some((seed, why)) => println!(
                "{mutant:?}: caught by seed {seed}, by {} of {} seeds; first: {why}",
                rate.0, rate.1
            ),
            None => println!("{mutant:?}: NOT caught by {SEEDS_MAX} seeds"),
        }
    }
    let free: Vec<Mutant> = hunts
        .iter()
        .filter(|h| h.caught.is_none())
        .map(|h| h.mutant)
        .collect();
    assert!(free.is_empty(), "not caught: {free:?}");
}
