//! Latches: one write at a time a row, from its evaluation to its application. The rest waits in order, bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::wire::RequestId;

/// Writes that wait for one row.
const QUEUE_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Latches {
    held: BTreeMap<Bytes, VecDeque<RequestId>>,
}

/// What became of asking for a latch.
#[derive(Debug, PartialEq, Eq)]
pub enum Acquired {
    Held,
    Queued,
    /// Too many wait.
    Full,
}

impl Latches {
    pub fn acquire(&mut self, row: &Bytes, id: RequestId) -> Acquired {
        match self.held.get_mut(row) {
            None => {
                self.held.insert(row.clone(), VecDeque::new());
                Acquired::Held
            }
            Some(queue) if queue.len() < QUEUE_MAX => {
                queue.push_back(id);
                Acquired::Queued
            }
            Some(_) => Acquired::Full,
        }
    }

    /// Gives the latch to the next in line, who holds it from now on.
    pub fn release(&mut self, row: &Bytes) -> Option<RequestId> {
        let next = self.held.get_mut(row)?.pop_front();
        if next.is_none() {
            self.held.remove(row);
        }
        next
    }

    pub fn clear(&mut self) {
        self.held.clear();
    }
}
