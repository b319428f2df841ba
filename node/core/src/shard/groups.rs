//! Driving the groups of a shard: from raft's ready to appends, applies and messages, and the life of a replica.

use std::collections::BTreeMap;

use prost::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};

use super::io::{Lane, Output};
use super::metadata::{Metadata, Sends};
use super::snapshots::Received;
use super::{RAFT_FRAME_BYTES, Shard};
use crate::consensus::{Group, GroupLog, Work, is_vote};
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::MetaState;
use crate::mutants::{Mutant, active};
use crate::partition::command::{
    Command, Do, Place, Remembered, ReplicaState, content, replica_key,
};
use crate::partition::intents::{Intent, Intents};
use crate::partition::requests::RequestTable;
use crate::partition::{Effects, Partition};
use crate::store::{Batch, Keyspace, LogWrite};
use crate::time::Now;
use crate::version;
use crate::wire::{Kind, RaftFrame, RaftMessage, SnapshotAck, SnapshotChunk, Target};

/// Entries that stay in the log for followers that are a little behind.
const LOG_KEPT: u64 = 256;
/// Ticks for which the first replica of a new group campaigns, until the others exist.
const EAGER_TICKS: u32 = 10;

/// What a group's log commands change.
#[derive(Debug)]
pub(super) enum Machine {
    Partition(Box<Partition>),
    Metadata(Box<Metadata>),
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub group: Group,
    pub machine: Machine,
    pub(super) eager: u32,
    /// A snapshot's append that waits for the installation: the log write.
    pub(super) installing: Option<LogWrite>,
    was_leader: bool,
    had_lease: bool,
    /// The step in which it began to serve, or in which it last applied something while there were intents.
    guarded_at: Option<u64>,
}

impl Replica {
    pub fn new(group: Group, machine: Machine) -> Replica {
        Replica {
            group,
            machine,
            eager: 0,
            installing: None,
            was_leader: false,
            had_lease: false,
            guarded_at: None,
        }
    }

    pub fn state(&self) -> &ReplicaState {
        match &self.machine {
            Machine::Partition(partition) => &partition.state,
            Machine::Metadata(metadata) => &metadata.replica,
        }
    }

    /// The lease that was published has ended meanwhile.
    fn lease_ran_out(&self, now: Now) -> bool {
        self.had_lease && self.group.lease_until() <= now.mono_us
    }

    pub fn partition(&self) -> Option<&Partition> {
        match &self.machine {
            Machine::Partition(partition) => Some(partition),
            Machine::Metadata(_) => None,
        }
    }

    pub fn partition_mut(&mut self) -> Option<&mut Partition> {
        match &mut self.machine {
            Machine::Partition(partition) => Some(partition),
            Machine::Metadata(_) => None,
        }
    }

    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.machine {
            Machine::Metadata(metadata) => Some(metadata),
            Machine::Partition(_) => None,
        }
    }
}

impl Shard {
    pub(super) fn with_partition(
        &mut self,
        id: GroupId,
        act: impl FnOnce(&mut Partition, &mut Group, Now, &mut Effects),
    ) {
        let mut fx = Effects {
            next_read: self.next_read,
            ..Effects::default()
        };
        let Some(Replica {
            group,
            machine: Machine::Partition(partition),
            ..
        }) = self.replicas.get_mut(&id)
        else {
            return;
        };
        act(partition, group, self.now, &mut fx);
        self.dirty.insert(id);
        self.realise(id, fx);
    }

    pub(super) fn with_metadata(
        &mut self,
        act: impl FnOnce(&mut Metadata, &mut Group, &mut Sends),
    ) {
        let mut sends = Vec::new();
        let Some(Replica {
            group,
            machine: Machine::Metadata(metadata),
            ..
        }) = self.replicas.get_mut(&GroupId::META)
        else {
            return;
        };
        act(metadata, group, &mut sends);
        self.dirty.insert(GroupId::META);
        self.send_all(sends);
    }

    /// Partitions take no part before the cluster knows this start of the node.
    fn takes_part(&self, group: GroupId) -> bool {
        group == GroupId::META || self.registered
    }

    pub(super) fn tick_group(&mut self, id: GroupId) {
        if !self.takes_part(id) {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        replica.group.tick(self.now);
        if replica.eager > 0 {
            replica.eager -= 1;
            if replica.group.leader().is_none() {
                replica.group.campaign();
            } else {
                replica.eager = 0;
            }
        }
        // Most groups have nothing to do at most ticks.
        if replica.group.has_work()
            || replica.partition().is_some_and(|p| p.load() > 0)
            || replica.lease_ran_out(self.now)
            || replica.guarded_at.is_some()
        {
            self.dirty.insert(id);
        }
    }

    pub(super) fn on_raft(&mut self, from: NodeId, message: RaftMessage) {
        let id = message.group;
        if !self.takes_part(id) {
            self.counts.votes_held += u64::from(is_vote(message.message.get_msg_type()));
            return;
        }
        if !self.replicas.contains_key(&id) && !self.meet_metadata(&message) {
            return self.keep_early(from, message);
        }
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        if replica.group.replica.0 != message.message.to {
            return;
        }
        if message.message.get_msg_type() == MessageType::MsgSnapshot {
            // Snapshots come in chunks.
            return;
        }
        if self.mood.refuse_entries && id != GroupId::META && brings_entries(&message) {
            return;
        }
        self.counts.votes_held +=
            u64::from(is_vote(message.message.get_msg_type()) && replica.group.is_silent(self.now));
        replica.group.step(from, message, self.now);
        self.dirty.insert(id);
    }

    /// A message for a replica of the metadata group that does not exist here yet: it begins empty and is told everything.
    fn meet_metadata(&mut self, message: &RaftMessage) -> bool {
        if message.group != GroupId::META || self.config.shard != 0 || message.message.to == 0 {
            return false;
        }
        // Who has a newer picture knows whether that replica is one of the past.
        let replica = ReplicaId(message.message.to);
        let past = self.view.group(GroupId::META).is_some_and(|group| {
            let me = self.config.node;
            self.registered
                && group.replica_on(me).or_else(|| group.newcomer_on(me)) != Some(replica)
        });
        !past
            && self.buried < Some(replica)
            && !self.leaving.contains_key(&GroupId::META)
            && self.await_group(GroupId::META, replica)
    }

    /// A replica that knows nothing yet but perhaps how it voted: its leader tells it everything.
    pub(super) fn await_group(&mut self, group: GroupId, replica: ReplicaId) -> bool {
        let state = ReplicaState {
            group: group.0,
            replica: replica.0,
            ..Default::default()
        };
        // What another replica left here goes before this one gets anything.
        self.clear_remains(group);
        let orphan = self.orphans.remove(&replica);
        let restarted = orphan.is_some();
        let log = match orphan {
            Some(log) => GroupLog::new(
                log.base,
                log.entries,
                log.hard_state,
                state.conf_state(),
                (0, 0),
            ),
            None => GroupLog::default(),
        };
        let machine = if group == GroupId::META {
            Machine::Metadata(Box::new(Metadata::new(state, MetaState::default())))
        } else {
            Machine::Partition(Box::new(Partition::new(state)))
        };
        let added = self.add_replica(group, replica, log, BTreeMap::new(), restarted, machine);
        self.hear_early(group);
        added
    }

    pub(super) fn add_replica(
        &mut self,
        id: GroupId,
        replica: ReplicaId,
        log: GroupLog,
        places: BTreeMap<ReplicaId, NodeId>,
        restarted: bool,
        machine: Machine,
    ) -> bool {
        match Group::new(
            id,
            replica,
            log,
            places,
            self.config.seed ^ id.0.rotate_left(17),
            restarted,
            self.now,
        ) {
            Ok(group) => {
                self.replicas.insert(id, Replica::new(group, machine));
                self.dirty.insert(id);
                true
            }
            Err(error) => {
                let why =
                    format!("the log of replica {replica} of group {id} can't be used: {error}");
                self.out
                    .push(Output::Fatal(super::Fatal::Inconsistent(why)));
                false
            }
        }
    }

    /// A new partition has a replica here: its log begins with its state, the same on all of its replicas.
    pub(super) fn create_replica(
        &mut self,
        record: &crate::meta::records::Group,
        replica: ReplicaId,
        consumers: Vec<String>,
    ) {
        // One that was split off it since is here already: this one has to begin with less.
        let territory = &self.config.territory;
        if !territory.claim(replica, &record.start, &record.end) {
            self.await_group(record.group(), replica);
            return;
        }
        let genesis = ReplicaState {
            group: record.id,
            table: record.table,
            start: record.start.clone(),
            end: record.end.clone(),
            range_version: record.range_version,
            member_version: record.member_version,
            places: record
                .members
                .iter()
                .map(|m| Place {
                    replica: m.replica,
                    node: m.node,
                })
                .collect(),
            voters: record.members.iter().map(|m| m.replica).collect(),
            consumers,
            ..Default::default()
        };
        let command = Command {
            term: 1,
            range_version: record.range_version,
            what: Some(Do::Genesis(genesis)),
            ..Default::default()
        };
        let entry = Entry {
            index: 1,
            term: 1,
            data: command.encode_entry(),
            ..Default::default()
        };
        let hard_state = raft::eraftpb::HardState {
            term: 1,
            commit: 1,
            ..Default::default()
        };
        self.writes.push(LogWrite {
            replica,
            entries: vec![entry.clone()],
            hard_state: Some(hard_state.clone()),
            ..Default::default()
        });
        self.sync = true;
        if self.begin_from_genesis(replica, vec![entry], hard_state, false) {
            // Another member leads first in each partition of a table, so that its leaders spread.
            let turn = (record.id % record.members.len().max(1) as u64) as usize;
            let first = record
                .members
                .get(turn)
                .is_some_and(|m| m.replica == replica.0);
            if let Some(created) = self.replicas.get_mut(&record.group()).filter(|_| first) {
                created.eager = EAGER_TICKS;
                created.group.campaign();
            }
        }
    }

    /// Starts a replica from a log whose first entry is its state.
    pub(super) fn begin_from_genesis(
        &mut self,
        replica: ReplicaId,
        entries: Vec<Entry>,
        hard_state: raft::eraftpb::HardState,
        restarted: bool,
    ) -> bool {
        let first = entries.first().and_then(|e| Command::decode_entry(&e.data));
        let Some(Command {
            what: Some(Do::Genesis(mut state)),
            ..
        }) = first
        else {
            return false;
        };
        state.replica = replica.0;
        (state.applied_index, state.applied_term) = (1, 1);
        let places = state
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        let log = GroupLog::new((0, 0), entries, hard_state, state.conf_state(), (1, 1));
        let id = state.group();
        self.add_replica(
            id,
            replica,
            log,
            places,
            restarted,
            Machine::Partition(Box::new(Partition::new(state))),
        )
    }

    /// A replica's group is gone for good, or has left it behind: so are its log and its data. The log goes first: data that were deleted
    /// under a replica which a crash brings back would be served.
    pub(super) fn destroy_replica(&mut self, id: GroupId) {
        let Some(replica) = self.replicas.remove(&id) else {
            return;
        };
        let mut batch = Batch::default();
        // One that was never told its range has none.
        if replica.state().applied_index > 0 {
            for range in content(replica.state()) {
                batch.delete_range(range);
            }
        }
        batch.delete(Keyspace::State, replica_key(id, replica.group.replica));
        let name = replica.group.replica;
        let is_metadata = id == GroupId::META;
        // Ids only grow: one mark stands for all before it.
        if is_metadata && let Some(replica) = self.buried.replace(name) {
            self.writes.push(LogWrite {
                replica,
                remove: true,
                ..Default::default()
            });
        }
        self.writes.push(LogWrite {
            replica: name,
            reset: is_metadata.then_some(crate::store::LEFT),
            remove: !is_metadata,
            ..Default::default()
        });
        self.sync = true;
        self.leaving.insert(id, (self.append + 1, name, batch));
        if let Some(ticket) = self.view.ticket(id) {
            ticket.turn();
            ticket.set_heard(0);
        }
        self.receivers.forget(id, &mut self.out);
        self.dirty.remove(&id);
    }

    /// Logs up to this append are gone for good: now the data may go.
    fn finish_leaving(&mut self, append: u64) {
        let done: Vec<GroupId> = self
            .leaving
            .iter()
            .filter(|(_, (number, ..))| *number <= append)
            .map(|(id, _)| *id)
            .collect();
        for id in &done {
            if let Some((_, replica, batch)) = self.leaving.remove(id) {
                self.out.push(Output::Write(batch));
                self.give_up(replica);
            }
        }
        if !done.is_empty() {
            // A group may have another replica here by now.
            self.on_view(self.view.clone());
        }
    }

    // ---- the ready loop ----

    /// Takes what a group has to do until there is nothing left.
    pub(super) fn drive(&mut self, id: GroupId) {
        while let Some(replica) = self.replicas.get_mut(&id) {
            let Some(work) = replica.group.ready(self.append + 1) else {
                break;
            };
            self.work(id, work);
        }
        self.with_partition_if(id);
        self.work_feeds(id);
        self.publish_ticket(id);
    }

    /// Lets a partition ask for confirmations and serve what had to wait; its effects may make the group dirty again.
    fn with_partition_if(&mut self, id: GroupId) {
        let Some(Replica {
            group,
            machine: Machine::Partition(partition),
            ..
        }) = self.replicas.get_mut(&id)
        else {
            return;
        };
        let mut fx = Effects {
            next_read: self.next_read,
            ..Effects::default()
        };
        let before = fx.next_read;
        partition.confirm(group, self.now, &mut fx);
        partition.end_hope(group, self.now, &mut fx);
        self.counts.read_indexes += fx.next_read - before;
        let asked = fx.next_read != before;
        let waiting = partition.take_waiting();
        let mood = self.mood;
        let again = asked || !waiting.is_empty();
        for (forward, to) in waiting {
            partition.on_request(group, forward, to, mood, self.now, &mut fx);
        }
        self.realise(id, fx);
        if again {
            self.dirty.insert(id);
        }
    }

    fn work(&mut self, id: GroupId, work: Work) {
        let Work {
            messages,
            entries,
            hard_state,
            sync,
            committed,
            snapshot,
            reads,
            turned,
        } = work;
        if turned {
            self.on_turn(id);
        }
        self.send_raft(id, messages);
        let Some(replica) = self.replicas.get(&id) else {
            return;
        };
        let name = replica.group.replica;
        if snapshot.is_some() {
            self.install(id, hard_state);
        } else if !entries.is_empty() || hard_state.is_some() {
            self.writes.push(LogWrite {
                replica: name,
                entries,
                hard_state,
                ..Default::default()
            });
            self.wrote.insert(id);
            self.sync |= sync;
        }
        self.apply(id, &committed);
        for (context, index) in reads {
            self.with_partition(id, |partition, _, _, fx| {
                partition.on_confirmed(context, index, fx)
            });
        }
    }

    fn on_turn(&mut self, id: GroupId) {
        let mut fx = Effects {
            next_read: self.next_read,
            ..Effects::default()
        };
        let mut sends = Vec::new();
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let leads = replica.group.is_leader();
        if leads && !replica.was_leader {
            self.counts.elections += 1;
        }
        replica.was_leader = leads;
        match &mut replica.machine {
            Machine::Partition(partition) => partition.on_turn(&replica.group, &mut fx),
            Machine::Metadata(metadata) => metadata.on_turn(&replica.group, &mut sends),
        }
        let leader = replica.group.leader().map(|(_, node)| node);
        if let Some(ticket) = self.view.ticket(id) {
            ticket.turn();
            ticket.set_leader(leader);
        }
        if id == GroupId::META && leader.is_some() {
            self.meta_hint = leader;
            self.publish_meta_leader(leader);
        }
        self.realise(id, fx);
        self.send_all(sends);
    }

    fn apply(&mut self, id: GroupId, committed: &[Entry]) {
        if committed.is_empty() {
            return;
        }
        self.counts.applied += committed.len() as u64;
        let mut fx = Effects {
            next_read: self.next_read,
            ..Effects::default()
        };
        let mut sends = Vec::new();
        let mut changed = false;
        let mut began = false;
        let mut raised = version::FIRST;
        let steps = self.steps;
        let Some(Replica {
            group,
            machine,
            guarded_at,
            ..
        }) = self.replicas.get_mut(&id)
        else {
            return;
        };
        match machine {
            Machine::Partition(partition) => {
                let served = partition.is_serving();
                let had_intents = partition.has_intents();
                partition.apply(group, committed, &mut fx);
                // What was applied is in the engine only once the outputs of this step are executed, and a ticket is at once.
                if had_intents || partition.has_intents() || partition.is_serving() != served {
                    *guarded_at = Some(steps);
                }
                // Duplicates that were answered without the log since the last time are among them.
                self.counts.not_applied += std::mem::take(&mut partition.not_applied);
                self.counts.duplicate_requests += std::mem::take(&mut partition.duplicates);
                began = partition.is_serving() && !served;
            }
            Machine::Metadata(metadata) => {
                changed = metadata.apply(group, committed, &mut fx.batch, self.now, &mut sends);
                raised = metadata.state.cluster.cluster_version;
                #[cfg(feature = "next")]
                {
                    self.counts.next_commands += std::mem::take(&mut metadata.next_commands);
                }
            }
        }
        // Before what was applied: it may be of the new version already.
        self.learn_version(raised);
        let born = std::mem::take(&mut fx.born);
        self.realise(id, fx);
        self.send_all(sends);
        if !born.is_empty() {
            self.on_births(id, born);
        }
        if changed {
            self.publish_own_metadata();
        }
        if began {
            self.report_lead(id);
        }
        if active(Mutant::TruncatesAboveFlushed) {
            let index = committed.last().map_or(0, |e| e.index);
            self.truncate(id, index);
        }
    }

    pub(super) fn on_appended(&mut self, number: u64) {
        let later = self.awaiting.split_off(&(number + 1));
        let done = std::mem::replace(&mut self.awaiting, later);
        for id in done
            .into_values()
            .flatten()
            .collect::<std::collections::BTreeSet<_>>()
        {
            let Some(replica) = self.replicas.get_mut(&id) else {
                continue;
            };
            let messages = replica.group.persisted(number);
            self.send_raft(id, messages);
            self.dirty.insert(id);
        }
        self.release_births(number);
        self.finish_leaving(number);
    }

    fn send_raft(&mut self, id: GroupId, messages: Vec<Message>) {
        let now = self.now;
        for message in messages {
            let Some(replica) = self.replicas.get(&id) else {
                return;
            };
            let Some(to) = replica.group.node_of(&message) else {
                continue;
            };
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.send_snapshot(id, message, to);
                continue;
            }
            let (sent_at, echo) = replica.group.stamps(&message, now);
            let frame = self
                .frames
                .entry(to)
                .or_insert_with(|| RaftFrame::new(now.wall_ms));
            frame.push(id, sent_at, echo, &message);
            if frame.len() >= RAFT_FRAME_BYTES {
                if let Some(full) = self.frames.remove(&to) {
                    self.out.push(Output::Send {
                        to,
                        lane: Lane::Small,
                        frame: full.finish(self.version),
                    });
                }
            }
        }
    }

    /// Publishes what readers outside the shard may rely on.
    fn publish_ticket(&mut self, id: GroupId) {
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let Some(partition) = replica.partition() else {
            return;
        };
        let Some(ticket) = self.view.ticket(id) else {
            return;
        };
        let until = if partition.is_serving() || active(Mutant::EvaluatesBeforeOwnTerm) {
            partition.lease_until(&replica.group)
        } else {
            0
        };
        let guarded = partition.has_intents() || replica.guarded_at == Some(self.steps);
        ticket.set_guarded(guarded);
        ticket.set_range(partition.state.range_version);
        ticket.set_lease(until);
        ticket.set_heard(if replica.group.is_initialised() {
            replica.group.heard_at(self.now)
        } else {
            0
        });
        if !guarded {
            replica.guarded_at = None;
        }
        let held = until > self.now.mono_us;
        if replica.had_lease && !held {
            self.counts.expired_leases += 1;
        }
        replica.had_lease = held;
    }

    pub(super) fn truncate(&mut self, id: GroupId, durable: u64) {
        let limit = self.flush_limit();
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let log = replica.group.log();
        let needed = replica
            .group
            .matched_by_all()
            .unwrap_or_else(|| log.last().saturating_sub(LOG_KEPT));
        // Past a slow follower once this log alone takes half of what makes the shard flush; the follower gets a snapshot.
        let target = if log.bytes() > limit / 2 || active(Mutant::TruncatesAboveFlushed) {
            durable
        } else {
            durable.min(needed)
        };
        if target <= log.base().0 + LOG_KEPT
            && !(self.config.flush_log_bytes > 0 && target > log.base().0)
        {
            return;
        }
        let name = replica.group.replica;
        if let Some(truncated) = replica.group.log_mut().truncate(target) {
            self.counts.truncations += 1;
            self.writes.push(LogWrite {
                replica: name,
                truncate: Some(truncated),
                ..Default::default()
            });
        }
    }

    // ---- snapshots ----

    fn send_snapshot(&mut self, id: GroupId, message: Message, to: NodeId) {
        let Some(replica) = self.replicas.get(&id) else {
            return;
        };
        let target = ReplicaId(message.to);
        let state = replica.state().clone();
        self.counts.snapshots_sent += 1;
        let origin = self.origin();
        if !self
            .senders
            .begin(message, to, &state, origin, self.now, &mut self.out)
        {
            if let Some(replica) = self.replicas.get_mut(&id) {
                replica.group.snapshot_failed(target);
            }
        }
    }

    /// Distinguishes transfers and stages of different shards.
    fn origin(&self) -> u64 {
        u64::from(self.config.shard) << 24 | self.config.incarnation & 0xff_ffff
    }

    pub(super) fn on_piece(
        &mut self,
        transfer: u64,
        pairs: Vec<(Keyspace, bytes::Bytes, bytes::Bytes)>,
        done: bool,
    ) {
        let current = self
            .senders
            .group_of(transfer)
            .and_then(|g| self.replicas.get(&g))
            .map(|r| r.state().clone())
            .unwrap_or_default();
        let sent =
            self.senders
                .on_piece(transfer, pairs, done, &current, self.config.shard, self.now);
        self.on_sent(sent);
    }

    pub(super) fn on_chunk(&mut self, from: NodeId, chunk: SnapshotChunk) {
        let id = GroupId(chunk.group);
        let (shard, to) = (chunk.reply_shard, ReplicaId(chunk.to));
        let mine = self
            .replicas
            .get(&id)
            .is_some_and(|r| r.group.replica == to && !r.group.is_installing());
        if !mine || !self.takes_part(id) || (self.mood.refuse_entries && id != GroupId::META) {
            return;
        }
        let origin = self.origin();
        if !chunk.end.is_empty() && !self.config.territory.is_free(to, &chunk.start, &chunk.end) {
            let ack = SnapshotAck {
                group: chunk.group,
                transfer: chunk.transfer,
                ..Default::default()
            };
            return self.refuse_snapshot(from, shard, ack);
        }
        match self
            .receivers
            .on_chunk(from, chunk, origin, self.now, &mut self.out)
        {
            Received::Staged(ack, Some(_)) if !self.claim_received(id, to) => {
                self.refuse_snapshot(from, shard, ack);
            }
            Received::Staged(ack, message) => {
                self.send(
                    from,
                    Target::Shard(shard),
                    Lane::Small,
                    Kind::SnapshotAck(ack),
                );
                if let Some(message) = message {
                    let raft = RaftMessage {
                        group: id,
                        sent_at: 0,
                        echo: 0,
                        message,
                    };
                    if let Some(replica) = self.replicas.get_mut(&id) {
                        replica.group.step(from, raft, self.now);
                        self.drive(id);
                    }
                    // Not taken by raft: it knew all that already.
                    if !self
                        .replicas
                        .get(&id)
                        .is_some_and(|r| r.group.is_installing())
                    {
                        self.receivers.forget(id, &mut self.out);
                        self.keep_rows(id);
                    }
                }
            }
            Received::Refused(ack) => {
                self.receivers.forget(id, &mut self.out);
                self.send(
                    from,
                    Target::Shard(shard),
                    Lane::Small,
                    Kind::SnapshotAck(ack),
                );
            }
            Received::Ignored => {}
        }
    }

    /// Raft takes the snapshot: what was staged replaces what is here.
    fn install(&mut self, id: GroupId, hard_state: Option<raft::eraftpb::HardState>) {
        let Some(received) = self.receivers.take(id) else {
            return;
        };
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let Some(mut state) = received.state else {
            return;
        };
        let name = replica.group.replica;
        state.replica = name.0;
        let mut clear = content(&state);
        if replica.state().applied_index > 0 {
            clear.extend(
                content(replica.state())
                    .into_iter()
                    .filter(|range| !clear.contains(range))
                    .collect::<Vec<_>>(),
            );
        }
        let mut batch = Batch::default();
        batch.put(
            Keyspace::State,
            replica_key(id, name),
            state.encode_to_vec(),
        );
        let at = (state.applied_index, state.applied_term);
        replica.installing = Some(LogWrite {
            replica: name,
            reset: Some(at),
            hard_state,
            ..Default::default()
        });
        let places = state
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        replica.group.set_members(places);
        replica.group.applied_by_snapshot(at.0, at.1);
        let mut raised = version::FIRST;
        match &mut replica.machine {
            Machine::Partition(partition) => {
                let kept = &received.kept;
                partition.restored(state, requests_of(kept), intents_of(kept));
            }
            Machine::Metadata(metadata) => {
                metadata.restored(state, metadata_of(&received.kept));
                raised = metadata.state.cluster.cluster_version;
            }
        }
        self.learn_version(raised);
        if let Some(ticket) = self.view.ticket(id) {
            ticket.turn();
        }
        self.out.push(Output::Install {
            group: id,
            stage: received.stage,
            clear,
            batch,
        });
    }

    pub(super) fn on_installed(&mut self, id: GroupId) {
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let Some(write) = replica.installing.take() else {
            return;
        };
        self.counts.snapshots_installed += 1;
        let state = replica.state();
        if id != GroupId::META {
            let name = ReplicaId(state.replica);
            self.config.territory.shrink(name, &state.start, &state.end);
        }
        replica.group.installed(self.append + 1);
        self.writes.push(write);
        self.wrote.insert(id);
        self.sync = true;
        self.dirty.insert(id);
        if id == GroupId::META {
            self.publish_own_metadata();
        }
    }

    /// Gives leadership of every group to someone else.
    pub(super) fn hand_over(&mut self) {
        let ids: Vec<GroupId> = self.replicas.keys().copied().collect();
        for id in ids {
            let Some(replica) = self.replicas.get_mut(&id) else {
                continue;
            };
            if let Some(to) = replica.group.best_successor() {
                replica.group.transfer(to);
                self.dirty.insert(id);
            }
        }
    }
}

/// The request ids of rows by their numbers.
pub(super) fn requests_of_rows(rows: Vec<(u64, Remembered)>) -> RequestTable {
    let mut table = RequestTable::default();
    for (number, remembered) in rows {
        table.load(number, remembered);
    }
    table
}

fn index_of_request(key: &[u8]) -> Option<u64> {
    (key.first() == Some(&b'q')).then(|| key.get(9..17)?.try_into().ok().map(u64::from_be_bytes))?
}

/// The request ids among a group's state rows, in order.
pub(super) fn requests_of(pairs: &[(Keyspace, bytes::Bytes, bytes::Bytes)]) -> RequestTable {
    let mut table = RequestTable::default();
    for (keyspace, key, value) in pairs {
        if let (Keyspace::State, Some(index)) = (keyspace, index_of_request(key)) {
            if let Ok(remembered) = Remembered::decode(value.clone()) {
                table.load(index, remembered);
            }
        }
    }
    table
}

/// The intents among a group's state rows.
pub(super) fn intents_of(pairs: &[(Keyspace, bytes::Bytes, bytes::Bytes)]) -> Intents {
    let mut intents = Intents::default();
    for (keyspace, key, value) in pairs {
        if *keyspace == Keyspace::State
            && key.first() == Some(&b'i')
            && let Ok(intent) = Intent::decode(value.clone())
        {
            intents.load(key.slice(1..), intent);
        }
    }
    intents
}

/// The metadata among a snapshot's rows.
pub(super) fn metadata_of(pairs: &[(Keyspace, bytes::Bytes, bytes::Bytes)]) -> MetaState {
    let mut state = MetaState::default();
    for (keyspace, key, value) in pairs {
        if *keyspace == Keyspace::Meta {
            // Rows come from an authenticated voter; one that can't be read is one of a newer kind.
            let _ = state.put_row(key, Some(value.clone()));
        }
    }
    state
}

/// Whether a leader wants entries to be kept here.
fn brings_entries(message: &RaftMessage) -> bool {
    message.message.get_msg_type() == MessageType::MsgAppend
        && !message.message.get_entries().is_empty()
}
