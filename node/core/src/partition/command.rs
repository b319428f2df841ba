//! Commands in a partition's log and rows of its state, with their bytes.
//!
//! An entry is `format u8 | prost Command`; an empty entry is raft's own mark of a new term. Fields are only ever added.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::ids::{GroupId, ReplicaId};
use crate::meta::wire::Row;
use crate::store::{KeyRange, Keyspace};
use crate::wire::RequestId;

/// Format of commands that this version writes.
pub const COMMAND_FORMAT: u8 = 1;

/// What a command does.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Do {
    /// The first entry of a group's log: the state that it starts with.
    #[prost(message, tag = "10")]
    Genesis(ReplicaState),
    #[prost(message, tag = "11")]
    Write(RowWrite),
    /// A command of the metadata group.
    #[prost(message, tag = "12")]
    Meta(crate::meta::wire::MetaRequest),
    /// Nothing changes; the request is remembered as refused, since another attempt of it may still be on its way.
    #[prost(bytes = "bytes", tag = "13")]
    Refuse(Bytes),
    /// Entries of a global index, each newer than what was there.
    #[prost(message, tag = "30")]
    Entries(RowChanges),
    /// Progress of the readers of the change log.
    #[prost(message, tag = "31")]
    Feeds(super::feeds::FeedsChange),
    /// A transaction prepares a row.
    #[prost(message, tag = "50")]
    Prepare(super::intents::PrepareRow),
    /// A transaction ends at a row.
    #[prost(message, tag = "51")]
    Finish(crate::api::Finish),
    /// The partition ends earlier, and another one begins there.
    #[prost(message, tag = "52")]
    Split(crate::meta::records::Split),
}

/// A row's new record, or its end.
#[derive(Clone, PartialEq, Message)]
pub struct RowChange {
    #[prost(bytes = "bytes", tag = "1")]
    pub row: Bytes,
    /// Whole record with its header; none deletes.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub record: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RowChanges {
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<RowChange>,
    /// How many more there are then.
    #[prost(message, repeated, tag = "2")]
    pub counts: Vec<super::counts::Count>,
}

/// How a request ended, as it is remembered.
#[derive(Clone, PartialEq, Message)]
pub struct Outcome {
    #[prost(message, optional, tag = "1")]
    pub written: Option<crate::api::Written>,
    #[prost(enumeration = "crate::wire::Refusal", optional, tag = "2")]
    pub refusal: Option<i32>,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub item: Option<Bytes>,
}

/// A row's new record, or its end.
#[derive(Clone, PartialEq, Message)]
pub struct RowWrite {
    #[prost(bytes = "bytes", tag = "1")]
    pub row: Bytes,
    /// Whole record with its header; none deletes.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub record: Option<Bytes>,
    /// The record before, where a consumer of the change log needs it.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub old: Option<Bytes>,
    /// Encoded [`Outcome`]: the answer, also for a retry.
    #[prost(bytes = "bytes", tag = "4")]
    pub outcome: Bytes,
    /// Entries of local indexes that come or go with it.
    #[prost(message, repeated, tag = "30")]
    pub entries: Vec<RowChange>,
    /// As in [`Change::cause`].
    #[prost(uint32, tag = "31")]
    pub cause: u32,
    /// How many more items and entries there are then.
    #[prost(message, repeated, tag = "40")]
    pub counts: Vec<super::counts::Count>,
}

/// A decision of a leader, to be applied by all replicas.
#[derive(Clone, PartialEq, Message)]
pub struct Command {
    /// Term and range version under which it was decided; applied under no other.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub range_version: u64,
    /// Hybrid time of the decision.
    #[prost(uint64, tag = "3")]
    pub stamp: u64,
    #[prost(message, optional, tag = "4")]
    pub id: Option<RequestId>,
    /// Hybrid time past which it must not be applied, and until which its id is remembered; 0: none.
    #[prost(uint64, tag = "5")]
    pub deadline: u64,
    #[prost(oneof = "Do", tags = "10, 11, 12, 13, 30, 31, 50, 51, 52")]
    pub what: Option<Do>,
}

impl Command {
    pub fn encode_entry(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.encoded_len());
        out.put_u8(COMMAND_FORMAT);
        self.encode_raw(&mut out);
        out.freeze()
    }

    /// Reads an entry's data; `None` for what this version can't read.
    pub fn decode_entry(data: &Bytes) -> Option<Command> {
        if *data.first()? != COMMAND_FORMAT {
            return None;
        }
        Command::decode(data.slice(1..)).ok()
    }
}

/// A replica and the node that it lives on.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Place {
    #[prost(uint64, tag = "1")]
    pub replica: u64,
    #[prost(uint64, tag = "2")]
    pub node: u64,
}

/// What a replica knows of itself: a row in [`Keyspace::State`], written with everything that it applies.
#[derive(Clone, PartialEq, Message)]
pub struct ReplicaState {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(uint64, tag = "2")]
    pub replica: u64,
    #[prost(uint64, tag = "3")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub end: Bytes,
    #[prost(uint64, tag = "6")]
    pub range_version: u64,
    #[prost(uint64, tag = "7")]
    pub member_version: u64,
    #[prost(message, repeated, tag = "8")]
    pub places: Vec<Place>,
    #[prost(uint64, repeated, tag = "9")]
    pub voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "10")]
    pub voters_outgoing: Vec<u64>,
    #[prost(uint64, repeated, tag = "11")]
    pub learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "12")]
    pub learners_next: Vec<u64>,
    #[prost(bool, tag = "13")]
    pub auto_leave: bool,
    #[prost(uint64, tag = "14")]
    pub applied_index: u64,
    #[prost(uint64, tag = "15")]
    pub applied_term: u64,
    /// The greatest hybrid time applied.
    #[prost(uint64, tag = "16")]
    pub stamp: u64,
    /// Who reads the change log; with none it is not written.
    #[prost(string, repeated, tag = "17")]
    pub consumers: Vec<String>,
    /// Readers of the change log with their progress.
    #[prost(message, repeated, tag = "30")]
    pub feeds: Vec<super::feeds::Feed>,
    /// About how many bytes were ever written to the change log.
    #[prost(uint64, tag = "31")]
    pub logged: u64,
    /// The greatest replica id that the group ever had, if it is none of those now.
    #[prost(uint64, tag = "40")]
    pub newest_replica: u64,
    /// How many items and entries are here, one for each index.
    #[prost(message, repeated, tag = "41")]
    pub counts: Vec<super::counts::Count>,
    /// Log index at which it was split off another partition, and that partition's group; 0: it was not.
    #[prost(uint64, tag = "50")]
    pub born: u64,
    #[prost(uint64, tag = "51")]
    pub parent: u64,
}

impl ReplicaState {
    pub fn group(&self) -> GroupId {
        GroupId(self.group)
    }

    pub fn conf_state(&self) -> raft::eraftpb::ConfState {
        raft::eraftpb::ConfState {
            voters: self.voters.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners: self.learners.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
            ..Default::default()
        }
    }

    pub fn set_conf_state(&mut self, conf: &raft::eraftpb::ConfState) {
        self.voters = conf.voters.clone();
        self.voters_outgoing = conf.voters_outgoing.clone();
        self.learners = conf.learners.clone();
        self.learners_next = conf.learners_next.clone();
        self.auto_leave = conf.auto_leave;
    }

    pub fn holds(&self, row: &[u8]) -> bool {
        &self.start[..] <= row && row < &self.end[..]
    }

    /// Whether all rows of `[start, end)` are held.
    pub fn holds_range(&self, start: &[u8], end: &[u8]) -> bool {
        &self.start[..] <= start && end <= &self.end[..]
    }
}

/// Key of a replica's state.
pub fn replica_key(group: GroupId, replica: ReplicaId) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_u8(b'r');
    out.put_u64(group.0);
    out.put_u64(replica.0);
    out.freeze()
}

/// Key of what a transaction has prepared for a row: in the order of rows, so that a range of rows has a range of these.
pub fn intent_key(row: &[u8]) -> Bytes {
    [b"i", row].concat().into()
}

/// Key of the request that the entry `index` applied. Requests that were inherited at a split have numbers before the log's first index.
pub fn request_key(group: GroupId, index: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_u8(b'q');
    out.put_u64(group.0);
    out.put_u64(index);
    out.freeze()
}

/// Key of a change record: ordered as the changes happened, also over splits.
pub fn change_key(group: GroupId, range_version: u64, index: u64, ordinal: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(28);
    out.put_u64(group.0);
    out.put_u64(range_version);
    out.put_u64(index);
    out.put_u32(ordinal);
    out.freeze()
}

fn prefix(tag: Option<u8>, group: GroupId) -> (Bytes, Bytes) {
    let bytes = |id: u64| {
        tag.into_iter()
            .chain(id.to_be_bytes())
            .collect::<Vec<u8>>()
            .into()
    };
    (bytes(group.0), bytes(group.0 + 1))
}

/// Everything that a group's snapshot holds, and that goes when a replica does; its own state row apart.
pub fn content(state: &ReplicaState) -> Vec<KeyRange> {
    let group = state.group();
    if group == GroupId::META {
        return vec![KeyRange {
            keyspace: Keyspace::Meta,
            start: Bytes::new(),
            end: Bytes::new(),
        }];
    }
    let (from, to) = prefix(None, group);
    let (first, last) = prefix(Some(b'q'), group);
    vec![
        KeyRange {
            keyspace: Keyspace::Data,
            start: state.start.clone(),
            end: state.end.clone(),
        },
        KeyRange {
            keyspace: Keyspace::ChangeLog,
            start: from,
            end: to,
        },
        KeyRange {
            keyspace: Keyspace::State,
            start: first,
            end: last,
        },
        KeyRange {
            keyspace: Keyspace::State,
            start: intent_key(&state.start),
            end: intent_key(&state.end),
        },
    ]
}

/// A change of a row, as consumers of the change log read it.
#[derive(Clone, PartialEq, Message)]
pub struct Change {
    #[prost(uint32, tag = "1")]
    pub format: u32,
    #[prost(message, optional, tag = "2")]
    pub id: Option<RequestId>,
    #[prost(uint64, tag = "3")]
    pub stamp: u64,
    /// 0: here; others count the table's regions.
    #[prost(uint32, tag = "4")]
    pub origin: u32,
    /// 0: a user, 1: time to live, 2: another region.
    #[prost(uint32, tag = "5")]
    pub cause: u32,
    #[prost(bytes = "bytes", tag = "6")]
    pub row: Bytes,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub new: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub old: Option<Bytes>,
    /// [`ReplicaState::logged`] after it.
    #[prost(uint64, tag = "9")]
    pub logged: u64,
}

/// What is remembered of a request that was applied.
#[derive(Clone, PartialEq, Message)]
pub struct Remembered {
    #[prost(message, required, tag = "1")]
    pub id: RequestId,
    #[prost(uint64, tag = "2")]
    pub deadline: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub outcome: Bytes,
    /// Later ones of the same row: requests that a partition inherited at a split share rows.
    #[prost(message, repeated, tag = "4")]
    pub more: Vec<Remembered>,
}

/// Rows that the metadata group's first state consists of.
#[derive(Clone, PartialEq, Message)]
pub struct MetaRows {
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<Row>,
}
