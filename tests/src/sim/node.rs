//! A node of the simulated cluster: shards of the real core over a simulated disk, with clocks of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kv_core::ids::NodeId;
use kv_core::meta::View;
use kv_core::shard::{Config, Input, RecoverError, Shard, Territory};
use kv_core::store::{KeyRange, Keyspace, LogStore as _, RecoveredLog, Snapshot, Store as _};
use kv_core::time::TICK_US;

use super::clock::Clock;
use super::disk::Disk;
use super::random::Random;

/// Shards of a node.
pub const SHARDS: u32 = 2;
/// Bytes of a piece of a snapshot; small, so that a transfer has many.
const PIECE_BYTES: usize = 3_000;
/// A partition with so many requests a second may be too much for its node.
const HOT_REQUESTS: u32 = 4;
/// Twice as long as a write of the feeder may be on its way, and short enough to see tombstones go.
const TOMBSTONE_MS: u64 = 8_000;
/// Items that have expired are looked for often.
const EXPIRE_US: u64 = 100_000;

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    Off,
    Running,
    /// Stopped by a signal, or its machine is busy elsewhere: nothing happens in it, and its clocks go on.
    Suspended,
    /// Its identity is retired or lost: it never comes back.
    Gone,
}

/// One shard and what waits for it.
#[derive(Debug)]
pub struct Cell {
    pub shard: Shard,
    pub inbox: Vec<Input>,
    pub wake_at: Option<u64>,
    last_tick: u64,
}

/// A snapshot of the engine that is being sent.
struct Transfer {
    snapshot: Box<dyn Snapshot>,
    ranges: Vec<KeyRange>,
    /// Range and key behind the last piece.
    at: (usize, Bytes),
}

/// A node.
pub struct Node {
    pub id: u64,
    pub disk: Disk,
    pub clock: Clock,
    pub process: Process,
    /// Grows with each start and each end: what was meant for another life is dropped.
    pub life: u64,
    pub cells: Vec<Cell>,
    /// As the front ends have it.
    pub view: Arc<View>,
    transfers: BTreeMap<u64, Transfer>,
    /// Outputs until it crashes between two of them.
    pub crash_after: Option<u64>,
    /// A bit of its log was flipped: its next start must refuse.
    pub flipped: bool,
    pub flush_log_bytes: usize,
}

/// Why a node did not start.
#[derive(Debug)]
pub enum Refused {
    /// The log is not what was written.
    Corrupt(String),
    Core(RecoverError),
}

impl Node {
    pub fn new(id: u64, clock: Clock, flush_log_bytes: usize) -> Node {
        Node {
            id,
            disk: Disk::default(),
            clock,
            process: Process::Off,
            life: 0,
            cells: Vec::new(),
            view: Arc::default(),
            transfers: BTreeMap::new(),
            crash_after: None,
            flipped: false,
            flush_log_bytes,
        }
    }

    pub fn is_running(&self) -> bool {
        self.process == Process::Running
    }

    /// Starts the process on what the disk has; returns the logs that were found.
    pub fn start(
        &mut self,
        nodes: u64,
        at_us: u64,
        random: &mut Random,
    ) -> Result<Vec<RecoveredLog>, Refused> {
        let logs = self
            .disk
            .log
            .recover()
            .map_err(|error| Refused::Corrupt(error.to_string()))?;
        self.disk.begin_start(random);
        self.life += 1;
        self.process = Process::Running;
        self.view = Arc::default();
        let now = self.clock.now(at_us);
        let territory = Territory::recovered(&self.disk.store, &logs).map_err(Refused::Core)?;
        let territory = Arc::new(territory);
        for shard in 0..SHARDS {
            let config = Config {
                node: NodeId(self.id),
                shard,
                shards: SHARDS,
                seed: random.next_u64(),
                incarnation: self.disk.incarnation,
                nonce: self.disk.nonce,
                version: self.disk.version,
                seeds: (1..=nodes).map(NodeId).collect(),
                flush_log_bytes: self.flush_log_bytes,
                expire_us: EXPIRE_US,
                tombstone_ms: TOMBSTONE_MS,
                hot_requests: HOT_REQUESTS,
                territory: territory.clone(),
            };
            let shard =
                Shard::start(config, &self.disk.store, &logs, now).map_err(Refused::Core)?;
            self.cells.push(Cell {
                shard,
                inbox: Vec::new(),
                wake_at: None,
                last_tick: now.mono_us,
            });
        }
        Ok(logs)
    }

    /// The process is gone, and what its disk had not synced.
    pub fn crash(&mut self, random: &mut Random) {
        self.life += 1;
        self.process = Process::Off;
        self.cells.clear();
        self.transfers.clear();
        self.crash_after = None;
        self.view = Arc::default();
        self.disk.crash(random);
    }

    /// What the shard is to be stepped with; a tick is among it if one is due. Ticks that were missed are not made up for.
    pub fn take_inputs(&mut self, shard: u32, at_us: u64) -> Vec<Input> {
        let mono_us = self.clock.mono_us(at_us);
        let cell = &mut self.cells[shard as usize];
        let mut inputs = std::mem::take(&mut cell.inbox);
        if mono_us >= cell.last_tick + TICK_US {
            cell.last_tick = mono_us;
            inputs.push(Input::Tick);
        }
        inputs
    }

    pub fn open_snapshot(
        &mut self,
        transfer: u64,
        ranges: Vec<KeyRange>,
    ) -> kv_core::store::Result<()> {
        let snapshot = self.disk.store.snapshot()?;
        self.transfers.insert(
            transfer,
            Transfer {
                snapshot,
                ranges,
                at: (0, Bytes::new()),
            },
        );
        Ok(())
    }

    pub fn close_snapshot(&mut self, transfer: u64) {
        self.transfers.remove(&transfer);
    }

    /// The next piece of an open snapshot.
    pub fn read_snapshot(
        &mut self,
        transfer: u64,
        max_bytes: usize,
    ) -> kv_core::store::Result<Option<Input>> {
        let Some(open) = self.transfers.get_mut(&transfer) else {
            return Ok(None);
        };
        let max_bytes = max_bytes.min(PIECE_BYTES);
        let mut pairs: Vec<(Keyspace, Bytes, Bytes)> = Vec::new();
        let mut bytes = 0;
        let mut full = false;
        while !full && open.at.0 < open.ranges.len() {
            let mut range = open.ranges[open.at.0].clone();
            if !open.at.1.is_empty() {
                range.start = open.at.1.clone();
            }
            open.snapshot.scan(&range, false, &mut |key, value| {
                bytes += key.len() + value.len();
                pairs.push((
                    range.keyspace,
                    Bytes::copy_from_slice(key),
                    Bytes::copy_from_slice(value),
                ));
                full = bytes >= max_bytes;
                !full
            })?;
            open.at = match pairs.last() {
                // The least key behind the last one.
                Some((_, key, _)) if full => (open.at.0, [key, &[0][..]].concat().into()),
                _ => (open.at.0 + 1, Bytes::new()),
            };
        }
        Ok(Some(Input::SnapshotPiece {
            transfer,
            pairs,
            done: !full,
        }))
    }
}
