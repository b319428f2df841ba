//! `DescribeStream`.

use serde::Deserialize;

use super::super::{Context, read};
use super::{Shard, ShardId, find, log_of, sequence, shards_of};
use crate::database::Database;
use crate::dynamo::describe::{label, view};
use crate::dynamo::error::Error;
use crate::dynamo::input::{DESCRIBE_STREAM, Int, Text};
use crate::dynamo::output;

const LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    stream_arn: Text<'a>,
    limit: Option<Int>,
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    shard_filter: Option<ShardFilter<'a>>,
}

/// Only the children of a shard are wanted.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter<'a> {
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&DESCRIBE_STREAM, body)?;
    let found = find(context, &request.stream_arn).await?;
    let limit = request
        .limit
        .and_then(|limit| usize::try_from(limit.0).ok());
    let limit = limit.unwrap_or(LIMIT).min(LIMIT);
    let mut shards: Vec<Shard> = Vec::new();
    for group in context.database.partitions(found.table.id.0) {
        let log = log_of(
            &**context.database,
            &context.caller,
            group,
            context.deadline,
        )
        .await?;
        shards.extend(shards_of(group, &log, &found.stream));
    }
    shards.sort_by_key(|shard| shard.id);
    if let Some(filter) = &request.shard_filter {
        let parent = filter.shard_id.as_deref().and_then(ShardId::parse);
        let parent = parent.ok_or_else(|| Error::validation("Invalid ShardId in ShardFilter"))?;
        shards.retain(|shard| shard.parent == Some(parent));
    }
    if let Some(after) = request.exclusive_start_shard_id.as_deref() {
        let after = ShardId::parse(after)
            .ok_or_else(|| Error::validation("Invalid ShardId in ExclusiveStartShardId"))?;
        shards.retain(|shard| shard.id > after);
    }
    let more = shards.len() > limit;
    shards.truncate(limit);
    let (table, stream) = (&found.table, &found.stream);
    output::object(out, |o| {
        o.object("StreamDescription", |o| {
            o.string("StreamArn", &found.arn);
            o.string("StreamLabel", &label(stream.created_ms));
            o.string(
                "StreamStatus",
                match stream.ended_ms {
                    None => "ENABLED",
                    Some(_) => "DISABLED",
                },
            );
            o.string("StreamViewType", view(stream.view));
            o.float("CreationRequestDateTime", stream.created_ms as f64 / 1000.0);
            o.string("TableName", &table.name);
            let keys = std::iter::once(&table.schema.hash).chain(&table.schema.range);
            o.array(
                "KeySchema",
                keys.zip(["HASH", "RANGE"]),
                |(key, role), out| {
                    output::object(out, |o| {
                        o.string("AttributeName", &key.name);
                        o.string("KeyType", role);
                    });
                },
            );
            o.array("Shards", &shards, |shard, out| {
                output::object(out, |o| {
                    o.string("ShardId", &shard.id.to_string());
                    o.object("SequenceNumberRange", |o| {
                        o.string("StartingSequenceNumber", &sequence(&shard.began));
                        if let Some(ended) = &shard.ended {
                            o.string("EndingSequenceNumber", &sequence(ended));
                        }
                    });
                    if let Some(parent) = shard.parent {
                        o.string("ParentShardId", &parent.to_string());
                    }
                });
            });
            if let Some(last) = shards.last().filter(|_| more) {
                o.string("LastEvaluatedShardId", &last.id.to_string());
            }
        });
    });
    Ok(())
}
