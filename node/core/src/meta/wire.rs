//! What is said to the metadata group's leader and by it, and the commands in its log.

use bytes::Bytes;

use super::extras::ExtrasChange;
use super::records::{Expiry, Index, KeyAttribute, Stream};
use crate::wire::RequestId;

/// What a request to the metadata group does.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Change {
    #[prost(message, tag = "10")]
    ReserveNode(ReserveNode),
    #[prost(message, tag = "11")]
    Register(Register),
    #[prost(message, tag = "12")]
    CreateTable(CreateTable),
    #[prost(message, tag = "13")]
    UpdateTable(UpdateTable),
    #[prost(message, tag = "14")]
    DeleteTable(TableName),
    /// Every partition of the table has a leader.
    #[prost(uint64, tag = "15")]
    TableReady(u64),
    /// The table and its partitions may be forgotten.
    #[prost(uint64, tag = "16")]
    DropTable(u64),
    /// Changes nothing: the answer's revision is one that holds everything decided before the request.
    #[prost(bool, tag = "17")]
    Barrier(bool),
    /// The entries of all older items are in the index.
    #[prost(message, tag = "40")]
    IndexReady(IndexId),
    /// An index that is being deleted may be forgotten, with its partitions.
    #[prost(message, tag = "41")]
    DropIndex(IndexId),
    /// An ended stream may be forgotten.
    #[prost(message, tag = "42")]
    DropStream(IndexId),
    #[prost(message, tag = "50")]
    DescribeNode(super::records::Node),
    #[prost(message, tag = "51")]
    ChangeRing(ChangeRing),
    #[prost(message, tag = "52")]
    NodeChange(NodeChange),
    #[prost(message, tag = "53")]
    Configure(Configure),
    /// Other members that groups are to have.
    #[prost(message, tag = "54")]
    Aim(Aims),
    /// What groups' own logs say of them.
    #[prost(message, tag = "55")]
    Follow(Follow),
    #[prost(message, tag = "56")]
    TakePermit(TakePermit),
    #[prost(message, tag = "57")]
    ReturnPermit(ReturnPermit),
    #[prost(uint32, tag = "58")]
    RaiseVersion(u32),
    /// A partition is to be split.
    #[prost(message, tag = "70")]
    BeginSplit(BeginSplit),
}

/// Gives an object a node id; again the same one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReserveNode {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A node's start, before it votes.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Register {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    #[prost(uint64, tag = "3")]
    pub nonce: u64,
    /// The newest version of the cluster that it can write; 0: the first.
    #[prost(uint32, tag = "4")]
    pub version_max: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TableName {
    #[prost(string, tag = "1")]
    pub account: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateTable {
    #[prost(message, required, tag = "1")]
    pub table: TableName,
    #[prost(string, tag = "2")]
    pub uuid: String,
    #[prost(message, required, tag = "3")]
    pub hash: KeyAttribute,
    #[prost(message, optional, tag = "4")]
    pub range: Option<KeyAttribute>,
    #[prost(uint64, tag = "5")]
    pub read_units: u64,
    #[prost(uint64, tag = "6")]
    pub write_units: u64,
    #[prost(bool, tag = "7")]
    pub deletion_protection: bool,
    #[prost(uint64, tag = "8")]
    pub created_ms: u64,
    /// 0: as the cluster is set.
    #[prost(uint32, tag = "9")]
    pub partitions: u32,
    /// Who reads the change logs of its partitions from the first write on.
    #[prost(string, repeated, tag = "10")]
    pub consumers: Vec<String>,
    /// Indexes without ids: the metadata group gives them.
    #[prost(message, repeated, tag = "30")]
    pub indexes: Vec<Index>,
    #[prost(message, optional, tag = "31")]
    pub stream: Option<Stream>,
    #[prost(message, optional, tag = "40")]
    pub extras: Option<ExtrasChange>,
    #[prost(message, optional, tag = "41")]
    pub expiry: Option<Expiry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateTable {
    #[prost(message, required, tag = "1")]
    pub table: TableName,
    #[prost(message, optional, tag = "2")]
    pub billing: Option<NewBilling>,
    #[prost(bool, optional, tag = "3")]
    pub deletion_protection: Option<bool>,
    #[prost(message, optional, tag = "30")]
    pub index: Option<IndexChange>,
    #[prost(message, optional, tag = "31")]
    pub stream: Option<StreamChange>,
    #[prost(message, optional, tag = "32")]
    pub expiry: Option<Expiry>,
    #[prost(message, optional, tag = "40")]
    pub extras: Option<ExtrasChange>,
}

/// A change of a table's global indexes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexChange {
    /// A new one, without an id.
    #[prost(message, optional, tag = "1")]
    pub create: Option<Index>,
    /// Name of one that goes.
    #[prost(string, tag = "2")]
    pub delete: String,
    /// New units of existing ones.
    #[prost(message, repeated, tag = "3")]
    pub units: Vec<IndexUnits>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexUnits {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub read_units: u64,
    #[prost(uint64, tag = "3")]
    pub write_units: u64,
}

/// Begins or ends a table's stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamChange {
    #[prost(message, optional, tag = "1")]
    pub begin: Option<Stream>,
    #[prost(uint64, tag = "2")]
    pub end_ms: u64,
}

/// An index of a table.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IndexId {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// What the leader of a partition has set up for the readers of its change log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FeedReport {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    /// Ids of indexes whose entries of older items are all there, and of streams that have begun.
    #[prost(uint64, repeated, tag = "2")]
    pub ready: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct NewBilling {
    /// Both 0: paid by request.
    #[prost(uint64, tag = "1")]
    pub read_units: u64,
    #[prost(uint64, tag = "2")]
    pub write_units: u64,
    #[prost(uint64, tag = "3")]
    pub at_ms: u64,
}

/// A request, and the command in the log as which it is decided.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetaRequest {
    #[prost(message, required, tag = "1")]
    pub id: RequestId,
    #[prost(uint32, tag = "2")]
    pub reply_shard: u32,
    /// Term of the leader that proposed it; 0 until then.
    #[prost(uint64, tag = "3")]
    pub term: u64,
    /// Node of the leader that proposed it ([`Feature::ProposedBy`](crate::version::Feature)).
    #[cfg(feature = "next")]
    #[prost(uint64, tag = "100")]
    pub proposed_by: u64,
    #[prost(
        oneof = "Change",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 40, 41, 42, 50, 51, 52, 53, 54, 55, 56, 57, 58, 70"
    )]
    pub change: Option<Change>,
}

/// Wants a partition split.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BeginSplit {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    /// First row of the new partition; where item collections must stay whole, the first row of its collection is taken.
    #[prost(bytes = "bytes", tag = "2")]
    pub at: Bytes,
    /// Ring position of the new partition, 16 bytes, big endian; empty: by its first row.
    #[prost(bytes = "bytes", tag = "3")]
    pub position: Bytes,
    /// The epoch that it was planned at; range version 0: any.
    #[prost(uint64, tag = "4")]
    pub range_version: u64,
    #[prost(uint64, tag = "5")]
    pub member_version: u64,
}

/// New tokens, weights and positions, planned at an epoch of the ring.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChangeRing {
    #[prost(uint64, tag = "1")]
    pub expected_epoch: u64,
    #[prost(message, repeated, tag = "2")]
    pub nodes: Vec<NodeTokens>,
    #[prost(message, repeated, tag = "3")]
    pub positions: Vec<Reposition>,
}

/// All tokens that a node has from now on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeTokens {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// 16 bytes each, big endian.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub tokens: Vec<Bytes>,
    /// 0: as it is.
    #[prost(uint32, tag = "3")]
    pub weight: u32,
}

/// Another ring position for a partition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reposition {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    /// 16 bytes, big endian.
    #[prost(bytes = "bytes", tag = "2")]
    pub position: Bytes,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NodeEvent {
    /// It was not heard.
    Silent = 0,
    /// It is heard again.
    Heard = 1,
    Drain = 2,
    UndoDrain = 3,
    /// It is gone and does not come back.
    Lose = 4,
    /// It holds nothing any more.
    Remove = 5,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct NodeChange {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(enumeration = "NodeEvent", tag = "2")]
    pub event: i32,
    /// Wall clock of the metadata leader, ms.
    #[prost(uint64, tag = "3")]
    pub at_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Configure {
    /// 0: as it is.
    #[prost(uint32, tag = "1")]
    pub replication_factor: u32,
    #[prost(message, optional, tag = "2")]
    pub settings: Option<super::records::Settings>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Aims {
    #[prost(message, repeated, tag = "1")]
    pub aims: Vec<Aim>,
}

/// The nodes that are to hold a group, as planned at a member version of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Aim {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(uint64, repeated, tag = "2")]
    pub nodes: Vec<u64>,
    #[prost(uint64, tag = "3")]
    pub member_version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Follow {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<GroupReport>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TakePermit {
    #[prost(message, required, tag = "1")]
    pub permit: super::records::Permit,
    /// Also where a group is without a quorum meanwhile.
    #[prost(bool, tag = "2")]
    pub allow_unavailable: bool,
    /// Wall clock of the metadata leader that decides, ms; set by it.
    #[prost(uint64, tag = "3")]
    pub now_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ReturnPermit {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
}

/// Why the metadata group refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetaRefusal {
    None = 0,
    /// Ask `leader`, or another node.
    NotLeader = 1,
    NotFound = 2,
    InUse = 3,
    Invalid = 4,
    /// A lower incarnation, or the same with another nonce: the disk is an old copy.
    RolledBack = 5,
    /// The node id is unknown or removed.
    UnknownNode = 6,
    /// A bound was reached.
    Limit = 7,
    /// It was planned at an epoch that has passed.
    Stale = 8,
    /// It can't be done as things are; the message says why.
    Refused = 9,
    /// The node's build can't write what the cluster writes.
    OldBuild = 10,
}

/// How a change ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    #[prost(enumeration = "MetaRefusal", tag = "1")]
    pub refusal: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    /// Id of what was made or meant.
    #[prost(uint64, tag = "3")]
    pub value: u64,
    /// Revision that holds the outcome.
    #[prost(uint64, tag = "4")]
    pub revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetaReply {
    #[prost(message, required, tag = "1")]
    pub id: RequestId,
    #[prost(message, required, tag = "2")]
    pub outcome: Outcome,
    /// Node that leads as far as known, 0 if not.
    #[prost(uint64, tag = "3")]
    pub leader: u64,
}

/// Asks for what changed since a revision, and to be told of more for some seconds.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MetaWatch {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
}

/// A row that changed; gone if there is no value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Row {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

/// Rows that lead from `base` to `revision`; with `snapshot` they are all there are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetaEvents {
    #[prost(uint64, tag = "1")]
    pub base: u64,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    #[prost(bool, tag = "3")]
    pub snapshot: bool,
    #[prost(message, repeated, tag = "4")]
    pub rows: Vec<Row>,
    /// Node that leads the metadata group as far as known, 0 if not.
    #[prost(uint64, tag = "5")]
    pub leader: u64,
}

/// A node tells the metadata leader that it lives, what it leads and how that does; at least once a second.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeReport {
    /// Partitions of tables in the making that are led here.
    #[prost(uint64, repeated, tag = "1")]
    pub leads: Vec<u64>,
    #[prost(uint64, tag = "2")]
    pub node: u64,
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// Groups led by this shard of the node; all of them if `whole`, else those that changed.
    #[prost(message, repeated, tag = "4")]
    pub groups: Vec<GroupReport>,
    #[prost(bool, tag = "5")]
    pub whole: bool,
    #[prost(uint32, tag = "6")]
    pub shard: u32,
    #[prost(uint32, tag = "7")]
    pub shards: u32,
    /// Free and total bytes of the node's disk.
    #[prost(uint64, tag = "8")]
    pub disk_free: u64,
    #[prost(uint64, tag = "9")]
    pub disk_total: u64,
    /// The node gives leadership away, and wants none.
    #[prost(bool, tag = "10")]
    pub shuns: bool,
    /// Processor time of the node a second, µs.
    #[prost(uint64, tag = "11")]
    pub cpu_us: u64,
    /// Of partitions led here whose tables have something in the making.
    #[prost(message, repeated, tag = "30")]
    pub feeds: Vec<FeedReport>,
    /// Version that the node writes in ([`Feature::ReportedVersion`](crate::version::Feature)).
    #[cfg(feature = "next")]
    #[prost(uint32, tag = "100")]
    pub version: u32,
}

/// What the leader of a group says of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GroupReport {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(uint64, tag = "2")]
    pub range_version: u64,
    #[prost(uint64, tag = "3")]
    pub member_version: u64,
    /// Replicas by the group's own log.
    #[prost(message, repeated, tag = "4")]
    pub members: Vec<super::records::Member>,
    /// A joint configuration is being left.
    #[prost(bool, tag = "5")]
    pub joint: bool,
    /// Replica ids that are alive and close behind, the leader's own too.
    #[prost(uint64, repeated, tag = "6")]
    pub healthy: Vec<u64>,
    #[prost(bytes = "bytes", tag = "7")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub end: Bytes,
    /// Approximate size on disk.
    #[prost(uint64, tag = "9")]
    pub bytes: u64,
    #[prost(message, optional, tag = "10")]
    pub heat: Option<Heat>,
    /// Term in which the reporter leads: of two reports of one group the later term counts.
    #[prost(uint64, tag = "11")]
    pub term: u64,
    /// Bytes that newcomers have taken over from this leader, in all and in the transfers under way.
    #[prost(uint64, tag = "12")]
    pub moved_bytes: u64,
    #[prost(uint64, tag = "13")]
    pub moving_bytes: u64,
}

/// Decayed rates of a partition at its leader.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heat {
    #[prost(double, tag = "1")]
    pub reads_per_second: f64,
    #[prost(double, tag = "2")]
    pub writes_per_second: f64,
    #[prost(double, tag = "3")]
    pub bytes_per_second: f64,
    /// Processor time a second, µs.
    #[prost(double, tag = "4")]
    pub cpu_us_per_second: f64,
    /// Where the load halves; empty where it can't be cut, or is not worth a look.
    #[prost(bytes = "bytes", tag = "5")]
    pub cut: Bytes,
    /// The row that is asked for most, if the load is worth a look, and its share of all requests.
    #[prost(bytes = "bytes", tag = "6")]
    pub top: Bytes,
    #[prost(double, tag = "7")]
    pub top_share: f64,
}
