//! A transaction that writes, from its first `Prepare` to its end.

use bytes::Bytes;

use super::super::Shard;
use super::super::io::{Output, Transact, TransactError, Transacted};
use super::{AGAIN_US, ATTEMPT_MS, BACKGROUND_US, PREPARE_US, RUNNING_MAX, Running, Sent};
use crate::api::{Attempt, Caller, Error, Finish, Operation, Prepare, Written};
use crate::mutants::{Mutant, active};
use crate::time::Hybrid;
use crate::transactions::record::{self, Place, Record, Verdict};

impl Shard {
    pub(in crate::shard) fn on_transact(&mut self, transact: Transact) {
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
            commit: false,
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

    pub(super) fn on_prepared(&mut self, number: u64, at: usize, result: Result<Written, Error>) {
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
            let (caller, deadline_us) = (running.caller.clone(), running.deadline_us);
            let get = Operation::Get(record::get(&running.attempt));
            self.send_transaction(Sent::Look(number), caller, get, deadline_us, None);
        } else {
            self.cancel_transaction(number);
        }
    }

    pub(super) fn commit_transaction(&mut self, number: u64) {
        let now_ms = self.now.wall_ms;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
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

    pub(super) fn on_committed(&mut self, number: u64, result: Result<Written, Error>) {
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

    pub(super) fn settle_transaction(&mut self, number: u64) {
        let now_ms = self.now.wall_ms;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        let write = Operation::Write(record::abort(&running.attempt, now_ms));
        let (caller, deadline_us) = (running.caller.clone(), running.deadline_us);
        self.send_transaction(Sent::Settle(number), caller, write, deadline_us, None);
    }

    pub(super) fn on_settled(&mut self, number: u64, result: Result<Written, Error>) {
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
    pub(super) fn on_other_record(&mut self, number: u64, item: Option<Bytes>) {
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
    pub(super) fn on_done_before(&mut self, number: u64, record: Record) {
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
    pub(super) fn take_over(
        &mut self,
        table: u64,
        record: Record,
        token: Option<u64>,
        deadline_us: u64,
    ) {
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
            commit: true,
            left: 0,
            unfinished: false,
            committed: Hybrid::from_wall(self.now.wall_ms),
            result: Some(Ok(Transacted::Before)),
        };
        self.coordinator.running.insert(number, running);
        self.finish_all(number, true);
    }

    pub(super) fn on_looked(&mut self, number: u64, result: Result<Option<Bytes>, Error>) {
        match result {
            Ok(Some(item)) => match Record::parse(&item) {
                Ok(record) if record.committed => self.on_done_before(number, record),
                _ => self.cancel_transaction(number),
            },
            Ok(None) | Err(_) => self.cancel_transaction(number),
        }
    }

    /// Some item refused: so nothing happens to any.
    pub(super) fn cancel_transaction(&mut self, number: u64) {
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
    pub(super) fn finish_all(&mut self, number: u64, commit: bool) {
        let now = self.now.mono_us;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        running.commit = commit;
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

    pub(super) fn on_finished(&mut self, number: u64, at: usize, result: Result<Written, Error>) {
        let now = self.now.mono_us;
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        match result {
            // A table that is gone has taken its intents along.
            Ok(_) | Err(Error::TableNotFound(_)) => {}
            Err(Error::Throttled(_)) if now + AGAIN_US < running.deadline_us => {
                let finish = Finish {
                    table: running.places[at].table,
                    row: running.places[at].row.clone(),
                    attempt: running.attempt.id.clone(),
                    commit: running.commit,
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

    pub(super) fn finished(&mut self, number: u64) {
        let Some(running) = self.coordinator.running.get_mut(&number) else {
            return;
        };
        if !running.commit {
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

    pub(super) fn end_transaction(
        &mut self,
        number: u64,
        result: Option<Result<Transacted, TransactError>>,
    ) {
        let Some(running) = self.coordinator.running.remove(&number) else {
            return;
        };
        let result = result.or(running.result);
        if let (Some(token), Some(result)) = (running.token, result) {
            self.out.push(Output::Transacted { token, result });
        }
    }
}
