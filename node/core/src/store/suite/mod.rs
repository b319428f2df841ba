//! The conformance suite of [`Store`](super::Store) and [`LogStore`](super::LogStore): what every implementation must do, crashes included.
//!
//! An implementation gives a bench ([`StoreBench`], [`LogBench`]) that opens it and crashes it; [`store::all`] and [`log::all`] run every
//! check, each on a fresh one. A check panics when it fails, and the message holds the seed that replays it.

pub mod log;
pub mod store;

use std::path::{Path, PathBuf};

use super::{LogStore, Store};

/// Opens one store after the other, each on an empty disk of its own until it is crashed.
pub trait StoreBench {
    type Store: Store;

    /// A store on an empty disk.
    fn fresh(&mut self) -> Self::Store;

    /// Takes from the disk what a crash takes (`choice` decides where there is a choice) and opens it again.
    fn crash(&mut self, store: Self::Store, choice: u64) -> Self::Store;

    /// A path on the disk of `store` where nothing is yet.
    fn unused_path(&mut self, store: &Self::Store) -> PathBuf;

    /// Opens what a checkpoint of `store` left at `dir`.
    fn open_checkpoint(&mut self, store: &Self::Store, dir: &Path) -> Self::Store;
}

/// The same for logs.
pub trait LogBench {
    type Log: LogStore;

    fn fresh(&mut self) -> Self::Log;

    fn crash(&mut self, log: Self::Log, choice: u64) -> Self::Log;
}

/// SplitMix64 (Steele, Lea and Flood 2014): the suite's own source of choices, so that it needs no crate.
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    pub fn new(seed: u64) -> Choices {
        Choices(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{MemoryLog, MemoryStore};

    struct Memory;

    impl StoreBench for Memory {
        type Store = MemoryStore;

        fn fresh(&mut self) -> MemoryStore {
            MemoryStore::default()
        }

        fn crash(&mut self, store: MemoryStore, choice: u64) -> MemoryStore {
            store.crash(choice);
            store
        }

        fn unused_path(&mut self, _: &MemoryStore) -> PathBuf {
            "checkpoint".into()
        }

        fn open_checkpoint(&mut self, store: &MemoryStore, dir: &Path) -> MemoryStore {
            store.open_checkpoint(dir).expect("the checkpoint was made")
        }
    }

    impl LogBench for Memory {
        type Log = MemoryLog;

        fn fresh(&mut self) -> MemoryLog {
            MemoryLog::default()
        }

        fn crash(&mut self, log: MemoryLog, choice: u64) -> MemoryLog {
            log.crash(choice);
            log
        }
    }

    #[test]
    fn the_store_in_memory_conforms() {
        store::all(&mut Memory, 0..200);
    }

    #[test]
    fn the_log_in_memory_conforms() {
        log::all(&mut Memory, 0..200);
    }
}
