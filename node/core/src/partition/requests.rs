//! The ids of requests that were applied, so that a retry finds its first answer instead of being applied again.
//!
//! An id is forgotten only once the partition's hybrid time has passed its deadline, past which no command of it is applied any more:
//! so an `ADD` never counts twice. The table is part of the group's state: rows in the engine, snapshots and splits carry it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use prost::Message;

use super::command::{Remembered, request_key};
use crate::ids::GroupId;
use crate::mutants::{Mutant, active};
use crate::store::{Batch, Keyspace};
use crate::time::Hybrid;
use crate::wire::RequestId;

/// Ids and bytes at which a leader takes no more writes until some are forgotten.
const IDS_MAX: usize = 400_000;
const BYTES_MAX: usize = 64 << 20;
const ID_BYTES: usize = 120;
/// Inherited ids that share a row.
const IDS_PER_ROW: usize = 256;

#[derive(Debug, Default)]
pub struct RequestTable {
    by_id: BTreeMap<RequestId, (Hybrid, Bytes)>,
    /// In order of application: (index, id, deadline).
    order: VecDeque<(u64, RequestId, Hybrid)>,
    bytes: usize,
}

impl RequestTable {
    pub fn get(&self, id: &RequestId) -> Option<&Bytes> {
        self.by_id.get(id).map(|(_, outcome)| outcome)
    }

    pub fn is_full(&self) -> bool {
        self.order.len() >= IDS_MAX || self.bytes >= BYTES_MAX
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Notes what the entry `index` applied.
    pub fn insert(
        &mut self,
        group: GroupId,
        index: u64,
        remembered: Remembered,
        batch: &mut Batch,
    ) {
        batch.put(
            Keyspace::State,
            request_key(group, index),
            remembered.encode_to_vec(),
        );
        self.load(index, remembered);
    }

    /// Takes over a row.
    pub fn load(&mut self, index: u64, remembered: Remembered) {
        let Remembered {
            id,
            deadline,
            outcome,
            more,
        } = remembered;
        self.bytes += ID_BYTES + outcome.len();
        self.order.push_back((index, id, Hybrid(deadline)));
        self.by_id.insert(id, (Hybrid(deadline), outcome));
        for inherited in more {
            self.load(index, inherited);
        }
    }

    /// The rows with which a partition begins that is split off now: what is remembered still, in few rows. Whose row a request was for is not
    /// known any more, so both sides remember all.
    pub fn inherited(&self, time: Hybrid) -> Vec<(u64, Remembered)> {
        let mut rows: Vec<(u64, Remembered)> = Vec::new();
        for (_, id, deadline) in &self.order {
            let Some((_, outcome)) = self.by_id.get(id).filter(|_| *deadline >= time) else {
                continue;
            };
            let remembered = Remembered {
                id: *id,
                deadline: deadline.0,
                outcome: outcome.clone(),
                more: Vec::new(),
            };
            match rows.last_mut() {
                Some((_, row)) if row.more.len() + 1 < IDS_PER_ROW => row.more.push(remembered),
                last => {
                    let number = last.map_or(0, |(number, _)| *number + 1);
                    rows.push((number, remembered));
                }
            }
        }
        rows
    }

    /// Forgets the oldest ids whose deadline is before `time`.
    pub fn forget(&mut self, group: GroupId, time: Hybrid, batch: &mut Batch) {
        while let Some(&(index, id, deadline)) = self.order.front() {
            if deadline >= time && !active(Mutant::ForgetsRequestIds) {
                break;
            }
            self.order.pop_front();
            if let Some((_, outcome)) = self.by_id.remove(&id) {
                self.bytes -= ID_BYTES + outcome.len();
            }
            if self.order.front().is_none_or(|(next, ..)| *next != index) {
                batch.delete(Keyspace::State, request_key(group, index));
            }
        }
    }
}
