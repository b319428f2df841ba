//! Splits in a shard: proposing those that the metadata want, and the births of the partitions that come of them.
//!
//! ```text
//!   shard of the parent:  applied (engine batch) ─► commit index durable ─► Birth ─► shard of the child: adopted, keeping votes and log
//! ```
//! A child promises nothing (no vote, no append) before its parent's log knows durably that the split is committed: so a restart always
//! finds it again by itself, by replaying the parent, before anything else can happen to either.
//!
//! What else the order of things rests on: an engine that lost its last writes lost them from some moment on, in all shards; so where a
//! split is lost, all that its child wrote is lost with it, and comes again from both logs. The parent's log stays until a flush has made
//! its splits durable.

use std::collections::{BTreeMap, VecDeque};

use super::Shard;
use super::groups::{Machine, requests_of_rows};
use super::io::{Lane, Output};
use super::territory::is_territorial;
use crate::consensus::{GroupLog, is_vote};
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::mutants::{Mutant, active};
use crate::partition::Partition;
use crate::partition::command::{ReplicaState, content, replica_key};
use crate::partition::split::Birth;
use crate::store::{Batch, Keyspace, LogWrite};
use crate::wire::{Kind, RaftMessage, SnapshotAck, Target, shard_of};

/// Votes that wait for the partition that they are asked for.
const EARLY_MAX: usize = 256;
/// They wait so long, µs.
const EARLY_US: u64 = 2_000_000;
/// Ticks for which the replica on the node of the parent's leader campaigns, until there is a leader.
const EAGER_TICKS: u32 = 10;

/// What a shard keeps for splits.
#[derive(Debug, Default)]
pub(super) struct Splitting {
    /// By append: births whose parents' commit index it makes durable.
    births: BTreeMap<u64, Vec<Birth>>,
    /// Until when they are kept, who asked, and what.
    early: VecDeque<(u64, NodeId, RaftMessage)>,
    /// Replicas whose rows are given up once the outputs of the last step are executed.
    releases: Vec<ReplicaId>,
    /// By group: the log index of its last split here, until the engine has it durably.
    unflushed: BTreeMap<GroupId, u64>,
    /// A replica has to go and may not yet.
    waits_for_flush: bool,
}

impl Shard {
    // ---- intents ----

    /// Proposes the splits that the metadata want of groups led here.
    pub(super) fn drive_splits(&mut self) {
        let wanted: Vec<GroupId> = self
            .view
            .state
            .groups
            .values()
            .filter(|group| group.split.is_some())
            .map(|group| group.group())
            .filter(|id| self.replicas.get(id).is_some_and(|r| r.group.is_leader()))
            .collect();
        let view = self.view.clone();
        for id in wanted {
            let Some(split) = view.group(id).and_then(|group| group.split.as_ref()) else {
                continue;
            };
            self.with_partition(id, |partition, group, now, _| {
                partition.propose_split(group, split, now);
            });
        }
    }

    // ---- the parent ----

    /// A replica has applied splits; their engine batch is on its way.
    pub(super) fn on_births(&mut self, parent: GroupId, births: Vec<Birth>) {
        let Some(replica) = self.replicas.get_mut(&parent) else {
            return;
        };
        let name = replica.group.replica;
        for birth in &births {
            self.counts.splits += 1;
            self.config
                .territory
                .split(name, replica.state(), Some(&birth.state));
            self.splitting.unflushed.insert(parent, birth.state.born);
        }
        self.writes.push(LogWrite {
            replica: name,
            hard_state: Some(replica.group.commit_state()),
            ..Default::default()
        });
        self.wrote.insert(parent);
        self.sync = true;
        let waiting = self.splitting.births.entry(self.append + 1).or_default();
        waiting.extend(births);
        if self
            .replicas
            .get(&parent)
            .is_some_and(|r| r.group.is_leader())
        {
            self.report_group(parent);
        }
    }

    /// Appends up to this number are durable.
    pub(super) fn release_births(&mut self, append: u64) {
        let later = self.splitting.births.split_off(&(append + 1));
        let due = std::mem::replace(&mut self.splitting.births, later);
        for birth in due.into_values().flatten() {
            let child = birth.state.group();
            if shard_of(child, self.config.shards) == self.config.shard {
                self.adopt(birth);
            } else {
                self.out.push(Output::Birth(Box::new(birth)));
            }
        }
    }

    /// Whether a replica's log is still needed to bring its splits back; a flush is asked for then.
    pub(super) fn is_needed(&mut self, id: GroupId) -> bool {
        let needed = self.splitting.unflushed.contains_key(&id);
        if needed {
            self.want_flush = true;
            self.splitting.waits_for_flush = true;
        }
        needed
    }

    /// What these groups had applied is durable in the engine.
    pub(super) fn splits_flushed(&mut self, applied: &[(GroupId, u64)]) {
        for (group, index) in applied {
            let flushed = self.splitting.unflushed.get(group);
            if flushed.is_some_and(|split| split <= index) {
                self.splitting.unflushed.remove(group);
            }
        }
        if std::mem::take(&mut self.splitting.waits_for_flush) {
            self.on_view(self.view.clone());
        }
    }

    // ---- the child ----

    /// Whether the metadata, as they are known here, let this replica of a partition that was split off be.
    fn is_wanted(&self, state: &ReplicaState) -> bool {
        let (id, replica) = (state.group(), ReplicaId(state.replica));
        // A view that may be older than what an earlier start of the node knew says nothing.
        if !self.registered {
            return true;
        }
        match self.view.group(id) {
            Some(record) => {
                let mut named = record.members.iter().chain(&record.target);
                record.member_version < state.member_version
                    || named.any(|m| m.replica == replica.0)
            }
            None => id.0 >= self.view.state.cluster.next_group || self.is_intended(id),
        }
    }

    /// Whether a split is wanted that makes this group.
    pub(super) fn is_intended(&self, child: GroupId) -> bool {
        let splits = self
            .view
            .state
            .groups
            .values()
            .filter_map(|g| g.split.as_ref());
        splits.into_iter().any(|split| split.child == child.0)
    }

    /// Takes over the replica of a partition that was split off on this node.
    pub(super) fn adopt(&mut self, birth: Birth) {
        let Birth {
            state,
            requests,
            intents,
            campaigns,
        } = birth;
        let (id, name) = (state.group(), ReplicaId(state.replica));
        if !self.is_wanted(&state) {
            return self.decline(state);
        }
        let mut restarted = false;
        let mut known = None;
        if let Some(existing) = self.replicas.get(&id) {
            if existing.group.replica != name {
                return self.decline(state);
            }
            if existing.state().applied_index > 0 || existing.group.is_installing() {
                // It is newer than its birth.
                return;
            }
            self.counts.children_met += 1;
            if !active(Mutant::ChildForgetsVote) {
                restarted = existing.group.has_promised(self.now);
                known = Some((existing.group.hard_state(), (0, 0), Vec::new()));
            }
        } else if self.leaving.contains_key(&id) {
            return self.decline(state);
        } else if let Some(log) = self.orphans.remove(&name) {
            self.counts.children_replayed += 1;
            if !active(Mutant::SplitReplayedOverChild) {
                restarted = true;
                known = Some((log.hard_state, log.base, log.entries));
            }
        }
        self.remains.remove(&id);
        self.receivers.forget(id, &mut self.out);
        let at = (state.applied_index, state.applied_term);
        let log = self.log_of_child(name, at, known, &state);
        let places = state
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        let mut partition = Partition::new(state);
        partition.requests = requests_of_rows(requests);
        partition.intents = intents;
        let campaigns = campaigns && self.registered && !restarted;
        if campaigns {
            partition.hope(self.now);
        }
        let machine = Machine::Partition(Box::new(partition));
        if !self.add_replica(id, name, log, places, restarted, machine) {
            return;
        }
        if let Some(replica) = self.replicas.get_mut(&id).filter(|_| campaigns) {
            replica.eager = EAGER_TICKS;
            replica.group.campaign();
        }
        self.drive(id);
        self.hear_early(id);
    }

    /// The log with which a child goes on: its own if it has one that was begun, else one that begins at its birth with the promises that
    /// it made before.
    fn log_of_child(
        &mut self,
        replica: ReplicaId,
        at: (u64, u64),
        known: Option<(
            raft::eraftpb::HardState,
            (u64, u64),
            Vec<raft::eraftpb::Entry>,
        )>,
        state: &ReplicaState,
    ) -> GroupLog {
        let (mut hard_state, base, entries) = known.unwrap_or_default();
        let conf = state.conf_state();
        if base.0 >= at.0 {
            let last = base.0 + entries.len() as u64;
            hard_state.commit = hard_state.commit.clamp(at.0, last);
            return GroupLog::new(base, entries, hard_state, conf, at);
        }
        if hard_state.term < at.1 {
            (hard_state.term, hard_state.vote) = (at.1, 0);
        }
        hard_state.commit = at.0;
        self.writes.push(LogWrite {
            replica,
            reset: Some(at),
            hard_state: Some(hard_state.clone()),
            ..Default::default()
        });
        self.wrote.insert(state.group());
        self.sync = true;
        GroupLog::new(at, Vec::new(), hard_state, conf, at)
    }

    /// A child whose replica here has left its group already: its rows go.
    fn decline(&mut self, state: ReplicaState) {
        self.counts.children_declined += 1;
        let (id, name) = (state.group(), ReplicaId(state.replica));
        let mut batch = Batch::default();
        for range in content(&state) {
            batch.delete_range(range);
        }
        batch.delete(Keyspace::State, replica_key(id, name));
        self.out.push(Output::Write(batch));
        self.give_up(name);
    }

    /// A child whose state is in the engine and whose log never began: it has promised nothing.
    pub(super) fn begin_child(
        &mut self,
        state: ReplicaState,
        requests: crate::partition::requests::RequestTable,
        intents: crate::partition::intents::Intents,
    ) {
        let (id, name) = (state.group(), ReplicaId(state.replica));
        let at = (state.applied_index, state.applied_term);
        let log = self.log_of_child(name, at, None, &state);
        let places = state
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        let mut partition = Partition::new(state);
        partition.requests = requests;
        partition.intents = intents;
        let machine = Machine::Partition(Box::new(partition));
        self.add_replica(id, name, log, places, false, machine);
    }

    // ---- rows ----

    /// A replica's rows are given up when the outputs of this step are executed.
    pub(super) fn give_up(&mut self, replica: ReplicaId) {
        self.splitting.releases.push(replica);
    }

    /// What the last step wanted done is done.
    pub(super) fn release_rows(&mut self) {
        for replica in std::mem::take(&mut self.splitting.releases) {
            self.config.territory.release(replica);
        }
    }

    /// A snapshot comes while another replica here holds some of its rows: it is offered again later.
    pub(super) fn refuse_snapshot(&mut self, from: NodeId, shard: u32, ack: SnapshotAck) {
        self.counts.snapshots_held_back += 1;
        self.receivers.forget(GroupId(ack.group), &mut self.out);
        let ack = SnapshotAck {
            refused: true,
            ..ack
        };
        let kind = Kind::SnapshotAck(ack);
        self.send(from, Target::Shard(shard), Lane::Small, kind);
    }

    /// Takes the rows of a snapshot that is here whole; false if another replica holds some of them.
    pub(super) fn claim_received(&mut self, id: GroupId, replica: ReplicaId) -> bool {
        let Some(state) = self.receivers.state_of(id) else {
            return false;
        };
        id == GroupId::META || {
            let territory = &self.config.territory;
            territory.claim(replica, &state.start, &state.end)
        }
    }

    /// A snapshot that was not taken changed nothing about a replica's rows.
    pub(super) fn keep_rows(&mut self, id: GroupId) {
        let Some(replica) = self.replicas.get(&id).filter(|_| id != GroupId::META) else {
            return;
        };
        let (name, state) = (replica.group.replica, replica.state());
        match is_territorial(state) {
            true => self.config.territory.shrink(name, &state.start, &state.end),
            false => self.config.territory.release(name),
        }
    }

    // ---- early votes ----

    /// Keeps a vote that is asked of a replica which is not here yet, since it may be on its way.
    pub(super) fn keep_early(&mut self, from: NodeId, message: RaftMessage) {
        if !is_vote(message.message.get_msg_type()) || message.message.to == 0 {
            return;
        }
        let known = self.view.group(message.group);
        let is_mine = known.is_none_or(|group| {
            let mut named = group.members.iter().chain(&group.target);
            named.any(|m| m.replica == message.message.to)
        });
        if !is_mine {
            return;
        }
        self.counts.early_votes += 1;
        if self.splitting.early.len() >= EARLY_MAX {
            self.splitting.early.pop_front();
        }
        let until = self.now.mono_us + EARLY_US;
        self.splitting.early.push_back((until, from, message));
    }

    /// The replica is here: votes that came before it are heard now.
    pub(super) fn hear_early(&mut self, id: GroupId) {
        let now = self.now.mono_us;
        let (mine, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.splitting.early)
            .into_iter()
            .filter(|(until, ..)| *until > now)
            .partition(|(_, _, message)| message.group == id);
        self.splitting.early = rest;
        for (_, from, message) in mine {
            self.on_raft(from, message);
        }
    }
}
