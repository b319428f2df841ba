//! What one node's core says to another's, and its bytes.
//!
//! ```text
//!   frame  =  version u8 | kind u8 | target u64 BE | body
//!   kind 0: raft messages of many groups, for every shard of the node to pick its own; target is the sender's wall clock, ms:
//!           body = repeated ( group u64 BE | sent_at u64 BE | echo u64 BE | length u32 BE | eraftpb.Message )
//!   kind 1: for the shard that owns group `target`      body = prost Body
//!   kind 2: for shard number `target`                   body = prost Body
//! ```
//! Bytes come from authenticated peers, yet a length or a tag that makes no sense is an error, never a panic.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb;

use crate::api;
use crate::ids::GroupId;
use crate::meta::wire::{MetaEvents, MetaReply, MetaRequest, MetaWatch, NodeReport};

/// The newest format of frames that this build reads. They are written in the version that their sender's disk is marked with.
pub const WIRE_VERSION: u8 = crate::version::NEWEST as u8;
const HEADER_BYTES: usize = 10;
const RAFT_HEADER_BYTES: usize = 28;

/// Which shard of the receiving node a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Every,
    Group(GroupId),
    Shard(u32),
}

impl Target {
    /// Whether shard `shard` of `shards` is meant.
    pub fn is_for(self, shard: u32, shards: u32) -> bool {
        match self {
            Target::Every => true,
            Target::Group(group) => shard_of(group, shards) == shard,
            Target::Shard(to) => to % shards == shard,
        }
    }
}

/// The shard of a node that owns a group; the metadata group is always in the first.
pub fn shard_of(group: GroupId, shards: u32) -> u32 {
    if group == GroupId::META {
        0
    } else {
        (group.0 % u64::from(shards)) as u32
    }
}

/// A frame that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a frame of {0} bytes is too short")]
    Short(usize),
    #[error("a frame of format {0}; this node reads up to {WIRE_VERSION}")]
    Version(u8),
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame without a body")]
    Empty,
    #[error("a message that can't be decoded")]
    Message(#[from] prost::DecodeError),
    #[error("a raft message that can't be decoded")]
    Raft(#[from] protobuf::ProtobufError),
}

/// A raft message on its way, with what the leases need.
#[derive(Clone, Debug, PartialEq)]
pub struct RaftMessage {
    pub group: GroupId,
    /// The sender's monotonic clock when it sent this, opaque to others.
    pub sent_at: u64,
    /// Of the messages that the sender of this one took from its receiver as leader of this term: the greatest `sent_at`; 0 for none.
    pub echo: u64,
    pub message: eraftpb::Message,
}

/// A request for a partition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Forward {
    #[prost(message, required, tag = "1")]
    pub id: RequestId,
    #[prost(uint64, tag = "2")]
    pub group: u64,
    /// Range version of the route that the sender used.
    #[prost(uint64, tag = "3")]
    pub range_version: u64,
    /// Hybrid time after which the request must not be applied.
    #[prost(uint64, tag = "4")]
    pub deadline: u64,
    #[prost(message, optional, tag = "5")]
    pub caller: Option<api::Caller>,
    /// Shard of the sender that waits for the answer.
    #[prost(uint32, tag = "6")]
    pub reply_shard: u32,
    /// Counts the times that the request was sent, from 0.
    #[prost(uint32, tag = "7")]
    pub attempt: u32,
    /// Numbers what the sender's shard sends to this node, from 1, so that nothing is taken twice; 0: it comes from the same node.
    #[prost(uint64, tag = "8")]
    pub sequence: u64,
    #[prost(oneof = "api::Operation", tags = "10, 11, 12, 20, 21, 40, 41")]
    pub operation: Option<api::Operation>,
}

/// Names a request over all its retries: unique as long as it can be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct RequestId {
    /// Node and shard that made it, and the node's incarnation.
    #[prost(fixed64, tag = "1")]
    pub origin: u64,
    #[prost(fixed64, tag = "2")]
    pub number: u64,
}

/// Why a node did not serve a forwarded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Refusal {
    /// No replica here, or not the leader; `leader` may say who is. Nothing was proposed.
    NotLeader = 1,
    /// The range is another by now. Nothing was proposed.
    StaleRoute = 2,
    /// Something was proposed, and leadership lost before its outcome was known.
    Uncertain = 3,
    /// Proposed, and certainly not applied.
    NotApplied = 4,
    ConditionFailed = 5,
    Validation = 6,
    Throttled = 7,
    /// The request's deadline has passed.
    Expired = 8,
    /// The engine could not read.
    Storage = 9,
    /// A transaction has prepared the item.
    Conflict = 10,
    /// Another attempt under the same token has.
    InProgress = 11,
}

/// The answer to a [`Forward`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ForwardReply {
    #[prost(message, required, tag = "1")]
    pub id: RequestId,
    #[prost(uint64, tag = "2")]
    pub group: u64,
    /// Range version of the partition that served.
    #[prost(uint64, tag = "3")]
    pub range_version: u64,
    #[prost(enumeration = "Refusal", optional, tag = "4")]
    pub refusal: Option<i32>,
    /// Node id of the leader, 0 if unknown.
    #[prost(uint64, tag = "5")]
    pub leader: u64,
    /// Words for the client.
    #[prost(string, tag = "6")]
    pub message: String,
    /// The item that failed a condition.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub item: Option<Bytes>,
    /// Which attempt of the request this answers.
    #[prost(uint32, tag = "8")]
    pub attempt: u32,
    /// With a stale route: the partitions as they are now, as far as the replica knows.
    #[prost(message, repeated, tag = "50")]
    pub records: Vec<crate::meta::records::Group>,
    #[prost(oneof = "api::Answer", tags = "10, 11, 12, 21")]
    pub answer: Option<api::Answer>,
}

/// One piece of a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotChunk {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    /// Names the transfer; unique at its sender.
    #[prost(uint64, tag = "2")]
    pub transfer: u64,
    /// Replica that it is for.
    #[prost(uint64, tag = "3")]
    pub to: u64,
    /// Counts from 0; a chunk out of order is dropped and sent again.
    #[prost(uint64, tag = "4")]
    pub number: u64,
    #[prost(message, repeated, tag = "5")]
    pub pairs: Vec<Pair>,
    /// The raft message that installs the whole; in the last chunk only.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub message: Option<Bytes>,
    /// The state of the group at the snapshot; in the last chunk only.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub state: Option<Bytes>,
    #[prost(uint32, tag = "8")]
    pub reply_shard: u32,
    /// Range of the group at the snapshot, in the first chunk: it comes in vain while another replica there holds some of it.
    #[prost(bytes = "bytes", tag = "9")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub end: Bytes,
}

/// A pair of a keyspace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pair {
    #[prost(uint32, tag = "1")]
    pub keyspace: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}

/// The receiver's word on a transfer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotAck {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(uint64, tag = "2")]
    pub transfer: u64,
    /// Chunks before this one are staged.
    #[prost(uint64, tag = "3")]
    pub next: u64,
    #[prost(bool, tag = "4")]
    pub refused: bool,
}

/// Everything but raft messages.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    #[prost(message, tag = "1")]
    Forward(Forward),
    #[prost(message, tag = "2")]
    ForwardReply(ForwardReply),
    #[prost(message, tag = "3")]
    SnapshotChunk(SnapshotChunk),
    #[prost(message, tag = "4")]
    SnapshotAck(SnapshotAck),
    #[prost(message, tag = "5")]
    MetaRequest(MetaRequest),
    #[prost(message, tag = "6")]
    MetaReply(MetaReply),
    #[prost(message, tag = "7")]
    MetaWatch(MetaWatch),
    #[prost(message, tag = "8")]
    MetaEvents(MetaEvents),
    #[prost(message, tag = "9")]
    NodeReport(NodeReport),
    #[prost(message, tag = "10")]
    Lead(Lead),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    /// The sender's wall clock, milliseconds.
    #[prost(uint64, tag = "30")]
    wall_ms: u64,
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    kind: Option<Kind>,
}

/// The metadata's leader wants a group to be led by another replica.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Lead {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    /// Term of the leader that is to hand over: a later one has other reasons to lead.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub replica: u64,
}

/// A frame, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Raft {
        wall_ms: u64,
        messages: Vec<RaftMessage>,
    },
    One {
        wall_ms: u64,
        kind: Kind,
    },
}

fn header(version: u8, kind: u8, target: u64, capacity: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + capacity);
    out.put_u8(version);
    out.put_u8(kind);
    out.put_u64(target);
    out
}

/// Encodes one message of a sender that writes in `version`.
pub fn encode(version: u32, target: Target, wall_ms: u64, kind: Kind) -> Bytes {
    let body = Body {
        wall_ms,
        kind: Some(kind),
    };
    let (tag, to) = match target {
        Target::Group(group) => (1, group.0),
        Target::Shard(shard) => (2, u64::from(shard)),
        Target::Every => (2, 0),
    };
    let mut out = header(version as u8, tag, to, body.encoded_len());
    body.encode_raw(&mut out);
    out.freeze()
}

/// Collects raft messages for one node into one frame.
#[derive(Debug)]
pub struct RaftFrame(BytesMut);

impl RaftFrame {
    pub fn new(wall_ms: u64) -> RaftFrame {
        RaftFrame(header(crate::version::FIRST as u8, 0, wall_ms, 256))
    }

    pub fn push(&mut self, group: GroupId, sent_at: u64, echo: u64, message: &eraftpb::Message) {
        self.0.put_u64(group.0);
        self.0.put_u64(sent_at);
        self.0.put_u64(echo);
        let size = message.compute_size();
        self.0.put_u32(size);
        self.0.reserve(size as usize);
        let mut writer = (&mut self.0).writer();
        message
            .write_to_writer(&mut writer)
            .expect("a message encodes into memory");
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == HEADER_BYTES
    }

    /// The frame of a sender that writes in `version`.
    pub fn finish(mut self, version: u32) -> Bytes {
        self.0[0] = version as u8;
        self.0.freeze()
    }
}

/// The version that a frame's sender writes in; 0: there is no telling.
pub fn version(frame: &[u8]) -> u32 {
    frame.first().copied().map_or(0, u32::from)
}

/// Reads only for whom a frame is.
pub fn target(frame: &[u8]) -> Result<Target, Error> {
    if frame.len() < HEADER_BYTES {
        return Err(Error::Short(frame.len()));
    }
    if frame[0] > WIRE_VERSION {
        return Err(Error::Version(frame[0]));
    }
    let to = (&frame[2..]).get_u64();
    match frame[1] {
        0 => Ok(Target::Every),
        1 => Ok(Target::Group(GroupId(to))),
        2 => Ok(Target::Shard(to as u32)),
        kind => Err(Error::Kind(kind)),
    }
}

/// Decodes a frame; of raft messages only those that `mine` wants.
pub fn decode(frame: &Bytes, mine: impl Fn(GroupId) -> bool) -> Result<Frame, Error> {
    let to = target(frame)?;
    let mut body = frame.slice(HEADER_BYTES..);
    if to != Target::Every {
        let body = Body::decode(body)?;
        let kind = body.kind.ok_or(Error::Empty)?;
        return Ok(Frame::One {
            wall_ms: body.wall_ms,
            kind,
        });
    }
    let wall_ms = (&frame[2..]).get_u64();
    let mut messages = Vec::new();
    while !body.is_empty() {
        if body.len() < RAFT_HEADER_BYTES {
            return Err(Error::Short(body.len()));
        }
        let (group, sent_at, echo) = (GroupId(body.get_u64()), body.get_u64(), body.get_u64());
        let length = body.get_u32() as usize;
        if body.len() < length {
            return Err(Error::Short(body.len()));
        }
        let bytes = body.split_to(length);
        if mine(group) {
            let mut message = eraftpb::Message::new();
            let mut input = protobuf::CodedInputStream::from_carllerche_bytes(&bytes);
            message.merge_from(&mut input)?;
            messages.push(RaftMessage {
                group,
                sent_at,
                echo,
                message,
            });
        }
    }
    Ok(Frame::Raft { wall_ms, messages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raft_frames_come_back_and_each_shard_takes_its_own() {
        let mut message = eraftpb::Message {
            to: 7,
            ..Default::default()
        };
        message.entries.push(eraftpb::Entry {
            data: Bytes::from_static(b"x"),
            index: 3,
            ..Default::default()
        });
        let mut frame = RaftFrame::new(77);
        assert!(frame.is_empty());
        frame.push(GroupId(4), 11, 12, &message);
        frame.push(GroupId(5), 13, 14, &message);
        let bytes = frame.finish(1);
        assert_eq!(version(&bytes), 1);
        assert_eq!(target(&bytes).unwrap(), Target::Every);
        let Frame::Raft {
            wall_ms: 77,
            messages: mine,
        } = decode(&bytes, |g| g.0 == 5).unwrap()
        else {
            panic!("not raft")
        };
        assert_eq!(
            mine,
            vec![RaftMessage {
                group: GroupId(5),
                sent_at: 13,
                echo: 14,
                message
            }]
        );
    }

    #[test]
    fn cut_frames_are_errors() {
        let ack = SnapshotAck {
            group: 1,
            transfer: 2,
            next: 3,
            refused: true,
        };
        let target_group = Target::Group(GroupId(9));
        let whole = encode(1, target_group, 5, Kind::SnapshotAck(ack.clone()));
        assert!(
            matches!(decode(&whole, |_| true).unwrap(), Frame::One { wall_ms: 5, kind: Kind::SnapshotAck(a) } if a == ack)
        );
        for cut in 0..whole.len() {
            let _ = decode(&whole.slice(..cut), |_| true);
        }
        assert!(matches!(target(&whole[..9]), Err(Error::Short(9))));
        let mut newer = whole.to_vec();
        newer[0] = WIRE_VERSION + 1;
        assert!(matches!(target(&newer), Err(Error::Version(_))));
    }
}
