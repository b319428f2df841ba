//! What is committed, and so what is acknowledged, is on stable storage at a majority of the voters (DESIGN §10.1; Raft §5.4.2 with
//! §3.8 of the thesis: a server answers only after it has written to stable storage).

use std::collections::{BTreeMap, BTreeSet};

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
    /// By member version: bits of the nodes that vote, in each half of a joint configuration.
    voters: BTreeMap<u64, (u64, u64)>,
}

/// Looks after which an acknowledged write must be known to be durable under some configuration.
const LOOKS: u32 = 20;

#[derive(Debug, Default)]
pub struct DurableMajority {
    groups: BTreeMap<GroupId, Held>,
    /// By the group that was there before all splits: those that came of it, and itself.
    families: BTreeMap<GroupId, BTreeSet<GroupId>>,
    /// By such a group: acknowledged under a configuration that was not looked at yet, and how often that was looked for.
    unproven: BTreeMap<GroupId, Vec<(u64, u32)>>,
    /// By replica and life: the commit index up to which was checked, and the member version then. What is committed together with a
    /// change of members was committed under the configuration before it.
    checked: BTreeMap<(ReplicaId, u64), (u64, u64)>,
}

impl Held {
    /// Bits of the nodes on which an entry is durable, by itself or by a snapshot.
    fn durable_on(&self, index: u64, term: u64) -> u64 {
        let nodes = self.entries.get(&(index, term)).copied().unwrap_or(0);
        let bases = self.bases.iter().filter(|(_, base)| **base >= index);
        bases.fold(nodes, |nodes, (node, _)| nodes | 1 << node)
    }

    /// Whether the write of that version is durable on a majority of any configuration.
    fn is_proven(&self, version: u64) -> bool {
        let places = self
            .stamps
            .get(&version)
            .map(Vec::as_slice)
            .unwrap_or_default();
        places
            .iter()
            .any(|(index, term)| self.is_majority(*index, *term, 0))
    }

    /// Whether an entry is durable on a majority of a configuration of that member version or a later one.
    fn is_majority(&self, index: u64, term: u64, member_version: u64) -> bool {
        let durable = self.durable_on(index, term);
        let most = |voters: u64| (durable & voters).count_ones() * 2 > voters.count_ones();
        self.voters
            .range(member_version..)
            .any(|(_, (incoming, outgoing))| most(*incoming) && (*outgoing == 0 || most(*outgoing)))
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

    pub fn on_commit(&mut self, seen: Seen<'_>, root: GroupId) -> Result {
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
            .or_insert_with(|| (group.committed(), state.member_version));
        let held = self.groups.entry(group.id).or_default();
        let bits = |replicas: &[u64]| {
            let places = state.places.iter();
            places
                .filter(|p| replicas.contains(&p.replica))
                .fold(0, |bits, p| bits | 1 << p.node)
        };
        let voters = (bits(&state.voters), bits(&state.voters_outgoing));
        if voters.0 != 0 {
            held.voters.insert(state.member_version, voters);
        }
        self.families.entry(root).or_default().insert(group.id);
        let from = (checked.0 + 1).max(group.log().base().0 + 1);
        // A leader counts under the configuration that it has applied, which may be one behind its log; others learn of what it counted
        // when they may have applied the next one.
        let member_version = checked.1.saturating_sub(1);
        *checked = (group.committed(), state.member_version);
        for index in from..=group.committed() {
            let Ok(term) = group.log().term(index) else {
                continue;
            };
            // The first entry of a partition is the same on all by its making.
            if index > 1 && !held.is_majority(index, term, member_version) {
                let durable = held.durable_on(index, term);
                return Err(format!(
                    "node {node} counts entry {index} of term {term} of group {} as committed, durable on the nodes {durable:#b} of {:?}",
                    group.id, held.voters
                ));
            }
        }
        if group.is_leader() {
            self.prove(root)?;
        }
        Ok(())
    }

    /// A write of a partition that came of `root` was acknowledged.
    pub fn on_acknowledged(&mut self, root: GroupId, version: u64) -> Result {
        if !self.is_proven(root, version) {
            self.unproven.entry(root).or_default().push((version, 0));
        }
        Ok(())
    }

    /// Whether any partition of a family has a write of that version durable: it may have been split since.
    fn is_proven(&self, root: GroupId, version: u64) -> bool {
        let family = self.families.get(&root);
        let mut groups = family.into_iter().flatten();
        groups.any(|group| {
            self.groups
                .get(group)
                .is_some_and(|held| held.is_proven(version))
        })
    }

    /// What was acknowledged must be durable under a configuration that is known by now.
    fn prove(&mut self, root: GroupId) -> Result {
        let mut unproven = self.unproven.remove(&root).unwrap_or_default();
        unproven.retain(|(version, _)| !self.is_proven(root, *version));
        for (version, looks) in &mut unproven {
            *looks += 1;
            if *looks > LOOKS {
                return Err(format!(
                    "a write of group {root} or a part of it, version {version}, was acknowledged and is durable on no majority"
                ));
            }
        }
        if !unproven.is_empty() {
            self.unproven.insert(root, unproven);
        }
        Ok(())
    }
}
