//! A node's disk: engine, log and identity, and the one thread that syncs the log for all shards.
//!
//! What a crash leaves is what the in-memory stores say a power cut leaves: the engine at or after its last flush, the log at its
//! last sync with a prefix of what came later, possibly torn.

use std::collections::VecDeque;

use kv_core::store::memory::{Fault, MemoryLog, MemoryStore};
use kv_core::store::{LogStore as _, LogWrite, Result};

use super::random::Random;

/// An append that waits for its sync.
#[derive(Debug)]
pub struct Pending {
    pub shard: u32,
    pub number: u64,
    pub writes: Vec<LogWrite>,
    pub sync: bool,
}

/// How fast the disk is, µs.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    pub sync_us: u64,
    pub read_us: u64,
    pub flush_us: u64,
}

impl Speed {
    pub const USUAL: Speed = Speed {
        sync_us: 1_500,
        read_us: 300,
        flush_us: 20_000,
    };
    pub const SLOW: Speed = Speed {
        sync_us: 300_000,
        read_us: 400_000,
        flush_us: 2_000_000,
    };
    /// Reads come from memory, and syncs hardly end.
    pub const STUCK: Speed = Speed {
        sync_us: 6_000_000,
        ..Speed::USUAL
    };
}

#[derive(Debug)]
pub struct Disk {
    pub store: MemoryStore,
    pub log: MemoryLog,
    /// Starts of the node, and the last one's nonce; synced before a start says a word.
    pub incarnation: u64,
    pub nonce: u64,
    /// Version of the cluster that it is marked with; synced before anything of that version is written.
    pub version: u32,
    pub speed: Speed,
    waiting: VecDeque<Pending>,
    /// Written, not synced.
    running: Vec<Pending>,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            store: MemoryStore::default(),
            log: MemoryLog::default(),
            incarnation: 0,
            nonce: 0,
            version: kv_core::version::FIRST,
            speed: Speed::USUAL,
            waiting: VecDeque::new(),
            running: Vec::new(),
        }
    }
}

impl Disk {
    /// Takes an append; returns after how many µs the running sync ends if one begins now.
    pub fn append(&mut self, pending: Pending, random: &mut Random) -> Result<Option<u64>> {
        self.waiting.push_back(pending);
        if self.running.is_empty() {
            self.begin(random)
        } else {
            Ok(None)
        }
    }

    /// Writes everything that waits; one sync then serves all.
    fn begin(&mut self, random: &mut Random) -> Result<Option<u64>> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        for pending in self.waiting.drain(..) {
            self.log.append(&pending.writes, false)?;
            self.running.push(pending);
        }
        let sync = self.running.iter().any(|p| p.sync);
        let most = if sync { self.speed.sync_us } else { 50 };
        Ok(Some(20 + random.below(most)))
    }

    /// The running sync has ended: returns what it made durable, and when the next one ends.
    pub fn synced(&mut self, random: &mut Random) -> Result<(Vec<Pending>, Option<u64>)> {
        self.log.append(&[], true)?;
        let done = std::mem::take(&mut self.running);
        if random.chance(20) {
            self.log.purge()?;
        }
        Ok((done, self.begin(random)?))
    }

    /// Loses what a power cut loses.
    pub fn crash(&mut self, random: &mut Random) {
        self.waiting.clear();
        self.running.clear();
        self.log.set_fault(Fault::None);
        self.store.set_fault(Fault::None);
        self.log.crash(random.next_u64());
        self.store.crash(random.next_u64());
    }

    pub fn set_full(&mut self, full: bool) {
        let fault = if full { Fault::Full } else { Fault::None };
        self.log.set_fault(fault);
        self.store.set_fault(fault);
    }

    /// A new start of the node: the identity on disk grows before anything else happens.
    pub fn begin_start(&mut self, random: &mut Random) {
        self.incarnation += 1;
        self.nonce = random.next_u64();
    }
}
