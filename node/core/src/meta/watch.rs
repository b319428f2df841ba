//! The history from which nodes follow the metadata: rows by revision, bounded; who asks for what is no longer there gets a snapshot.

use std::collections::VecDeque;

use super::state::MetaState;
use super::wire::{MetaEvents, Row};

/// Rows that are kept.
const ROWS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub struct History {
    /// (revision, rows) in order of revisions.
    changes: VecDeque<(u64, Vec<Row>)>,
    rows: usize,
}

impl History {
    pub fn push(&mut self, revision: u64, rows: Vec<Row>) {
        self.rows += rows.len();
        self.changes.push_back((revision, rows));
        while self.rows > ROWS_MAX {
            let Some((_, old)) = self.changes.pop_front() else {
                break;
            };
            self.rows -= old.len();
        }
    }

    pub fn clear(&mut self) {
        self.changes.clear();
        self.rows = 0;
    }

    /// What leads from `revision` to the state as it is.
    pub fn since(&self, revision: u64, state: &MetaState, leader: u64) -> MetaEvents {
        let current = state.revision();
        let mut events = MetaEvents {
            base: revision,
            revision: current,
            leader,
            ..Default::default()
        };
        if revision == current {
            return events;
        }
        let whole = self
            .changes
            .front()
            .is_some_and(|(first, _)| *first <= revision + 1)
            && revision < current;
        if whole {
            events.rows = self
                .changes
                .iter()
                .filter(|(r, _)| *r > revision)
                .flat_map(|(_, rows)| rows.iter().cloned())
                .collect();
        } else {
            events.snapshot = true;
            events.rows = state.rows();
        }
        events
    }
}

/// Takes events over; returns whether anything changed. Events that don't follow from what is known are left alone.
pub fn follow(state: &mut MetaState, events: &MetaEvents) -> Result<bool, prost::DecodeError> {
    if events.revision <= state.revision() {
        return Ok(false);
    }
    if events.snapshot {
        let mut fresh = MetaState::default();
        for row in &events.rows {
            fresh.put_row(&row.key, row.value.clone())?;
        }
        *state = fresh;
        return Ok(true);
    }
    if events.base != state.revision() {
        return Ok(false);
    }
    let mut next = state.clone();
    for row in &events.rows {
        next.put_row(&row.key, row.value.clone())?;
    }
    *state = next;
    Ok(true)
}
