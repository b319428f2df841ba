//! The change log holds each acknowledged change exactly once, in the order in which they were applied, and replayed from the
//! beginning it gives the data (DESIGN §6, "Change log"). The beginning of a partition that was split off is its parent's log: so a table that
//! was split holds what the same changes would have made of one that never was.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_core::ids::GroupId;
use kv_core::partition::command::{Change, ReplicaState, content};
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{Keyspace, Reader};
use kv_model::encoding::key::{ITEM_INDEX, RowKey};
use prost::Message as _;

use super::Result;

type Pairs = Vec<(Bytes, Bytes)>;

/// A replica with what its engine holds.
#[derive(Debug)]
struct Found {
    node: u64,
    state: ReplicaState,
    leads: bool,
    data: Pairs,
    changes: Vec<Change>,
}

/// What all replicas hold of logged tables.
#[derive(Debug, Default)]
pub struct ChangeLogs {
    found: Vec<Found>,
}

impl ChangeLogs {
    /// Takes in the replicas of a shard.
    pub fn add(&mut self, node: u64, shard: &Shard, store: &MemoryStore) -> Result {
        for (group, state) in shard.inspect() {
            if group.is_installing() || state.consumers.is_empty() {
                continue;
            }
            let (mut data, mut changes) = (Pairs::new(), Vec::new());
            for range in content(state) {
                if !matches!(range.keyspace, Keyspace::Data | Keyspace::ChangeLog) {
                    continue;
                }
                let read = store.scan(&range, false, &mut |key, value| {
                    let value = Bytes::copy_from_slice(value);
                    match range.keyspace {
                        Keyspace::ChangeLog => changes.push(Change::decode(value)),
                        // Entries of local indexes have no changes of their own.
                        _ if is_item(key) => data.push((Bytes::copy_from_slice(key), value)),
                        _ => {}
                    }
                    true
                });
                read.map_err(|error| error.to_string())?;
            }
            let changes = changes.into_iter().collect::<std::result::Result<_, _>>();
            self.found.push(Found {
                node,
                state: state.clone(),
                leads: group.is_leader(),
                data,
                changes: changes.map_err(|error| error.to_string())?,
            });
        }
        Ok(())
    }

    /// Replays each log, from the beginning of the partition that it comes of; every acknowledged (version, row) must be among the changes.
    pub fn check<'a>(&self, acknowledged: impl Iterator<Item = (u64, &'a Bytes)>) -> Result {
        let acknowledged: Vec<(u64, &Bytes)> = acknowledged.collect();
        // The fullest log of each group.
        let mut logs: BTreeMap<GroupId, &Found> = BTreeMap::new();
        for found in &self.found {
            let known = logs.entry(found.state.group()).or_insert(found);
            if known.state.applied_index < found.state.applied_index {
                *known = found;
            }
        }
        for found in &self.found {
            let state = &found.state;
            let mut lines = vec![found];
            while let Some(parent) = lines.last().filter(|line| line.state.parent > 0) {
                let parent = GroupId(parent.state.parent);
                lines.push(logs.get(&parent).ok_or_else(|| {
                    format!("group {} came of {parent}, which is nowhere", state.group)
                })?);
            }
            let changes = lines.iter().rev().flat_map(|line| &line.changes);
            let changes = changes.filter(|change| state.holds(&change.row));
            let wanted = acknowledged
                .iter()
                .filter(|(_, row)| found.leads && state.holds(row));
            replay(changes, &found.data, wanted).map_err(|why| {
                format!(
                    "change log of group {} on node {}: {why}",
                    state.group, found.node
                )
            })?;
        }
        Ok(())
    }
}

fn is_item(row: &[u8]) -> bool {
    RowKey::parse(row).is_ok_and(|row| row.index == ITEM_INDEX)
}

/// Replays changes and compares with the data; every write of `acknowledged` must be among them.
fn replay<'a>(
    changes: impl Iterator<Item = &'a Change>,
    data: &Pairs,
    mut acknowledged: impl Iterator<Item = &'a (u64, &'a Bytes)>,
) -> Result {
    let mut rows: BTreeMap<&Bytes, &Bytes> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut stamps: BTreeMap<u64, &Bytes> = BTreeMap::new();
    let mut last = 0;
    for change in changes {
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
        if rows.get(&change.row).copied() != change.old.as_ref() {
            return Err(format!(
                "the change at {} has an old image that is not what was there",
                change.stamp
            ));
        }
        stamps.insert(change.stamp, &change.row);
        match &change.new {
            Some(new) => drop(rows.insert(&change.row, new)),
            None => drop(rows.remove(&change.row)),
        }
    }
    if !rows
        .iter()
        .map(|(key, value)| (*key, *value))
        .eq(data.iter().map(|(key, value)| (key, value)))
    {
        return Err("replayed, it does not give the data".to_owned());
    }
    match acknowledged.find(|(version, row)| stamps.get(version) != Some(row)) {
        Some((version, _)) => Err(format!(
            "the acknowledged write of version {version} is not in it"
        )),
        None => Ok(()),
    }
}
