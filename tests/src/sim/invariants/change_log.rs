//! The change log holds each acknowledged change exactly once, in the order in which they were applied, and replayed from the
//! beginning it gives the data (DESIGN §6, "Change log").

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_core::ids::GroupId;
use kv_core::partition::command::{Change, content};
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{Keyspace, Reader};
use kv_model::encoding::key::{ITEM_INDEX, RowKey};
use prost::Message as _;

use super::Result;

type Pairs = Vec<(Bytes, Bytes)>;

pub fn check(
    shard: &Shard,
    store: &MemoryStore,
    acknowledged: &BTreeMap<GroupId, BTreeMap<u64, Bytes>>,
) -> Result {
    for (group, state) in shard.inspect() {
        if group.is_installing() || state.consumers.is_empty() {
            continue;
        }
        let (mut data, mut changes) = (Pairs::new(), Pairs::new());
        for range in content(state) {
            let into = match range.keyspace {
                Keyspace::Data => &mut data,
                Keyspace::ChangeLog => &mut changes,
                Keyspace::State | Keyspace::Meta => continue,
            };
            let read = store.scan(&range, false, &mut |key, value| {
                // Entries of local indexes have no changes of their own.
                if range.keyspace == Keyspace::Data && !is_item(key) {
                    return true;
                }
                into.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                true
            });
            read.map_err(|error| error.to_string())?;
        }
        let complete = group
            .is_leader()
            .then(|| acknowledged.get(&group.id))
            .flatten();
        replay(&changes, &data, complete)
            .map_err(|why| format!("change log of group {}: {why}", group.id))?;
    }
    Ok(())
}

fn is_item(row: &[u8]) -> bool {
    RowKey::parse(row).is_ok_and(|row| row.index == ITEM_INDEX)
}

/// Replays the changes and compares with the data; with `acknowledged` every write of it must be among them.
fn replay(changes: &Pairs, data: &Pairs, acknowledged: Option<&BTreeMap<u64, Bytes>>) -> Result {
    let mut rows: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut stamps: BTreeMap<u64, Bytes> = BTreeMap::new();
    let mut last = 0;
    for (_, bytes) in changes {
        let change = Change::decode(bytes.clone()).map_err(|error| error.to_string())?;
        if change.stamp <= last {
            return Err(format!(
                "the change at {} follows one at {last}",
                change.stamp
            ));
        }
        last = change.stamp;
        if !ids.insert(change.id) {
            return Err(format!("request {:?} changed something twice", change.id));
        }
        if rows.get(&change.row) != change.old.as_ref() {
            return Err(format!(
                "the change at {} has an old image that is not what was there",
                change.stamp
            ));
        }
        stamps.insert(change.stamp, change.row.clone());
        match change.new {
            Some(new) => drop(rows.insert(change.row, new)),
            None => drop(rows.remove(&change.row)),
        }
    }
    if !rows.iter().eq(data.iter().map(|(key, value)| (key, value))) {
        return Err("replayed, it does not give the data".to_owned());
    }
    match acknowledged.and_then(|writes| {
        writes
            .iter()
            .find(|(version, row)| stamps.get(version) != Some(row))
    }) {
        Some((version, _)) => Err(format!(
            "the acknowledged write of version {version} is not in it"
        )),
        None => Ok(()),
    }
}
