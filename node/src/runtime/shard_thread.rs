//! A shard's thread: collects what has happened, steps the core, executes its outputs in their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use kv_core::api::{Answer, Error, Operation};
use kv_core::ids::{GroupId, NodeId};
use kv_core::meta::View;
use kv_core::meta::wire::Outcome;
use kv_core::partition::ReadResult;
use kv_core::read;
use kv_core::shard::io::{Transact, TransactRead};
use kv_core::shard::{Fatal, Input, MetaError, Output, Request, Shard};
use kv_core::store::{self, KeyRange, Keyspace, Snapshot, Store};
use kv_core::time::TICK_US;
use tokio::sync::oneshot;

use super::full::Patience;
use super::mailbox::{Event, Mailboxes, TransactResult};
use super::{FatalError, Network, OnFatal, OnVersion, deliver, engine_thread, log_thread};

/// Events that one step takes at most.
const EVENTS_A_STEP: usize = 1024;
/// Processor time is measured over so long at least, µs.
const MEASURE_US: u64 = 1_000_000;
/// Rows that a partition is sampled by when it is too large.
const CUTS: usize = 15;
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Whoever waits for an answer of the core.
pub enum Waiting {
    Request(oneshot::Sender<Result<Answer, Error>>),
    Meta(oneshot::Sender<Result<Outcome, MetaError>>),
    Transaction(oneshot::Sender<TransactResult>),
}

/// A snapshot of the engine that is being sent: what is left of it.
pub struct OpenSnapshot {
    snapshot: Box<dyn Snapshot>,
    ranges: Vec<KeyRange>,
    range: usize,
    from: Bytes,
}

pub struct ShardThread {
    pub shard: Shard,
    pub number: u32,
    pub receiver: Receiver<Event>,
    pub mailboxes: Arc<Mailboxes>,
    pub store: Arc<dyn Store>,
    pub log: Sender<log_thread::Job>,
    pub engine: Sender<engine_thread::Job>,
    pub network: Arc<dyn Network>,
    pub fatal: OnFatal,
    pub version: OnVersion,
    pub patience: Patience,
    pub waiting: HashMap<u64, Waiting>,
    pub snapshots: HashMap<u64, OpenSnapshot>,
    pub next_token: u64,
}

/// Processor time of this process so far, µs.
fn processor_us() -> u64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as u64 * 1_000_000 + spent.tv_nsec as u64 / 1000
}

impl ShardThread {
    pub fn run(mut self) {
        let mut inputs = Vec::new();
        let mut last_tick = self.mailboxes.clock.now().mono_us;
        let (mut measured_at, mut measured) = (last_tick, processor_us());
        // What the start itself wants done comes out with the first step.
        let mut more = self.step(&mut inputs);
        loop {
            if !more && !self.wait(&mut inputs) {
                return;
            }
            if !self.collect(&mut inputs) {
                return;
            }
            let now = self.mailboxes.clock.now().mono_us;
            if now >= last_tick + TICK_US {
                last_tick = now;
                inputs.push(Input::Tick);
                if now >= measured_at + MEASURE_US {
                    let (past, spent) = (now - measured_at, processor_us());
                    let rate = spent.saturating_sub(measured) * 1_000_000 / past;
                    inputs.push(Input::Processor(rate));
                    (measured_at, measured) = (now, spent);
                }
            }
            more = self.step(&mut inputs);
        }
    }

    /// Sleeps until something happens or time is up; false at the end.
    fn wait(&mut self, inputs: &mut Vec<Input>) -> bool {
        let now = self.mailboxes.clock.now().mono_us;
        let sleep =
            Duration::from_micros(self.shard.next_time().saturating_sub(now)).min(SLEEP_MAX);
        match self.receiver.recv_timeout(sleep) {
            Ok(event) => self.take(event, inputs),
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn collect(&mut self, inputs: &mut Vec<Input>) -> bool {
        while inputs.len() < EVENTS_A_STEP {
            match self.receiver.try_recv() {
                Ok(event) => {
                    if !self.take(event, inputs) {
                        return false;
                    }
                }
                Err(_) => break,
            }
        }
        true
    }

    fn take(&mut self, event: Event, inputs: &mut Vec<Input>) -> bool {
        match event {
            Event::Input(input) => inputs.push(input),
            Event::Request {
                caller,
                operation,
                deadline_us,
                reply,
            } => {
                let token = self.token(Waiting::Request(reply));
                inputs.push(Input::Request(Request {
                    token,
                    caller,
                    operation,
                    deadline_us,
                }));
            }
            Event::Meta {
                change,
                deadline_us,
                reply,
            } => {
                let token = self.token(Waiting::Meta(reply));
                inputs.push(Input::Meta {
                    token,
                    change,
                    deadline_us,
                });
            }
            Event::Transact(transact, reply) => {
                let token = self.token(Waiting::Transaction(reply));
                inputs.push(Input::Transact(Transact { token, ..transact }));
            }
            Event::TransactRead(read, reply) => {
                let token = self.token(Waiting::Transaction(reply));
                inputs.push(Input::TransactRead(TransactRead { token, ..read }));
            }
            Event::Inspect(look) => look(&self.shard),
            Event::Stop => return false,
        }
        true
    }

    fn token(&mut self, waiting: Waiting) -> u64 {
        self.next_token += 1;
        self.waiting.insert(self.next_token, waiting);
        self.next_token
    }

    /// One step and its outputs; returns whether there are inputs from it already.
    fn step(&mut self, inputs: &mut Vec<Input>) -> bool {
        let outputs = self
            .shard
            .step(inputs.drain(..), self.mailboxes.clock.now());
        for output in outputs {
            self.execute(output, inputs);
        }
        !inputs.is_empty()
    }

    fn execute(&mut self, output: Output, inputs: &mut Vec<Input>) {
        match output {
            Output::Send { to, lane, frame } if to != self.mailboxes.node => {
                self.network.send(to, lane, frame)
            }
            Output::Send { to, frame, .. } => deliver(&self.mailboxes, to, frame),
            Output::Append {
                number,
                writes,
                sync,
            } => {
                // The log thread ends only after the shards, unless it failed: then the process ends.
                let _ = self.log.send(log_thread::Job {
                    shard: self.number,
                    number,
                    writes,
                    sync,
                });
            }
            Output::Write(batch) => {
                // Committed: it must be applied before anything else is, so the shard waits with it.
                self.check("an apply", || self.store.write(&batch));
            }
            Output::Read {
                id,
                group,
                operation,
                raw,
            } => self.read(id, group, operation, raw, inputs),
            Output::Reply { token, result } => {
                if let Some(Waiting::Request(reply)) = self.waiting.remove(&token) {
                    // A client that has gone needs no answer.
                    let _ = reply.send(result);
                }
            }
            Output::MetaReply { token, result } => {
                if let Some(Waiting::Meta(reply)) = self.waiting.remove(&token) {
                    let _ = reply.send(result);
                }
            }
            Output::Transacted { token, result } => {
                if let Some(Waiting::Transaction(reply)) = self.waiting.remove(&token) {
                    let _ = reply.send(result);
                }
            }
            Output::Flush(number) => drop(self.engine.send(engine_thread::Job::Flush {
                shard: self.number,
                number,
            })),
            Output::Install {
                group,
                stage,
                clear,
                batch,
            } => {
                drop(self.engine.send(engine_thread::Job::Install {
                    shard: self.number,
                    group,
                    stage,
                    clear,
                    batch,
                }));
            }
            Output::Stage { stage, pairs } => {
                self.check("a snapshot's piece", || self.store.stage(stage, &pairs));
            }
            Output::Unstage(stage) => self.check("an unstage", || self.store.unstage(stage)),
            Output::OpenSnapshot { transfer, ranges } => match self.store.snapshot() {
                Ok(snapshot) => {
                    let from = ranges.first().map(|r| r.start.clone()).unwrap_or_default();
                    self.snapshots.insert(
                        transfer,
                        OpenSnapshot {
                            snapshot,
                            ranges,
                            range: 0,
                            from,
                        },
                    );
                }
                Err(error) => (self.fatal)(error.into()),
            },
            Output::ReadSnapshot {
                transfer,
                max_bytes,
            } => self.read_snapshot(transfer, max_bytes, inputs),
            Output::CloseSnapshot(transfer) => drop(self.snapshots.remove(&transfer)),
            // Waits for the disk: what comes behind may be of that version. It happens once a version.
            Output::Mark(version) => {
                if let Err(error) = (self.version)(version) {
                    (self.fatal)(error);
                }
            }
            Output::View(view) => self.publish(&view),
            Output::Measure {
                group,
                range,
                cut_above,
            } => self.measure(group, range, cut_above),
            Output::Birth(birth) => {
                let shards = self.mailboxes.senders.len() as u32;
                let shard = kv_core::wire::shard_of(birth.state.group(), shards);
                let sender = &self.mailboxes.senders[shard as usize];
                // Waits for a place, as a view does: nobody would bring it again. A shard that has ended needs it no more.
                let _ = sender.send(Event::Input(Input::Birth(birth)));
            }
            Output::Fatal(fatal) => (self.fatal)(match fatal {
                Fatal::Inconsistent(why) => FatalError::Corrupt(why),
                other => other.into(),
            }),
        }
    }

    fn check(&self, what: &str, attempt: impl FnMut() -> store::Result<()>) {
        if let Err(error) = self.patience.until_there_is_space(what, attempt) {
            (self.fatal)(error.into());
        }
    }

    /// Point reads are served at once: they mostly come from memory. Pages go to a thread of their own.
    fn read(
        &self,
        id: u64,
        group: GroupId,
        operation: Operation,
        raw: bool,
        inputs: &mut Vec<Input>,
    ) {
        match operation {
            Operation::Get(get) if raw => {
                let result = match self.store.get(Keyspace::Data, &get.row) {
                    Ok(record) => ReadResult::Record(record),
                    Err(error) => unreadable(error, &self.fatal),
                };
                inputs.push(Input::Read { id, group, result });
            }
            Operation::Get(get) => {
                let result = match read::get(&*self.store, &get) {
                    Ok(got) => ReadResult::Answer(Answer::Got(got)),
                    Err(error) => unreadable(error, &self.fatal),
                };
                inputs.push(Input::Read { id, group, result });
            }
            Operation::Page(page) => {
                let (store, mailboxes) = (self.store.clone(), self.mailboxes.clone());
                let fatal = self.fatal.clone();
                let run = move || {
                    let result = match read::page(&*store, &page) {
                        Ok(paged) => ReadResult::Answer(Answer::Paged(paged)),
                        Err(read::Error::Request(error)) => ReadResult::Invalid(error.to_string()),
                        Err(read::Error::Store(error)) => unreadable(error, &fatal),
                    };
                    let _ =
                        mailboxes.to_group(group, Event::Input(Input::Read { id, group, result }));
                };
                match tokio::runtime::Handle::try_current() {
                    Ok(runtime) => drop(runtime.spawn_blocking(run)),
                    Err(_) => run(),
                }
            }
            Operation::Entries(entries) => {
                let found = entries
                    .entries
                    .iter()
                    .map(|entry| self.store.get(Keyspace::Data, &entry.row))
                    .collect();
                let result = match found {
                    Ok(records) => ReadResult::Records(records),
                    Err(error) => unreadable(error, &self.fatal),
                };
                inputs.push(Input::Read { id, group, result });
            }
            Operation::Rows(rows) => {
                // Bounded by the asker; mostly of the change log, which is in memory.
                let result = match read::rows(&*self.store, &rows) {
                    Ok(rows) => ReadResult::Answer(Answer::Rows(rows)),
                    Err(error) => unreadable(error, &self.fatal),
                };
                inputs.push(Input::Read { id, group, result });
            }
            Operation::Write(_) | Operation::Prepare(_) | Operation::Finish(_) => {}
        }
    }

    /// On a thread of its own: it may look at many files.
    fn measure(&self, group: GroupId, range: KeyRange, cut_above: u64) {
        let (store, mailboxes) = (self.store.clone(), self.mailboxes.clone());
        let fatal = self.fatal.clone();
        let run = move || {
            let measured = store.approximate_bytes(&range).and_then(|bytes| {
                let cuts = match bytes > cut_above {
                    true => store.split_sample(&range, CUTS)?,
                    false => Vec::new(),
                };
                Ok((bytes, cuts))
            });
            match measured {
                // One that is lost is measured again.
                Ok((bytes, cuts)) => drop(
                    mailboxes.to_group(group, Event::Input(Input::Measured { group, bytes, cuts })),
                ),
                Err(error) => (fatal)(error.into()),
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(run)),
            Err(_) => run(),
        }
    }

    fn read_snapshot(&mut self, transfer: u64, max_bytes: usize, inputs: &mut Vec<Input>) {
        let Some(open) = self.snapshots.get_mut(&transfer) else {
            return;
        };
        let mut pairs: Vec<(Keyspace, Bytes, Bytes)> = Vec::new();
        let mut bytes = 0;
        while let Some(range) = open.ranges.get(open.range).cloned() {
            let part = KeyRange {
                start: open.from.clone(),
                ..range.clone()
            };
            let mut full = false;
            let scanned = open.snapshot.scan(&part, false, &mut |key, value| {
                bytes += key.len() + value.len();
                pairs.push((
                    range.keyspace,
                    Bytes::copy_from_slice(key),
                    Bytes::copy_from_slice(value),
                ));
                full = bytes >= max_bytes;
                !full
            });
            if let Err(error) = scanned {
                return (self.fatal)(error.into());
            }
            if full {
                // Go on right behind the last key.
                let mut next = pairs
                    .last()
                    .map(|(_, key, _)| key.to_vec())
                    .unwrap_or_default();
                next.push(0);
                open.from = next.into();
                break;
            }
            open.range += 1;
            open.from = open
                .ranges
                .get(open.range)
                .map(|r| r.start.clone())
                .unwrap_or_default();
        }
        let done = open.range >= open.ranges.len();
        inputs.push(Input::SnapshotPiece {
            transfer,
            pairs,
            done,
        });
    }

    fn publish(&self, view: &Arc<View>) {
        self.mailboxes.view.store(view.clone());
        let addresses: HashMap<NodeId, String> = view
            .state
            .nodes
            .keys()
            .map(|id| NodeId(*id))
            .filter(|id| *id != self.mailboxes.node && !view.is_removed(*id))
            .filter_map(|id| Some((id, view.address(id, "peer")?.to_owned())))
            .collect();
        self.network.set_peers(addresses);
        for (number, sender) in self.mailboxes.senders.iter().enumerate() {
            if number as u32 != self.number {
                let _ = sender.send(Event::Input(Input::View(view.clone())));
            }
        }
        self.mailboxes.revision.send_replace(view.revision());
    }
}

/// A disk that can't be read, or not as it was written: nothing on it may be trusted any more, so the node ends (DESIGN §7).
fn unreadable(error: store::Error, fatal: &OnFatal) -> ReadResult {
    let message = error.to_string();
    fatal(error.into());
    ReadResult::Failed(message)
}
