//! What is committed, and so what is acknowledged, is on stable storage at a majority of the voters (DESIGN §10.1; Raft §5.4.2 with
//! §3.8 of the thesis: a server answers only after it has written to stable storage).

use std::collections::BTreeMap;

use kv_core::ids::{GroupId, ReplicaId};
use kv_core::partition::command::Command;
use kv_core::store::LogWrite;
use raft::Storage as _;
use raft::eraftpb::Entry;

use super::{Result, Seen};

/// Nodes that hold a log on stable storage.
#[derive(Debug, Default)]
struct Held {
    /// By index and term: bits of the nodes.
    entries: BTreeMap<(u64, u64), u64>,
    /// By node: the index up to which a snapshot stands for the log.
    bases: BTreeMap<u64, u64>,
    /// By hybrid time of a command: where it stands.
    stamps: BTreeMap<u64, Vec<(u64, u64)>>,
    voters: usize,
}

#[derive(Debug, Default)]
pub struct DurableMajority {
    groups: BTreeMap<GroupId, Held>,
    /// By replica and life: the commit index up to which was checked.
    checked: BTreeMap<(ReplicaId, u64), u64>,
}

impl Held {
    fn count(&self, index: u64, term: u64) -> usize {
        let nodes = self.entries.get(&(index, term)).copied().unwrap_or(0);
        let by_snapshot = self
            .bases
            .iter()
            .filter(|(node, base)| **base >= index && nodes >> **node & 1 == 0)
            .count();
        nodes.count_ones() as usize + by_snapshot
    }

    fn is_majority(&self, index: u64, term: u64) -> bool {
        self.count(index, term) * 2 > self.voters
    }
}

impl DurableMajority {
    pub fn on_entries(&mut self, group: GroupId, entries: &[Entry]) {
        let held = self.groups.entry(group).or_default();
        for entry in entries {
            if held.entries.contains_key(&(entry.index, entry.term)) {
                continue;
            }
            held.entries.insert((entry.index, entry.term), 0);
            if let Some(command) = Command::decode_entry(&entry.data).filter(|c| c.stamp > 0) {
                held.stamps
                    .entry(command.stamp)
                    .or_default()
                    .push((entry.index, entry.term));
            }
        }
    }

    pub fn on_synced(&mut self, node: u64, group: GroupId, write: &LogWrite) {
        let held = self.groups.entry(group).or_default();
        if let Some((index, _)) = write.reset {
            held.bases.insert(node, index);
            for (_, nodes) in held.entries.range_mut((index + 1, 0)..) {
                *nodes &= !(1 << node);
            }
        }
        if let Some(first) = write.entries.first() {
            for (_, nodes) in held.entries.range_mut((first.index, 0)..) {
                *nodes &= !(1 << node);
            }
            for entry in &write.entries {
                *held.entries.entry((entry.index, entry.term)).or_default() |= 1 << node;
            }
        }
    }

    pub fn on_commit(&mut self, seen: Seen<'_>) -> Result {
        let Seen {
            node,
            life,
            group,
            state,
            ..
        } = seen;
        let checked = self
            .checked
            .entry((group.replica, life))
            .or_insert_with(|| group.committed());
        let held = self.groups.entry(group.id).or_default();
        held.voters = state.voters.len().max(held.voters);
        let from = (*checked + 1).max(group.log().base().0 + 1);
        *checked = group.committed();
        for index in from..=group.committed() {
            let Ok(term) = group.log().term(index) else {
                continue;
            };
            // The first entry of a partition is the same on all by its making.
            if index > 1 && !held.is_majority(index, term) {
                let count = held.count(index, term);
                return Err(format!(
                    "node {node} counts entry {index} of term {term} of group {} as committed, durable on {count} of {}",
                    group.id, held.voters
                ));
            }
        }
        Ok(())
    }

    pub fn on_acknowledged(&mut self, group: GroupId, version: u64) -> Result {
        let held = self.groups.entry(group).or_default();
        let places = held
            .stamps
            .get(&version)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if places
            .iter()
            .any(|(index, term)| held.is_majority(*index, *term))
        {
            return Ok(());
        }
        Err(format!(
            "a write of group {group}, version {version}, was acknowledged and is durable on no majority: entries {places:?}"
        ))
    }
}
