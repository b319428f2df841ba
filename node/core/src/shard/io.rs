//! What goes into a shard and what comes out.
//!
//! The rim executes outputs **in their order**: a `Write` is visible to every `Read`, `Reply` and `OpenSnapshot` behind it. Appends,
//! flushes, and snapshot work end later, each with its input.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::api;
use crate::ids::{GroupId, NodeId};
use crate::meta::View;
use crate::meta::wire::{Change, Outcome};
use crate::partition::ReadResult;
use crate::partition::split::Birth;
use crate::store::{Batch, KeyRange, Keyspace, LogWrite};

/// A client's request, on the node that it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Comes back with the reply.
    pub token: u64,
    pub caller: api::Caller,
    pub operation: api::Operation,
    /// Monotonic µs.
    pub deadline_us: u64,
}

/// Writes that happen together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Transact {
    /// Comes back with the outcome.
    pub token: u64,
    pub caller: api::Caller,
    /// Under which the client may ask again without a second effect; none: it never does.
    pub client_token: Option<String>,
    /// Of everything that was asked for: another request under the same token is a mistake.
    pub digest: Bytes,
    /// Of different items.
    pub writes: Vec<api::Write>,
    /// Monotonic µs.
    pub deadline_us: u64,
}

/// Reads of items as they were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactRead {
    pub token: u64,
    pub caller: api::Caller,
    pub gets: Vec<api::Get>,
    /// Monotonic µs.
    pub deadline_us: u64,
}

/// What a transaction is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Transacted {
    /// In the order of the writes.
    Written(Vec<api::Written>),
    /// It was done before, under the same token.
    Before,
    /// In the order of the reads.
    Read(Vec<api::Got>),
}

/// Why a transaction was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransactError {
    /// Nothing was written; why, by item.
    #[error("the transaction was cancelled")]
    Cancelled(Vec<Option<api::Error>>),
    /// The token was used for another request.
    #[error("the token was used with other parameters")]
    Mismatch,
    /// The same request is under way.
    #[error("a transaction under the same token is under way")]
    InProgress,
    #[error(transparent)]
    Failed(#[from] api::Error),
}

/// Why a change of the metadata had no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Nobody could be asked in time; it may have happened all the same if it was sent at all.
    #[error(
        "the cluster's metadata can't be changed now: no majority of its voters answered in time"
    )]
    Unavailable,
}

/// What happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// A tick's time has passed.
    Tick,
    /// A frame from another node, or from another shard of this one.
    Frame(NodeId, Bytes),
    Request(Request),
    Transact(Transact),
    TransactRead(TransactRead),
    /// A change of the metadata; to the first shard only.
    Meta {
        token: u64,
        change: Change,
        deadline_us: u64,
    },
    /// Every append up to this number is on stable storage.
    Appended(u64),
    /// A read has ended.
    Read {
        id: u64,
        group: GroupId,
        result: ReadResult,
    },
    /// The flush of this number has ended.
    Flushed(u64),
    /// More disk space would be given back after a flush.
    WantFlush,
    /// A piece of an open snapshot; `done` with the last one.
    SnapshotPiece {
        transfer: u64,
        pairs: Vec<(Keyspace, Bytes, Bytes)>,
        done: bool,
    },
    /// A snapshot is installed, durably.
    Installed(GroupId),
    /// A new picture of the metadata, from the first shard.
    View(Arc<View>),
    /// The disk is nearly full, or no longer.
    RefuseWrites(bool),
    /// Nodes that seem to be away, as gossip has it: a hint where not to ask first, never truth.
    Suspects(BTreeSet<NodeId>),
    /// The disk is full up to what recovery needs, or no longer: followers here take no entries and no snapshots of partitions.
    RefuseEntries(bool),
    /// Give up leadership of everything, for a planned stop.
    HandOver,
    /// The processor time that the node took in the last second, µs.
    Processor(u64),
    /// A cluster begins on this node; to the first shard only.
    Bootstrap(Box<crate::meta::MetaState>),
    /// A partition has about so many bytes; rows that cut it into equal parts, if that is too many.
    Measured {
        group: GroupId,
        bytes: u64,
        cuts: Vec<Bytes>,
    },
    /// A partition of this shard was split off one of another shard.
    Birth(Box<Birth>),
}

/// Which connection a frame takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    Small,
    /// Snapshots.
    Bulk,
}

/// Why the node can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The cluster knows a later start of this node than its disk does.
    #[error("the disk is an old copy: {0}")]
    DiskRolledBack(String),
    /// The cluster does not know this node any more.
    #[error("{0}")]
    Removed(String),
    /// The cluster writes what this build can't.
    #[error("{0}")]
    OldBuild(String),
    /// What is on the disk contradicts itself.
    #[error("the disk lost what it had promised: {0}")]
    Inconsistent(String),
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Output {
    Send {
        to: NodeId,
        lane: Lane,
        frame: Bytes,
    },
    /// Append to the log; when it and all before it are synced: [`Input::Appended`].
    Append {
        number: u64,
        writes: Vec<LogWrite>,
        sync: bool,
    },
    /// Apply to the engine.
    Write(Batch),
    /// Read the engine. `raw` wants the record of a row as it is.
    Read {
        id: u64,
        group: GroupId,
        operation: api::Operation,
        raw: bool,
    },
    Reply {
        token: u64,
        result: Result<api::Answer, api::Error>,
    },
    MetaReply {
        token: u64,
        result: Result<Outcome, MetaError>,
    },
    Transacted {
        token: u64,
        result: Result<Transacted, TransactError>,
    },
    Flush(u64),
    /// Keep the engine as it is now for a transfer of these ranges.
    OpenSnapshot {
        transfer: u64,
        ranges: Vec<KeyRange>,
    },
    /// Read on from where the last piece ended.
    ReadSnapshot {
        transfer: u64,
        max_bytes: usize,
    },
    CloseSnapshot(u64),
    Stage {
        stage: u64,
        pairs: Vec<(Keyspace, Bytes, Bytes)>,
    },
    Unstage(u64),
    Install {
        group: GroupId,
        stage: u64,
        clear: Vec<KeyRange>,
        batch: Batch,
    },
    /// Mark the disk with a version of the cluster, durably, before any output behind this one: they may be of that version.
    Mark(u32),
    /// A new picture of the metadata, for all shards and the front ends.
    View(Arc<View>),
    /// Say how large a range of the engine is, and if it is larger than so many bytes, where it falls into some equal parts.
    Measure {
        group: GroupId,
        range: KeyRange,
        cut_above: u64,
    },
    /// A partition was split off: for the shard that owns its group.
    Birth(Box<Birth>),
    Fatal(Fatal),
}
