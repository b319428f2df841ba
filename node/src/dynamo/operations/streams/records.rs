//! `GetRecords`.

use bytes::Bytes;
use kv_core::api::{Consistency, Rows, RowsOf};
use kv_core::ids::GroupId;
use kv_core::partition::command::Change;
use kv_core::partition::feeds::{key_after, key_at, log_end, position};
use kv_core::time::Hybrid;
use prost::Message as _;
use serde::Deserialize;

use super::super::{Context, read};
use super::iterator::Iterator;
use super::{find, record, shards_of};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{GET_RECORDS, Int, Text};
use crate::dynamo::output;

/// Records in an answer, and bytes of log looked at.
const LIMIT: u32 = 1000;
const BYTES_MAX: u64 = 1 << 20;
/// Where a position begins in a change's key: behind the group.
const POSITION_AT: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    shard_iterator: Text<'a>,
    limit: Option<Int>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&GET_RECORDS, body)?;
    let now_ms = context.database.now_ms();
    let iterator = Iterator::parse(&request.shard_iterator, now_ms)?;
    let found = find(context, &iterator.arn).await?;
    let (group, version) = (GroupId(iterator.shard.group), iterator.shard.version);
    let limit = request.limit.and_then(|limit| u32::try_from(limit.0).ok());
    let from = match iterator.after.is_empty() {
        true => key_at(group, &position(version, 0, 0)),
        false => key_after(group, &iterator.after),
    };
    let end = match version.checked_add(1) {
        Some(next) => key_at(group, &position(next, 0, 0)),
        None => log_end(group),
    };
    let rows = Rows {
        group: group.0,
        of: RowsOf::ChangeLog as i32,
        start: from.clone().min(end.clone()),
        end,
        max_bytes: BYTES_MAX,
        max_rows: limit.unwrap_or(LIMIT).min(LIMIT),
        consistency: Consistency::Strong as i32,
        ..Default::default()
    };
    let read = context
        .database
        .rows(&context.caller, rows, context.deadline)
        .await?;
    let log = read.log.unwrap_or_default();
    let feed = log.feeds.iter().find(|feed| feed.id == found.stream.id);
    if !iterator.after.is_empty()
        && feed.is_some_and(|feed| iterator.after < feed.at && feed.at > feed.began)
    {
        return Err(Error::TrimmedDataAccess(
            "The operation attempted to read past the oldest stream record in a shard".into(),
        ));
    }
    let shards = shards_of(group.0, &log, &found.stream);
    let shard = shards.iter().find(|shard| shard.id == iterator.shard);
    let ended_ms = found.stream.ended_ms.unwrap_or(u64::MAX);
    let began = shard.map(|shard| shard.began.clone()).unwrap_or_default();
    let mut changes: Vec<(Bytes, Change)> = Vec::new();
    for row in &read.rows {
        let at = row.key.slice(POSITION_AT..);
        let Ok(change) = Change::decode(row.value.clone()) else {
            continue;
        };
        let within = at >= began && Hybrid(change.stamp).wall_ms() <= ended_ms;
        if within && record::shows(&change) {
            changes.push((at, change));
        }
    }
    let after = match read.rows.last() {
        Some(last) => last.key.slice(POSITION_AT..),
        None => iterator.after.clone(),
    };
    let exhausted = read.last.is_none() && shard.is_none_or(|shard| shard.ended.is_some());
    let next = Iterator {
        after,
        made_ms: now_ms,
        ..iterator
    };
    output::object(out, |o| {
        o.array("Records", &changes, |(at, change), out| {
            record::write(at, change, &found, context.region, out);
        });
        if !exhausted {
            o.string("NextShardIterator", &next.encode());
        }
    });
    Ok(())
}
