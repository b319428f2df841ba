//! Snapshots on their way: chunks of limited size, one at a time, each acknowledged.
//!
//! ```text
//!   leader                                                  follower
//!   MsgSnapshot wanted ─► OpenSnapshot (engine as it is now,
//!      with its applied index, term and members)
//!   ReadSnapshot ─► piece ─► SnapshotChunk n ──────────────► Stage ─► SnapshotAck n+1
//!   ... last chunk carries the raft message and the state ──► raft takes it? ─► Install ─► Appended ─► follows
//! ```
//! Invariant: the index, term and members in the message are those of the moment when the engine was fixed, so that data and index
//! never come apart.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb;

use super::io::Output;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::mutants::{Mutant, active};
use crate::partition::command::{ReplicaState, content};
use crate::store::Keyspace;
use crate::time::Now;
use crate::wire::{Pair, SnapshotAck, SnapshotChunk};

/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 512 << 10;
/// Transfers that a shard sends, and that it receives, at a time.
const TRANSFERS_MAX: usize = 4;
const RESEND_US: u64 = 1_000_000;
const GIVE_UP_US: u64 = 10_000_000;
/// With a limit a piece is a quarter of a second's bytes, and this at least: the receiver gives up what is silent for long.
const PIECE_MIN: u64 = 16 << 10;
/// Lower limits count as this one, bytes a second.
const LIMIT_MIN: u64 = 8 << 10;
/// A replica that took a snapshot over has so long to say what it has, µs.
const DONE_US: u64 = 1_000_000;

#[derive(Debug)]
struct Sending {
    group: GroupId,
    to: (ReplicaId, NodeId),
    message: eraftpb::Message,
    state: ReplicaState,
    next: u64,
    /// The chunk that is not acknowledged.
    chunk: Option<SnapshotChunk>,
    last: bool,
    sent_at: u64,
    heard_at: u64,
    /// To a newcomer: such transfers share a limit. Who only fell behind is helped at once.
    is_move: bool,
    /// Bytes of the chunk, and of those before it, which are acknowledged.
    chunk_bytes: u64,
    acknowledged: u64,
}

/// Transfers that this shard sends.
#[derive(Debug, Default)]
pub struct Senders {
    sending: BTreeMap<u64, Sending>,
    next: u64,
    /// Transfers that have ended, and when that is old news, monotonic µs.
    done: Vec<(u64, GroupId, ReplicaId)>,
    throttle: Throttle,
    /// By group led here: bytes that newcomers have taken over.
    moved: BTreeMap<GroupId, u64>,
}

/// Bytes a second that moves may send: a bucket that holds those of one second.
#[derive(Debug, Default)]
struct Throttle {
    /// 0: no limit.
    limit: u64,
    budget: f64,
    refilled_at: u64,
    /// Transfers that wait for their next piece.
    waiting: VecDeque<u64>,
}

impl Throttle {
    fn piece(&self) -> usize {
        match self.limit {
            0 => CHUNK_BYTES,
            limit => (limit / 4).clamp(PIECE_MIN, CHUNK_BYTES as u64) as usize,
        }
    }

    fn refill(&mut self, limit: u64, now: Now) {
        let past = now.mono_us.saturating_sub(self.refilled_at);
        self.refilled_at = now.mono_us;
        self.limit = match limit {
            0 => 0,
            limit => limit.max(LIMIT_MIN),
        };
        let limit = self.limit as f64;
        self.budget = (self.budget + limit * past as f64 / 1e6).min(limit);
    }

    /// What is sent without a limit is not held against a later one.
    fn spend(&mut self, bytes: u64) {
        if self.limit > 0 {
            self.budget -= bytes as f64;
        }
    }

    fn holds_back(&self) -> bool {
        self.limit > 0 && self.budget <= 0.0
    }
}

/// What a sender wants done.
#[derive(Debug)]
pub enum Sent {
    Chunk(NodeId, SnapshotChunk),
    /// The transfer to this replica failed.
    Failed(GroupId, ReplicaId),
    /// It ended a while ago.
    Done(GroupId, ReplicaId),
}

impl Senders {
    pub fn group_of(&self, transfer: u64) -> Option<GroupId> {
        self.sending.get(&transfer).map(|s| s.group)
    }

    /// Begins a transfer of the state as it is at this point of the outputs; false if there are too many.
    pub fn begin(
        &mut self,
        mut message: eraftpb::Message,
        to: NodeId,
        state: &ReplicaState,
        origin: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let replica = ReplicaId(message.to);
        if self
            .sending
            .values()
            .any(|s| s.group == state.group() && s.to.0 == replica)
        {
            return true;
        }
        if self.sending.len() >= TRANSFERS_MAX {
            return false;
        }
        self.done
            .retain(|(_, group, to)| (*group, *to) != (state.group(), replica));
        let metadata = message.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (state.applied_index, state.applied_term);
        metadata.set_conf_state(state.conf_state());
        self.next += 1;
        let transfer = origin << 32 | self.next;
        out.push(Output::OpenSnapshot {
            transfer,
            ranges: content(state),
        });
        out.push(Output::ReadSnapshot {
            transfer,
            max_bytes: self.throttle.piece(),
        });
        let sending = Sending {
            group: state.group(),
            to: (replica, to),
            message,
            state: state.clone(),
            next: 0,
            chunk: None,
            last: false,
            sent_at: now.mono_us,
            heard_at: now.mono_us,
            is_move: state.learners.contains(&replica.0),
            chunk_bytes: 0,
            acknowledged: 0,
        };
        self.sending.insert(transfer, sending);
        true
    }

    /// A piece was read; `current` is the group's state by now.
    pub fn on_piece(
        &mut self,
        transfer: u64,
        pairs: Vec<(Keyspace, Bytes, Bytes)>,
        done: bool,
        current: &ReplicaState,
        reply_shard: u32,
        now: Now,
    ) -> Option<Sent> {
        let sending = self.sending.get_mut(&transfer)?;
        let mut chunk = SnapshotChunk {
            group: sending.group.0,
            transfer,
            to: sending.to.0.0,
            number: sending.next,
            reply_shard,
            ..Default::default()
        };
        chunk.pairs = pairs
            .into_iter()
            .map(|(keyspace, key, value)| Pair {
                keyspace: keyspace_number(keyspace),
                key,
                value,
            })
            .collect();
        if sending.next == 0 {
            (chunk.start, chunk.end) = (sending.state.start.clone(), sending.state.end.clone());
        }
        if done {
            if active(Mutant::SnapshotIndexApartFromData) {
                let metadata = sending.message.mut_snapshot().mut_metadata();
                let current = (current.applied_index, current.applied_term);
                (metadata.index, metadata.term) = current;
                (sending.state.applied_index, sending.state.applied_term) = current;
            }
            if active(Mutant::SnapshotAcrossRangeChange)
                && current.range_version != sending.state.range_version
            {
                let metadata = sending.message.mut_snapshot().mut_metadata();
                (metadata.index, metadata.term) = (current.applied_index, current.applied_term);
                sending.state = current.clone();
            }
            let bytes = sending.message.write_to_bytes().ok()?;
            chunk.message = Some(bytes.into());
            chunk.state = Some(prost::Message::encode_to_vec(&sending.state).into());
        }
        let sizes = chunk.pairs.iter().map(|p| p.key.len() + p.value.len());
        sending.chunk_bytes = sizes.sum::<usize>() as u64;
        if sending.is_move {
            self.throttle.spend(sending.chunk_bytes);
        }
        sending.last = done;
        sending.sent_at = now.mono_us;
        sending.chunk = Some(chunk.clone());
        Some(Sent::Chunk(sending.to.1, chunk))
    }

    pub fn on_ack(&mut self, ack: &SnapshotAck, now: Now, out: &mut Vec<Output>) -> Option<Sent> {
        let sending = self.sending.get_mut(&ack.transfer)?;
        sending.heard_at = now.mono_us;
        if ack.refused {
            return self.end(ack.transfer, true, out);
        }
        if ack.next != sending.next + 1 || sending.chunk.is_none() {
            return None;
        }
        let bytes = std::mem::take(&mut sending.chunk_bytes);
        sending.acknowledged += bytes;
        if sending.is_move {
            *self.moved.entry(sending.group).or_default() += bytes;
        }
        if sending.last {
            // Its receiver tells the leader once it is installed, and that word may be lost.
            let due = now.mono_us + DONE_US;
            self.done.push((due, sending.group, sending.to.0));
            return self.end(ack.transfer, false, out);
        }
        sending.next = ack.next;
        sending.chunk = None;
        if sending.is_move && self.throttle.holds_back() {
            self.throttle.waiting.push_back(ack.transfer);
        } else {
            out.push(Output::ReadSnapshot {
                transfer: ack.transfer,
                max_bytes: self.throttle.piece(),
            });
        }
        None
    }

    /// Bytes of a group that newcomers have taken over, in all and in the transfers under way.
    pub fn moved_bytes(&self, group: GroupId) -> (u64, u64) {
        let all = self.moved.get(&group).copied().unwrap_or(0);
        let moves = self.sending.values();
        let moves = moves.filter(|s| s.group == group && s.is_move);
        (all, moves.map(|s| s.acknowledged).sum())
    }

    /// Goes on with what waited for the limit, bytes a second; 0: none.
    pub fn throttle(&mut self, limit: u64, now: Now, out: &mut Vec<Output>) {
        self.throttle.refill(limit, now);
        let piece = self.throttle.piece();
        let mut left = self.throttle.budget;
        while self.throttle.limit == 0 || left > 0.0 {
            let Some(transfer) = self.throttle.waiting.pop_front() else {
                break;
            };
            if self.sending.contains_key(&transfer) {
                left -= piece as f64;
                out.push(Output::ReadSnapshot {
                    transfer,
                    max_bytes: piece,
                });
            }
        }
        for transfer in &self.throttle.waiting {
            // It is this side that is silent.
            if let Some(sending) = self.sending.get_mut(transfer) {
                sending.heard_at = now.mono_us;
            }
        }
    }

    fn end(&mut self, transfer: u64, failed: bool, out: &mut Vec<Output>) -> Option<Sent> {
        let sending = self.sending.remove(&transfer)?;
        out.push(Output::CloseSnapshot(transfer));
        failed.then_some(Sent::Failed(sending.group, sending.to.0))
    }

    /// Sends again what got no answer, gives up what has none for long, or whose group this node leads no longer.
    pub fn tick(
        &mut self,
        leads: impl Fn(GroupId) -> bool,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Vec<Sent> {
        self.moved.retain(|group, _| leads(*group));
        let mut sent = Vec::new();
        let mut ended = Vec::new();
        for (transfer, sending) in &mut self.sending {
            if now.mono_us > sending.heard_at + GIVE_UP_US || !leads(sending.group) {
                ended.push(*transfer);
            } else if let Some(chunk) = sending
                .chunk
                .as_ref()
                .filter(|_| now.mono_us > sending.sent_at + RESEND_US)
            {
                sending.sent_at = now.mono_us;
                sent.push(Sent::Chunk(sending.to.1, chunk.clone()));
            }
        }
        for transfer in ended {
            sent.extend(self.end(transfer, true, out));
        }
        for (due, group, to) in std::mem::take(&mut self.done) {
            if now.mono_us < due {
                self.done.push((due, group, to));
            } else {
                sent.push(Sent::Done(group, to));
            }
        }
        sent
    }
}

/// A snapshot that arrives.
#[derive(Debug)]
pub struct Receiving {
    transfer: u64,
    from: NodeId,
    next: u64,
    pub stage: u64,
    heard_at: u64,
    /// Pairs that the core keeps in memory too: request ids, metadata.
    pub kept: Vec<(Keyspace, Bytes, Bytes)>,
    pub state: Option<ReplicaState>,
}

/// Snapshots that arrive at this shard, one a group.
#[derive(Debug, Default)]
pub struct Receivers {
    receiving: BTreeMap<GroupId, Receiving>,
    next_stage: u64,
}

/// What became of a chunk.
#[derive(Debug)]
pub enum Received {
    /// Staged; the raft message, if it was the last.
    Staged(SnapshotAck, Option<eraftpb::Message>),
    Refused(SnapshotAck),
    Ignored,
}

impl Receivers {
    pub fn on_chunk(
        &mut self,
        from: NodeId,
        chunk: SnapshotChunk,
        origin: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Received {
        let group = GroupId(chunk.group);
        let ack = |next, refused| SnapshotAck {
            group: chunk.group,
            transfer: chunk.transfer,
            next,
            refused,
        };
        let known = self
            .receiving
            .get(&group)
            .is_some_and(|r| r.transfer == chunk.transfer && r.from == from);
        if !known {
            if chunk.number != 0 || self.receiving.len() >= TRANSFERS_MAX {
                return Received::Refused(ack(0, true));
            }
            self.forget(group, out);
            self.next_stage += 1;
            let stage = origin << 32 | self.next_stage;
            let fresh = Receiving {
                transfer: chunk.transfer,
                from,
                next: 0,
                stage,
                heard_at: now.mono_us,
                kept: Vec::new(),
                state: None,
            };
            self.receiving.insert(group, fresh);
        }
        let Some(receiving) = self.receiving.get_mut(&group) else {
            return Received::Ignored;
        };
        if chunk.number != receiving.next {
            // Known already, or its turn has not come.
            return if chunk.number < receiving.next {
                Received::Staged(ack(chunk.number + 1, false), None)
            } else {
                Received::Ignored
            };
        }
        receiving.heard_at = now.mono_us;
        receiving.next += 1;
        let next = receiving.next;
        let mut pairs = Vec::with_capacity(chunk.pairs.len());
        for pair in &chunk.pairs {
            let Some(keyspace) = keyspace_of(pair.keyspace) else {
                return Received::Refused(ack(0, true));
            };
            if matches!(keyspace, Keyspace::State | Keyspace::Meta) {
                receiving
                    .kept
                    .push((keyspace, pair.key.clone(), pair.value.clone()));
            }
            pairs.push((keyspace, pair.key.clone(), pair.value.clone()));
        }
        if !pairs.is_empty() {
            out.push(Output::Stage {
                stage: receiving.stage,
                pairs,
            });
        }
        let Some(bytes) = &chunk.message else {
            return Received::Staged(ack(next, false), None);
        };
        let state = chunk
            .state
            .as_ref()
            .and_then(|s| <ReplicaState as prost::Message>::decode(s.clone()).ok());
        let message = eraftpb::Message::parse_from_carllerche_bytes(bytes).ok();
        match (state, message) {
            (Some(state), Some(message)) => {
                receiving.state = Some(state);
                Received::Staged(ack(next, false), Some(message))
            }
            _ => Received::Refused(ack(0, true)),
        }
    }

    /// The state that came with a snapshot that is here whole.
    pub fn state_of(&self, group: GroupId) -> Option<&ReplicaState> {
        self.receiving.get(&group)?.state.as_ref()
    }

    /// Takes a snapshot that is here whole.
    pub fn take(&mut self, group: GroupId) -> Option<Receiving> {
        self.receiving.remove(&group)
    }

    pub fn forget(&mut self, group: GroupId, out: &mut Vec<Output>) {
        if let Some(old) = self.receiving.remove(&group) {
            out.push(Output::Unstage(old.stage));
        }
    }

    pub fn tick(&mut self, now: Now, out: &mut Vec<Output>) {
        let late: Vec<GroupId> = self
            .receiving
            .iter()
            .filter(|(_, r)| now.mono_us > r.heard_at + GIVE_UP_US)
            .map(|(g, _)| *g)
            .collect();
        for group in late {
            self.forget(group, out);
        }
    }
}

fn keyspace_number(keyspace: Keyspace) -> u32 {
    match keyspace {
        Keyspace::Data => 0,
        Keyspace::ChangeLog => 1,
        Keyspace::State => 2,
        Keyspace::Meta => 3,
    }
}

fn keyspace_of(number: u32) -> Option<Keyspace> {
    Keyspace::ALL.get(number as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::command::ReplicaState;

    fn now(mono_us: u64) -> Now {
        Now {
            mono_us,
            wall_ms: 0,
        }
    }

    /// A transfer to replica 7 of group 3 whose last chunk is acknowledged at time 0.
    fn done() -> Senders {
        let mut senders = Senders::default();
        let mut out = Vec::new();
        assert!(senders.begin(message(), NodeId(2), &state(), 1, now(0), &mut out));
        let transfer = *senders.sending.keys().next().unwrap();
        senders.on_piece(transfer, Vec::new(), true, &state(), 0, now(0));
        let ack = SnapshotAck {
            group: 3,
            transfer,
            next: 1,
            refused: false,
        };
        assert!(senders.on_ack(&ack, now(0), &mut out).is_none());
        senders
    }

    fn message() -> eraftpb::Message {
        eraftpb::Message {
            to: 7,
            ..Default::default()
        }
    }

    fn state() -> ReplicaState {
        ReplicaState {
            group: 3,
            applied_index: 9,
            applied_term: 1,
            ..Default::default()
        }
    }

    fn told(senders: &mut Senders, at: u64) -> usize {
        let sent = senders.tick(|_| true, now(at), &mut Vec::new());
        let done = |sent: &&Sent| matches!(sent, Sent::Done(GroupId(3), ReplicaId(7)));
        sent.iter().filter(done).count()
    }

    #[test]
    fn a_transfer_that_has_ended_is_told_of_once_after_a_while() {
        let mut senders = done();
        assert_eq!(told(&mut senders, DONE_US - 1), 0);
        assert_eq!(told(&mut senders, DONE_US), 1);
        assert_eq!(told(&mut senders, 2 * DONE_US), 0);
    }

    #[test]
    fn another_transfer_to_the_same_replica_makes_the_one_before_old_news() {
        let mut senders = done();
        assert!(senders.begin(message(), NodeId(2), &state(), 1, now(1), &mut Vec::new()));
        assert_eq!(told(&mut senders, DONE_US), 0);
    }

    #[test]
    fn a_limit_that_is_set_late_begins_anew() {
        let mut throttle = Throttle::default();
        throttle.refill(0, now(1_000_000));
        throttle.spend(1 << 40);
        throttle.refill(1 << 20, now(1_100_000));
        assert!(!throttle.holds_back());
    }

    #[test]
    fn moves_share_a_limit_and_who_fell_behind_does_not_wait() {
        let limit = 64 << 10;
        for (learner, waits) in [(7, true), (8, false)] {
            let mut senders = Senders::default();
            let mut out = Vec::new();
            senders.throttle(limit, now(0), &mut out);
            let state = ReplicaState {
                learners: vec![learner],
                ..state()
            };
            assert!(senders.begin(message(), NodeId(2), &state, 1, now(0), &mut out));
            let transfer = *senders.sending.keys().next().unwrap();
            let pairs = |n| vec![(Keyspace::Data, Bytes::from_static(b"k"), vec![0; n].into())];
            let wants = |out: &mut Vec<Output>| {
                let wanted = out.iter().any(|o| matches!(o, Output::ReadSnapshot { .. }));
                out.clear();
                wanted
            };
            assert!(wants(&mut out));
            senders.on_piece(transfer, pairs(100_000), false, &state, 0, now(0));
            let ack = SnapshotAck {
                group: 3,
                transfer,
                next: 1,
                refused: false,
            };
            senders.on_ack(&ack, now(0), &mut out);
            assert_eq!(wants(&mut out), !waits);
            senders.throttle(limit, now(1_000_000), &mut out);
            assert!(!wants(&mut out), "{} bytes are not due yet", 100_000);
            senders.throttle(limit, now(2_000_000), &mut out);
            assert_eq!(wants(&mut out), waits);
            let moved = if waits { 100_001 } else { 0 };
            assert_eq!(senders.moved_bytes(GroupId(3)), (moved, moved));
        }
    }
}
