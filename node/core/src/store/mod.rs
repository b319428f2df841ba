//! What the state machines need of a disk: [`Store`], the engine that holds applied state, and [`LogStore`], the raft logs.
//!
//! ```text
//!   proposals ──► LogStore.append(sync) ──► committed ──► Store.write ──► (much later) Store.flush ──► LogStore truncates below
//! ```
//! The log is the write-ahead log of the engine: what a crash takes from the engine back to its last flush is replayed
//! from the log. So the invariant of both traits together: **a log is truncated only below an applied index that a
//! finished flush has made durable.** [`suite`] checks every implementation against the in-memory models, crashes included.

pub mod memory;
pub mod span;
#[cfg(any(test, feature = "suite"))]
pub mod suite;

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use raft::eraftpb::{Entry, HardState};

use crate::ids::ReplicaId;

/// A family of keys with an order of its own. All are flushed together, atomically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keyspace {
    /// Items and local index entries: `table | token | partition key | index | sort keys`.
    Data,
    /// Change records: `partition | seq`.
    ChangeLog,
    /// State of replicas: applied index, epoch, members, request ids.
    State,
    /// Records of the metadata group.
    Meta,
}

impl Keyspace {
    pub const ALL: [Keyspace; 4] = [
        Keyspace::Data,
        Keyspace::ChangeLog,
        Keyspace::State,
        Keyspace::Meta,
    ];
}

/// Why storage can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system has no space. Nothing of the call was applied.
    #[error("no space left: {0}")]
    Full(String),
    /// Bytes on disk are not what was written. The replicas over `range` (or, if none, the whole node) must be retired.
    #[error("corrupt data in {place}: {detail}")]
    Corrupt { place: String, detail: String },
    /// The disk refuses: the state of what was being written is unknown, the process must not go on using it.
    #[error("storage failed: {0}")]
    Failed(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// `[start, end)` of one keyspace; an empty `end` has no upper bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub keyspace: Keyspace,
    pub start: Bytes,
    pub end: Bytes,
}

/// One change of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Put {
        keyspace: Keyspace,
        key: Bytes,
        value: Bytes,
    },
    Delete {
        keyspace: Keyspace,
        key: Bytes,
    },
    DeleteRange(KeyRange),
}

/// Changes that are applied together or not at all, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub ops: Vec<Op>,
}

impl Batch {
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::Put {
            keyspace,
            key: key.into(),
            value: value.into(),
        });
    }

    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.ops.push(Op::Delete {
            keyspace,
            key: key.into(),
        });
    }

    pub fn delete_range(&mut self, range: KeyRange) {
        self.ops.push(Op::DeleteRange(range));
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// Called for each pair of a scan; returns whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// Reads at one moment ([`Snapshot`]) or of the latest state ([`Store`]).
pub trait Reader {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>>;

    /// Visits the pairs of `range` in order of keys, or backwards, until the visitor returns false.
    fn scan(&self, range: &KeyRange, reverse: bool, visit: &mut Visitor<'_>) -> Result<()>;
}

/// A view of the store at one moment; later writes don't show.
pub trait Snapshot: Reader + Send {}

/// Free and total bytes of the file system below a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    pub total: u64,
}

/// The engine: ordered pairs in four keyspaces. Keys are shorter than 16 KiB.
pub trait Store: Reader + Send + Sync + fmt::Debug {
    /// Applies a batch. Later reads see it; a crash forgets it unless a [`flush`](Store::flush) that began later has ended.
    /// After a crash the store is at one moment between the last finished flush and the crash, over all keyspaces.
    fn write(&self, batch: &Batch) -> Result<()>;

    /// Makes durable all that was written before the call.
    fn flush(&self) -> Result<()>;

    fn snapshot(&self) -> Result<Box<dyn Snapshot>>;

    /// A consistent, durable copy of the whole store in a new directory (hard links where the engine can).
    fn checkpoint(&self, dir: &Path) -> Result<()>;

    /// Appends sorted pairs to the staged content `stage`, which is made at its first use. Staged content is not visible.
    /// Keys of one keyspace arrive in ascending order. Staging what is not installed is dropped by a restart.
    fn stage(&self, stage: u64, pairs: &[(Keyspace, Bytes, Bytes)]) -> Result<()>;

    /// Replaces the content of `clear` by what was staged (nothing was, if `stage` is unknown) and applies `batch`: all of it is
    /// durable when this returns, and after a crash in the middle it is wholly there or not at all once the store is open again.
    /// The caller knows that no other replica overlaps `clear`.
    fn install(&self, stage: u64, clear: &[KeyRange], batch: &Batch) -> Result<()>;

    /// Forgets staged content.
    fn unstage(&self, stage: u64) -> Result<()>;

    /// About how many bytes the range takes; what is not flushed yet may be left out.
    fn approximate_bytes(&self, range: &KeyRange) -> Result<u64>;

    /// At most `count` keys that cut the range into pieces of about equal size.
    fn split_sample(&self, range: &KeyRange, count: usize) -> Result<Vec<Bytes>>;

    fn space(&self) -> Result<Space>;
}

/// The base of a log whose replica has left its group: its id has voted and must never be used again.
pub const LEFT: (u64, u64) = (1 << 62, 0);

/// What one append does to one replica's log, in this order: reset, entries, hard state, truncation; `remove` stands alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogWrite {
    pub replica: ReplicaId,
    /// Drop all entries: the log starts anew behind a snapshot of this (index, term).
    pub reset: Option<(u64, u64)>,
    /// Consecutive entries; those at and above the first one's index that are there already are replaced.
    pub entries: Vec<Entry>,
    pub hard_state: Option<HardState>,
    /// Entries up to and with this (index, term) may go: they are below the durable index.
    pub truncate: Option<(u64, u64)>,
    /// Forget the replica wholly.
    pub remove: bool,
}

/// One replica's log as found at a start.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredLog {
    pub replica: ReplicaId,
    pub hard_state: HardState,
    /// (index, term) just before the first entry: of the last truncation or reset, (0, 0) at first.
    pub base: (u64, u64),
    /// Consecutive entries from `base.0 + 1`.
    pub entries: Vec<Entry>,
}

/// The raft logs of all replicas of a node.
pub trait LogStore: Send + Sync + fmt::Debug {
    /// Appends; with `sync` all of this and of every earlier call is on stable storage when it returns.
    /// Safe to be called from several threads.
    fn append(&self, writes: &[LogWrite], sync: bool) -> Result<()>;

    /// All logs, by replica id.
    fn recover(&self) -> Result<Vec<RecoveredLog>>;

    /// Gives back disk space of what was truncated. Replicas returned have old entries that keep much space: they want a flush.
    fn purge(&self) -> Result<Vec<ReplicaId>>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;
}
