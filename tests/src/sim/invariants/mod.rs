//! What must hold at every moment of a run, one invariant a file, each with the paper or section that it is from.
//!
//! The world tells of every append, sync, step, view and acknowledgement; each invariant keeps what it needs of them and answers with
//! words for whoever reads the failure.

mod applied_within_commit;
mod bounded_memory;
pub mod change_log;
pub mod coverage;
mod durable_majority;
mod expiry;
mod fresh_ids;
pub mod indexes;
mod log_matching;
mod metadata_by_revision;
mod one_epoch;
mod one_leader;
mod one_lease;
mod safe_number;
mod same_state;
mod votes;

use std::collections::BTreeMap;

use kv_core::consensus::Group;
use kv_core::ids::{GroupId, ReplicaId};
use kv_core::meta::View;
use kv_core::partition::command::ReplicaState;
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{LogWrite, RecoveredLog};

/// A broken invariant, in words.
pub type Broken = String;
pub type Result = std::result::Result<(), Broken>;

/// One replica as a step left it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Number of the node, from 1.
    pub node: u64,
    /// Start of the node that this was.
    pub life: u64,
    pub group: &'a Group,
    pub state: &'a ReplicaState,
    /// The node's monotonic clock.
    pub mono_us: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Invariants {
    groups: BTreeMap<ReplicaId, GroupId>,
    log_matching: log_matching::LogMatching,
    durable: durable_majority::DurableMajority,
    applied: applied_within_commit::AppliedWithinCommit,
    leaders: one_leader::OneLeader,
    leases: one_lease::OneLease,
    epochs: one_epoch::OneEpoch,
    safe_number: safe_number::SafeNumber,
    votes: votes::Votes,
    /// By group that was split off: its parent.
    parents: BTreeMap<GroupId, GroupId>,
    metadata: metadata_by_revision::MetadataByRevision,
    ids: fresh_ids::FreshIds,
    same_state: same_state::SameState,
    memory: bounded_memory::BoundedMemory,
}

impl Invariants {
    /// A shard of a node was stepped.
    pub fn on_step(&mut self, node: u64, life: u64, shard: &Shard, mono_us: u64) -> Result {
        for (group, state) in shard.inspect() {
            self.groups.insert(group.replica, group.id);
            if state.parent > 0 {
                self.parents.insert(group.id, GroupId(state.parent));
            }
            let seen = Seen {
                node,
                life,
                group,
                state,
                mono_us,
            };
            self.applied.check(seen)?;
            self.leaders.check(seen)?;
            self.safe_number.check(seen)?;
            let root = self.root(group.id);
            self.durable.on_commit(seen, root)?;
        }
        self.memory.check(shard)
    }

    /// Learns which replica is of which group before its entries are on their way.
    pub fn note_replicas(&mut self, shard: &Shard) {
        self.groups
            .extend(shard.inspect().map(|(group, _)| (group.replica, group.id)));
    }

    /// A replica holds a lease, or not, until this true moment.
    pub fn on_lease(&mut self, node: u64, group: GroupId, at_us: u64, until_us: u64) -> Result {
        self.leases.check(node, group, at_us, until_us)
    }

    /// The group that was there before all splits.
    fn root(&self, group: GroupId) -> GroupId {
        let mut root = group;
        while let Some(parent) = self.parents.get(&root) {
            root = *parent;
        }
        root
    }

    /// A replica answers strong reads by itself, or not, until this true moment.
    pub fn on_service(
        &mut self,
        node: u64,
        state: &ReplicaState,
        at_us: u64,
        until_us: u64,
    ) -> Result {
        self.epochs.check(node, state, at_us, until_us)
    }

    /// A node's leases are gone with it.
    pub fn on_crash(&mut self, node: u64) {
        self.epochs.forget(node);
        self.leases.forget(node);
    }

    /// Entries are on their way to a log.
    pub fn on_append(&mut self, writes: &[LogWrite]) -> Result {
        for write in writes {
            if let Some(group) = self.groups.get(&write.replica) {
                self.log_matching.check(*group, &write.entries)?;
                self.durable.on_entries(*group, &write.entries);
            }
        }
        Ok(())
    }

    /// They are on stable storage.
    pub fn on_synced(&mut self, node: u64, writes: &[LogWrite]) -> Result {
        for write in writes {
            self.votes.on_synced(write)?;
            if let Some(group) = self.groups.get(&write.replica) {
                self.durable.on_synced(node, *group, write);
            }
        }
        Ok(())
    }

    /// A node starts on these logs; of what was not synced when it crashed a part may have survived, and is durable now.
    pub fn on_recovered(&mut self, node: u64, logs: &[RecoveredLog]) -> Result {
        for log in logs {
            let whole = LogWrite {
                replica: log.replica,
                reset: Some(log.base),
                entries: log.entries.clone(),
                hard_state: Some(log.hard_state.clone()),
                ..Default::default()
            };
            self.on_synced(node, &[whole])?;
        }
        Ok(())
    }

    pub fn on_view(&mut self, view: &View) -> Result {
        self.metadata.check(view)?;
        self.ids.check(view)
    }

    /// A client was told that a write of this version is done.
    pub fn on_acknowledged(&mut self, group: GroupId, version: u64) -> Result {
        let root = self.root(group);
        self.durable.on_acknowledged(root, version)
    }

    /// The engine of a node as its shards' outputs left it.
    pub fn sample(&mut self, shard: &Shard, store: &MemoryStore) -> Result {
        expiry::check(shard, store)?;
        self.same_state.check(shard, store)
    }
}
