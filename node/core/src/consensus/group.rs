//! One replica of one consensus group: raft-rs with seeded timeouts, deferred fsyncs and a lease.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::{RawNode, StateRole};

use super::lease::Lease;
use super::log::GroupLog;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::mutants::{Mutant, active};
use crate::time::{ELECTION_TICKS, ELECTION_TICKS_MAX, HEARTBEAT_TICKS, Now, TICK_US};
use crate::wire::RaftMessage;

const APPEND_BYTES_MAX: u64 = 1 << 20;
const APPENDS_IN_FLIGHT: usize = 256;
const UNCOMMITTED_BYTES_MAX: u64 = 32 << 20;
const APPLY_BYTES_MAX: u64 = 8 << 20;
/// A peer that was not heard for so long is taken for away, µs.
const CLOSE_US: u64 = 2 * TICK_US * ELECTION_TICKS as u64;
/// Entries that a replica may lack and still be close behind.
const CLOSE_ENTRIES: u64 = 256;

/// What a replica wants done after it was stepped.
#[derive(Debug, Default)]
pub struct Work {
    /// May be sent at once.
    pub messages: Vec<Message>,
    /// To be appended to the log; [`Group::persisted`] is called when it is durable.
    pub entries: Vec<Entry>,
    pub hard_state: Option<HardState>,
    /// Whether the append must be synced.
    pub sync: bool,
    /// Committed and to be applied, in order.
    pub committed: Vec<Entry>,
    /// To be installed before anything else.
    pub snapshot: Option<Snapshot>,
    /// Reads confirmed by a majority: (context, index that must be applied).
    pub reads: Vec<(u64, u64)>,
    /// The role or the leader changed.
    pub turned: bool,
}

#[derive(Debug)]
struct Unsynced {
    append: u64,
    ready: u64,
    messages: Vec<Message>,
}

/// One replica's consensus state.
pub struct Group {
    pub id: GroupId,
    pub replica: ReplicaId,
    raw: RawNode<GroupLog>,
    /// Where each replica lives.
    members: BTreeMap<ReplicaId, NodeId>,
    random: u64,
    timeout: usize,
    lease: Lease,
    /// The greatest `sent_at` taken from the leader of this term.
    heard: (u64, ReplicaId, u64),
    heard_at: u64,
    /// When each peer was last heard, monotonic µs.
    peers_heard: BTreeMap<ReplicaId, u64>,
    /// No vote is granted before this moment: what was promised before a restart may still hold.
    silent_until: u64,
    /// No campaign before this index is applied again.
    replay_to: u64,
    unsynced: VecDeque<Unsynced>,
    /// The hard state that was last given to be written.
    written: HardState,
    /// An installation or its append is under way; no ready is taken before it ends.
    installing: bool,
    transferring: bool,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let raft = &self.raw.raft;
        write!(
            f,
            "Group {} replica {} {:?} term {} commit {} applied {} last {}",
            self.id,
            self.replica,
            raft.state,
            raft.term,
            raft.raft_log.committed,
            raft.raft_log.applied,
            raft.raft_log.last_index()
        )
    }
}

/// Whether a message asks for a vote.
pub fn is_vote(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
    )
}

/// Joins appends to the same peer of which one begins where the other ends, so that many proposals of a step travel as one.
fn join_appends(messages: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<(Message, usize)> = Vec::with_capacity(messages.len());
    for message in messages {
        let bytes: usize = message.entries.iter().map(|e| e.data.len()).sum();
        let before = joined.iter_mut().rev().find(|(m, _)| m.to == message.to);
        match before {
            Some((first, size))
                if continues(first, &message) && *size + bytes <= APPEND_BYTES_MAX as usize =>
            {
                *size += bytes;
                first.commit = first.commit.max(message.commit);
                first.entries.extend(message.entries);
            }
            _ => joined.push((message, bytes)),
        }
    }
    joined.into_iter().map(|(message, _)| message).collect()
}

/// Whether `next` is an append that begins where the append `first` ends.
fn continues(first: &Message, next: &Message) -> bool {
    let append = |m: &Message| m.get_msg_type() == MessageType::MsgAppend;
    let last_term = first.entries.last().map_or(first.log_term, |e| e.term);
    append(first)
        && append(next)
        && first.term == next.term
        && next.index == first.index + first.entries.len() as u64
        && next.log_term == last_term
        && !next.entries.is_empty()
}

/// xorshift64*: the core's own randomness, seeded from outside (Vigna, 2016).
pub fn next_random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

impl Group {
    /// `restarted`: this replica may have made promises in an earlier life of the process.
    pub fn new(
        id: GroupId,
        replica: ReplicaId,
        log: GroupLog,
        members: BTreeMap<ReplicaId, NodeId>,
        seed: u64,
        restarted: bool,
        now: Now,
    ) -> raft::Result<Group> {
        let config = raft::Config {
            id: replica.0,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: log.applied().0,
            max_size_per_msg: APPEND_BYTES_MAX,
            max_inflight_msgs: APPENDS_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            // raft-rs joins entries to an append that is not sent yet without a look at the index before them: after a refusal an
            // empty one at 9 may get entry 9, which its receiver answers as if it had 10. `join_appends` does it with that look.
            batch_append: false,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: APPLY_BYTES_MAX,
            ..Default::default()
        };
        let lone =
            log.conf_state().voters == [replica.0] && log.conf_state().voters_outgoing.is_empty();
        let replay_to = log.applied().0;
        let written = log.hard_state().clone();
        let raw = RawNode::new(&config, log, &slog::Logger::root(slog::Discard, slog::o!()))?;
        let replay_to = replay_to.max(raw.raft.raft_log.committed);
        let silent = restarted && !lone && !active(Mutant::VotesWithinLeaseAfterRestart);
        let mut group = Group {
            id,
            replica,
            raw,
            members,
            random: seed ^ replica.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            timeout: 0,
            lease: Lease::default(),
            heard: (0, ReplicaId(0), 0),
            heard_at: 0,
            peers_heard: BTreeMap::new(),
            silent_until: if silent {
                now.mono_us + TICK_US * ELECTION_TICKS as u64 + crate::time::DRIFT_US
            } else {
                0
            },
            replay_to,
            unsynced: VecDeque::new(),
            written,
            installing: false,
            transferring: false,
        };
        next_random(&mut group.random);
        group.draw_timeout();
        Ok(group)
    }

    // ---- what it is ----

    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Leader, and no hand-over is under way.
    pub fn may_propose(&self) -> bool {
        self.is_leader() && self.raw.raft.lead_transferee.is_none()
    }

    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    pub fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    pub fn log(&self) -> &GroupLog {
        self.raw.store()
    }

    pub fn log_mut(&mut self) -> &mut GroupLog {
        self.raw.mut_store()
    }

    pub fn members(&self) -> &BTreeMap<ReplicaId, NodeId> {
        &self.members
    }

    /// The leader as far as known here.
    pub fn leader(&self) -> Option<(ReplicaId, NodeId)> {
        let leader = ReplicaId(self.raw.raft.leader_id);
        self.members.get(&leader).map(|&node| (leader, node))
    }

    /// When the leader was last heard, on the monotonic clock; a leader hears itself as long as its lease holds.
    pub fn heard_at(&self, now: Now) -> u64 {
        if self.is_leader() {
            now.mono_us.max(self.lease_until())
        } else {
            self.heard_at
        }
    }

    /// Whether the replica has a configuration, so that it can take part.
    pub fn is_initialised(&self) -> bool {
        let conf = self.log().conf_state();
        !conf.voters.is_empty() || !conf.learners.is_empty()
    }

    /// Whether no vote is granted yet, since promises of an earlier life may hold.
    pub fn is_silent(&self, now: Now) -> bool {
        now.mono_us < self.silent_until
    }

    /// Term, vote and commit index as they are in memory.
    pub fn hard_state(&self) -> HardState {
        self.raw.raft.hard_state()
    }

    /// Whether a leader may count on promises of this replica, or one did before a restart.
    pub fn has_promised(&self, now: Now) -> bool {
        self.heard.0 > 0 || self.is_silent(now)
    }

    /// The hard state with a commit index that stands for everything applied, to be written before others rely on that.
    pub fn commit_state(&mut self) -> HardState {
        let mut state = self.raw.store().hard_state().clone();
        state.commit = state.commit.max(self.log().applied().0);
        self.written = state.clone();
        state
    }

    pub fn is_installing(&self) -> bool {
        self.installing
    }

    /// Until when this leader may serve strong reads alone; 0: not at all.
    pub fn lease_until(&self) -> u64 {
        if !self.is_leader() {
            0
        } else {
            self.lease.until(self.replica, self.log().conf_state())
        }
    }

    /// The least index that every voter and learner is known to have; `None` when it is not the leader.
    pub fn matched_by_all(&self) -> Option<u64> {
        self.is_leader().then(|| {
            self.raw
                .raft
                .prs()
                .iter()
                .map(|(_, progress)| progress.matched)
                .min()
                .unwrap_or(0)
        })
    }

    /// Whether a replica lives and has nearly all of the log, as this leader sees it.
    pub fn is_close(&self, replica: ReplicaId, now: Now) -> bool {
        if !self.is_leader() {
            return false;
        }
        if replica == self.replica {
            return true;
        }
        let heard = self.peers_heard.get(&replica).copied().unwrap_or(0);
        let raft = &self.raw.raft;
        let matched = raft.prs().get(replica.0).map_or(0, |p| p.matched);
        heard > 0
            && now.mono_us < heard + CLOSE_US
            && matched > 0
            && matched + CLOSE_ENTRIES >= raft.raft_log.committed
    }

    /// Whether a majority of the voters (of both halves) was heard lately by the clock, so that this leader is hardly one of the past. One that was
    /// stopped for a while takes itself for the leader until it hears better.
    pub fn hears_majority(&self, now: Now) -> bool {
        let heard = |id: &u64| {
            let at = self.peers_heard.get(&ReplicaId(*id)).copied();
            *id == self.replica.0 || at.is_some_and(|at| now.mono_us < at + CLOSE_US)
        };
        let most = |voters: &[u64]| {
            voters.is_empty() || voters.iter().filter(|id| heard(id)).count() * 2 > voters.len()
        };
        let conf = self.log().conf_state();
        self.is_leader() && most(&conf.voters) && most(&conf.voters_outgoing)
    }

    /// Whether a change of members is being made.
    pub fn is_changing(&self) -> bool {
        self.raw.raft.has_pending_conf() || !self.log().conf_state().voters_outgoing.is_empty()
    }

    pub fn voters(&self) -> &[u64] {
        &self.log().conf_state().voters
    }

    /// A snapshot stands for what raft does not take for applied yet, since it is not durable. A disk may take its time with that, and raft
    /// would look for the entries before it when it campaigns.
    fn is_restoring(&self) -> bool {
        self.installing || self.raw.raft.raft_log.applied < self.log().applied().0
    }

    // ---- what happens to it ----

    pub fn tick(&mut self, now: Now) {
        let before = self.turn();
        let held = now.mono_us < self.silent_until
            || self.log().applied().0 < self.replay_to
            || self.is_restoring();
        // A replica that may not vote doesn't campaign either; a leader's and a follower's timers go on.
        if held && !self.is_leader() {
            self.raw.raft.election_elapsed = self
                .raw
                .raft
                .election_elapsed
                .min(self.timeout.saturating_sub(2));
        }
        self.raw.tick();
        self.after(before);
        if self.transferring && self.raw.raft.lead_transferee.is_none() {
            self.transferring = false;
            self.lease.transfer_aborted();
        }
    }

    /// Campaigns at once, without waiting for a timeout (a lone voter, or the first replica of a new group).
    pub fn campaign(&mut self) {
        if self.log().applied().0 >= self.replay_to && !self.is_leader() && !self.is_restoring() {
            let before = self.turn();
            // A refusal means that it is no voter: then others will.
            let _ = self.raw.campaign();
            self.after(before);
        }
    }

    pub fn step(&mut self, from: NodeId, incoming: RaftMessage, now: Now) {
        let RaftMessage {
            sent_at,
            echo,
            message,
            ..
        } = incoming;
        let kind = message.get_msg_type();
        let peer = ReplicaId(message.from);
        if message.to != self.replica.0
            || raft::raw_node::is_local_msg(kind)
            || kind == MessageType::MsgPropose && !self.is_leader()
            || kind == MessageType::MsgTimeoutNow && self.is_restoring()
        {
            return;
        }
        if is_vote(kind) && self.is_silent(now) {
            return;
        }
        self.members.entry(peer).or_insert(from);
        self.peers_heard.insert(peer, now.mono_us);
        let term = message.term;
        let before = self.turn();
        // Errors are stale or misdirected messages: raft's peers send them again.
        let _ = self.raw.step(message);
        let raft = &self.raw.raft;
        let from_leader = matches!(
            kind,
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
        );
        if from_leader && term == raft.term && raft.leader_id == peer.0 {
            let (heard_term, heard_from, at) = self.heard;
            let at = if (heard_term, heard_from) == (term, peer) {
                at.max(sent_at)
            } else {
                sent_at
            };
            self.heard = (term, peer, at);
            self.heard_at = now.mono_us;
        }
        self.after(before);
        if self.is_leader() && term == self.term() {
            self.lease.echo(term, peer, echo);
        }
    }

    /// Appends a command to the leader's log; `None` when it can't now.
    pub fn propose(&mut self, data: Bytes) -> Option<(u64, u64)> {
        if !self.may_propose() && !active(Mutant::CommitsDeposedCommand) {
            return None;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.replica.0;
        message.entries = vec![Entry {
            data,
            ..Default::default()
        }]
        .into();
        let before = self.turn();
        let result = self.raw.raft.step(message);
        self.after(before);
        result.ok()?;
        Some((self.last_index(), self.term()))
    }

    pub fn propose_conf_change(
        &mut self,
        context: Vec<u8>,
        change: ConfChangeV2,
    ) -> Option<(u64, u64)> {
        if !self.may_propose() || self.raw.raft.has_pending_conf() {
            return None;
        }
        self.raw.propose_conf_change(context, change).ok()?;
        Some((self.last_index(), self.term()))
    }

    /// Applies a committed change of members; returns the new configuration.
    pub fn apply_conf_change(
        &mut self,
        change: &ConfChangeV2,
        members: BTreeMap<ReplicaId, NodeId>,
    ) -> raft::Result<ConfState> {
        let before = self.turn();
        let mut state = self.raw.apply_conf_change(change)?;
        // raft-rs keeps sets, whose order differs from replica to replica.
        for ids in [
            &mut state.voters,
            &mut state.voters_outgoing,
            &mut state.learners,
            &mut state.learners_next,
        ] {
            ids.sort_unstable();
        }
        self.after(before);
        self.raw.mut_store().set_conf_state(state.clone());
        self.members = members;
        self.peers_heard
            .retain(|id, _| self.members.contains_key(id));
        Ok(state)
    }

    /// Asks a majority whether this is still the leader; the answer comes in [`Work::reads`].
    pub fn read_index(&mut self, context: u64) {
        self.raw.read_index(context.to_be_bytes().to_vec());
    }

    /// Hands leadership over; the lease is gone for the rest of the term.
    pub fn transfer(&mut self, to: ReplicaId) {
        if self.may_propose() && to != self.replica && self.members.contains_key(&to) {
            self.lease.void();
            self.transferring = true;
            self.raw.transfer_leader(to.0);
        }
    }

    pub fn snapshot_failed(&mut self, to: ReplicaId) {
        self.raw
            .report_snapshot(to.0, raft::SnapshotStatus::Failure);
    }

    /// A snapshot was taken over whole by a replica that has not said so since: it is sent entries again, which shows what it has. Else
    /// it would be waited for as long as this leader leads.
    pub fn snapshot_done(&mut self, to: ReplicaId) {
        let progress = self.raw.raft.prs().get(to.0);
        if progress.is_some_and(|progress| progress.state == raft::ProgressState::Snapshot) {
            self.raw.report_snapshot(to.0, raft::SnapshotStatus::Finish);
        }
    }

    /// Takes what there is to do. `append` numbers the log append that will carry it, if it carries anything.
    pub fn ready(&mut self, append: u64) -> Option<Work> {
        if self.installing || !self.raw.has_ready() {
            return None;
        }
        let mut ready = self.raw.ready();
        let number = ready.number();
        let mut work = Work {
            messages: join_appends(ready.take_messages()),
            entries: ready.take_entries(),
            hard_state: None,
            sync: ready.must_sync(),
            committed: ready.take_committed_entries(),
            snapshot: (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone()),
            reads: ready
                .take_read_states()
                .iter()
                .filter_map(|r| {
                    Some((
                        u64::from_be_bytes(r.request_ctx.as_slice().try_into().ok()?),
                        r.index,
                    ))
                })
                .collect(),
            turned: ready.ss().is_some(),
        };
        if let Some(state) = ready.hs() {
            self.raw.mut_store().set_hard_state(state.clone());
        }
        // A commit index alone is worth no write: it is learned again. But it goes with the next entries: who holds an entry that was made
        // after a change of members must know on a restart that the change was committed, or it would campaign under the old members.
        if work.sync || !work.entries.is_empty() {
            let state = self.raw.store().hard_state();
            if *state != self.written {
                self.written = state.clone();
                work.hard_state = Some(state.clone());
            }
        }
        let waiting = ready.take_persisted_messages();
        if let Some(snapshot) = &work.snapshot {
            let metadata = snapshot.get_metadata();
            self.raw.mut_store().reset(
                (metadata.index, metadata.term),
                metadata.get_conf_state().clone(),
            );
            self.installing = true;
        }
        self.raw.mut_store().append(&work.entries);
        self.raw.advance_append_async(ready);
        let written = work.sync || !work.entries.is_empty() || work.hard_state.is_some();
        if written || !self.unsynced.is_empty() {
            let append = if written {
                append
            } else {
                self.unsynced.back().map_or(append, |u| u.append)
            };
            self.unsynced.push_back(Unsynced {
                append,
                ready: number,
                messages: waiting,
            });
        } else {
            self.raw.on_persist_ready(number);
            work.messages.extend(waiting);
        }
        Some(work)
    }

    /// Takes no ready before [`Group::installed`]: the state that the group begins with is on its way to the engine.
    pub fn await_installation(&mut self) {
        self.installing = true;
    }

    /// The installation of a snapshot has ended; its append is numbered `append`.
    pub fn installed(&mut self, append: u64) {
        self.installing = false;
        if let Some(last) = self.unsynced.back_mut() {
            last.append = append;
        }
    }

    /// Appends up to this number are durable; returns the messages that waited for it.
    pub fn persisted(&mut self, append: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        while self
            .unsynced
            .front()
            .is_some_and(|u| u.append <= append && !(self.installing && self.unsynced.len() == 1))
        {
            let Some(done) = self.unsynced.pop_front() else {
                break;
            };
            let before = self.turn();
            self.raw.on_persist_ready(done.ready);
            let applied = self.raw.store().applied().0;
            let log = &self.raw.raft.raft_log;
            if applied > log.applied && applied <= log.persisted {
                // A snapshot that is durable now, and not only what was appended before it came.
                self.raw.advance_apply_to(applied);
            }
            self.after(before);
            messages.extend(done.messages);
        }
        messages
    }

    /// Whether [`Group::ready`] has something to give.
    pub fn has_work(&self) -> bool {
        !self.installing && self.raw.has_ready()
    }

    /// The voter, other than this one, that has most of the log; `None` if this is no leader, or alone, or handing over already.
    pub fn best_successor(&self) -> Option<ReplicaId> {
        if !self.may_propose() {
            return None;
        }
        let voters = self.voters().to_vec();
        let progress = self
            .raw
            .raft
            .prs()
            .iter()
            .filter(|(id, p)| **id != self.replica.0 && voters.contains(id) && p.recent_active);
        progress
            .max_by_key(|(id, p)| (p.matched, std::cmp::Reverse(**id)))
            .map(|(id, _)| ReplicaId(*id))
    }

    /// Of these voters the one that has most of the log and lives.
    pub fn best_of(&self, among: &[ReplicaId], now: Now) -> Option<ReplicaId> {
        let close = among.iter().filter(|id| self.is_close(**id, now));
        close
            .max_by_key(|id| {
                let matched = self.raw.raft.prs().get(id.0).map_or(0, |p| p.matched);
                (matched, std::cmp::Reverse(**id))
            })
            .copied()
    }

    /// Where the replicas live, as a snapshot says.
    pub fn set_members(&mut self, members: BTreeMap<ReplicaId, NodeId>) {
        self.members = members;
    }

    /// A snapshot stands for everything up to `index`.
    pub fn applied_by_snapshot(&mut self, index: u64, term: u64) {
        self.raw.mut_store().set_applied((index, term));
        self.replay_to = self.replay_to.max(index);
    }

    /// Everything up to `index` is applied.
    pub fn applied(&mut self, index: u64, term: u64) {
        self.raw.mut_store().set_applied((index, term));
        self.raw.advance_apply_to(index);
    }

    /// What goes with a message on its way: (`sent_at`, `echo`).
    pub fn stamps(&self, message: &Message, now: Now) -> (u64, u64) {
        let (term, leader, at) = self.heard;
        let echo = if term == self.term() && leader.0 == message.to && message.term == term {
            at
        } else {
            0
        };
        (if self.is_leader() { now.mono_us } else { 0 }, echo)
    }

    /// The node that a message goes to.
    pub fn node_of(&self, message: &Message) -> Option<NodeId> {
        self.members.get(&ReplicaId(message.to)).copied()
    }

    // ---- inside ----

    fn turn(&self) -> (u64, StateRole) {
        (self.raw.raft.term, self.raw.raft.state)
    }

    /// raft-rs draws timeouts from the thread's randomness whenever it resets; ours come from the seed.
    fn after(&mut self, before: (u64, StateRole)) {
        if self.turn() != before {
            if self.is_leader() {
                let term = self.term();
                self.lease.begin(term);
            }
            self.transferring = false;
            self.draw_timeout();
        } else if self.raw.raft.randomized_election_timeout() != self.timeout {
            self.raw.raft.set_randomized_election_timeout(self.timeout);
        }
    }

    fn draw_timeout(&mut self) {
        let span = (ELECTION_TICKS_MAX - ELECTION_TICKS) as u64;
        self.timeout = ELECTION_TICKS + (next_random(&mut self.random) % span) as usize;
        self.raw.raft.set_randomized_election_timeout(self.timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(to: u64, index: u64, entries: &[u64]) -> Message {
        let mut message = Message {
            to,
            index,
            term: 3,
            log_term: 2,
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgAppend);
        message.entries = entries
            .iter()
            .map(|&index| Entry {
                index,
                term: 2,
                ..Default::default()
            })
            .collect::<Vec<_>>()
            .into();
        message
    }

    #[test]
    fn appends_are_joined_only_where_one_begins_at_the_others_end() {
        let joined = join_appends(vec![
            append(1, 9, &[]),
            append(2, 4, &[5, 6]),
            append(1, 9, &[10]),
            append(1, 10, &[11]),
            append(2, 6, &[7]),
        ]);
        assert_eq!(
            joined,
            vec![append(1, 9, &[10, 11]), append(2, 4, &[5, 6, 7])]
        );
        // After a refusal: entry 9 does not follow an append that stands behind 9.
        let apart = vec![append(1, 9, &[]), append(1, 8, &[9])];
        assert_eq!(join_appends(apart.clone()), apart);
    }
}
