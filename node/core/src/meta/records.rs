//! Rows of the metadata group, on disk and on the wire: `kind u8 | id u64 BE` → prost. Fields are only ever added.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::extras::Extras;
use crate::ids::{Epoch, GroupId, NodeId, ReplicaId};

/// The one record about the whole.
#[derive(Clone, PartialEq, Message)]
pub struct Cluster {
    #[prost(string, tag = "1")]
    pub cluster_id: String,
    /// Formats and commands that may be written (DESIGN §5).
    #[prost(uint32, tag = "2")]
    pub cluster_version: u32,
    /// Grows with every change of any record.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    #[prost(uint64, tag = "4")]
    pub ring_epoch: u64,
    #[prost(uint32, tag = "5")]
    pub replication_factor: u32,
    /// Partitions that a new table starts with.
    #[prost(uint32, tag = "6")]
    pub partitions_per_table: u32,
    /// The next id of each kind; ids are never used again.
    #[prost(uint64, tag = "7")]
    pub next_node: u64,
    #[prost(uint64, tag = "8")]
    pub next_group: u64,
    #[prost(uint64, tag = "9")]
    pub next_replica: u64,
    #[prost(uint64, tag = "10")]
    pub next_table: u64,
    #[prost(uint64, tag = "11")]
    pub next_reply: u64,
    #[prost(message, optional, tag = "12")]
    pub settings: Option<Settings>,
    /// The one leave to restart a node.
    #[prost(message, optional, tag = "13")]
    pub permit: Option<Permit>,
    /// Node that proposed the last change ([`Feature::ChangedBy`](crate::version::Feature)).
    #[cfg(feature = "next")]
    #[prost(uint64, tag = "100")]
    pub changed_by: u64,
}

/// What the operator sets for the whole cluster; 0 and empty are the defaults.
#[derive(Clone, PartialEq, Message)]
pub struct Settings {
    /// A node that is gone for so long is given up, ms.
    #[prost(uint64, tag = "1")]
    pub repair_after_ms: u64,
    /// Snapshot bytes a second that a node may send for moves; 0: no limit.
    #[prost(uint64, tag = "2")]
    pub move_bytes_per_second: u64,
    /// Moves that a node may be part of at once; 0: 2.
    #[prost(uint32, tag = "3")]
    pub moves_per_node: u32,
    /// A partition is split when it is larger; 0: 10 GiB.
    #[prost(uint64, tag = "4")]
    pub partition_bytes_max: u64,
    /// Zones that leaders prefer.
    #[prost(string, repeated, tag = "5")]
    pub leader_zones: Vec<String>,
    /// No partition is moved to even loads out (it is, to leave a draining or lost node).
    #[prost(bool, tag = "6")]
    pub rebalance_paused: bool,
    /// No partition is split by itself.
    #[prost(bool, tag = "7")]
    pub split_paused: bool,
}

/// Leave to take a node away for a moment.
#[derive(Clone, PartialEq, Message)]
pub struct Permit {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// The start of the node that may end.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Wall clock of the metadata leader, ms.
    #[prost(uint64, tag = "3")]
    pub expires_ms: u64,
    /// Who asked, for people to read.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NodeState {
    /// Its id is reserved; it has never spoken.
    Joining = 0,
    Up = 1,
    Draining = 2,
    Down = 3,
    Removed = 4,
}

/// A node.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Name of the object that runs it; reserving by the same name gives the same id.
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub zone: String,
    #[prost(string, tag = "4")]
    pub host: String,
    #[prost(uint32, tag = "5")]
    pub weight: u32,
    #[prost(enumeration = "NodeState", tag = "6")]
    pub state: i32,
    #[prost(message, repeated, tag = "7")]
    pub addresses: Vec<Address>,
    /// 16 bytes each, big endian.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub tokens: Vec<Bytes>,
    /// Last registered incarnation: a counter that grows with each start, and that start's nonce.
    #[prost(uint64, tag = "9")]
    pub incarnation: u64,
    #[prost(uint64, tag = "10")]
    pub nonce: u64,
    /// Wall clock of the metadata leader that gave it up for down, ms; 0: it is not.
    #[prost(uint64, tag = "11")]
    pub down_since_ms: u64,
    /// It drains because it is gone: when it comes back, it is refused.
    #[prost(bool, tag = "12")]
    pub lost: bool,
    /// The newest version of the cluster that its last start can write.
    #[prost(uint32, tag = "13")]
    pub version_max: u32,
}

/// Where a node listens, for those on a network.
#[derive(Clone, PartialEq, Message)]
pub struct Address {
    /// `peer`, `dynamo`, `kv`; more networks later.
    #[prost(string, tag = "1")]
    pub network: String,
    /// host:port
    #[prost(string, tag = "2")]
    pub address: String,
}

/// Where a table is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TableState {
    Creating = 0,
    Active = 1,
    Updating = 2,
    Deleting = 3,
}

/// A table.
#[derive(Clone, PartialEq, Message)]
pub struct Table {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub uuid: String,
    #[prost(string, tag = "3")]
    pub account: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(message, required, tag = "5")]
    pub hash: KeyAttribute,
    #[prost(message, optional, tag = "6")]
    pub range: Option<KeyAttribute>,
    #[prost(enumeration = "TableState", tag = "7")]
    pub state: i32,
    /// Units a second; both 0: paid by request.
    #[prost(uint64, tag = "8")]
    pub read_units: u64,
    #[prost(uint64, tag = "9")]
    pub write_units: u64,
    #[prost(bool, tag = "10")]
    pub deletion_protection: bool,
    #[prost(uint64, tag = "11")]
    pub created_ms: u64,
    #[prost(uint64, tag = "12")]
    pub billing_changed_ms: u64,
    /// Who reads the change logs of its partitions from the first write on.
    #[prost(string, repeated, tag = "13")]
    pub consumers: Vec<String>,
    /// Secondary indexes, in the order in which they were made; local ones never change.
    #[prost(message, repeated, tag = "30")]
    pub indexes: Vec<Index>,
    /// The running stream, and ended ones that can still be read.
    #[prost(message, repeated, tag = "31")]
    pub streams: Vec<Stream>,
    #[prost(message, optional, tag = "32")]
    pub expiry: Option<Expiry>,
    #[prost(message, optional, tag = "40")]
    pub extras: Option<Extras>,
}

/// What an entry of an index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ProjectionKind {
    All = 0,
    KeysOnly = 1,
    Include = 2,
}

/// A secondary index of a table.
#[derive(Clone, PartialEq, Message)]
pub struct Index {
    #[prost(string, tag = "1")]
    pub name: String,
    /// A local index: its number in row keys, from 1. A global one: the keyspace of its entries, an id of the tables' own kind.
    #[prost(uint64, tag = "2")]
    pub id: u64,
    #[prost(bool, tag = "3")]
    pub local: bool,
    #[prost(message, repeated, tag = "4")]
    pub hash: Vec<KeyAttribute>,
    #[prost(message, repeated, tag = "5")]
    pub range: Vec<KeyAttribute>,
    #[prost(enumeration = "ProjectionKind", tag = "6")]
    pub projection: i32,
    /// Non-key attributes that are projected, for `Include`.
    #[prost(string, repeated, tag = "7")]
    pub include: Vec<String>,
    #[prost(enumeration = "TableState", tag = "8")]
    pub state: i32,
    /// Items that were there before the index are being entered.
    #[prost(bool, tag = "9")]
    pub backfilling: bool,
    /// Units a second; both 0: paid by request.
    #[prost(uint64, tag = "10")]
    pub read_units: u64,
    #[prost(uint64, tag = "11")]
    pub write_units: u64,
}

/// What a stream's records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum StreamView {
    KeysOnly = 0,
    NewImage = 1,
    OldImage = 2,
    NewAndOldImages = 3,
}

/// A stream of a table's changes.
#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    /// Names it among the readers of change logs; an id of the tables' own kind.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(enumeration = "StreamView", tag = "2")]
    pub view: i32,
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
    /// When it was ended; 0: it runs.
    #[prost(uint64, tag = "4")]
    pub ended_ms: u64,
}

/// Items expire.
#[derive(Clone, PartialEq, Message)]
pub struct Expiry {
    /// Seconds since 1970 are in this attribute.
    #[prost(string, tag = "1")]
    pub attribute: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    #[prost(uint64, tag = "3")]
    pub changed_ms: u64,
}

/// A key attribute: name and `S`, `N` or `B`.
#[derive(Clone, PartialEq, Message)]
pub struct KeyAttribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub kind: String,
}

/// How a replica takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    Voter = 0,
    Learner = 1,
}

/// A replica of a group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Member {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(uint64, tag = "2")]
    pub replica: u64,
    #[prost(enumeration = "Role", tag = "3")]
    pub role: i32,
}

/// A consensus group: the metadata group, or a partition.
#[derive(Clone, PartialEq, Message)]
pub struct Group {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// 0 for the metadata group.
    #[prost(uint64, tag = "2")]
    pub table: u64,
    /// Rows `[start, end)` of [`Keyspace::Data`](crate::store::Keyspace::Data).
    #[prost(bytes = "bytes", tag = "3")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub end: Bytes,
    #[prost(uint64, tag = "5")]
    pub range_version: u64,
    #[prost(uint64, tag = "6")]
    pub member_version: u64,
    #[prost(message, repeated, tag = "7")]
    pub members: Vec<Member>,
    /// Ring position that places it: 16 bytes, big endian.
    #[prost(bytes = "bytes", tag = "8")]
    pub position: Bytes,
    /// The replicas that are wanted; empty: as they are.
    #[prost(message, repeated, tag = "9")]
    pub target: Vec<Member>,
    /// The split that is wanted.
    #[prost(message, optional, tag = "10")]
    pub split: Option<Split>,
}

/// A split that a group's leader is to propose.
#[derive(Clone, PartialEq, Message)]
pub struct Split {
    /// First row of the child.
    #[prost(bytes = "bytes", tag = "1")]
    pub at: Bytes,
    /// Group id of the child.
    #[prost(uint64, tag = "2")]
    pub child: u64,
    /// The child's replicas: one on each member's node, with the same role.
    #[prost(message, repeated, tag = "3")]
    pub members: Vec<Member>,
    /// Ring position of the child: 16 bytes, big endian.
    #[prost(bytes = "bytes", tag = "4")]
    pub position: Bytes,
    /// The parent's epoch that it was planned at; void at any other.
    #[prost(uint64, tag = "5")]
    pub range_version: u64,
    #[prost(uint64, tag = "6")]
    pub member_version: u64,
}

impl Group {
    pub fn group(&self) -> GroupId {
        GroupId(self.id)
    }

    pub fn epoch(&self) -> Epoch {
        Epoch {
            range: self.range_version,
            member: self.member_version,
        }
    }

    /// The replica that a node is to get, if it is.
    pub fn newcomer_on(&self, node: NodeId) -> Option<ReplicaId> {
        self.target
            .iter()
            .find(|m| m.node == node.0)
            .map(|m| ReplicaId(m.replica))
    }

    /// The replica on a node, if there is one.
    pub fn replica_on(&self, node: NodeId) -> Option<ReplicaId> {
        self.members
            .iter()
            .find(|m| m.node == node.0)
            .map(|m| ReplicaId(m.replica))
    }
}

/// The answer to a request that was applied, remembered so that a retry gets it too.
#[derive(Clone, PartialEq, Message)]
pub struct Reply {
    #[prost(message, required, tag = "1")]
    pub id: crate::wire::RequestId,
    #[prost(bytes = "bytes", tag = "2")]
    pub outcome: Bytes,
}

/// A record of any kind, with the id that is in its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Cluster(Cluster),
    Node(Node),
    Table(Table),
    Group(Group),
    Reply(u64, Reply),
}

/// The key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: u8,
    pub id: u64,
}

impl Key {
    pub fn node(id: u64) -> Key {
        Key { kind: b'n', id }
    }

    pub fn table(id: u64) -> Key {
        Key { kind: b't', id }
    }

    pub fn group(id: u64) -> Key {
        Key { kind: b'g', id }
    }

    pub fn reply(id: u64) -> Key {
        Key { kind: b'r', id }
    }

    pub fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(9);
        out.put_u8(self.kind);
        out.put_u64(self.id);
        out.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Option<Key> {
        let (kind, id) = bytes.split_first()?;
        Some(Key {
            kind: *kind,
            id: u64::from_be_bytes(id.try_into().ok()?),
        })
    }
}

impl Record {
    pub fn key(&self) -> Key {
        match self {
            Record::Cluster(_) => Key { kind: b'c', id: 0 },
            Record::Node(node) => Key::node(node.id),
            Record::Table(table) => Key::table(table.id),
            Record::Group(group) => Key::group(group.id),
            Record::Reply(number, _) => Key::reply(*number),
        }
    }

    pub fn encode(&self) -> Bytes {
        match self {
            Record::Cluster(r) => r.encode_to_vec(),
            Record::Node(r) => r.encode_to_vec(),
            Record::Table(r) => r.encode_to_vec(),
            Record::Group(r) => r.encode_to_vec(),
            Record::Reply(_, r) => r.encode_to_vec(),
        }
        .into()
    }

    /// Reads a row; rows of kinds that this version doesn't know are `None`.
    pub fn decode(key: Key, value: Bytes) -> Result<Option<Record>, prost::DecodeError> {
        Ok(Some(match key.kind {
            b'c' => Record::Cluster(Cluster::decode(value)?),
            b'n' => Record::Node(Node::decode(value)?),
            b't' => Record::Table(Table::decode(value)?),
            b'g' => Record::Group(Group::decode(value)?),
            b'r' => Record::Reply(key.id, Reply::decode(value)?),
            _ => return Ok(None),
        }))
    }
}
