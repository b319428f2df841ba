//! `GetShardIterator`, and what an iterator is: where to read on in a shard, opaque to clients, for 15 minutes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::super::{Context, read};
use super::{Found, ShardId, find, log_of, number_of, position_of, shards_of};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{GET_SHARD_ITERATOR, Text};
use crate::dynamo::output;

/// An iterator is good for so long.
const LIFE_MS: u64 = 15 * 60 * 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    stream_arn: Text<'a>,
    #[serde(borrow)]
    shard_id: Text<'a>,
    #[serde(borrow)]
    shard_iterator_type: Text<'a>,
    #[serde(borrow)]
    sequence_number: Option<Text<'a>>,
}

/// Where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iterator {
    pub arn: String,
    pub shard: ShardId,
    /// Position behind which to read; empty: from the oldest record that is there.
    pub after: Bytes,
    pub made_ms: u64,
}

impl Iterator {
    pub fn encode(&self) -> String {
        let Iterator {
            arn,
            shard,
            after,
            made_ms,
        } = self;
        let after = number_of(after).map_or_else(String::new, |number| number.to_string());
        let inner = format!("{shard}|{after}|{made_ms}");
        format!("{arn}|1|{}", STANDARD.encode(inner))
    }

    fn decode(text: &str) -> Option<Self> {
        let (arn, inner) = text.split_once("|1|")?;
        let inner = String::from_utf8(STANDARD.decode(inner).ok()?).ok()?;
        let mut parts = inner.split('|');
        let shard = ShardId::parse(parts.next()?)?;
        let after = match parts.next()? {
            "" => Bytes::new(),
            number => position_of(number.parse().ok()?),
        };
        let made_ms = parts.next()?.parse().ok()?;
        Some(Iterator {
            arn: arn.to_owned(),
            shard,
            after,
            made_ms,
        })
    }

    /// An iterator that a client sends.
    ///
    /// # Errors
    /// It is none, or too old.
    pub fn parse(text: &str, now_ms: u64) -> Result<Self, Error> {
        let found =
            Iterator::decode(text).ok_or_else(|| Error::validation("Invalid ShardIterator"))?;
        if now_ms.saturating_sub(found.made_ms) > LIFE_MS {
            return Err(Error::ExpiredIterator(
                "Iterator expired. The iterator was created more than 15 minutes ago.".into(),
            ));
        }
        Ok(found)
    }
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&GET_SHARD_ITERATOR, body)?;
    let found = find(context, &request.stream_arn).await?;
    let after = start(context, &request, &found).await?;
    let iterator = Iterator {
        arn: found.arn,
        shard: ShardId::parse(&request.shard_id).ok_or_else(|| no_shard(&request))?,
        after,
        made_ms: context.database.now_ms(),
    };
    output::object(out, |o| o.string("ShardIterator", &iterator.encode()));
    Ok(())
}

fn no_shard(request: &Request<'_>) -> Error {
    Error::ResourceNotFound(format!(
        "Requested resource not found: Shard: {} in stream: {} not found",
        &*request.shard_id, &*request.stream_arn
    ))
}

/// The position behind which the iterator reads.
async fn start<D: Database>(
    context: &Context<'_, D>,
    request: &Request<'_>,
    found: &Found,
) -> Result<Bytes, Error> {
    let id = ShardId::parse(&request.shard_id).ok_or_else(|| no_shard(request))?;
    let partitions = context.database.partitions(found.table.id.0);
    if !partitions.contains(&id.group) {
        return Err(no_shard(request));
    }
    let log = log_of(
        &**context.database,
        &context.caller,
        id.group,
        context.deadline,
    )
    .await?;
    let shards = shards_of(id.group, &log, &found.stream);
    let shard = shards
        .into_iter()
        .find(|shard| shard.id == id)
        .ok_or_else(|| no_shard(request))?;
    let sequence = request.sequence_number.as_deref();
    match (&*request.shard_iterator_type, sequence) {
        ("AT_TIMESTAMP", _) => Err(Error::later("ShardIteratorType AT_TIMESTAMP")),
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => Err(Error::validation(
            "The SequenceNumber parameter is required when ShardIteratorType is AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER",
        )),
        ("TRIM_HORIZON" | "LATEST", Some(_)) => Err(Error::validation(
            "SequenceNumber must not be specified when ShardIteratorType is TRIM_HORIZON or LATEST",
        )),
        ("LATEST", None) => Ok(shard.ended.unwrap_or(log.applied)),
        (kind, Some(text)) => {
            let number: u128 = text
                .parse()
                .map_err(|_| Error::validation("Invalid SequenceNumber"))?;
            let begin = number_of(&shard.began).unwrap_or(0);
            let feed = log.feeds.iter().find(|feed| feed.id == found.stream.id);
            let trimmed = feed.and_then(|feed| number_of(&feed.at)).unwrap_or(0);
            // What was trimmed with the beginning itself is no record.
            if number < trimmed && trimmed > begin {
                return Err(Error::TrimmedDataAccess(
                    "The operation attempted to read past the oldest stream record in a shard"
                        .into(),
                ));
            }
            match kind {
                "AT_SEQUENCE_NUMBER" => Ok(position_of(number.saturating_sub(1))),
                _ => Ok(position_of(number)),
            }
        }
        _ => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterators_lead_back_and_end() {
        let iterator = Iterator {
            arn: "arn:aws:dynamodb:eu-test-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"
                .into(),
            shard: ShardId {
                group: 3,
                version: 1,
            },
            after: position_of(77),
            made_ms: 1000,
        };
        assert_eq!(
            Iterator::parse(&iterator.encode(), 2000),
            Ok(iterator.clone())
        );
        let late = Iterator::parse(&iterator.encode(), 1001 + LIFE_MS);
        assert!(matches!(late, Err(Error::ExpiredIterator(_))));
        for bad in ["", "x|1|y", "arn|1|AAAA"] {
            assert!(Iterator::parse(bad, 0).is_err());
        }
    }
}
