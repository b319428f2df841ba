//! A transaction that reads: rounds until two find the same.

use super::super::Shard;
use super::super::io::{Output, TransactError, TransactRead, Transacted};
use super::{READ_ROUNDS, RUNNING_MAX, Reading, Sent};
use crate::api::{Error, Got, Operation};

impl Shard {
    pub(in crate::shard) fn on_transact_read(&mut self, read: TransactRead) {
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

    pub(super) fn read_all(&mut self, number: u64) {
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

    pub(super) fn on_transaction_read(
        &mut self,
        number: u64,
        at: usize,
        result: Result<Got, Error>,
    ) {
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

    pub(super) fn end_reading(&mut self, number: u64, result: Result<Transacted, TransactError>) {
        if let Some(reading) = self.coordinator.reading.remove(&number) {
            let token = reading.token;
            self.out.push(Output::Transacted { token, result });
        }
    }
}
