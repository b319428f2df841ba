//! The world of a run: nodes, network, clients, and the heap of events that moves true time on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use kv_core::api::Operation;
use kv_core::ids::{GroupId, NodeId};
use kv_core::meta::View;
use kv_core::meta::wire::Change;
use kv_core::partition::ReadResult;
use kv_core::shard::{Input, Output, Request};
use kv_core::store::{Batch, KeyRange, Keyspace, Reader as _, Store as _};
use kv_core::ticket::Pass;
use kv_core::{api, read, transactions, version, wire};
use kv_model::encoding::record::Record;

use super::checker::{self, Verdict};
use super::clock::Clock;
use super::counts::Counts;
use super::disk::Pending;
use super::invariants::Invariants;
use super::invariants::change_log::ChangeLogs;
use super::invariants::coverage;
use super::invariants::indexes::Indexes;
use super::ledger::{LEDGER, Ledger};
use super::network::Network;
use super::node::{Node, Process, SHARDS};
use super::random::Random;
use super::schedule::{FAULTS_END_US, Fault, Plan, plan};
use super::trace::Trace;
use super::workload::{CHURN, Ended, Mode, Open, PARTITIONS, TABLE, Workload, caller};
use super::{Options, Outcome, RUN_US, bootstrap};

/// After the faults have ended, every partition must have served a write and a strong read that began this much later, µs.
const RECOVERY_US: u64 = 8_000_000;
/// A client stops waiting for an answer after this long, µs.
const CLIENT_PATIENCE_US: u64 = 12_000_000;
const MILLISECOND: u64 = 1_000;
/// How often a lie changes, µs.
const LIE_EVERY_US: usize = 250_000;
/// Clients are quiet at the end, so that indexes can catch up, µs.
const QUIET_US: u64 = 3_000_000;

/// Something that happens at a moment of true time.
#[derive(Debug)]
pub(super) enum Event {
    Frame {
        from: u64,
        frame: Bytes,
    },
    /// A shard has something to do, or its time has come.
    Wake {
        shard: u32,
    },
    /// The running sync of the log ends.
    Synced,
    Read {
        shard: u32,
        id: u64,
        group: GroupId,
        operation: Operation,
        raw: bool,
    },
    Input {
        shard: u32,
        input: Box<Input>,
    },
    Install {
        shard: u32,
        group: GroupId,
        stage: u64,
        clear: Vec<KeyRange>,
        batch: Batch,
    },
    /// A front end reads under a ticket, and shows it again.
    TicketRead {
        token: u64,
        group: GroupId,
        row: Bytes,
        pass: Pass,
    },
    TicketCheck {
        token: u64,
        group: GroupId,
        pass: Pass,
        found: Option<Bytes>,
    },
}

#[derive(Debug)]
pub(super) enum What {
    /// In one life of a node.
    At {
        node: u64,
        life: u64,
        event: Event,
    },
    Client(usize),
    Patience(u64),
    Transactor(usize),
    TransactorPatience(u64),
    Fault(Fault),
    Tables,
    Nodes,
    Splits,
    SplitOf(GroupId),
    Sample,
}

pub struct World {
    seed: u64,
    pub(super) random: Random,
    pub(super) at_us: u64,
    pub(super) sequence: u64,
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// Payloads of the heap.
    pending: BTreeMap<usize, What>,
    next_slot: usize,
    pub(super) nodes: Vec<Node>,
    /// Events of suspended nodes.
    parked: BTreeMap<u64, Vec<Event>>,
    pub(super) network: Network,
    pub(super) workload: Workload,
    pub(super) ledger: Ledger,
    invariants: Invariants,
    pub(super) plan: Plan,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) failure: Option<String>,
    pub(super) bootstrapped: bool,
    pub(super) healed: bool,
    next_uuid: u64,
    /// By partition: when a write and a strong read last succeeded.
    progress: Vec<(u64, u64)>,
}

impl World {
    pub fn new(options: Options) -> World {
        let Options { seed, with_text } = options;
        let mut random = Random::new(seed);
        let plan = plan(seed, &mut random.fork());
        let nodes = (1..=plan.nodes)
            .map(|id| {
                let clock = Clock::new(
                    0,
                    1_000_000 * random.between(1, 1_000_000),
                    plan.drift_ppm[id as usize - 1],
                );
                Node::new(id, clock, plan.flush_log_bytes)
            })
            .collect();
        let workload = Workload::new(plan.nodes, random.fork());
        let ledger = Ledger::new(random.fork());
        let mut world = World {
            seed,
            random,
            at_us: 0,
            sequence: 0,
            heap: BinaryHeap::new(),
            pending: BTreeMap::new(),
            next_slot: 0,
            nodes,
            parked: BTreeMap::new(),
            network: Network::default(),
            workload,
            ledger,
            invariants: Invariants::default(),
            plan,
            trace: Trace::new(with_text),
            counts: Counts::default(),
            failure: None,
            bootstrapped: false,
            healed: false,
            next_uuid: 0,
            progress: vec![(0, 0); PARTITIONS as usize],
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for (at, fault) in std::mem::take(&mut self.plan.faults) {
            self.push(at, What::Fault(fault));
        }
        for client in 0..self.workload.clients {
            let at = self.random.below(100 * MILLISECOND);
            self.push(at, What::Client(client));
        }
        self.begin_ledger();
        self.push(50 * MILLISECOND, What::Tables);
        self.push(3_000 * MILLISECOND, What::Nodes);
        self.push(2_000 * MILLISECOND, What::Splits);
        self.push(700 * MILLISECOND, What::Sample);
        for node in 1..=self.plan.nodes {
            self.start(node);
        }
    }

    /// Gossip lies from now on, also after everything else has healed.
    pub fn with_lying_gossip(mut self) -> World {
        let mut random = Random::new(!self.seed);
        // A lie is a fault: what must have caught up once clients are quiet is not slowed down by more of them. Until then a lie may cost a
        // detour to a node that is dead, a second each.
        let quiet_at = RUN_US - QUIET_US;
        for at in (0..=quiet_at).step_by(LIE_EVERY_US) {
            let is_truth = at + LIE_EVERY_US as u64 > quiet_at;
            for node in 1..=self.plan.nodes {
                let suspects = if is_truth { 0 } else { random.next_u64() };
                self.push(at, What::Fault(Fault::Gossip { node, suspects }));
            }
        }
        self
    }

    /// Runs to the end, or to the first thing that is broken.
    pub fn run(mut self) -> Outcome {
        while self.failure.is_none() {
            let Some(Reverse((at, _, slot))) = self.heap.pop() else {
                break;
            };
            if at > RUN_US {
                break;
            }
            self.at_us = at;
            self.sequence += 1;
            self.counts.events += 1;
            let Some(what) = self.pending.remove(&slot) else {
                continue;
            };
            self.happen(what);
        }
        if self.failure.is_none() {
            self.finish();
        }
        self.outcome()
    }

    fn outcome(mut self) -> Outcome {
        for node in &mut self.nodes {
            for cell in &node.cells {
                self.counts.add_core(&cell.shard.counts);
            }
            self.counts.torn_tails += kv_core::store::memory::MemoryLog::torn_tails(&node.disk.log);
        }
        self.counts.add_tally(&self.workload.tally);
        self.counts.add_ledger(&self.ledger.tally);
        self.counts.frames_lost += self.network.lost;
        self.counts.frames_duplicated += self.network.duplicated;
        if let Some(why) = &self.failure {
            self.trace
                .note(self.at_us, &[1], || format!("FAILED: {why}"));
        }
        let digest = self.trace.digest();
        Outcome {
            seed: self.seed,
            counts: self.counts,
            digest,
            text: self.trace.into_text(),
            failure: self.failure,
        }
    }

    // ---- events ----

    pub(super) fn push(&mut self, at: u64, what: What) {
        self.next_slot += 1;
        self.pending.insert(self.next_slot, what);
        self.heap
            .push(Reverse((at, self.next_slot as u64, self.next_slot)));
    }

    /// In the present life of a node.
    fn push_at(&mut self, after_us: u64, node: u64, event: Event) {
        let life = self.nodes[node as usize - 1].life;
        self.push(self.at_us + after_us, What::At { node, life, event });
    }

    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(super) fn fail(&mut self, why: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(why.into());
        }
    }

    fn check(&mut self, result: super::invariants::Result) {
        if let Err(why) = result {
            self.fail(why);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::At { node, life, event } => {
                let target = self.node(node);
                if target.life != life {
                    return;
                }
                if target.process == Process::Suspended {
                    self.parked.entry(node).or_default().push(event);
                } else {
                    self.happen_at(node, event);
                }
            }
            What::Client(client) => self.begin_operation(client),
            What::Patience(token) => {
                if let Some(client) = self.workload.abandon(token) {
                    self.think(client);
                }
            }
            What::Transactor(client) => self.begin_transaction(client),
            What::TransactorPatience(token) => self.abandon_transaction(token),
            What::Fault(fault) => self.strike(fault),
            What::Tables => self.tend_tables(),
            What::Nodes => self.tend_nodes(),
            What::Splits => self.tend_splits(),
            What::SplitOf(group) => self.split_of(group),
            What::Sample => {
                self.sample();
                let next = self.at_us + 300 * MILLISECOND + self.random.below(400 * MILLISECOND);
                self.push(next, What::Sample);
            }
        }
    }

    fn happen_at(&mut self, node: u64, event: Event) {
        match event {
            Event::Frame { from, frame } => self.arrive(node, from, frame),
            Event::Wake { shard } => {
                let at = self.at_us;
                let cell = &mut self.node(node).cells[shard as usize];
                if cell.wake_at.is_some_and(|wake| wake <= at) {
                    cell.wake_at = None;
                    self.step(node, shard);
                }
            }
            Event::Synced => self.synced(node),
            Event::Read {
                shard,
                id,
                group,
                operation,
                raw,
            } => {
                let result = self.read(node, &operation, raw);
                let most = if self.random.chance(100) {
                    self.nodes[node as usize - 1].disk.speed.read_us
                } else {
                    20
                };
                let after = self.random.below(most);
                let input = Box::new(Input::Read { id, group, result });
                self.push_at(after, node, Event::Input { shard, input });
            }
            Event::Input { shard, input } => self.feed(node, shard, *input),
            Event::Install {
                shard,
                group,
                stage,
                clear,
                batch,
            } => {
                if self
                    .node(node)
                    .disk
                    .store
                    .install(stage, &clear, &batch)
                    .is_err()
                {
                    return self.crash(node);
                }
                self.feed(node, shard, Input::Installed(group));
            }
            Event::TicketRead {
                token,
                group,
                row,
                pass,
            } => {
                if let Some(ticket) = self.node(node).view.ticket(group) {
                    ticket.meter.read(&row, 0);
                }
                let found = self
                    .node(node)
                    .disk
                    .store
                    .get(Keyspace::Data, &row)
                    .ok()
                    .flatten();
                let after = self.pause();
                self.push_at(
                    after,
                    node,
                    Event::TicketCheck {
                        token,
                        group,
                        pass,
                        found,
                    },
                );
            }
            Event::TicketCheck {
                token,
                group,
                pass,
                found,
            } => self.ticket_check(node, token, group, pass, found),
        }
    }

    /// How long a front end's thread may be held up.
    fn pause(&mut self) -> u64 {
        match self.random.below(100) {
            0 => self.random.below(2_000 * MILLISECOND),
            1..10 => self.random.below(50 * MILLISECOND),
            _ => self.random.below(200),
        }
    }

    /// Resumes a suspended node: everything that came meanwhile happens now.
    pub(super) fn resume(&mut self, node: u64) {
        if self.node(node).process != Process::Suspended {
            return;
        }
        self.node(node).process = Process::Running;
        for event in self.parked.remove(&node).unwrap_or_default() {
            let after = self.random.below(300);
            self.push_at(after, node, event);
        }
    }

    // ---- nodes ----

    pub(super) fn start(&mut self, id: u64) {
        let (nodes, at) = (self.plan.nodes, self.at_us);
        if self.node(id).process != Process::Off {
            return;
        }
        let mut random = self.random.fork();
        let node = self.node(id);
        match node.start(nodes, at, &mut random) {
            Ok(_) if node.flipped => {
                return self.fail(format!("node {id} started on a log with a flipped bit"));
            }
            Ok(logs) => {
                let result = self.invariants.on_recovered(id, &logs);
                self.check(result);
            }
            Err(super::node::Refused::Corrupt(_)) if node.flipped => {
                node.process = Process::Gone;
                self.counts.bits_flipped_and_refused += 1;
                return;
            }
            Err(why) => return self.fail(format!("node {id} does not start: {why:?}")),
        }
        if self.node(id).life > 1 {
            self.counts.restarts += 1;
        }
        self.trace
            .note(at, &[2, id], || format!("node {id} starts"));
        for shard in 0..SHARDS {
            if id == 1 && shard == 0 && !self.bootstrapped {
                let state = Box::new(bootstrap::metadata(nodes));
                self.node(id).cells[0].inbox.push(Input::Bootstrap(state));
            }
            self.wake(id, shard, 0);
        }
    }

    pub(super) fn crash(&mut self, id: u64) {
        if !matches!(self.node(id).process, Process::Running | Process::Suspended) {
            return;
        }
        let at = self.at_us;
        self.trace
            .note(at, &[3, id], || format!("node {id} crashes"));
        self.counts.crashes += 1;
        let cores: Vec<_> = self.node(id).cells.iter().map(|c| c.shard.counts).collect();
        cores.iter().for_each(|core| self.counts.add_core(core));
        let mut random = self.random.fork();
        self.node(id).crash(&mut random);
        if random.chance(300) {
            self.node(id)
                .clock
                .reboot(at, 1_000_000 * random.between(1, 1_000_000));
        }
        self.parked.remove(&id);
        self.invariants.on_crash(id);
        let lost: Vec<u64> = self
            .workload
            .open
            .iter()
            .filter(|(_, open)| open.node == id)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            if let Some(client) = self.workload.abandon(token) {
                self.think(client);
            }
        }
        self.abandon_transactions(id);
    }

    pub(super) fn wake(&mut self, node: u64, shard: u32, after_us: u64) {
        let at = self.at_us + after_us;
        let cell = &mut self.node(node).cells[shard as usize];
        if cell.wake_at.is_none_or(|wake| at < wake) {
            cell.wake_at = Some(at);
            self.push_at(after_us, node, Event::Wake { shard });
        }
    }

    /// Gives a shard an input; it is stepped a moment later, with whatever else has come by then.
    pub(super) fn feed(&mut self, node: u64, shard: u32, input: Input) {
        self.node(node).cells[shard as usize].inbox.push(input);
        let most = if self.random.chance(10) {
            3 * MILLISECOND
        } else {
            40
        };
        let after = 1 + self.random.below(most);
        self.wake(node, shard, after);
    }

    fn step(&mut self, id: u64, shard: u32) {
        let at = self.at_us;
        let node = self.node(id);
        let now = node.clock.now(at);
        let inputs = node.take_inputs(shard, at);
        let numbers = [4, id, u64::from(shard), inputs.len() as u64];
        let words = self
            .trace
            .has_text()
            .then(|| inputs.iter().map(input_words).collect::<Vec<_>>());
        let outputs = self.node(id).cells[shard as usize].shard.step(inputs, now);
        self.trace.note(at, &numbers, || {
            format!("node {id}.{shard} steps on {words:?}")
        });
        let life = self.node(id).life;
        for output in outputs {
            if let Some(left) = &mut self.node(id).crash_after {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.counts.crashes_between_outputs += 1;
                    self.crash(id);
                }
            }
            if self.node(id).life != life {
                return;
            }
            self.execute(id, shard, output);
        }
        if self.node(id).life != life {
            return;
        }
        self.observe(id, shard);
        let cell = &self.node(id).cells[shard as usize];
        let next = cell.shard.next_time();
        let due = self.node(id).clock.when(next, at);
        self.wake(id, shard, due.max(at + 1) - at);
    }

    fn observe(&mut self, id: u64, shard: u32) {
        let at = self.at_us;
        let node = &self.nodes[id as usize - 1];
        let mono_us = node.clock.mono_us(at);
        let cell = &node.cells[shard as usize];
        let mut result = self.invariants.on_step(id, node.life, &cell.shard, mono_us);
        for (group, _) in cell.shard.inspect() {
            if result.is_err() || group.id == GroupId::META {
                continue;
            }
            // What its tickets say, rather than what it should be.
            let until = group.lease_until();
            let true_until = if until > mono_us {
                node.clock.when(until.min(mono_us + 10_000_000), at)
            } else {
                at
            };
            result = self.invariants.on_lease(id, group.id, at, true_until);
        }
        for (state, until) in cell.shard.leases() {
            if result.is_err() {
                break;
            }
            let true_until = match until > mono_us {
                true => node.clock.when(until.min(mono_us + 10_000_000), at),
                false => at,
            };
            result = self.invariants.on_service(id, state, at, true_until);
        }
        self.check(result);
    }

    // ---- outputs ----

    fn execute(&mut self, id: u64, shard: u32, output: Output) {
        let at = self.at_us;
        match output {
            Output::Send { to, lane: _, frame } => self.send(id, to, frame),
            Output::Append {
                number,
                writes,
                sync,
            } => {
                let sum = writes
                    .iter()
                    .flat_map(|w| &w.entries)
                    .fold(0, |sum, e| sum ^ e.index << 20 ^ e.term);
                self.trace.note(at, &[5, id, number, sum], || {
                    format!(
                        "node {id}.{shard} appends {number}: {}",
                        brief(&format!("{writes:?}"))
                    )
                });
                self.invariants
                    .note_replicas(&self.nodes[id as usize - 1].cells[shard as usize].shard);
                let result = self.invariants.on_append(&writes);
                self.check(result);
                let mut random = self.random.fork();
                match self.node(id).disk.append(
                    Pending {
                        shard,
                        number,
                        writes,
                        sync,
                    },
                    &mut random,
                ) {
                    Ok(Some(after)) => self.push_at(after, id, Event::Synced),
                    Ok(None) => {}
                    Err(_) => self.crash(id),
                }
            }
            Output::Write(batch) => {
                if self.node(id).disk.store.write(&batch).is_err() {
                    self.crash(id);
                }
            }
            Output::Read {
                id: read,
                group,
                operation,
                raw,
            } => {
                let most = self.node(id).disk.speed.read_us;
                let after = if self.random.chance(500) {
                    0
                } else {
                    self.random.below(most)
                };
                let event = Event::Read {
                    shard,
                    id: read,
                    group,
                    operation,
                    raw,
                };
                if after == 0 {
                    self.happen_at(id, event)
                } else {
                    self.push_at(after, id, event)
                }
            }
            Output::Reply { token, result } => self.reply(id, token, result),
            Output::MetaReply {
                token: _,
                result: _,
            } => {}
            Output::Transacted { token, result } => self.transacted(token, result),
            Output::Flush(number) => {
                let after = 100 + {
                    let most = self.node(id).disk.speed.flush_us;
                    self.random.below(most)
                };
                if self.node(id).disk.store.flush().is_err() {
                    return self.crash(id);
                }
                self.push_at(
                    after,
                    id,
                    Event::Input {
                        shard,
                        input: Box::new(Input::Flushed(number)),
                    },
                );
            }
            Output::Install {
                group,
                stage,
                clear,
                batch,
            } => {
                let after = self.random.below(20 * MILLISECOND);
                self.push_at(
                    after,
                    id,
                    Event::Install {
                        shard,
                        group,
                        stage,
                        clear,
                        batch,
                    },
                );
            }
            Output::Mark(version) => {
                let disk = &mut self.node(id).disk;
                disk.version = disk.version.max(version);
            }
            Output::View(view) => {
                let result = self.invariants.on_view(&view);
                self.check(result);
                self.trace.note(at, &[6, id, view.revision()], || {
                    format!("node {id} sees revision {}", view.revision())
                });
                self.node(id).view = view.clone();
                self.bootstrapped = true;
                for other in (0..SHARDS).filter(|other| *other != shard) {
                    self.feed(id, other, Input::View(view.clone()));
                }
            }
            Output::Measure {
                group,
                range,
                cut_above,
            } => {
                let store = &self.node(id).disk.store;
                let bytes = store.approximate_bytes(&range).unwrap_or(0);
                let cuts = match bytes > cut_above {
                    true => store.split_sample(&range, 15).unwrap_or_default(),
                    false => Vec::new(),
                };
                self.counts.splits_by_size += u64::from(bytes > cut_above);
                let input = Box::new(Input::Measured { group, bytes, cuts });
                let after = self.random.below(50 * MILLISECOND);
                self.push_at(after, id, Event::Input { shard, input });
            }
            Output::Birth(birth) => {
                let shard = wire::shard_of(birth.state.group(), SHARDS);
                self.feed(id, shard, Input::Birth(birth));
            }
            Output::Fatal(fatal) => self.fail(format!("node {id} gives up: {fatal}")),
            snapshots => self.execute_snapshot(id, shard, snapshots),
        }
    }

    fn execute_snapshot(&mut self, id: u64, shard: u32, output: Output) {
        if let Output::OpenSnapshot { ranges, .. } = &output
            && let Some(range) = ranges.iter().find(|r| r.keyspace == Keyspace::Data)
        {
            self.on_snapshot_opened(id, &range.start);
        }
        let node = self.node(id);
        let done = match output {
            Output::OpenSnapshot { transfer, ranges } => node.open_snapshot(transfer, ranges),
            Output::ReadSnapshot {
                transfer,
                max_bytes,
            } => match node.read_snapshot(transfer, max_bytes) {
                Ok(Some(piece)) => {
                    let after = self.random.below(3 * MILLISECOND);
                    return self.push_at(
                        after,
                        id,
                        Event::Input {
                            shard,
                            input: Box::new(piece),
                        },
                    );
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
            Output::CloseSnapshot(transfer) => {
                node.close_snapshot(transfer);
                Ok(())
            }
            Output::Stage { stage, pairs } => node.disk.store.stage(stage, &pairs),
            Output::Unstage(stage) => node.disk.store.unstage(stage),
            other => {
                return self.fail(format!(
                    "an output that the simulation does not know: {other:?}"
                ));
            }
        };
        if done.is_err() {
            self.crash(id);
        }
    }

    fn synced(&mut self, id: u64) {
        let mut random = self.random.fork();
        let (done, next) = match self.node(id).disk.synced(&mut random) {
            Ok(done) => done,
            Err(_) => return self.crash(id),
        };
        for pending in done {
            let result = self.invariants.on_synced(id, &pending.writes);
            self.check(result);
            self.feed(id, pending.shard, Input::Appended(pending.number));
        }
        if let Some(after) = next {
            self.push_at(after, id, Event::Synced);
        }
    }

    fn read(&mut self, id: u64, operation: &Operation, raw: bool) -> ReadResult {
        let store = &self.node(id).disk.store;
        match operation {
            Operation::Get(get) if raw => match store.get(Keyspace::Data, &get.row) {
                Ok(record) => ReadResult::Record(record),
                Err(error) => ReadResult::Failed(error.to_string()),
            },
            Operation::Get(get) => match read::get(store, get) {
                Ok(got) => ReadResult::Answer(api::Answer::Got(got)),
                Err(error) => ReadResult::Failed(error.to_string()),
            },
            Operation::Page(page) => match read::page(store, page) {
                Ok(paged) => ReadResult::Answer(api::Answer::Paged(paged)),
                Err(read::Error::Request(error)) => ReadResult::Invalid(error.to_string()),
                Err(read::Error::Store(error)) => ReadResult::Failed(error.to_string()),
            },
            Operation::Entries(entries) => {
                let found = entries.entries.iter();
                let found = found
                    .map(|entry| store.get(Keyspace::Data, &entry.row))
                    .collect();
                match found {
                    Ok(records) => ReadResult::Records(records),
                    Err(error) => ReadResult::Failed(error.to_string()),
                }
            }
            Operation::Rows(rows) => match read::rows(store, rows) {
                Ok(rows) => ReadResult::Answer(api::Answer::Rows(rows)),
                Err(error) => ReadResult::Failed(error.to_string()),
            },
            Operation::Write(_) | Operation::Prepare(_) | Operation::Finish(_) => {
                ReadResult::Failed("a write is not read".to_owned())
            }
        }
    }

    // ---- frames ----

    fn send(&mut self, from: u64, to: NodeId, frame: Bytes) {
        let sum = crc32fast::hash(&frame);
        self.trace
            .note(self.at_us, &[7, from, to.0, u64::from(sum)], || {
                format!("node {from} to {to}: {}", words_of(&frame))
            });
        if to.0 == from {
            let after = 5 + self.random.below(30);
            return self.push_at(after, from, Event::Frame { from, frame });
        }
        if to.0 == 0 || to.0 > self.plan.nodes {
            return self.fail(format!(
                "node {from} sends to node {to}, which there is not"
            ));
        }
        if self.random.chance(2) {
            self.send_by_old_route(from, to.0, &frame);
        }
        let (at, random) = (self.at_us, &mut self.random);
        for after in self
            .network
            .delays(from, to.0, at, random)
            .into_iter()
            .flatten()
        {
            self.push_at(
                after,
                to.0,
                Event::Frame {
                    from,
                    frame: frame.clone(),
                },
            );
        }
    }

    /// The same request from a gateway whose map is older than the last change of the partition's range.
    fn send_by_old_route(&mut self, from: u64, to: u64, frame: &Bytes) {
        let Ok(wire::Frame::One {
            wall_ms,
            kind: wire::Kind::Forward(forward),
        }) = wire::decode(frame, |_| false)
        else {
            return;
        };
        let id = wire::RequestId {
            origin: u64::MAX - 1,
            ..forward.id
        };
        let target = wire::Target::Group(GroupId(forward.group));
        let old = wire::Forward {
            id,
            range_version: forward.range_version - 1,
            // A sender of its own, whose numbers nobody else uses.
            reply_shard: u32::MAX,
            ..forward
        };
        self.push_at(
            500,
            to,
            Event::Frame {
                from,
                frame: wire::encode(version::FIRST, target, wall_ms, wire::Kind::Forward(old)),
            },
        );
    }

    fn arrive(&mut self, node: u64, from: u64, frame: Bytes) {
        if !self.node(node).is_running() {
            return;
        }
        let Ok(target) = wire::target(&frame) else {
            return self.fail(format!("node {from} sent a frame that can't be read"));
        };
        for shard in (0..SHARDS).filter(|shard| target.is_for(*shard, SHARDS)) {
            self.feed(node, shard, Input::Frame(NodeId(from), frame.clone()));
        }
    }

    // ---- clients ----

    fn think(&mut self, client: usize) {
        let after = 2 * MILLISECOND + self.random.below(80 * MILLISECOND);
        self.push(self.at_us + after, What::Client(client));
    }

    fn begin_operation(&mut self, client: usize) {
        if self.at_us > RUN_US - QUIET_US {
            return;
        }
        self.workload.pass_time(self.at_us);
        if let Some(node) = self.workload.home(client) {
            return self.begin_local_read(client, node);
        }
        let node = 1 + self.random.below(self.plan.nodes);
        let view = self.node(node).view.clone();
        let table = view
            .state
            .table_named(super::workload::ACCOUNT, TABLE)
            .map(|t| t.id);
        let Some(table) = table.filter(|_| self.node(node).is_running()) else {
            return self.think(client);
        };
        if self.random.chance(20) {
            self.churn_write(node, &view);
        }
        let (token, open) = self.workload.begin(client, node, self.sequence);
        self.push(self.at_us + CLIENT_PATIENCE_US, What::Patience(token));
        self.trace
            .note(self.at_us, &[8, client as u64, node, token], || {
                format!(
                    "client {client} asks node {node} ({token}): {:?} of item {}",
                    open.op, open.key
                )
            });
        if open.mode == Mode::Ticket {
            let row = self.workload.row(open.key, table);
            let now = self.nodes[node as usize - 1].clock.now(self.at_us);
            if let Some((group, pass)) = view.route(&row).and_then(|r| {
                Some((
                    r.group.group(),
                    r.ticket.strong(r.group.range_version, now)?,
                ))
            }) {
                let after = self.pause();
                return self.push_at(
                    after,
                    node,
                    Event::TicketRead {
                        token,
                        group,
                        row,
                        pass,
                    },
                );
            }
        }
        self.request(token, &open, table);
    }

    /// A client that stays at a node reads an item that the node may answer for by itself, or waits until there is one.
    fn begin_local_read(&mut self, client: usize, node: u64) {
        let view = self.node(node).view.clone();
        let table = view
            .state
            .table_named(super::workload::ACCOUNT, TABLE)
            .map(|t| t.id);
        let Some(table) = table.filter(|_| self.node(node).is_running()) else {
            return self.think(client);
        };
        let now = self.nodes[node as usize - 1].clock.now(self.at_us);
        for key in self.workload.keys_in_turn() {
            let row = self.workload.row(key, table);
            let pass = view.route(&row).and_then(|r| {
                Some((
                    r.group.group(),
                    r.ticket.strong(r.group.range_version, now)?,
                ))
            });
            if let Some((group, pass)) = pass {
                let token = self.workload.begin_read(client, key, node, self.sequence);
                self.push(self.at_us + CLIENT_PATIENCE_US, What::Patience(token));
                self.trace
                    .note(self.at_us, &[11, client as u64, node, token], || {
                        format!("client {client} reads item {key} at node {node} ({token})")
                    });
                let after = self.pause();
                let event = Event::TicketRead {
                    token,
                    group,
                    row,
                    pass,
                };
                return self.push_at(after, node, event);
            }
        }
        self.think(client);
    }

    fn request(&mut self, token: u64, open: &Open, table: u64) {
        let operation = self.workload.operation(open, table);
        let patience = match self.workload.home(open.client) {
            Some(_) => 100 * MILLISECOND,
            None => 200 * MILLISECOND + self.random.below(3_500 * MILLISECOND),
        };
        let at = self.at_us;
        let shard = self.random.below(u64::from(SHARDS)) as u32;
        let deadline_us = self.node(open.node).clock.mono_us(at) + patience;
        let request = Request {
            token,
            caller: caller(),
            operation,
            deadline_us,
        };
        self.feed(open.node, shard, Input::Request(request));
    }

    fn ticket_check(
        &mut self,
        node: u64,
        token: u64,
        group: GroupId,
        pass: Pass,
        found: Option<Bytes>,
    ) {
        let Some(open) = self.workload.open.get(&token).cloned() else {
            return;
        };
        let view = self.node(node).view.clone();
        let now = self.nodes[node as usize - 1].clock.now(self.at_us);
        if view
            .ticket(group)
            .is_some_and(|ticket| ticket.still_strong(pass, now))
        {
            let payload = found
                .as_ref()
                .and_then(|record| Record::parse(record).ok())
                .map(|r| r.payload);
            let ended = self.workload.on_ticket_read(token, payload, self.sequence);
            return self.ended(open.client, ended);
        }
        match view
            .state
            .table_named(super::workload::ACCOUNT, TABLE)
            .map(|t| t.id)
        {
            Some(table) => self.request(token, &open, table),
            None => self.fail(format!("node {node} has forgotten the table")),
        }
    }

    fn reply(&mut self, node: u64, token: u64, result: Result<api::Answer, api::Error>) {
        if Ledger::is_token(token) {
            return self.ledger_reply(token, result);
        }
        let Some(open) = self.workload.open.get(&token).cloned() else {
            return;
        };
        self.trace.note(self.at_us, &[9, node, token], || {
            format!(
                "node {node} answers {token}: {}",
                brief(&format!("{result:?}"))
            )
        });
        let view = self.node(node).view.clone();
        let table = view
            .state
            .table_named(super::workload::ACCOUNT, TABLE)
            .map_or(0, |t| t.id);
        let ended = self
            .workload
            .on_reply(token, result, &view, table, self.sequence);
        self.acknowledge(&view, table, &ended);
        self.ended(open.client, ended);
    }

    fn acknowledge(&mut self, view: &View, table: u64, ended: &Ended) {
        if let Ended::Acknowledged { key, version } = ended {
            if let Some(route) = view.route(&self.workload.row(*key, table)) {
                let result = self
                    .invariants
                    .on_acknowledged(route.group.group(), *version);
                self.check(result);
            }
        }
    }

    fn ended(&mut self, client: usize, ended: Ended) {
        match ended {
            Ended::Acknowledged { key, .. } => {
                self.progress[self.workload.keys[key].partition].0 = self.at_us
            }
            Ended::Read { key } => self.progress[self.workload.keys[key].partition].1 = self.at_us,
            Ended::Nothing => {}
            Ended::Wrong(why) => self.fail(why),
        }
        self.think(client);
    }

    // ---- tables ----

    /// The checked table is made once; the other comes and goes.
    fn tend_tables(&mut self) {
        let next = self.at_us + 300 * MILLISECOND + self.random.below(1_500 * MILLISECOND);
        self.push(next, What::Tables);
        let node = 1 + self.random.below(self.plan.nodes);
        if !self.node(node).is_running() || !self.bootstrapped {
            return;
        }
        let view = self.node(node).view.clone();
        let named = |name| view.state.table_named(super::workload::ACCOUNT, name);
        let records = view
            .state
            .table_named(transactions::ACCOUNT, transactions::TABLE);
        self.next_uuid += 1;
        let uuid = format!("{:032x}", self.next_uuid);
        let change = match (named(TABLE), named(CHURN)) {
            (None, _) => bootstrap::create_table(TABLE, self.next_uuid, PARTITIONS),
            _ if records.is_none() => Change::CreateTable(transactions::create_table(uuid, 1)),
            _ if named(LEDGER).is_none() => {
                bootstrap::create_table(LEDGER, self.next_uuid, PARTITIONS)
            }
            (Some(_), None) => {
                self.counts.tables_created += 1;
                bootstrap::create_table(CHURN, self.next_uuid, 1)
            }
            (Some(_), Some(churn)) if churn.expiry.is_none() => bootstrap::expire(CHURN),
            (Some(_), Some(_)) if self.random.chance(600) => return,
            (Some(_), Some(_)) => {
                self.counts.tables_deleted += 1;
                Change::DeleteTable(bootstrap::table_name(CHURN))
            }
        };
        let deadline_us =
            self.nodes[node as usize - 1].clock.mono_us(self.at_us) + 3_000 * MILLISECOND;
        self.feed(
            node,
            0,
            Input::Meta {
                token: 0,
                change,
                deadline_us,
            },
        );
    }

    fn churn_write(&mut self, node: u64, view: &View) {
        let Some(table) = view.state.table_named(super::workload::ACCOUNT, CHURN) else {
            return;
        };
        let wall_ms = self.nodes[node as usize - 1].clock.now(self.at_us).wall_ms;
        let operations = self.workload.churn_writes(table.id, wall_ms / 1000);
        let deadline_us =
            self.nodes[node as usize - 1].clock.mono_us(self.at_us) + 2_000 * MILLISECOND;
        for operation in operations {
            self.feed(
                node,
                0,
                Input::Request(Request {
                    token: 0,
                    caller: caller(),
                    operation,
                    deadline_us,
                }),
            );
        }
    }

    // ---- looking ----

    fn sample(&mut self) {
        for node in &self.nodes {
            for cell in &node.cells {
                if let Err(why) = self.invariants.sample(&cell.shard, &node.disk.store) {
                    return self.fail(format!("node {}: {why}", node.id));
                }
            }
        }
    }

    /// What leaders hold of the checked table's indexes against what they hold of the table.
    fn indexes_match(&self) -> Result<(), String> {
        let views = self.nodes.iter().map(|node| &node.view);
        let Some(view) = views.max_by_key(|view| view.revision()) else {
            return Ok(());
        };
        for name in [TABLE, LEDGER] {
            let Some(table) = view.state.table_named(super::workload::ACCOUNT, name) else {
                continue;
            };
            let mut indexes = Indexes::default();
            for node in &self.nodes {
                for cell in &node.cells {
                    indexes.add(&cell.shard, &node.disk.store, table)?;
                }
            }
            indexes
                .check()
                .map_err(|why| format!("table {name}: {why}"))?;
        }
        Ok(())
    }

    /// The change logs of all replicas against their data and what was acknowledged.
    fn logs_match(&self) -> Result<(), String> {
        let mut logs = ChangeLogs::default();
        for node in &self.nodes {
            for cell in &node.cells {
                logs.add(node.id, &cell.shard, &node.disk.store)?;
            }
        }
        let acknowledged = self.workload.acknowledged.values().flatten();
        logs.check(acknowledged.map(|(version, row)| (*version, row)))
    }

    /// The partitions of the checked table and its index, as led and as recorded.
    fn ranges_match(&self) -> Result<(), String> {
        let views = self.nodes.iter().map(|node| &node.view);
        let Some(view) = views.max_by_key(|view| view.revision()) else {
            return Ok(());
        };
        let Some(table) = view.state.table_named(super::workload::ACCOUNT, TABLE) else {
            return Ok(());
        };
        let indexes = table.indexes.iter().filter(|index| !index.local);
        for keyspace in indexes.map(|index| index.id).chain([table.id]) {
            let recorded = view.state.groups_of(keyspace);
            let recorded = recorded.map(|g| (g.start.clone(), g.end.clone()));
            coverage::check(keyspace, recorded.collect(), "the metadata")?;
            let shards = self.nodes.iter().flat_map(|node| &node.cells);
            let replicas = shards.flat_map(|cell| cell.shard.inspect());
            let led = replicas.filter(|(g, state)| g.is_leader() && state.table == keyspace);
            let led = led.map(|(_, state)| (state.start.clone(), state.end.clone()));
            coverage::check(keyspace, led.collect(), "their leaders")?;
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.sample();
        for (partition, (write, read)) in self.progress.clone().into_iter().enumerate() {
            if write.min(read) < FAULTS_END_US + RECOVERY_US {
                self.fail(format!("no progress: partition {partition} served its last write at {write} µs, its last strong read at {read} µs"));
            }
        }
        let tokens: Vec<u64> = self.workload.open.keys().copied().collect();
        for token in tokens {
            self.workload.abandon(token);
        }
        if let Err(why) = self.logs_match().and_then(|()| self.ranges_match()) {
            return self.fail(why);
        }
        if let Err(why) = self.check_ledger() {
            return self.fail(why);
        }
        if let Err(why) = self.indexes_match() {
            return self.fail(why);
        }
        for (key, calls) in self.workload.histories.iter().enumerate() {
            match checker::check(calls) {
                Verdict::Linearizable => {}
                Verdict::Violation { explained, stuck } => {
                    return self.fail(format!("item {key}: not linearizable after {explained} of {} operations, at {stuck:?}", calls.len()));
                }
                Verdict::Undecided => {
                    return self.fail(format!(
                        "item {key}: the search for an order of {} operations was given up",
                        calls.len()
                    ));
                }
            }
        }
        for (key, seen, at) in &self.workload.eventual {
            if !checker::eventual_read_is_founded(&self.workload.histories[*key], *seen, *at) {
                return self.fail(format!(
                    "item {key}: an eventual read saw {seen:?}, which nobody wrote"
                ));
            }
        }
    }
}

/// What a frame says, in short.
fn words_of(frame: &Bytes) -> String {
    match wire::decode(frame, |_| true) {
        Ok(wire::Frame::One { kind, .. }) => brief(&format!("{kind:?}")),
        Ok(wire::Frame::Raft { messages, .. }) => {
            let words = messages.iter().map(|raft| {
                let m = &raft.message;
                let (kind, refused) = (m.get_msg_type(), if m.reject { format!(" refused, has {}", m.reject_hint) } else { String::new() });
                let entries: Vec<_> = m.entries.iter().map(|e| (e.index, e.term)).collect();
                let context = if m.context.is_empty() { "" } else { " with context" };
                format!("[group {} {kind:?} {}→{} term {} at {}@{} {entries:?} commit {}{refused}{context}]", raft.group, m.from, m.to, m.term, m.index, m.log_term, m.commit)
            });
            words.collect()
        }
        Err(error) => error.to_string(),
    }
}

/// An input, in short.
fn input_words(input: &Input) -> String {
    match input {
        Input::Frame(from, frame) => format!("from {from}: {}", words_of(frame)),
        other => brief(&format!("{other:?}")),
    }
}

/// The beginning of a long text.
fn brief(text: &str) -> String {
    text.chars().take(160).collect()
}
