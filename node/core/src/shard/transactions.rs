//! The coordinator of transactions that came to this shard, and the questions that partitions ask about intents.
//!
//! ```text
//!   Preparing ─► all prepared ─► Deciding ─► committed ─► Finishing ─► answered, record may expire
//!       │                           │  └ not known ─► Settling (the record is told to abort) ─► committed, or aborted
//!       └ some refused ─► Looking ──┴─► was it done before? ─► Finishing (as aborted) ─► answered with the reasons
//! ```
//! It keeps nothing on disk: when it is gone the record says what became of the transaction, the leaders of the items' partitions find
//! out about their intents, and the leader of the record's partition brings to its end what was committed.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::Shard;
use super::io::{Output, Request, Transact, TransactError, TransactRead, Transacted};
use crate::api::{Answer, Attempt, Caller, Error, Finish, Get, Got, Operation, Prepare, Written};
use crate::ids::GroupId;
use crate::meta::records::TableState;
use crate::mutants::{Mutant, active};
use crate::time::Hybrid;
use crate::transactions::record::{self, Place, Record, Verdict};
use crate::transactions::{ACCOUNT, TABLE};

/// Transactions under way in one coordinator.
const RUNNING_MAX: usize = 4_000;
/// An attempt may commit for so long, ms; its items are locked for about as long if its coordinator is gone.
const ATTEMPT_MS: u64 = 5_000;
/// Time that preparing may take of that, µs.
const PREPARE_US: u64 = 4_000_000;
/// Rounds of reads until nothing changes between two of them.
const READ_ROUNDS: u32 = 8;
/// Pause before what was throttled is sent again, µs.
const AGAIN_US: u64 = 50_000;
/// A record is asked about for so long, µs.
const ASK_US: u64 = 2_000_000;
/// Ends without a client may take so long, µs.
const BACKGROUND_US: u64 = 10_000_000;
/// Ticks between two looks for records that nobody looks after.
const SWEEP_TICKS: u64 = 50;
/// Distinguishes the coordinator's tokens from the rim's and the feeder's.
const TOKEN: u64 = 1 << 62;

#[derive(Clone, Debug)]
enum Sent {
    Prepare(u64, usize),
    Commit(u64),
    /// Abort, unless the record says otherwise.
    Settle(u64),
    Look(u64),
    Finish(u64, usize),
    /// The last word to a record, which nobody waits for.
    Expire,
    Read(u64, usize),
    Ask(Question),
    Touch(Question),
    Sweep(GroupId),
}

/// A partition asks what an intent's record says.
#[derive(Clone, Debug)]
struct Question {
    group: GroupId,
    row: Bytes,
    number: u64,
    attempt: Attempt,
    abort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preparing,
    Deciding,
    Settling,
    Looking,
    Finishing { commit: bool },
}

#[derive(Debug)]
struct Running {
    /// Of the client; none for what is brought to its end without one.
    token: Option<u64>,
    caller: Caller,
    has_client_token: bool,
    digest: Bytes,
    attempt: Attempt,
    places: Vec<Place>,
    /// Monotonic µs.
    started: u64,
    deadline_us: u64,
    stage: Stage,
    /// By item.
    prepared: Vec<Option<Result<Written, Error>>>,
    /// Answers that are waited for.
    left: usize,
    /// Some item could not be finished in time.
    unfinished: bool,
    committed: Hybrid,
    /// What the client is told in the end.
    result: Option<Result<Transacted, TransactError>>,
}

#[derive(Debug)]
struct Reading {
    token: u64,
    caller: Caller,
    gets: Vec<Get>,
    deadline_us: u64,
    left: usize,
    rounds: u32,
    before: Option<Vec<u64>>,
    found: Vec<Option<Result<Got, Error>>>,
}

/// The transactions of one shard.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    next: u64,
    next_token: u64,
    running: BTreeMap<u64, Running>,
    reading: BTreeMap<u64, Reading>,
    sends: BTreeMap<u64, Sent>,
    /// What is sent again, by monotonic µs.
    again: BTreeMap<(u64, u64), (Sent, Operation, u64)>,
    sweeping: BTreeMap<GroupId, Bytes>,
}

impl Coordinator {
    pub fn is_token(token: u64) -> bool {
        token & TOKEN != 0
    }

    /// Transactions under way.
    pub fn len(&self) -> usize {
        self.running.len() + self.reading.len()
    }
}

impl Shard {
    /// The table of records, where it is known and serves.
    fn records(&self) -> Option<u64> {
        let table = self.view.state.table_named(ACCOUNT, TABLE)?;
        (table.state() == TableState::Active).then_some(table.id)
    }

    fn send_transaction(
        &mut self,
        sent: Sent,
        caller: Caller,
        operation: Operation,
        deadline_us: u64,
        until: Option<Hybrid>,
    ) {
        self.coordinator.next_token += 1;
        let token = TOKEN | self.coordinator.next_token;
        self.coordinator.sends.insert(token, sent);
        let request = Request {
            token,
            caller,
            operation,
            deadline_us,
        };
        let id = self.request_id();
        let mut acts = Vec::new();
        let view = self.view.clone();
        let (shard, now) = (self.config.shard, self.now);
        self.gateway
            .start(id, request, until, shard, &view, now, &mut acts);
        self.perform(acts);
    }

    fn attempt_id(&mut self) -> Bytes {
        self.coordinator.next += 1;
        let mut id = BytesMut::with_capacity(32);
        id.put_u64(Hybrid::from_wall(self.now.wall_ms).0);
        id.put_u64(self.config.node.0);
        id.put_u64(u64::from(self.config.shard) << 32 | self.config.incarnation & 0xffff_ffff);
        id.put_u64(self.coordinator.next);
        id.freeze()
    }

    // ---- writes ----

    pub(super) fn on_transact(&mut self, transact: Transact) {
        let Transact {
            token,
            caller,
            client_token,
            digest,
            writes,
            deadline_us,
        } = transact;
        let refuse = |error| Output::Transacted {
            token,
            result: Err(TransactError::Failed(error)),
        };
        if self.coordinator.len() >= RUNNING_MAX {
            let words = "too many transactions are under way on this node";
            return self.out.push(refuse(Error::Throttled(words.into())));
        }
        let Some(table) = self.records() else {
            let words = "the table of transaction records is not there yet";
            return self.out.push(refuse(Error::Unavailable(words.into())));
        };
        let id = self.attempt_id();
        let number = self.coordinator.next;
        let expires = Hybrid::from_wall(self.now.wall_ms + ATTEMPT_MS);
        let attempt = record::attempt(table, &caller.account, client_token.as_deref(), id, expires);
        let places = writes.iter().map(|write| Place {
            table: write.table,
            row: write.row.clone(),
        });
        let running = Running {
            token: Some(token),
            caller: caller.clone(),
            has_client_token: client_token.is_some(),
            digest,
            attempt: attempt.clone(),
            places: places.collect(),
            started: self.now.mono_us,
            deadline_us,
            stage: Stage::Preparing,
            prepared: vec![None; writes.len()],
            left: writes.len(),
            unfinished: false,
            committed: Hybrid::default(),
            result: None,
        };
        self.coordinator.running.insert(number, running);
        let deadline_us = deadline_us.min(self.now.mono_us + PREPARE_US);
        for (at, write) in writes.into_iter().enumerate() {
            let prepare = Prepare {
                write,
                attempt: attempt.clone(),
            };
            self.send_transaction(
                Sent::Prepare(number, at),
                caller.clone(),
                Operation::Prepare(prepare),
                deadline_us,
                Some(expires),
            );
        }
    }

    fn on_prepared(&mut self, number: u64, at: usize, result: Result<Written, Error>) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        running.prepared[at] = Some(result);
        running.left -= 1;
        if running.left > 0 {
            return;
        }
        let refused = running
            .prepared
            .iter()
            .any(|result| !matches!(result, Some(Ok(_))));
        if !refused {
            return self.commit_transaction(number);
        }
        if running.has_client_token {
            // Perhaps it was done before: then its conditions need not hold any more.
            running.stage = Stage::Looking;
            let (caller, deadline_us) = (running.caller.clone(), running.deadline_us);
            let get = Operation::Get(record::get(&running.attempt));
            self.send_transaction(Sent::Look(number), caller, get, deadline_us, None);
        } else {
            self.cancel_transaction(number);
        }
    }

    fn commit_transaction(&mut self, number: u64) {
        let now_ms = self.now.wall_ms;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        running.stage = Stage::Deciding;
        let expires = Hybrid(running.attempt.expires);
        let places = running.places.clone();
        let write = record::commit(&running.attempt, &running.digest, places, now_ms);
        let deadline_us = running.deadline_us.min(running.started + ATTEMPT_MS * 1000);
        let caller = running.caller.clone();
        if active(Mutant::CommitsWithoutRecord) {
            return self.finish_all(number, true);
        }
        let sent = Sent::Commit(number);
        self.send_transaction(
            sent,
            caller,
            Operation::Write(write),
            deadline_us,
            Some(expires),
        );
    }

    fn on_committed(&mut self, number: u64, result: Result<Written, Error>) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        match result {
            Ok(written) => {
                running.committed = Hybrid(written.version);
                self.finish_all(number, true);
            }
            Err(Error::ConditionFailed { item }) => self.on_other_record(number, item),
            // It is not known, or nothing happened: the record settles it either way.
            Err(_) => self.settle_transaction(number),
        }
    }

    fn settle_transaction(&mut self, number: u64) {
        let now_ms = self.now.wall_ms;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        running.stage = Stage::Settling;
        let write = Operation::Write(record::abort(&running.attempt, now_ms));
        let (caller, deadline_us) = (running.caller.clone(), running.deadline_us);
        self.send_transaction(Sent::Settle(number), caller, write, deadline_us, None);
    }

    fn on_settled(&mut self, number: u64, result: Result<Written, Error>) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        match result {
            Ok(_) => {
                let words = "the transaction could not be committed in time";
                let error = TransactError::Failed(Error::Unavailable(words.into()));
                running.result = Some(Err(error));
                self.finish_all(number, false);
            }
            Err(Error::ConditionFailed { item }) => self.on_other_record(number, item),
            Err(_) => {
                // Its intents end by the record, whatever that says.
                let words = "the deadline passed while the transaction was being committed";
                let error = TransactError::Failed(Error::OutcomeUnknown(words.into()));
                self.end_transaction(number, Some(Err(error)));
            }
        }
    }

    /// The record says something already.
    fn on_other_record(&mut self, number: u64, item: Option<Bytes>) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        let record = item.as_deref().map(Record::parse);
        let Some(Ok(record)) = record else {
            let words = "a transaction's record can't be read";
            let error = TransactError::Failed(Error::OutcomeUnknown(words.into()));
            return self.end_transaction(number, Some(Err(error)));
        };
        match record.verdict(&running.attempt.id) {
            Verdict::Committed => {
                running.committed = Hybrid(running.attempt.expires);
                self.finish_all(number, true);
            }
            Verdict::Aborted => {
                // Somebody found its intents too old.
                let words = "the transaction took too long";
                running.result = Some(Err(TransactError::Failed(Error::Unavailable(words.into()))));
                self.finish_all(number, false);
            }
            Verdict::Open | Verdict::Unknown => self.on_done_before(number, record),
        }
    }

    /// Another attempt under the token was committed: this one goes, and that one is brought to its end if it is not there yet.
    fn on_done_before(&mut self, number: u64, record: Record) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        if record.digest != running.digest {
            running.result = Some(Err(TransactError::Mismatch));
            return self.finish_all(number, false);
        }
        if record.places.is_empty() {
            running.result = Some(Ok(Transacted::Before));
            return self.finish_all(number, false);
        }
        // Its own intents go by themselves once its time is over, since they can't lie where that attempt's still do.
        let token = running.token.take();
        let deadline_us = running.deadline_us;
        let table = running.attempt.table;
        self.finish_all(number, false);
        self.take_over(table, record, token, deadline_us);
    }

    /// Brings a committed attempt to its end.
    fn take_over(&mut self, table: u64, record: Record, token: Option<u64>, deadline_us: u64) {
        self.coordinator.next += 1;
        let number = self.coordinator.next;
        let attempt = Attempt {
            id: record.attempt.clone(),
            table,
            record: record.row(table),
            key: record.key.clone(),
            expires: 0,
        };
        let running = Running {
            token,
            caller: Caller::default(),
            has_client_token: false,
            digest: record.digest,
            attempt,
            prepared: Vec::new(),
            places: record.places,
            started: self.now.mono_us,
            deadline_us,
            stage: Stage::Finishing { commit: true },
            left: 0,
            unfinished: false,
            committed: Hybrid::from_wall(self.now.wall_ms),
            result: Some(Ok(Transacted::Before)),
        };
        self.coordinator.running.insert(number, running);
        self.finish_all(number, true);
    }

    fn on_looked(&mut self, number: u64, result: Result<Option<Bytes>, Error>) {
        match result {
            Ok(Some(item)) => match Record::parse(&item) {
                Ok(record) if record.committed => self.on_done_before(number, record),
                _ => self.cancel_transaction(number),
            },
            Ok(None) | Err(_) => self.cancel_transaction(number),
        }
    }

    /// Some item refused: so nothing happens to any.
    fn cancel_transaction(&mut self, number: u64) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        let errors = running.prepared.iter().map(|result| match result {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        });
        let errors: Vec<Option<Error>> = errors.collect();
        let in_progress = errors
            .iter()
            .any(|error| *error == Some(Error::Conflict { same_token: true }));
        let failed = errors.iter().flatten().find(|error| {
            matches!(
                error,
                Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::TableNotFound(_)
            )
        });
        let reasons = errors.iter().flatten().any(|error| {
            matches!(
                error,
                Error::ConditionFailed { .. } | Error::Validation(_) | Error::Conflict { .. }
            )
        });
        running.result = Some(Err(match failed {
            _ if in_progress => TransactError::InProgress,
            // Nothing is committed, so the outcome is known.
            Some(Error::OutcomeUnknown(words)) if !reasons => {
                TransactError::Failed(Error::Unavailable(words.clone()))
            }
            Some(error) if !reasons => TransactError::Failed(error.clone()),
            _ => TransactError::Cancelled(errors),
        }));
        self.finish_all(number, false);
    }

    /// Tells the items' partitions how it ended.
    fn finish_all(&mut self, number: u64, commit: bool) {
        let now = self.now.mono_us;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        running.stage = Stage::Finishing { commit };
        let may_be_there = |at: usize| match running.prepared.get(at) {
            Some(Some(Err(Error::OutcomeUnknown(_)))) | Some(Some(Ok(_))) => true,
            Some(_) => false,
            None => true,
        };
        let places = running.places.iter().enumerate();
        let places = places.filter(|(at, _)| commit || may_be_there(*at));
        let finishes: Vec<(usize, Finish)> = places
            .map(|(at, place)| {
                let finish = Finish {
                    table: place.table,
                    row: place.row.clone(),
                    attempt: running.attempt.id.clone(),
                    commit,
                };
                (at, finish)
            })
            .collect();
        running.left = finishes.len();
        let caller = running.caller.clone();
        let deadline_us = match running.token {
            Some(_) => running.deadline_us,
            None => now + BACKGROUND_US,
        };
        if finishes.is_empty() {
            return self.finished(number);
        }
        for (at, finish) in finishes {
            let sent = Sent::Finish(number, at);
            let operation = Operation::Finish(finish);
            self.send_transaction(sent, caller.clone(), operation, deadline_us, None);
        }
    }

    fn on_finished(&mut self, number: u64, at: usize, result: Result<Written, Error>) {
        let now = self.now.mono_us;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        match result {
            // A table that is gone has taken its intents along.
            Ok(_) | Err(Error::TableNotFound(_)) => {}
            Err(Error::Throttled(_)) if now + AGAIN_US < running.deadline_us => {
                let Stage::Finishing { commit } = running.stage else {
                    return;
                };
                let finish = Finish {
                    table: running.places[at].table,
                    row: running.places[at].row.clone(),
                    attempt: running.attempt.id.clone(),
                    commit,
                };
                let deadline_us = running.deadline_us;
                self.coordinator.next_token += 1;
                let key = (now + AGAIN_US, self.coordinator.next_token);
                let again = (
                    Sent::Finish(number, at),
                    Operation::Finish(finish),
                    deadline_us,
                );
                self.coordinator.again.insert(key, again);
                return;
            }
            Err(_) => running.unfinished = true,
        }
        running.left -= 1;
        if running.left == 0 {
            self.finished(number);
        }
    }

    fn finished(&mut self, number: u64) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        let Stage::Finishing { commit } = running.stage else {
            return;
        };
        if !commit {
            self.counts.transactions_aborted += 1;
            return self.end_transaction(number, None);
        }
        self.counts.transactions_committed += 1;
        if running.unfinished {
            let words = "committed, but not all items show it yet";
            let error = TransactError::Failed(Error::OutcomeUnknown(words.into()));
            return self.end_transaction(number, Some(Err(error)));
        }
        let attempt = running.attempt.clone();
        let (caller, committed) = (running.caller.clone(), running.committed);
        if running.result.is_none() {
            let written = running.prepared.drain(..);
            let written = written.map(|result| match result {
                Some(Ok(written)) => written,
                _ => Written::default(),
            });
            running.result = Some(Ok(Transacted::Written(written.collect())));
        }
        self.end_transaction(number, None);
        let Attempt {
            table, record, key, ..
        } = attempt;
        let write = record::expire(table, record, key, &attempt.id, committed);
        let deadline_us = self.now.mono_us + BACKGROUND_US;
        let operation = Operation::Write(write);
        self.send_transaction(Sent::Expire, caller, operation, deadline_us, None);
    }

    fn end_transaction(&mut self, number: u64, result: Option<Result<Transacted, TransactError>>) {
        let Some(running) = self.coordinator.running.remove(&number) else {
            return;
        };
        let result = result.or(running.result);
        if let (Some(token), Some(result)) = (running.token, result) {
            self.out.push(Output::Transacted { token, result });
        }
    }

    // ---- reads ----

    pub(super) fn on_transact_read(&mut self, read: TransactRead) {
        let TransactRead {
            token,
            caller,
            gets,
            deadline_us,
        } = read;
        if self.coordinator.len() >= RUNNING_MAX {
            let words = "too many transactions are under way on this node";
            let result = Err(TransactError::Failed(Error::Throttled(words.into())));
            return self.out.push(Output::Transacted { token, result });
        }
        self.coordinator.next += 1;
        let number = self.coordinator.next;
        let reading = Reading {
            token,
            caller,
            gets,
            deadline_us,
            left: 0,
            rounds: 0,
            before: None,
            found: Vec::new(),
        };
        self.coordinator.reading.insert(number, reading);
        self.read_all(number);
    }

    fn read_all(&mut self, number: u64) {
        let Some(reading) = self.coordinator.reading.get_mut(&number) else {
            return;
        };
        reading.rounds += 1;
        reading.left = reading.gets.len();
        reading.found = vec![None; reading.gets.len()];
        let (gets, caller) = (reading.gets.clone(), reading.caller.clone());
        let deadline_us = reading.deadline_us;
        for (at, get) in gets.into_iter().enumerate() {
            let sent = Sent::Read(number, at);
            self.send_transaction(sent, caller.clone(), Operation::Get(get), deadline_us, None);
        }
    }

    fn on_transaction_read(&mut self, number: u64, at: usize, result: Result<Got, Error>) {
        let Some(reading) = self.coordinator.reading.get_mut(&number) else {
            return;
        };
        reading.found[at] = Some(result);
        reading.left -= 1;
        if reading.left > 0 {
            return;
        }
        let errors = reading.found.iter().map(|found| match found {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        });
        let errors: Vec<Option<Error>> = errors.collect();
        let failed = errors
            .iter()
            .flatten()
            .find(|error| !matches!(error, Error::Conflict { .. } | Error::Validation(_)));
        if let Some(error) = failed {
            let error = TransactError::Failed(error.clone());
            return self.end_reading(number, Err(error));
        }
        if errors.iter().any(Option::is_some) {
            return self.end_reading(number, Err(TransactError::Cancelled(errors)));
        }
        let found = reading.found.iter().flatten().flatten();
        let versions: Vec<u64> = found.map(|got| got.version).collect();
        // All items had these versions at the moment between two rounds that found the same.
        let same = reading.before.as_ref() == Some(&versions);
        if same || versions.len() == 1 {
            let found = reading.found.drain(..).flatten().flatten().collect();
            return self.end_reading(number, Ok(Transacted::Read(found)));
        }
        if reading.rounds >= READ_ROUNDS {
            let before = reading.before.take().unwrap_or_default();
            let conflict = Some(Error::Conflict { same_token: false });
            let changed = versions
                .iter()
                .zip(&before)
                .map(|(now, before)| match now == before {
                    true => None,
                    false => conflict.clone(),
                });
            let error = TransactError::Cancelled(changed.collect());
            return self.end_reading(number, Err(error));
        }
        reading.before = Some(versions);
        self.read_all(number);
    }

    fn end_reading(&mut self, number: u64, result: Result<Transacted, TransactError>) {
        if let Some(reading) = self.coordinator.reading.remove(&number) {
            let token = reading.token;
            self.out.push(Output::Transacted { token, result });
        }
    }

    // ---- questions about intents ----

    /// A partition led here wants to know what the record of an intent says.
    pub(super) fn ask_record(
        &mut self,
        group: GroupId,
        row: Bytes,
        number: u64,
        attempt: Attempt,
        abort: bool,
    ) {
        let operation = match abort {
            true => Operation::Write(record::abort(&attempt, self.now.wall_ms)),
            false => Operation::Get(record::get(&attempt)),
        };
        let question = Question {
            group,
            row,
            number,
            attempt,
            abort,
        };
        let deadline_us = self.now.mono_us + ASK_US;
        let caller = Caller::default();
        self.send_transaction(Sent::Ask(question), caller, operation, deadline_us, None);
    }

    fn on_asked(&mut self, question: Question, result: Result<Answer, Error>) {
        let verdict = |item: Option<Bytes>| match item.as_deref().map(Record::parse) {
            None => Verdict::Open,
            Some(Ok(record)) => record.verdict(&question.attempt.id),
            Some(Err(_)) => Verdict::Unknown,
        };
        let verdict = match result {
            Ok(Answer::Got(got)) => verdict(got.item),
            Ok(Answer::Written(_)) => Verdict::Aborted,
            // Deleted: the table of records can't be, but by who runs the cluster.
            Err(Error::ConditionFailed { item }) => match verdict(item) {
                Verdict::Open => {
                    let touch = Operation::Write(record::touch(&question.attempt));
                    let deadline_us = self.now.mono_us + ASK_US;
                    let sent = Sent::Touch(question);
                    let caller = Caller::default();
                    return self.send_transaction(sent, caller, touch, deadline_us, None);
                }
                verdict => verdict,
            },
            _ => Verdict::Unknown,
        };
        self.tell(question, verdict);
    }

    /// Another attempt has the record; once its partition's time is past this one's, this one can't commit any more.
    fn on_touched(&mut self, question: Question, result: Result<Answer, Error>) {
        let verdict = match result {
            Ok(Answer::Written(written)) if written.version > question.attempt.expires => {
                Verdict::Aborted
            }
            Ok(_) => Verdict::Open,
            Err(_) => Verdict::Unknown,
        };
        self.tell(question, verdict);
    }

    fn tell(&mut self, question: Question, verdict: Verdict) {
        let Question {
            group,
            row,
            number,
            abort,
            ..
        } = question;
        if abort && matches!(verdict, Verdict::Committed | Verdict::Aborted) {
            self.counts.intents_resolved += 1;
        }
        self.with_partition(group, |partition, group, now, fx| {
            partition.on_verdict(group, &row, number, verdict, now, fx);
        });
    }

    // ---- time ----

    pub(super) fn tick_transactions(&mut self) {
        while let Some(entry) = self.coordinator.again.first_entry() {
            if entry.key().0 > self.now.mono_us {
                break;
            }
            let (sent, operation, deadline_us) = entry.remove();
            self.send_transaction(sent, Caller::default(), operation, deadline_us, None);
        }
        let with_intents = self.replicas.iter().filter(|(_, replica)| {
            let partition = replica.partition();
            partition.is_some_and(|p| p.is_serving() && p.has_intents())
        });
        let groups: Vec<GroupId> = with_intents.map(|(id, _)| *id).collect();
        for id in groups {
            self.with_partition(id, |partition, _, now, fx| partition.ask_expired(now, fx));
        }
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            self.sweep_records();
        }
    }

    /// Looks for committed records in partitions led here whose coordinators are gone.
    fn sweep_records(&mut self) {
        let Some(table) = self.records() else {
            return;
        };
        let led = self.replicas.iter().filter(|(_, replica)| {
            let partition = replica.partition();
            partition.is_some_and(|p| p.is_serving() && p.state.table == table)
        });
        let led: Vec<(GroupId, Bytes, Bytes)> = led
            .map(|(id, replica)| {
                let state = replica.state();
                (*id, state.start.clone(), state.end.clone())
            })
            .collect();
        let sweeping = &mut self.coordinator.sweeping;
        sweeping.retain(|id, _| led.iter().any(|(group, ..)| group == id));
        for (id, start, end) in led {
            let under_way = self
                .coordinator
                .sends
                .values()
                .any(|sent| matches!(sent, Sent::Sweep(group) if *group == id));
            if under_way {
                continue;
            }
            let from = self.coordinator.sweeping.get(&id).cloned();
            let from = from.filter(|from| start <= *from && *from < end);
            let page = record::orphans(table, from.unwrap_or(start), end, self.now.wall_ms);
            let deadline_us = self.now.mono_us + ASK_US;
            let caller = Caller::default();
            let operation = Operation::Page(page);
            self.send_transaction(Sent::Sweep(id), caller, operation, deadline_us, None);
        }
    }

    fn on_swept(&mut self, group: GroupId, result: Result<Answer, Error>) {
        let Ok(Answer::Paged(page)) = result else {
            return;
        };
        let Some(table) = self.records() else {
            return;
        };
        // Behind the last one, or again from the start.
        match page.last {
            Some(last) => {
                let next = [&last[..], &[0]].concat().into();
                self.coordinator.sweeping.insert(group, next);
            }
            None => drop(self.coordinator.sweeping.remove(&group)),
        }
        let deadline_us = self.now.mono_us + BACKGROUND_US;
        for item in page.items {
            if self.coordinator.len() >= RUNNING_MAX {
                return;
            }
            if let Ok(record) = Record::parse(&item) {
                self.take_over(table, record, None, deadline_us);
            }
        }
    }

    // ---- answers ----

    pub(super) fn on_transaction_reply(&mut self, token: u64, result: Result<Answer, Error>) {
        let Some(sent) = self.coordinator.sends.remove(&token) else {
            return;
        };
        let written = |result: Result<Answer, Error>| match result {
            Ok(Answer::Written(written)) => Ok(written),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(error),
        };
        let got = |result: Result<Answer, Error>| match result {
            Ok(Answer::Got(got)) => Ok(got),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(error),
        };
        match sent {
            Sent::Prepare(number, at) => self.on_prepared(number, at, written(result)),
            Sent::Commit(number) => self.on_committed(number, written(result)),
            Sent::Settle(number) => self.on_settled(number, written(result)),
            Sent::Look(number) => self.on_looked(number, got(result).map(|got| got.item)),
            Sent::Finish(number, at) => self.on_finished(number, at, written(result)),
            Sent::Read(number, at) => self.on_transaction_read(number, at, got(result)),
            Sent::Ask(question) => self.on_asked(question, result),
            Sent::Touch(question) => self.on_touched(question, result),
            Sent::Sweep(group) => self.on_swept(group, result),
            Sent::Expire => {}
        }
    }
}

fn unexpected() -> Error {
    Error::OutcomeUnknown("the partition answered something else".into())
}
