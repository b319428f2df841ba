//! Expiry deletes only what has expired: the item that such a change took away had a time, and it had come (DESIGN §6, "Change log").

use bytes::Bytes;
use kv_core::partition::command::Change;
use kv_core::partition::feeds::{key_at, log_end};
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{KeyRange, Keyspace, Reader};
use kv_core::time::Hybrid;
use kv_model::encoding::item;
use kv_model::encoding::record::Record;
use kv_model::value::AttributeValue;
use prost::Message as _;

use super::Result;
use crate::sim::workload::EXPIRY;

/// The cause of changes that expiry makes.
const EXPIRED: u32 = 1;

pub fn check(shard: &Shard, store: &MemoryStore) -> Result {
    for (group, state) in shard.inspect() {
        // The checked table's items have no times.
        if group.is_installing() || state.feeds.is_empty() || !state.consumers.is_empty() {
            continue;
        }
        let range = KeyRange {
            keyspace: Keyspace::ChangeLog,
            start: key_at(group.id, &[]),
            end: log_end(group.id),
        };
        let mut broken = Ok(());
        let read = store.scan(&range, false, &mut |_, value| {
            broken = check_change(value);
            broken.is_ok()
        });
        read.map_err(|error| error.to_string())?;
        broken.map_err(|why| format!("change log of group {}: {why}", group.id))?;
    }
    Ok(())
}

fn check_change(bytes: &[u8]) -> Result {
    let change =
        Change::decode(Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())?;
    if change.cause != EXPIRED {
        return Ok(());
    }
    let old = change.old.unwrap_or_default();
    let record =
        Record::parse(&old).map_err(|error| format!("expiry took what was not there: {error}"))?;
    let time = item::get(record.payload, EXPIRY).map_err(|error| error.to_string())?;
    let come = match &time {
        Some(AttributeValue::N(at)) => at
            .to_string()
            .parse::<u64>()
            .is_ok_and(|at| at <= Hybrid(change.stamp).wall_ms() / 1000),
        _ => false,
    };
    match come {
        true => Ok(()),
        false => Err(format!("expiry took an item whose time is {time:?}")),
    }
}
