//! A shard: one state machine of many groups. A node runs one a core; all of them look the same to other nodes.
//!
//! ```text
//!   inputs ─► [ gateway │ partitions │ metadata replica │ snapshots ] ─► outputs, in the order in which the rim executes them
//! ```
//! [`Shard::step`] takes what has happened since the last step and the time, and returns what is to be done. It reads no clock, no
//! file and no randomness, so that a run is a function of its inputs: the simulator runs whole clusters of this very code.

mod feeder;
mod follow;
mod gateway;
mod groups;
mod heat;
pub mod io;
mod learned;
mod members;
mod metadata;
mod recover;
mod replay;
mod sizes;
mod snapshots;
mod splits;
mod territory;
mod transactions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use self::feeder::Feeder;
pub use self::gateway::GATEWAY_STEP_US;
use self::gateway::{Act, Gateway};
use self::groups::Replica;
pub use self::io::{Fatal, Input, Lane, MetaError, Output, Request};
pub use self::metadata::Governed;
use self::metadata::Sends;
pub use self::recover::Error as RecoverError;
use self::replay::Replays;
use self::snapshots::{Receivers, Senders, Sent};
pub use self::territory::Territory;
use self::transactions::Coordinator;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::View;
use crate::meta::wire::{MetaReply, MetaRequest};
use crate::partition::command::ReplicaState;
use crate::partition::{Effect, Effects, Mood, ReplyTo};
use crate::store::{LogWrite, RecoveredLog};
use crate::time::{CLOCK_AHEAD_MS, Now, TICK_US};
use crate::version::{self, NEWEST};
use crate::wire::{
    self, Forward, ForwardReply, Frame, Kind, RaftFrame, Refusal, RequestId, Target, shard_of,
};

/// Bytes of log in memory after which the engine is flushed, so that it can be truncated.
const FLUSH_LOG_BYTES: usize = 32 << 20;
/// The engine is flushed this often even if little was written, µs.
const FLUSH_US: u64 = 60_000_000;
/// Ticks between two tries of a node whose disk is nearly full to hand over what it leads.
const FULL_HAND_OVER_TICKS: u64 = 300;
/// A raft frame is sent when it has this many bytes.
const RAFT_FRAME_BYTES: usize = 256 << 10;
/// A forwarded request may not ask to be remembered for longer than this, ms.
const DEADLINE_MAX_MS: u64 = 120_000;

/// What a shard is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    pub shard: u32,
    /// Shards of this node.
    pub shards: u32,
    /// Of all randomness.
    pub seed: u64,
    /// This start of the node: a counter and a nonce.
    pub incarnation: u64,
    pub nonce: u64,
    /// The version that the disk is marked with.
    pub version: u32,
    /// Nodes that may know the metadata, before any are known here.
    pub seeds: Vec<NodeId>,
    /// Bytes of log after which the engine is flushed; 0: the default.
    pub flush_log_bytes: usize,
    /// Pause between two looks for expired items over a partition, µs; 0: the default.
    pub expire_us: u64,
    /// Tombstones of global indexes are kept for so long at least, ms; 0: the default.
    pub tombstone_ms: u64,
    /// Requests a second from which on a partition may be too much for its node; 0: the default.
    pub hot_requests: u32,
    /// Who holds which rows, shared by all shards of the node.
    pub territory: Arc<Territory>,
}

/// What has happened in a shard, for metrics and for the simulator's proof that it exercised something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub elections: u64,
    pub snapshots_sent: u64,
    pub snapshots_installed: u64,
    pub truncations: u64,
    pub not_applied: u64,
    pub duplicate_requests: u64,
    pub expired_leases: u64,
    pub read_indexes: u64,
    pub votes_held: u64,
    pub applied: u64,
    pub flushes: u64,
    pub stale_routes: u64,
    pub bad_frames: u64,
    /// Requests that the network brought a second time.
    pub replays: u64,
    /// Requests with entries of global indexes that were acknowledged.
    pub index_entries: u64,
    /// Requests to forget tombstones of global indexes.
    pub tombstones_purged: u64,
    /// Items that expired and were deleted.
    pub expired_items: u64,
    /// Age of the oldest change that a global index may lack, as of the last tick, ms.
    pub index_lag_ms: u64,
    /// Transactions that were committed, and those that were aborted, by coordinators here.
    pub transactions_committed: u64,
    pub transactions_aborted: u64,
    /// Intents of attempts whose coordinator is late or gone that were ended.
    pub intents_resolved: u64,
    /// Changes of members that were proposed, and replicas that were left behind by one.
    pub member_changes: u64,
    pub replicas_left: u64,
    /// Groups that were handed over for their load.
    pub leads_moved: u64,
    /// Splits that replicas applied.
    pub splits: u64,
    /// Votes asked of replicas that were not here yet, and kept for them.
    pub early_votes: u64,
    /// Replicas that waited here when their parent was split, were found again by replaying it, or had left their group by then.
    pub children_met: u64,
    pub children_replayed: u64,
    pub children_declined: u64,
    /// Snapshots that came while another replica held some of their rows.
    pub snapshots_held_back: u64,
    /// Commands applied, pictures of the metadata seen and reports heard that had what the version after this one adds.
    #[cfg(feature = "next")]
    pub next_commands: u64,
    #[cfg(feature = "next")]
    pub next_records: u64,
    #[cfg(feature = "next")]
    pub next_reports: u64,
}

#[derive(Debug)]
struct MetaPending {
    token: Option<u64>,
    request: MetaRequest,
    deadline_us: u64,
    next_at: u64,
    tries: u32,
}

/// The state of a shard.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    now: Now,
    last_tick: u64,
    ticks: u64,
    steps: u64,
    replicas: BTreeMap<GroupId, Replica>,
    /// Logs found at the start whose group is not known yet.
    orphans: BTreeMap<ReplicaId, RecoveredLog>,
    /// The last replica of the metadata group that was here and has left it; none up to it is made again. Partitions need no such mark:
    /// their replicas are made only by a view that is as new as this start of the node, while a metadata replica must be able to begin
    /// before there is a view.
    buried: Option<ReplicaId>,
    /// State found at the start whose log is gone: a removal that was interrupted, or a loss.
    remains: BTreeMap<GroupId, ReplicaState>,
    view: Arc<View>,
    /// The version that is written here: the disk is marked with it before any output that has something of it.
    version: u32,
    registered: bool,
    gateway: Gateway,
    /// Changes of the metadata that this node wants.
    meta_pending: BTreeMap<RequestId, MetaPending>,
    meta_hint: Option<NodeId>,
    registering: bool,
    /// The metadata as watched, where no replica of them is here.
    followed: crate::meta::MetaState,
    senders: Senders,
    receivers: Receivers,
    next_request: u64,
    next_read: u64,
    append: u64,
    flush: u64,
    /// The running flush: its number, and what was applied when it began.
    flushing: Option<(u64, Vec<(GroupId, u64)>)>,
    flushed_at: u64,
    want_flush: bool,
    /// Entries applied when the last flush began.
    flushed_applied: u64,
    /// Replicas that are being destroyed: the append that removes the log, and what then goes from the engine.
    leaving: BTreeMap<GroupId, (u64, ReplicaId, crate::store::Batch)>,
    splitting: splits::Splitting,
    sizes: sizes::Sizes,
    heats: heat::Heats,
    /// Processor time of the node a second, µs.
    cpu_us: u64,
    /// What the start found has been replayed.
    begun: bool,
    /// Groups that wait for an append.
    awaiting: BTreeMap<u64, BTreeSet<GroupId>>,
    mood: Mood,
    /// Requests sent to each node, and those taken from each.
    forwarded: BTreeMap<NodeId, u64>,
    replays: Replays,
    /// How far the wall clock of each node is ahead of this one's, ms.
    clocks: BTreeMap<NodeId, i64>,
    handing_over: bool,
    feeder: Feeder,
    coordinator: Coordinator,
    pub counts: Counts,

    // of the running step
    dirty: BTreeSet<GroupId>,
    local: VecDeque<Kind>,
    writes: Vec<LogWrite>,
    wrote: BTreeSet<GroupId>,
    sync: bool,
    frames: BTreeMap<NodeId, RaftFrame>,
    out: Vec<Output>,
}

impl Shard {
    /// Processes what has happened by `now`.
    pub fn step(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now) -> Vec<Output> {
        self.now = now;
        self.steps += 1;
        self.release_rows();
        if !std::mem::replace(&mut self.begun, true) {
            // What is known to be committed is applied before anything else happens.
            while let Some(group) = self.dirty.pop_first() {
                self.drive(group);
            }
        }
        for input in inputs {
            self.on_input(input);
        }
        let mut acts = Vec::new();
        self.gateway.on_time(&self.view, now, &mut acts);
        self.perform(acts);
        loop {
            if let Some(kind) = self.local.pop_front() {
                self.on_kind(self.config.node, kind);
            } else if let Some(group) = self.dirty.pop_first() {
                self.drive(group);
            } else {
                break;
            }
        }
        for (to, frame) in std::mem::take(&mut self.frames) {
            self.out.push(Output::Send {
                to,
                lane: Lane::Small,
                frame: frame.finish(self.version),
            });
        }
        if !self.writes.is_empty() {
            self.append += 1;
            self.awaiting
                .insert(self.append, std::mem::take(&mut self.wrote));
            let writes = std::mem::take(&mut self.writes);
            self.out.push(Output::Append {
                number: self.append,
                writes,
                sync: std::mem::take(&mut self.sync),
            });
        }
        std::mem::take(&mut self.out)
    }

    /// Monotonic µs by which a step is wanted even if nothing happens.
    pub fn next_time(&self) -> u64 {
        let tick = self.last_tick + TICK_US;
        self.gateway.next_time().map_or(tick, |at| {
            at.max(self.now.mono_us + GATEWAY_STEP_US / 10).min(tick)
        })
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether the node takes part: the cluster knows this start of it, and its partitions are here.
    pub fn is_ready(&self) -> bool {
        self.registered
    }

    /// Partitions here: (replicas, those that this node leads, those without a known leader).
    pub fn census(&self) -> (u64, u64, u64) {
        let partitions = || {
            self.replicas
                .values()
                .filter(|r| r.group.id != GroupId::META)
        };
        let led = partitions().filter(|r| r.group.is_leader()).count();
        let leaderless = partitions().filter(|r| r.group.leader().is_none()).count();
        (partitions().count() as u64, led as u64, leaderless as u64)
    }

    /// What the leader of the metadata knows of all groups; `None` elsewhere.
    pub fn governed(&self) -> Option<Governed> {
        let metadata = self.replicas.get(&GroupId::META)?.metadata()?;
        metadata.governed(self.now)
    }

    /// Groups that this node leads and that others could lead.
    pub fn led_with_others(&self) -> u64 {
        self.replicas
            .values()
            .filter(|r| r.group.is_leader() && r.group.voters().len() > 1)
            .count() as u64
    }

    /// The consensus state and what is applied, for invariants.
    pub fn inspect(&self) -> impl Iterator<Item = (&crate::consensus::Group, &ReplicaState)> {
        self.replicas.values().map(|r| (&r.group, r.state()))
    }

    /// Until when each partition here answers strong reads by itself, monotonic µs; 0: it does not.
    pub fn leases(&self) -> impl Iterator<Item = (&ReplicaState, u64)> {
        self.replicas.values().filter_map(|r| {
            let partition = r.partition()?;
            let until = match partition.is_serving() {
                true => partition.lease_until(&r.group),
                false => 0,
            };
            Some((&partition.state, until))
        })
    }

    /// Bytes and counts that are bounded: (log bytes, requests remembered, requests under way).
    pub fn memory(&self) -> (usize, usize, usize) {
        let log = self.replicas.values().map(|r| r.group.log().bytes()).sum();
        let remembered = self
            .replicas
            .values()
            .filter_map(Replica::partition)
            .map(|p| p.requests.len())
            .sum();
        let load: usize = self
            .replicas
            .values()
            .filter_map(Replica::partition)
            .map(|p| p.load())
            .sum();
        (
            log,
            remembered,
            load + self.gateway.len() + self.coordinator.len(),
        )
    }

    /// Hands one group's leadership to another replica (tests and balance).
    pub fn transfer(&mut self, group: GroupId, to: NodeId) {
        if let Some(replica) = self.replicas.get_mut(&group) {
            let target = replica
                .group
                .members()
                .iter()
                .find(|(_, node)| **node == to)
                .map(|(id, _)| *id);
            if let Some(target) = target {
                replica.group.transfer(target);
                self.dirty.insert(group);
            }
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Tick => self.on_tick(),
            Input::Frame(from, frame) => self.on_frame(from, &frame),
            Input::Request(request) => {
                let id = self.request_id();
                let mut acts = Vec::new();
                self.gateway.start(
                    id,
                    request,
                    None,
                    self.config.shard,
                    &self.view,
                    self.now,
                    &mut acts,
                );
                self.perform(acts);
            }
            Input::Transact(transact) => self.on_transact(transact),
            Input::TransactRead(read) => self.on_transact_read(read),
            Input::Meta {
                token,
                change,
                deadline_us,
            } => self.ask_meta(Some(token), change, deadline_us),
            Input::Appended(number) => self.on_appended(number),
            Input::Read { id, group, result } if self.feeder.is_read(id) => {
                self.on_feed_read(id, group, result);
            }
            Input::Read { id, group, result } => {
                self.with_partition(group, |partition, group, now, fx| {
                    partition.on_read(group, id, result, now, fx)
                });
            }
            Input::Flushed(number) => self.on_flushed(number),
            Input::WantFlush => self.want_flush = true,
            Input::SnapshotPiece {
                transfer,
                pairs,
                done,
            } => self.on_piece(transfer, pairs, done),
            Input::Installed(group) => self.on_installed(group),
            Input::View(view) => self.on_view(view),
            Input::Suspects(suspects) => self.gateway.suspects = suspects,
            Input::RefuseWrites(refuse) => {
                self.mood.refuse_writes = refuse;
                if refuse {
                    self.hand_over();
                }
            }
            Input::RefuseEntries(refuse) => self.mood.refuse_entries = refuse,
            Input::HandOver => {
                self.handing_over = true;
                self.hand_over();
            }
            Input::Processor(us) => self.cpu_us = us,
            Input::Bootstrap(state) => self.bootstrap(*state),
            Input::Birth(birth) => self.adopt(*birth),
            Input::Measured { group, bytes, cuts } => self.on_measured(group, bytes, &cuts),
        }
    }

    fn on_tick(&mut self) {
        // A tick that comes early would shorten the promises that leases rest on.
        if self.now.mono_us < self.last_tick + TICK_US && self.ticks > 0 {
            return;
        }
        self.last_tick = self.now.mono_us;
        self.ticks += 1;
        let ids: Vec<GroupId> = self.replicas.keys().copied().collect();
        for id in ids {
            self.tick_group(id);
        }
        // With a full disk only now and then: where all disks are full, leaders would go round and round.
        let is_full = self.mood.refuse_writes && self.ticks.is_multiple_of(FULL_HAND_OVER_TICKS);
        if self.mood.clock_ahead || self.handing_over || is_full {
            self.hand_over();
        }
        self.tick_meta();
        self.tick_feeds();
        self.tick_transactions();
        self.drive_members();
        self.drive_splits();
        self.tick_sizes();
        self.tick_heat();
        let replicas = &self.replicas;
        let leads = |group: GroupId| replicas.get(&group).is_some_and(|r| r.group.is_leader());
        let sent = self.senders.tick(leads, self.now, &mut self.out);
        self.on_sent(sent);
        let settings = self.view.state.cluster.settings.as_ref();
        // A node's limit, shared by its shards.
        let limit = settings.map_or(0, |settings| settings.move_bytes_per_second);
        let limit = limit.div_ceil(u64::from(self.config.shards));
        self.senders.throttle(limit, self.now, &mut self.out);
        self.receivers.tick(self.now, &mut self.out);
        self.maybe_flush();
    }

    /// The cluster has a version, as a committed command, a picture of it, or a peer that knows of it says.
    fn learn_version(&mut self, version: u32) {
        if version <= self.version {
            return;
        }
        if version > NEWEST {
            let why = version::too_old(version, NEWEST);
            self.out.push(Output::Fatal(Fatal::OldBuild(why)));
            return;
        }
        self.version = version;
        self.out.push(Output::Mark(version));
    }

    fn on_frame(&mut self, from: NodeId, frame: &Bytes) {
        let version = wire::version(frame);
        // One that this build can't read is refused below: it is no word to end by.
        if version <= NEWEST {
            self.learn_version(version);
        }
        let (shard, shards) = (self.config.shard, self.config.shards);
        match wire::decode(frame, |group| shard_of(group, shards) == shard) {
            Ok(Frame::Raft { wall_ms, messages }) => {
                self.note_clock(from, wall_ms);
                for message in messages {
                    self.on_raft(from, message);
                }
            }
            Ok(Frame::One { wall_ms, kind }) => {
                self.note_clock(from, wall_ms);
                self.on_kind(from, kind);
            }
            Err(_) => self.counts.bad_frames += 1,
        }
    }

    /// A leader whose clock is far ahead of the others' would win every last-writer-wins for ever: it must not stamp.
    fn note_clock(&mut self, from: NodeId, wall_ms: u64) {
        if from == self.config.node || wall_ms == 0 {
            return;
        }
        self.clocks
            .insert(from, wall_ms as i64 - self.now.wall_ms as i64);
        let mut offsets: Vec<i64> = self.clocks.values().copied().chain([0]).collect();
        offsets.sort_unstable();
        self.mood.clock_ahead = offsets[offsets.len() / 2] < -(CLOCK_AHEAD_MS as i64);
    }

    fn on_kind(&mut self, from: NodeId, kind: Kind) {
        match kind {
            Kind::Forward(forward) => self.on_forward(from, forward),
            Kind::ForwardReply(reply) => {
                let mut acts = Vec::new();
                self.gateway
                    .on_reply(from, reply, &self.view, self.now, &mut acts);
                self.perform(acts);
            }
            Kind::SnapshotChunk(chunk) => self.on_chunk(from, chunk),
            Kind::SnapshotAck(ack) => {
                let sent = self.senders.on_ack(&ack, self.now, &mut self.out);
                self.on_sent(sent);
            }
            Kind::MetaRequest(request) => {
                let to = ReplyTo {
                    node: from,
                    shard: request.reply_shard,
                    attempt: 0,
                };
                self.on_meta_request(request, to);
            }
            Kind::MetaReply(reply) => self.on_meta_reply(reply),
            Kind::MetaWatch(watch) => {
                let now = self.now;
                self.with_metadata(|metadata, group, sends| {
                    metadata.on_watch(group, from, 0, watch.revision, now, sends)
                });
            }
            Kind::MetaEvents(events) => self.on_meta_events(events),
            Kind::Lead(lead) => self.on_lead(&lead),
            Kind::NodeReport(report) => {
                let now = self.now;
                #[cfg(feature = "next")]
                {
                    self.counts.next_reports += u64::from(report.version > 0);
                }
                self.with_metadata(|metadata, group, _| {
                    let making = !report.leads.is_empty() || !report.feeds.is_empty();
                    metadata.on_feeds(&report.feeds);
                    metadata.on_report(group, report, now);
                    if making {
                        metadata.housekeeping(group, false);
                    }
                });
            }
        }
    }

    // ---- requests ----

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        let Config {
            node,
            shard,
            incarnation,
            ..
        } = self.config;
        RequestId {
            origin: node.0 << 40 | u64::from(shard & 0xff) << 32 | incarnation & 0xffff_ffff,
            number: self.next_request,
        }
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Forward(to, mut forward) => {
                    if to != self.config.node {
                        let sent = self.forwarded.entry(to).or_default();
                        *sent += 1;
                        forward.sequence = *sent;
                    }
                    let target = Target::Group(GroupId(forward.group));
                    self.send(to, target, Lane::Small, Kind::Forward(forward));
                }
                Act::Reply { token, result } if Feeder::is_token(token) => {
                    self.on_feed_reply(token, result);
                }
                Act::Reply { token, result } if Coordinator::is_token(token) => {
                    self.on_transaction_reply(token, result);
                }
                Act::Reply { token, result } => self.out.push(Output::Reply { token, result }),
            }
        }
    }

    fn send_reply(&mut self, to: ReplyTo, reply: ForwardReply) {
        let reply = ForwardReply {
            attempt: to.attempt,
            ..reply
        };
        let target = Target::Shard(to.shard);
        self.send(to.node, target, Lane::Small, Kind::ForwardReply(reply));
    }

    fn on_forward(&mut self, from: NodeId, forward: Forward) {
        let incarnation = forward.id.origin & 0xffff_ffff;
        let twice = from != self.config.node
            && !self
                .replays
                .admit(from, forward.reply_shard, incarnation, forward.sequence);
        if twice {
            self.counts.replays += 1;
            return;
        }
        let to = ReplyTo {
            node: from,
            shard: forward.reply_shard,
            attempt: forward.attempt,
        };
        let group = GroupId(forward.group);
        let known = self
            .replicas
            .get(&group)
            .is_some_and(|r| r.partition().is_some());
        if !known || !self.registered {
            let reply = ForwardReply {
                id: forward.id,
                group: group.0,
                refusal: Some(Refusal::NotLeader as i32),
                ..Default::default()
            };
            return self.send_reply(to, reply);
        }
        if crate::time::Hybrid(forward.deadline).wall_ms() > self.now.wall_ms + DEADLINE_MAX_MS {
            let message = "the clock of the node that forwarded this is far ahead".to_owned();
            let reply = ForwardReply {
                id: forward.id,
                group: group.0,
                refusal: Some(Refusal::Throttled as i32),
                message,
                ..Default::default()
            };
            return self.send_reply(to, reply);
        }
        let mood = self.mood;
        self.meter(group, &forward);
        self.define(group);
        self.with_partition(group, |partition, group, now, fx| {
            partition.on_request(group, forward, to, mood, now, fx)
        });
    }

    /// Sends to a shard of a node, which may be this one.
    fn send(&mut self, to: NodeId, target: Target, lane: Lane, kind: Kind) {
        if to == self.config.node && target.is_for(self.config.shard, self.config.shards) {
            self.local.push_back(kind);
        } else {
            self.out.push(Output::Send {
                to,
                lane,
                frame: wire::encode(self.version, target, self.now.wall_ms, kind),
            });
        }
    }

    fn send_all(&mut self, sends: Sends) {
        for (to, kind) in sends {
            self.send(to.node, Target::Shard(to.shard), Lane::Small, kind);
        }
    }

    fn realise(&mut self, group: GroupId, fx: Effects) {
        self.next_read = fx.next_read;
        if !fx.batch.is_empty() {
            self.out.push(Output::Write(fx.batch));
        }
        for effect in fx.list {
            match effect {
                Effect::Read { id, operation } => {
                    let raw = self
                        .replicas
                        .get(&group)
                        .and_then(Replica::partition)
                        .is_some_and(|p| p.wants_record(id));
                    self.out.push(Output::Read {
                        id,
                        group,
                        operation,
                        raw,
                    });
                }
                Effect::Reply(to, reply) => {
                    if reply.refusal == Some(Refusal::StaleRoute as i32) {
                        self.counts.stale_routes += 1;
                    }
                    self.send_reply(to, reply);
                }
                Effect::Ask {
                    row,
                    number,
                    attempt,
                    abort,
                } => self.ask_record(group, row, number, attempt, abort),
            }
        }
    }

    fn on_meta_reply(&mut self, reply: MetaReply) {
        self.follow_meta_reply(reply);
    }

    fn on_sent(&mut self, sent: impl IntoIterator<Item = Sent>) {
        for sent in sent {
            match sent {
                Sent::Chunk(to, chunk) => self.send(
                    to,
                    Target::Group(GroupId(chunk.group)),
                    Lane::Bulk,
                    Kind::SnapshotChunk(chunk),
                ),
                Sent::Failed(group, to) => {
                    if let Some(replica) = self.replicas.get_mut(&group) {
                        replica.group.snapshot_failed(to);
                        self.dirty.insert(group);
                    }
                }
                Sent::Done(group, to) => {
                    if let Some(replica) = self.replicas.get_mut(&group) {
                        replica.group.snapshot_done(to);
                        self.dirty.insert(group);
                    }
                }
            }
        }
    }

    // ---- flushing ----

    fn maybe_flush(&mut self) {
        if self.flushing.is_some() {
            return;
        }
        let limit = self.flush_limit();
        let due = self.now.mono_us >= self.flushed_at + FLUSH_US
            && self.counts.applied > self.flushed_applied;
        if !self.want_flush && !due && self.log_bytes() < limit {
            return;
        }
        self.flushed_applied = self.counts.applied;
        self.want_flush = false;
        self.flush += 1;
        self.flushed_at = self.now.mono_us;
        let applied = self
            .replicas
            .iter()
            .map(|(id, r)| (*id, r.state().applied_index))
            .collect();
        self.flushing = Some((self.flush, applied));
        self.out.push(Output::Flush(self.flush));
    }

    /// Bytes of log at which the engine is flushed.
    fn flush_limit(&self) -> usize {
        if self.config.flush_log_bytes > 0 {
            self.config.flush_log_bytes
        } else {
            FLUSH_LOG_BYTES
        }
    }

    fn log_bytes(&self) -> usize {
        self.replicas.values().map(|r| r.group.log().bytes()).sum()
    }

    fn on_flushed(&mut self, number: u64) {
        let Some((_, applied)) = self.flushing.take_if(|(running, _)| *running == number) else {
            return;
        };
        self.counts.flushes += 1;
        for (group, index) in &applied {
            self.truncate(*group, *index);
        }
        self.splits_flushed(&applied);
    }
}
