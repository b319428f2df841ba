//! A partition: a range of rows, replicated by one group; this is its state machine and what its leader does.
//!
//! ```text
//!   Forward(write) ─► known id? ─► latch of the row ─► Read(old record) ─► evaluate ─► propose (term, range version, stamp)
//!                        │                                                                  │ committed by a majority
//!                        └► the first answer again                    reply ◄─ apply (engine batch: row, change, id, state)
//!   Forward(read)  ─► lease? ─► Read ─► lease still? ─► reply
//!                        └ no ─► read-index by a majority ─► applied so far? ─► Read ─► reply
//! ```
//! Invariants:
//! - A leader evaluates only once it has applied an entry of its own term: then it has applied all that was ever acknowledged.
//! - Between the evaluation of a row and the application of its outcome no other write of the row is evaluated.
//! - What was decided under another term or range is not applied (`NotApplied`); what was decided past its deadline neither.
//! - A refusal that rests on what was read (a failed condition) is given like a strong read: only by a leader that still is one.

pub mod command;
pub mod counts;
mod definition;
mod entries;
pub mod evaluate;
pub mod feeds;
pub mod intents;
pub mod latch;
pub mod requests;
pub mod split;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kv_model::encoding::record;
use prost::Message;
use raft::eraftpb::{Entry, EntryType};

use self::command::{
    Change, Command, Do, Outcome, Remembered, ReplicaState, RowChange, RowWrite, change_key,
    replica_key,
};
use self::counts::Count;
pub use self::definition::Definition;
use self::entries::EntriesAtWork;
use self::intents::{Ends, Intent, Intents, PrepareRow};
use self::latch::{Acquired, Latches};
use self::requests::RequestTable;
use crate::api::{
    Action, Answer, Attempt, Consistency, Error, Get, Got, IndexUse, LogState, Operation,
    RequestClass, RowsRead, Write, Written,
};
use crate::consensus::Group;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::mutants::{Mutant, active};
use crate::store::{Batch, Keyspace};
use crate::time::{EVENTUAL_US, Hybrid, Now};
use crate::wire::{Forward, ForwardReply, Refusal, RequestId};

/// Requests of one partition that are under way at its leader.
const REQUESTS_MAX: usize = 16_384;
/// A read-index that is not answered is asked again after this long, µs.
const CONFIRM_AGAIN_US: u64 = 300_000;
/// What a change takes in the log besides its row and records, about.
const CHANGE_BYTES: usize = 64;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub node: NodeId,
    pub shard: u32,
    /// Which attempt of the request is answered.
    pub attempt: u32,
}

/// What a partition wants done.
#[derive(Debug)]
pub enum Effect {
    /// Read the engine as it is now and give the result to [`Partition::on_read`].
    Read {
        id: u64,
        operation: Operation,
    },
    Reply(ReplyTo, ForwardReply),
    /// Find out what the record of a transaction's attempt says, for [`Partition::on_verdict`].
    Ask {
        row: Bytes,
        number: u64,
        attempt: Attempt,
        /// The record shall abort the attempt unless it has decided.
        abort: bool,
    },
}

/// Collects effects; numbers reads.
#[derive(Debug, Default)]
pub struct Effects {
    pub list: Vec<Effect>,
    pub batch: Batch,
    pub next_read: u64,
    /// Partitions that were split off.
    pub born: Vec<split::Birth>,
}

impl Effects {
    fn read(&mut self, operation: Operation) -> u64 {
        self.next_read += 1;
        self.list.push(Effect::Read {
            id: self.next_read,
            operation,
        });
        self.next_read
    }

    fn reply(&mut self, to: ReplyTo, reply: ForwardReply) {
        self.list.push(Effect::Reply(to, reply));
    }
}

/// What a read of the engine gave.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadResult {
    /// The raw record of a row.
    Record(Option<Bytes>),
    /// The raw records of several rows.
    Records(Vec<Option<Bytes>>),
    Answer(Answer),
    /// The request can't be served as it is: the words for the client.
    Invalid(String),
    /// The engine could not read.
    Failed(String),
}

/// Moods of the node that a leader heeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mood {
    /// The disk is nearly full.
    pub refuse_writes: bool,
    /// The disk is so full that entries of partitions are not taken from their leaders either: they are as lost as on a bad network.
    pub refuse_entries: bool,
    /// This node's wall clock is far ahead of its peers'.
    pub clock_ahead: bool,
}

#[derive(Debug)]
enum Stage {
    Queued,
    Evaluating,
    Proposed { term: u64, reply: ForwardReply },
}

#[derive(Debug)]
struct Writing {
    forward: Forward,
    to: ReplyTo,
    stage: Stage,
}

/// Something that may be answered only by who is still leader.
#[derive(Debug)]
enum Guarded {
    Read(Forward, ReplyTo),
    Reply(ForwardReply, ReplyTo),
}

#[derive(Debug)]
enum Reading {
    Evaluate {
        id: RequestId,
        generation: u64,
    },
    Leased {
        forward: Forward,
        to: ReplyTo,
        generation: u64,
    },
    Confirmed {
        forward: Forward,
        to: ReplyTo,
        generation: u64,
    },
}

#[derive(Debug)]
struct Confirming {
    guarded: Vec<Guarded>,
    asked_at: u64,
}

/// One replica of a partition.
#[derive(Debug)]
pub struct Partition {
    pub state: ReplicaState,
    pub requests: RequestTable,
    /// Leader that has applied an entry of its own term.
    serving: bool,
    /// Grows with each change of role or range.
    generation: u64,
    last_stamp: Hybrid,
    latches: Latches,
    writes: BTreeMap<RequestId, Writing>,
    proposed: BTreeMap<u64, RequestId>,
    /// Requests that came before the leader served.
    waiting: Vec<(Forward, ReplyTo)>,
    reading: BTreeMap<u64, Reading>,
    unconfirmed: Vec<Guarded>,
    confirming: BTreeMap<u64, Confirming>,
    confirmed: Vec<(u64, Vec<Guarded>)>,
    entries: EntriesAtWork,
    pub intents: Intents,
    ends: Ends,
    /// Hybrid time of the last delete that was applied, or from which on this replica serves: an item that was not there at two moments
    /// between which this stayed the same was not there in between.
    last_delete: u64,
    /// The table, as the metadata of revision `defined_at` have it; none for the entries of a global index.
    definition: Option<Arc<Definition>>,
    defined_at: u64,
    splits: split::Splits,
    /// Since they were last taken.
    pub not_applied: u64,
    pub duplicates: u64,
}

/// A row's record: the item under the header that says when it was written.
pub(crate) fn record_of(stamp: Hybrid, item: &[u8]) -> Bytes {
    let record = record::Record {
        clock: stamp.0,
        origin: 0,
        tombstone: false,
        intent: false,
        siblings: false,
        expiry_s: None,
        payload: item,
    };
    let mut out = Vec::with_capacity(item.len() + 16);
    record.encode_into(&mut out);
    out.into()
}

/// A record that says that a row ended.
pub(crate) fn tombstone_of(stamp: Hybrid) -> Bytes {
    let record = record::Record {
        clock: stamp.0,
        origin: 0,
        tombstone: true,
        intent: false,
        siblings: false,
        expiry_s: None,
        payload: &[],
    };
    let mut out = Vec::new();
    record.encode_into(&mut out);
    out.into()
}

/// Whether a refusal follows from what was read, so that only who is still leader may give it.
fn rests_on_read(reply: &ForwardReply) -> bool {
    [
        Refusal::ConditionFailed,
        Refusal::Validation,
        Refusal::Conflict,
        Refusal::InProgress,
    ]
    .iter()
    .any(|&r| reply.refusal == Some(r as i32))
}

fn write_action(forward: &Forward) -> Option<&Action> {
    forward.operation.as_ref()?.write()?.action.as_ref()
}

fn refusal(forward: &Forward, refusal: Refusal, message: impl Into<String>) -> ForwardReply {
    ForwardReply {
        id: forward.id,
        group: forward.group,
        refusal: Some(refusal as i32),
        message: message.into(),
        ..Default::default()
    }
}

impl Partition {
    pub fn new(state: ReplicaState) -> Partition {
        Partition {
            state,
            requests: RequestTable::default(),
            serving: false,
            generation: 0,
            last_stamp: Hybrid::default(),
            latches: Latches::default(),
            writes: BTreeMap::new(),
            proposed: BTreeMap::new(),
            waiting: Vec::new(),
            reading: BTreeMap::new(),
            unconfirmed: Vec::new(),
            confirming: BTreeMap::new(),
            confirmed: Vec::new(),
            entries: EntriesAtWork::default(),
            intents: Intents::default(),
            ends: Ends::default(),
            last_delete: 0,
            definition: None,
            defined_at: 0,
            splits: split::Splits::default(),
            not_applied: 0,
            duplicates: 0,
        }
    }

    /// Leads and may serve.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// Requests under way.
    pub fn load(&self) -> usize {
        self.writes.len()
            + self.waiting.len()
            + self.reading.len()
            + self.unconfirmed.len()
            + self.entries.len()
            + self.ends.len()
    }

    /// Learns what the metadata of a revision say of its table.
    pub fn define(&mut self, table: Option<&crate::meta::records::Table>, revision: u64) {
        if self.defined_at == revision {
            return;
        }
        self.defined_at = revision;
        let known = self
            .definition
            .as_ref()
            .map(|definition| &definition.record);
        if known != table {
            self.definition = table.map(|table| Arc::new(Definition::of(table)));
        }
    }

    pub fn definition(&self) -> Option<&Arc<Definition>> {
        self.definition.as_ref()
    }

    // ---- requests ----

    /// Takes a request that was routed here.
    pub fn on_request(
        &mut self,
        group: &mut Group,
        forward: Forward,
        to: ReplyTo,
        mood: Mood,
        now: Now,
        fx: &mut Effects,
    ) {
        let strong = match &forward.operation {
            Some(Operation::Get(get)) => get.consistency() == Consistency::Strong,
            Some(Operation::Page(page)) => page.consistency() == Consistency::Strong,
            Some(Operation::Rows(rows)) => rows.consistency() == Consistency::Strong,
            Some(
                Operation::Write(_)
                | Operation::Entries(_)
                | Operation::Prepare(_)
                | Operation::Finish(_),
            ) => true,
            None => {
                return fx.reply(
                    to,
                    refusal(
                        &forward,
                        Refusal::Validation,
                        "an operation that this version does not know",
                    ),
                );
            }
        };
        if !self.holds(&forward) {
            return self.refuse_route(group, &forward, to, Refusal::StaleRoute, fx);
        }
        if !strong
            && group.is_initialised()
            && now.mono_us < group.heard_at(now).saturating_add(EVENTUAL_US)
            && group.heard_at(now) > 0
        {
            return self.read(forward, to, false, fx);
        }
        if self.waits_to_lead(group, mood, now) {
            self.waiting.push((forward, to));
            return;
        }
        if !group.may_propose() || mood.clock_ahead {
            return self.refuse_route(group, &forward, to, Refusal::NotLeader, fx);
        }
        if self.load() >= REQUESTS_MAX {
            return fx.reply(
                to,
                refusal(
                    &forward,
                    Refusal::Throttled,
                    "too many requests are under way in this partition",
                ),
            );
        }
        if !self.serving && !active(Mutant::EvaluatesBeforeOwnTerm) {
            self.waiting.push((forward, to));
            return;
        }
        match forward.operation {
            Some(
                Operation::Write(_)
                | Operation::Entries(_)
                | Operation::Prepare(_)
                | Operation::Finish(_),
            ) if self.is_splitting() => {
                self.waiting.push((forward, to));
            }
            Some(Operation::Write(_) | Operation::Prepare(_)) => {
                self.on_write(forward, to, mood, now, fx)
            }
            Some(Operation::Finish(_)) => self.on_finish(group, forward, to, now, fx),
            Some(Operation::Entries(_)) => self.on_entries(forward, to, now, fx),
            _ if self.lease_until(group) > now.mono_us => self.read(forward, to, true, fx),
            _ => self.unconfirmed.push(Guarded::Read(forward, to)),
        }
    }

    fn holds(&self, forward: &Forward) -> bool {
        let range = match &forward.operation {
            Some(Operation::Write(write)) => self.state.holds(&write.row),
            Some(Operation::Prepare(prepare)) => self.state.holds(&prepare.write.row),
            Some(Operation::Finish(finish)) => self.state.holds(&finish.row),
            Some(Operation::Get(get)) => self.state.holds(&get.row),
            Some(Operation::Page(page)) => self.state.holds_range(&page.start, &page.end),
            Some(Operation::Entries(entries)) => {
                let first = entries.entries.first();
                first.is_some_and(|first| self.state.holds(&first.row))
            }
            // A change log is read by the name of its group, whatever the range is by now.
            Some(Operation::Rows(rows)) => return rows.group == self.state.group,
            None => false,
        };
        range && forward.range_version == self.state.range_version
    }

    fn refuse_route(
        &self,
        group: &Group,
        forward: &Forward,
        to: ReplyTo,
        why: Refusal,
        fx: &mut Effects,
    ) {
        let leader = group.leader().map_or(0, |(_, node)| node.0);
        fx.reply(
            to,
            ForwardReply {
                leader,
                range_version: self.state.range_version,
                records: self.records(why),
                ..refusal(forward, why, "")
            },
        );
    }

    fn read(&mut self, forward: Forward, to: ReplyTo, leased: bool, fx: &mut Effects) {
        if let Some((forward, to)) = self.hold_read(forward, to, leased, fx) {
            self.read_as_it_is(forward, to, leased, fx);
        }
    }

    fn read_as_it_is(&mut self, forward: Forward, to: ReplyTo, leased: bool, fx: &mut Effects) {
        let Some(operation) = forward.operation.clone() else {
            return;
        };
        let id = fx.read(operation);
        let generation = self.generation;
        let reading = if leased {
            Reading::Leased {
                forward,
                to,
                generation,
            }
        } else {
            Reading::Confirmed {
                forward,
                to,
                generation,
            }
        };
        self.reading.insert(id, reading);
    }

    fn on_write(&mut self, forward: Forward, to: ReplyTo, mood: Mood, now: Now, fx: &mut Effects) {
        let id = forward.id;
        if let Some(outcome) = self.requests.get(&id) {
            self.duplicates += 1;
            return fx.reply(to, self.remembered(&forward, outcome.clone()));
        }
        if let Some(writing) = self.writes.get_mut(&id) {
            // The same request again: it is under way, and the last attempt gets the answer. A refusal must then be for good, as that of any
            // attempt but the first.
            if to.attempt >= writing.to.attempt {
                (writing.to, writing.forward.attempt) = (to, to.attempt);
            }
            return;
        }
        if Hybrid::from_wall(now.wall_ms) > Hybrid(forward.deadline) {
            return fx.reply(
                to,
                refusal(&forward, Refusal::Expired, "the deadline has passed"),
            );
        }
        if mood.refuse_writes {
            return fx.reply(
                to,
                refusal(
                    &forward,
                    Refusal::Throttled,
                    "the disk is nearly full: writes are refused until there is space",
                ),
            );
        }
        if self.backlog() > feeds::BACKLOG_MAX {
            let words = "a global index is far behind";
            return fx.reply(to, refusal(&forward, Refusal::Throttled, words));
        }
        if self.definition.is_none() {
            return fx.reply(to, refusal(&forward, Refusal::NotLeader, ""));
        }
        if self.requests.is_full() {
            return fx.reply(
                to,
                refusal(
                    &forward,
                    Refusal::Throttled,
                    "too many recent requests are remembered in this partition",
                ),
            );
        }
        let prepares = matches!(forward.operation, Some(Operation::Prepare(_)));
        if prepares && self.intents.is_full() {
            let words = "too many transactions are under way in this partition";
            return fx.reply(to, refusal(&forward, Refusal::Throttled, words));
        }
        let Some(write) = forward.operation.as_ref().and_then(Operation::write) else {
            return;
        };
        let row = write.row.clone();
        match self.latches.acquire(&row, id) {
            Acquired::Full => {
                fx.reply(
                    to,
                    refusal(
                        &forward,
                        Refusal::Throttled,
                        "too many writes wait for this item",
                    ),
                );
            }
            Acquired::Queued => {
                self.writes.insert(
                    id,
                    Writing {
                        forward,
                        to,
                        stage: Stage::Queued,
                    },
                );
            }
            Acquired::Held => {
                self.writes.insert(
                    id,
                    Writing {
                        forward,
                        to,
                        stage: Stage::Queued,
                    },
                );
                self.start(id, fx);
            }
        }
    }

    /// The write holds its row's latch: read what it is evaluated against.
    fn start(&mut self, id: RequestId, fx: &mut Effects) {
        let writing = self.writes.get(&id);
        let write = writing.and_then(|writing| writing.forward.operation.as_ref()?.write());
        let Some(row) = write.map(|write| write.row.clone()) else {
            return;
        };
        if self.hold_write(id, &row, fx) {
            return;
        }
        let Some(writing) = self.writes.get_mut(&id) else {
            return;
        };
        writing.stage = Stage::Evaluating;
        let Some(write) = writing
            .forward
            .operation
            .as_ref()
            .and_then(Operation::write)
        else {
            return;
        };
        let read = fx.read(Operation::Get(Get {
            table: write.table,
            row,
            ..Default::default()
        }));
        self.reading.insert(
            read,
            Reading::Evaluate {
                id,
                generation: self.generation,
            },
        );
    }

    /// Whether a read is for an evaluation: then the raw record is wanted.
    pub fn wants_record(&self, read: u64) -> bool {
        self.entries.is_read(read)
            || matches!(self.reading.get(&read), Some(Reading::Evaluate { .. }))
    }

    pub fn on_read(
        &mut self,
        group: &mut Group,
        read: u64,
        result: ReadResult,
        now: Now,
        fx: &mut Effects,
    ) {
        if self.entries.is_read(read) {
            let found = match result {
                ReadResult::Records(records) => Ok(records),
                ReadResult::Failed(words) | ReadResult::Invalid(words) => Err(words),
                ReadResult::Record(_) | ReadResult::Answer(_) => {
                    Err("another answer was due".into())
                }
            };
            return self.on_entries_read(group, read, found, now, fx);
        }
        match self.reading.remove(&read) {
            // A record that was read before this replica led again may be old, though the same request is under way again.
            Some(Reading::Evaluate { id, generation })
                if generation == self.generation || active(Mutant::CommitsDeposedCommand) =>
            {
                self.on_record(group, id, result, now, fx);
            }
            Some(Reading::Evaluate { .. }) => {}
            Some(Reading::Leased {
                forward,
                to,
                generation,
            }) => {
                let until = self.lease_until(group);
                let held = until > now.mono_us || active(Mutant::ServesAfterLease) && until > 0;
                if generation == self.generation && held {
                    fx.reply(to, self.read_reply(&forward, result));
                } else if generation == self.generation {
                    self.unconfirmed.push(Guarded::Read(forward, to));
                } else {
                    self.refuse_late(group, &forward, to, fx);
                }
            }
            Some(Reading::Confirmed {
                forward,
                to,
                generation,
            }) => {
                if generation == self.generation {
                    fx.reply(to, self.read_reply(&forward, result));
                } else {
                    self.refuse_late(group, &forward, to, fx);
                }
            }
            None => {}
        }
    }

    fn read_reply(&self, forward: &Forward, result: ReadResult) -> ForwardReply {
        match result {
            ReadResult::Answer(Answer::Rows(rows)) => {
                let log = Some(LogState {
                    range_version: self.state.range_version,
                    feeds: self.state.feeds.clone(),
                    applied: feeds::position(
                        self.state.range_version,
                        self.state.applied_index,
                        u32::MAX,
                    ),
                    counts: self.state.counts.clone(),
                });
                self.answer(forward, Answer::Rows(RowsRead { log, ..rows }))
            }
            // An item that is not there has no version of its own.
            ReadResult::Answer(Answer::Got(Got {
                item: None,
                version: 0,
            })) if matches!(&forward.operation, Some(Operation::Get(get)) if get.transactional) => {
                let version = self.last_delete;
                self.answer(
                    forward,
                    Answer::Got(Got {
                        item: None,
                        version,
                    }),
                )
            }
            ReadResult::Answer(answer) => self.answer(forward, answer),
            ReadResult::Invalid(message) => refusal(forward, Refusal::Validation, message),
            ReadResult::Failed(message) => refusal(forward, Refusal::Storage, message),
            ReadResult::Record(_) | ReadResult::Records(_) => refusal(
                forward,
                Refusal::Storage,
                "a raw record where an answer was due",
            ),
        }
    }

    fn answer(&self, forward: &Forward, answer: Answer) -> ForwardReply {
        ForwardReply {
            id: forward.id,
            group: forward.group,
            range_version: self.state.range_version,
            answer: Some(answer),
            ..Default::default()
        }
    }

    fn on_record(
        &mut self,
        group: &mut Group,
        id: RequestId,
        result: ReadResult,
        now: Now,
        fx: &mut Effects,
    ) {
        if self.is_splitting() {
            return self.put_off(id, fx);
        }
        let Some(writing) = self.writes.get(&id) else {
            return;
        };
        let forward = &writing.forward;
        let Some(write) = forward.operation.as_ref().and_then(Operation::write) else {
            return;
        };
        let decided = match result {
            ReadResult::Record(old) => self.decide(forward, write, old, group.term(), now),
            ReadResult::Failed(message) | ReadResult::Invalid(message) => {
                Err(refusal(forward, Refusal::Storage, message))
            }
            ReadResult::Answer(_) | ReadResult::Records(_) => Err(refusal(
                forward,
                Refusal::Storage,
                "an answer where a raw record was due",
            )),
        };
        let row = write.row.clone();
        match decided {
            Ok((command, reply)) => self.propose(group, id, row, command, reply, fx),
            Err(reply) => self.refuse_write(group, id, row, reply, now, fx),
        }
    }

    /// Refuses a write that holds its row's latch.
    fn refuse_write(
        &mut self,
        group: &mut Group,
        id: RequestId,
        row: Bytes,
        reply: ForwardReply,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(writing) = self.writes.get(&id) else {
            return;
        };
        if !rests_on_read(&reply) {
            self.finish(id, &row, reply, fx);
        } else if writing.forward.attempt > 0 {
            let command = self.refuse_for_good(&writing.forward, &reply, group.term(), now);
            self.propose(group, id, row, command, reply, fx);
        } else if self.lease_until(group) > now.mono_us {
            self.finish(id, &row, reply, fx);
        } else {
            self.unconfirmed.push(Guarded::Reply(reply, writing.to));
            self.release(id, &row, fx);
        }
    }

    fn propose(
        &mut self,
        group: &mut Group,
        id: RequestId,
        row: Bytes,
        command: Command,
        reply: ForwardReply,
        fx: &mut Effects,
    ) {
        let Some(writing) = self.writes.get_mut(&id) else {
            return;
        };
        match group.propose(command.encode_entry()) {
            Some((index, term)) => {
                self.last_stamp = Hybrid(command.stamp);
                if active(Mutant::AcknowledgesBeforeMajority) {
                    fx.reply(writing.to, reply.clone());
                }
                self.proposed.insert(index, id);
                writing.stage = Stage::Proposed { term, reply };
            }
            None if group.is_leader() => {
                let reply = refusal(
                    &writing.forward,
                    Refusal::Throttled,
                    "too much is waiting to be replicated",
                );
                self.finish(id, &row, reply, fx);
            }
            None => {
                let leader = group.leader().map_or(0, |(_, n)| n.0);
                let reply = ForwardReply {
                    leader,
                    ..refusal(&writing.forward, Refusal::NotLeader, "")
                };
                self.finish(id, &row, reply, fx);
            }
        }
    }

    fn stamp(&self, now: Now) -> Hybrid {
        self.last_stamp
            .max(Hybrid(self.state.stamp))
            .after(now.wall_ms)
    }

    /// An attempt before this one may still arrive: it must find the refusal.
    fn refuse_for_good(
        &self,
        forward: &Forward,
        reply: &ForwardReply,
        term: u64,
        now: Now,
    ) -> Command {
        let outcome = Outcome {
            written: None,
            refusal: reply.refusal,
            message: reply.message.clone(),
            item: reply.item.clone(),
        };
        Command {
            term,
            range_version: self.state.range_version,
            stamp: self.stamp(now).0,
            id: Some(forward.id),
            deadline: forward.deadline,
            what: Some(Do::Refuse(outcome.encode_to_vec().into())),
        }
    }

    /// The answer that a request had before.
    fn remembered(&self, forward: &Forward, outcome: Bytes) -> ForwardReply {
        let Outcome {
            written,
            refusal: why,
            message,
            item,
        } = Outcome::decode(outcome).unwrap_or_default();
        match written {
            Some(written) => self.answer(forward, Answer::Written(written)),
            None => ForwardReply {
                refusal: why,
                item,
                ..refusal(forward, Refusal::Validation, message)
            },
        }
    }

    /// Evaluates a write against the record that is there; gives the command and the answer, or the refusal.
    fn decide(
        &self,
        forward: &Forward,
        write: &Write,
        old: Option<Bytes>,
        term: u64,
        now: Now,
    ) -> Result<(Command, ForwardReply), ForwardReply> {
        let parsed = match old.as_deref().map(record::Record::parse).transpose() {
            Ok(parsed) => parsed,
            Err(error) => return Err(refusal(forward, Refusal::Storage, error.to_string())),
        };
        let version = parsed.as_ref().map_or(0, |record| record.clock);
        if write.only_version > 0 && version != write.only_version {
            return Err(refusal(forward, Refusal::ConditionFailed, ""));
        }
        let evaluated = evaluate::Parsed::of(write).and_then(|expressions| {
            evaluate::evaluate(parsed.as_ref().map(|r| r.payload), write, &expressions)
        });
        let mutation = evaluated.map_err(|error| match error {
            Error::ConditionFailed { item } => ForwardReply {
                item,
                ..refusal(forward, Refusal::ConditionFailed, "")
            },
            other => refusal(forward, Refusal::Validation, other.to_string()),
        })?;
        let payload = parsed.as_ref().filter(|record| !record.tombstone);
        let old_item = old
            .as_ref()
            .zip(payload)
            .map(|(old, record)| old.slice_ref(record.payload));
        let stamp = self.stamp(now);
        let change = Count::of_change(
            0,
            old_item.as_ref().map(|_| mutation.old_size),
            mutation.new.as_ref().map(|_| mutation.new_size),
        );
        let mut counts = Vec::from_iter(change);
        let (entries, indexes) = self
            .index_changes(
                write,
                old_item.as_ref(),
                mutation.new.as_ref(),
                stamp,
                &mut counts,
            )
            .map_err(|words| refusal(forward, Refusal::Validation, words))?;
        if stamp > Hybrid(forward.deadline) {
            return Err(refusal(
                forward,
                Refusal::Expired,
                "the deadline has passed",
            ));
        }
        let written = Written {
            attributes: mutation.attributes,
            old_size: mutation.old_size,
            new_size: mutation.new_size,
            version: stamp.0,
            indexes,
        };
        let attempt = match &forward.operation {
            Some(Operation::Prepare(prepare)) => Some(&prepare.attempt),
            _ => None,
        };
        // Between a transaction's preparation and its end a reader of the change log may come.
        let keep_old = self.is_logged()
            || attempt.is_some()
            || self.definition.as_ref().is_some_and(|d| d.is_read());
        let expires = forward
            .caller
            .as_ref()
            .is_some_and(|c| c.class() == RequestClass::TimeToLive);
        let what = RowWrite {
            row: write.row.clone(),
            record: mutation.new.map(|item| record_of(stamp, &item)),
            old: if keep_old { old } else { None },
            outcome: Outcome {
                written: Some(written.clone()),
                ..Default::default()
            }
            .encode_to_vec()
            .into(),
            entries,
            cause: u32::from(expires),
            counts,
        };
        let what = match attempt {
            None => Do::Write(what),
            Some(attempt) => {
                let (row, outcome) = (what.row.clone(), what.outcome.clone());
                let write = RowWrite {
                    outcome: Bytes::new(),
                    ..what
                };
                let checks = matches!(write_action(forward), Some(Action::Check(_)));
                Do::Prepare(PrepareRow {
                    row,
                    outcome,
                    intent: Intent {
                        attempt: attempt.clone(),
                        write: (!checks).then_some(write),
                        id: Some(forward.id),
                    },
                })
            }
        };
        let command = Command {
            term,
            range_version: self.state.range_version,
            stamp: stamp.0,
            id: Some(forward.id),
            deadline: forward.deadline,
            what: Some(what),
        };
        Ok((command, self.answer(forward, Answer::Written(written))))
    }

    /// Entries of local indexes that change with an item, and what the write costs in all indexes.
    fn index_changes(
        &self,
        write: &Write,
        old: Option<&Bytes>,
        new: Option<&Bytes>,
        stamp: Hybrid,
        counts: &mut Vec<Count>,
    ) -> Result<(Vec<RowChange>, Vec<IndexUse>), String> {
        let Some(definition) = &self.definition else {
            return Ok(Default::default());
        };
        definition
            .check(new, write.action.as_ref())
            .map_err(|error| error.to_string())?;
        let entries = definition.local_entries(&write.row, old, new, stamp, counts);
        let counted = match write.count_indexes {
            true => definition.count(&write.row, old, new),
            false => Ok(Vec::new()),
        };
        let unreadable = |error| format!("an item can't be read: {error}");
        Ok((entries.map_err(unreadable)?, counted.map_err(unreadable)?))
    }

    /// Whether changes are logged.
    fn is_logged(&self) -> bool {
        !self.state.consumers.is_empty() || !self.state.feeds.is_empty()
    }

    fn finish(&mut self, id: RequestId, row: &Bytes, reply: ForwardReply, fx: &mut Effects) {
        if let Some(writing) = self.writes.get(&id) {
            fx.reply(writing.to, reply);
        }
        self.release(id, row, fx);
    }

    fn release(&mut self, id: RequestId, row: &Bytes, fx: &mut Effects) {
        self.writes.remove(&id);
        if let Some(next) = self.latches.release(row) {
            self.start(next, fx);
        }
    }

    // ---- reads that a majority confirms ----

    /// Asks for what is not confirmed yet; called once a step.
    pub fn confirm(&mut self, group: &mut Group, now: Now, fx: &mut Effects) {
        if !self.serving || !group.is_leader() {
            return;
        }
        let late: Vec<u64> = self
            .confirming
            .iter()
            .filter(|(_, c)| now.mono_us > c.asked_at + CONFIRM_AGAIN_US)
            .map(|(context, _)| *context)
            .collect();
        for context in late {
            if let Some(confirming) = self.confirming.remove(&context) {
                self.unconfirmed.extend(confirming.guarded);
            }
        }
        if self.unconfirmed.is_empty() {
            return;
        }
        fx.next_read += 1;
        let context = fx.next_read;
        self.confirming.insert(
            context,
            Confirming {
                guarded: std::mem::take(&mut self.unconfirmed),
                asked_at: now.mono_us,
            },
        );
        group.read_index(context);
    }

    /// A majority confirmed: what was asked under `context` may be answered once `index` is applied.
    pub fn on_confirmed(&mut self, context: u64, index: u64, fx: &mut Effects) {
        if let Some(confirming) = self.confirming.remove(&context) {
            self.confirmed.push((index, confirming.guarded));
            self.serve_confirmed(fx);
        }
    }

    fn serve_confirmed(&mut self, fx: &mut Effects) {
        let applied = self.state.applied_index;
        let (ready, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.confirmed)
            .into_iter()
            .partition(|(index, _)| *index <= applied);
        self.confirmed = rest;
        for guarded in ready.into_iter().flat_map(|(_, guarded)| guarded) {
            match guarded {
                Guarded::Reply(reply, to) => fx.reply(to, reply),
                Guarded::Read(forward, to) if self.holds(&forward) => {
                    self.read(forward, to, false, fx)
                }
                Guarded::Read(forward, to) => {
                    let reply = ForwardReply {
                        records: self.records(Refusal::StaleRoute),
                        ..refusal(&forward, Refusal::StaleRoute, "")
                    };
                    fx.reply(to, reply);
                }
            }
        }
    }

    // ---- role ----

    /// The group's role or leader changed.
    pub fn on_turn(&mut self, group: &Group, fx: &mut Effects) {
        if group.is_leader() {
            return;
        }
        self.generation += 1;
        self.serving = false;
        let leader = group.leader().map_or(0, |(_, node)| node.0);
        let lost = |forward: &Forward, why| ForwardReply {
            leader,
            ..refusal(forward, why, "")
        };
        for (_, writing) in std::mem::take(&mut self.writes) {
            let uncertain = matches!(writing.stage, Stage::Proposed { .. });
            if active(Mutant::CommitsDeposedCommand) && matches!(writing.stage, Stage::Evaluating) {
                self.writes.insert(writing.forward.id, writing);
                continue;
            }
            let why = if uncertain {
                Refusal::Uncertain
            } else {
                Refusal::NotLeader
            };
            fx.reply(writing.to, lost(&writing.forward, why));
        }
        self.proposed.clear();
        self.latches.clear();
        self.splits.proposed = None;
        self.drop_entries(leader, fx);
        self.drop_ends(leader, fx);
        if leader > 0 {
            self.splits.hopeful_until = 0;
        }
        let waiting = match self.splits.hopeful_until {
            0 => std::mem::take(&mut self.waiting),
            _ => Vec::new(),
        };
        for (forward, to) in waiting {
            fx.reply(to, lost(&forward, Refusal::NotLeader));
        }
        let guarded = std::mem::take(&mut self.unconfirmed)
            .into_iter()
            .chain(
                std::mem::take(&mut self.confirming)
                    .into_values()
                    .flat_map(|c| c.guarded),
            )
            .chain(
                std::mem::take(&mut self.confirmed)
                    .into_iter()
                    .flat_map(|(_, guarded)| guarded),
            );
        for guarded in guarded {
            match guarded {
                Guarded::Read(forward, to) => fx.reply(to, lost(&forward, Refusal::NotLeader)),
                Guarded::Reply(reply, to) => {
                    let reply = ForwardReply {
                        refusal: Some(Refusal::NotLeader as i32),
                        leader,
                        item: None,
                        ..reply
                    };
                    fx.reply(to, reply);
                }
            }
        }
    }

    /// Requests that waited until the leader serves.
    pub fn take_waiting(&mut self) -> Vec<(Forward, ReplyTo)> {
        if self.serving && !self.is_splitting() {
            std::mem::take(&mut self.waiting)
        } else {
            Vec::new()
        }
    }

    // ---- applying ----

    /// Applies committed entries, in order; everything goes into one batch together with the state that it leads to.
    pub fn apply(&mut self, group: &mut Group, entries: &[Entry], fx: &mut Effects) {
        let Some(last) = entries.last() else { return };
        for entry in entries {
            if !crate::moves::members::apply(&mut self.state, group, entry) {
                self.apply_entry(group, entry, fx);
            }
            self.state.applied_index = entry.index;
            self.state.applied_term = entry.term;
        }
        fx.batch.put(
            Keyspace::State,
            replica_key(self.state.group(), ReplicaId(self.state.replica)),
            self.state.encode_to_vec(),
        );
        group.applied(last.index, last.term);
        if group.is_leader() && last.term == group.term() {
            if !self.serving {
                self.last_delete = self.last_delete.max(self.state.stamp);
            }
            self.serving = true;
        }
        self.serve_confirmed(fx);
    }

    fn apply_entry(&mut self, group: &Group, entry: &Entry, fx: &mut Effects) {
        if entry.get_entry_type() != EntryType::EntryNormal || entry.data.is_empty() {
            return;
        }
        let command = Command::decode_entry(&entry.data);
        let outcome = match command {
            Some(Command {
                what: Some(Do::Genesis(_)),
                ..
            }) => return,
            Some(command) if matches!(command.what, Some(Do::Entries(_))) => {
                return self.apply_entries(command, entry, fx);
            }
            Some(command) if matches!(command.what, Some(Do::Feeds(_))) => {
                return self.apply_feeds(command, entry, fx);
            }
            Some(command) if matches!(command.what, Some(Do::Finish(_))) => {
                return self.apply_finish(command, entry, fx);
            }
            Some(command) if matches!(command.what, Some(Do::Split(_))) => {
                return self.apply_split(group, command, entry, fx);
            }
            Some(command) => self.apply_command(command, entry, fx),
            None => Applied::Nothing,
        };
        let Some(id) = self.proposed.remove(&entry.index) else {
            return;
        };
        let Some(writing) = self.writes.get(&id) else {
            return;
        };
        let Stage::Proposed { term, reply } = &writing.stage else {
            return;
        };
        let reply = match outcome {
            _ if *term != entry.term => refusal(&writing.forward, Refusal::NotApplied, ""),
            Applied::Done => reply.clone(),
            Applied::Before(outcome) => self.remembered(&writing.forward, outcome),
            Applied::Nothing => refusal(&writing.forward, Refusal::NotApplied, ""),
        };
        let operation = writing.forward.operation.as_ref();
        let row = operation.and_then(Operation::write);
        let row = row.map(|write| write.row.clone()).unwrap_or_default();
        self.finish(id, &row, reply, fx);
    }

    fn apply_command(&mut self, command: Command, entry: &Entry, fx: &mut Effects) -> Applied {
        let stale = command.term != entry.term && !active(Mutant::CommitsDeposedCommand);
        let Some(id) = command.id else {
            return Applied::Nothing;
        };
        if stale
            || command.range_version != self.state.range_version
            || command.stamp > command.deadline
        {
            self.not_applied += 1;
            return Applied::Nothing;
        }
        if let Some(outcome) = self.requests.get(&id) {
            self.duplicates += 1;
            return Applied::Before(outcome.clone());
        }
        let group = self.state.group();
        let (write, outcome) = match command.what {
            Some(Do::Write(write)) if self.state.holds(&write.row) => {
                (Some(write.clone()), write.outcome)
            }
            Some(Do::Refuse(outcome)) => (None, outcome),
            Some(Do::Prepare(prepared)) if self.state.holds(&prepared.row) => {
                let outcome = prepared.outcome.clone();
                self.apply_prepare(prepared, &mut fx.batch);
                (None, outcome)
            }
            _ => {
                self.not_applied += 1;
                return Applied::Nothing;
            }
        };
        if let Some(write) = write {
            self.apply_write(group, id, command.stamp, write, entry, fx);
        }
        self.state.stamp = self.state.stamp.max(command.stamp);
        self.requests.insert(
            group,
            entry.index,
            Remembered {
                id,
                deadline: command.deadline,
                outcome,
                more: Vec::new(),
            },
            &mut fx.batch,
        );
        self.requests
            .forget(group, Hybrid(self.state.stamp), &mut fx.batch);
        Applied::Done
    }

    fn apply_write(
        &mut self,
        group: GroupId,
        id: RequestId,
        stamp: u64,
        write: RowWrite,
        entry: &Entry,
        fx: &mut Effects,
    ) {
        if self.is_logged() {
            let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
            let bytes = CHANGE_BYTES + write.row.len() + len(&write.record) + len(&write.old);
            self.state.logged += bytes as u64;
            let change = Change {
                format: 1,
                id: Some(id),
                stamp,
                origin: 0,
                cause: write.cause,
                row: write.row.clone(),
                new: write.record.clone(),
                old: write.old,
                logged: self.state.logged,
            };
            let key = change_key(group, self.state.range_version, entry.index, 0);
            fx.batch
                .put(Keyspace::ChangeLog, key, change.encode_to_vec());
        }
        counts::add(&mut self.state.counts, &write.counts);
        match write.record {
            Some(record) => fx.batch.put(Keyspace::Data, write.row, record),
            None => {
                self.last_delete = self.last_delete.max(stamp);
                fx.batch.delete(Keyspace::Data, write.row);
            }
        }
        for RowChange { row, record } in write.entries {
            match record {
                Some(record) => fx.batch.put(Keyspace::Data, row, record),
                None => fx.batch.delete(Keyspace::Data, row),
            }
        }
    }

    /// Takes the place of what was there, after a snapshot was installed.
    pub fn restored(&mut self, state: ReplicaState, requests: RequestTable, intents: Intents) {
        self.generation += 1;
        self.state = state;
        self.requests = requests;
        self.intents = intents;
        self.splits = split::Splits::default();
        self.serving = false;
    }

    /// The group's id.
    pub fn group(&self) -> GroupId {
        self.state.group()
    }
}

/// What applying a command did.
enum Applied {
    Done,
    /// The request had been applied before; its first outcome.
    Before(Bytes),
    Nothing,
}
