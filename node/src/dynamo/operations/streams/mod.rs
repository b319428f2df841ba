//! DynamoDB Streams: what changed in a table over the last 24 hours, as `dynamodbstreams` clients read it.
//!
//! ```text
//!   stream   a life of `StreamSpecification`, named by its ARN
//!   shard    (partition, range version); a split closes it, and its two children name it as their parent
//!   record   a change of the partition's log: range version, log index and ordinal make its sequence number
//! ```
//! An iterator says where to read on in a shard; it lives for 15 minutes. Changes of an item are in one shard at a time, in order.

mod describe;
mod iterator;
mod list;
mod record;
mod records;

use std::time::Instant;

use bytes::Bytes;
use kv_core::api::{Caller, Consistency, LogState, Rows, RowsOf};
use kv_core::partition::feeds::Feed;
use kv_core::tables::{Stream, Table};

use super::Context;
use crate::database::Database;
use crate::dynamo::describe::{arn, label};
use crate::dynamo::error::Error;

pub use describe::run as describe;
pub use iterator::run as iterator;
pub use list::run as list;
pub use records::run as records;

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardId {
    pub group: u64,
    pub version: u64,
}

impl std::fmt::Display for ShardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shardId-{:020}-{:08x}", self.group, self.version)
    }
}

impl ShardId {
    fn parse(text: &str) -> Option<Self> {
        let (group, version) = text.strip_prefix("shardId-")?.split_once('-')?;
        let id = ShardId {
            group: group.parse().ok()?,
            version: u64::from_str_radix(version, 16).ok()?,
        };
        (id.to_string() == text).then_some(id)
    }
}

/// A shard with where it begins and ends.
#[derive(Clone, Debug)]
pub struct Shard {
    pub id: ShardId,
    pub parent: Option<ShardId>,
    /// Positions in the partition's change log.
    pub began: Bytes,
    pub ended: Option<Bytes>,
}

/// A stream and its table.
#[derive(Debug)]
pub struct Found {
    pub table: std::sync::Arc<Table>,
    pub stream: Stream,
    pub arn: String,
}

/// Position in a change log (range version, log index, ordinal) as a number that grows with it, and back.
pub fn number_of(position: &[u8]) -> Option<u128> {
    let version = u64::from_be_bytes(position.get(..8)?.try_into().ok()?);
    let index = u64::from_be_bytes(position.get(8..16)?.try_into().ok()?);
    let ordinal = u32::from_be_bytes(position.get(16..20)?.try_into().ok()?);
    let ordinal = u128::from(ordinal.min(u32::from(u16::MAX)));
    Some(u128::from(version) << 80 | u128::from(index) << 16 | ordinal)
}

pub fn position_of(number: u128) -> Bytes {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&((number >> 80) as u64).to_be_bytes());
    out.extend_from_slice(&((number >> 16) as u64).to_be_bytes());
    out.extend_from_slice(&u32::from(number as u16).to_be_bytes());
    out.into()
}

/// A sequence number as clients see it: at least 21 digits.
pub fn sequence(position: &[u8]) -> String {
    format!("{:021}", number_of(position).unwrap_or(0))
}

fn no_stream(arn: &str) -> Error {
    Error::ResourceNotFound(format!(
        "Requested resource not found: Stream: {arn} not found"
    ))
}

/// The stream of an ARN.
async fn find<D: Database>(context: &Context<'_, D>, stream_arn: &str) -> Result<Found, Error> {
    let parts = stream_arn
        .split_once(":table/")
        .and_then(|(_, rest)| rest.split_once("/stream/"));
    let Some((name, wanted)) = parts else {
        return Err(Error::validation("Invalid StreamArn"));
    };
    let table = context
        .database
        .table(&context.caller.account, name, context.deadline)
        .await
        .map_err(|_| no_stream(stream_arn))?;
    let stream = table
        .streams
        .iter()
        .find(|stream| label(stream.created_ms) == wanted)
        .cloned();
    let stream = stream.ok_or_else(|| no_stream(stream_arn))?;
    Ok(Found {
        arn: arn_of(&table, &stream, context.region),
        table,
        stream,
    })
}

fn arn_of(table: &Table, stream: &Stream, region: &str) -> String {
    format!("{}/stream/{}", arn(table, region), label(stream.created_ms))
}

/// What a partition keeps of its change log.
pub(super) async fn log_of<D: Database>(
    database: &D,
    caller: &Caller,
    group: u64,
    deadline: Instant,
) -> Result<LogState, Error> {
    let rows = Rows {
        group,
        of: RowsOf::ChangeLog as i32,
        // Nothing is read but how far the log is.
        start: Bytes::from_static(b"\0"),
        end: Bytes::from_static(b"\0"),
        max_bytes: 1,
        consistency: Consistency::Strong as i32,
        ..Default::default()
    };
    let read = database.rows(caller, rows, deadline).await?;
    Ok(read.log.unwrap_or_default())
}

/// The shards of one partition, oldest first.
fn shards_of(group: u64, log: &LogState, stream: &Stream) -> Vec<Shard> {
    let Some(feed) = log.feeds.iter().find(|feed| feed.id == stream.id) else {
        return Vec::new();
    };
    let parent = (feed.parent_group > 0).then_some(ShardId {
        group: feed.parent_group,
        version: feed.parent_version,
    });
    let mut shards = Vec::new();
    let mut next = (feed.since, parent, begin_of(feed));
    for closed in &feed.closed {
        let id = ShardId {
            group,
            version: next.0,
        };
        shards.push(Shard {
            id,
            parent: next.1,
            began: next.2,
            ended: Some(closed.end.clone()),
        });
        next = (closed.next, Some(id), closed.end.clone());
    }
    shards.push(Shard {
        id: ShardId {
            group,
            version: next.0,
        },
        parent: next.1,
        began: next.2,
        ended: stream.ended_ms.map(|_| log.applied.clone()),
    });
    shards
}

fn begin_of(feed: &Feed) -> Bytes {
    match feed.began.is_empty() {
        true => position_of(u128::from(feed.since) << 80),
        false => feed.began.clone(),
    }
}

#[cfg(test)]
mod tests {
    use kv_core::partition::feeds::{Closed, position};

    use super::*;

    #[test]
    fn sequence_numbers_grow_as_positions_do_and_lead_back() {
        let mut last = 0;
        for (version, index, ordinal) in
            [(1, 2, 0), (1, 2, 1), (1, 3, 0), (2, 1, 0), (9, 1 << 40, 7)]
        {
            let position = position(version, index, ordinal);
            let number = number_of(&position).unwrap();
            assert!(number > last);
            assert_eq!(position_of(number), position);
            assert!((21..=40).contains(&sequence(&position).len()));
            last = number;
        }
    }

    #[test]
    fn shard_ids_are_taken_as_they_were_given() {
        let id = ShardId {
            group: 77,
            version: 18,
        };
        let text = id.to_string();
        assert!((28..=65).contains(&text.len()));
        assert_eq!(ShardId::parse(&text), Some(id));
        for bad in [
            "",
            "shardId-",
            "shardId-77-12",
            "shardId-00000000000000000077-0000001",
        ] {
            assert_eq!(ShardId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_split_closes_a_shard_and_opens_its_children() {
        let stream = Stream {
            id: 5,
            view: kv_core::tables::StreamView::KeysOnly,
            created_ms: 1,
            ended_ms: None,
        };
        let parent = Feed {
            id: 5,
            since: 1,
            began: position(1, 3, 0),
            closed: vec![Closed {
                range_version: 1,
                end: position(1, 90, u32::MAX),
                stamp: 7,
                next: 2,
                logged: 0,
            }],
            ..Default::default()
        };
        let log = LogState {
            range_version: 2,
            feeds: vec![parent],
            ..Default::default()
        };
        let shards = shards_of(10, &log, &stream);
        assert_eq!(shards.len(), 2);
        assert!(shards[0].ended.is_some() && shards[1].ended.is_none());
        assert_eq!(shards[1].parent, Some(shards[0].id));
        let child = Feed {
            id: 5,
            since: 2,
            parent_group: 10,
            parent_version: 1,
            ..Default::default()
        };
        let log = LogState {
            range_version: 2,
            feeds: vec![child],
            ..Default::default()
        };
        let children = shards_of(11, &log, &stream);
        assert_eq!(children[0].parent, Some(shards[0].id));
    }
}
