//! A replica's log in memory, as raft reads it.
//!
//! All entries above the truncation point stay in memory: they are few, since truncation follows each flush of the engine, and the
//! disk's copy is read at a start only.

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

/// Entries `base.0 + 1 ..= last`, the hard state and the membership.
#[derive(Debug, Default)]
pub struct GroupLog {
    /// (index, term) before the first entry.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    bytes: usize,
    hard_state: HardState,
    conf_state: ConfState,
    /// What a snapshot made now would stand for: (applied index, its term).
    applied: (u64, u64),
}

fn size(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + 48
}

impl GroupLog {
    pub fn new(
        base: (u64, u64),
        entries: Vec<Entry>,
        hard_state: HardState,
        conf_state: ConfState,
        applied: (u64, u64),
    ) -> Self {
        let mut entries: VecDeque<Entry> = entries.into();
        let mut base = base;
        // The first entry is the state that a founder begins with. Nobody else can begin from it: a newcomer must get a snapshot.
        if base.0 == 0 && applied.0 > 0 {
            if let Some(first) = entries.pop_front() {
                base = (first.index, first.term);
            }
        }
        let bytes = entries.iter().map(size).sum();
        GroupLog {
            base,
            entries,
            bytes,
            hard_state,
            conf_state,
            applied,
        }
    }

    pub fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    pub fn base(&self) -> (u64, u64) {
        self.base
    }

    /// Memory that the entries take, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.last() >= first.index {
            match self.entries.pop_back() {
                Some(old) => self.bytes -= size(&old),
                None => break,
            }
        }
        debug_assert_eq!(self.last() + 1, first.index, "entries leave a gap");
        for entry in entries {
            self.bytes += size(entry);
            self.entries.push_back(entry.clone());
        }
    }

    pub fn set_hard_state(&mut self, state: HardState) {
        self.hard_state = state;
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub fn set_conf_state(&mut self, state: ConfState) {
        self.conf_state = state;
    }

    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    pub fn set_applied(&mut self, applied: (u64, u64)) {
        self.applied = applied;
    }

    pub fn applied(&self) -> (u64, u64) {
        self.applied
    }

    /// Starts anew behind a snapshot.
    pub fn reset(&mut self, at: (u64, u64), conf_state: ConfState) {
        self.entries.clear();
        self.bytes = 0;
        self.base = at;
        self.applied = at;
        self.conf_state = conf_state;
        self.hard_state.commit = self.hard_state.commit.max(at.0);
    }

    /// Drops entries up to and with `index`; returns (index, term) of the last one dropped, if any was.
    pub fn truncate(&mut self, index: u64) -> Option<(u64, u64)> {
        if index <= self.base.0 || index > self.last() {
            return None;
        }
        let mut last = self.base;
        while last.0 < index {
            let entry = self.entries.pop_front()?;
            self.bytes -= size(&entry);
            last = (entry.index, entry.term);
        }
        self.base = last;
        Some(last)
    }
}

impl Storage for GroupLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState {
            hard_state: self.hard_state.clone(),
            conf_state: self.conf_state.clone(),
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let from = (low - self.base.0 - 1) as usize;
        let to = (high - self.base.0 - 1) as usize;
        let mut taken = 0u64;
        let mut out = Vec::new();
        for entry in self.entries.range(from..to) {
            taken += size(entry) as u64;
            if !out.is_empty() && taken > limit {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        if index < self.base.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        match self.entries.get((index - self.base.0 - 1) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.applied.0 < request_index || self.applied.0 == 0 {
            return Err(raft::Error::Store(
                StorageError::SnapshotTemporarilyUnavailable,
            ));
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = self.applied;
        metadata.set_conf_state(self.conf_state.clone());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            ..Default::default()
        }
    }

    #[test]
    fn overwrites_a_tail_and_truncates_a_head() {
        let mut log = GroupLog::default();
        log.append(&[entry(1, 1), entry(2, 1), entry(3, 1)]);
        log.append(&[entry(2, 2)]);
        assert_eq!((log.last(), log.term(2).unwrap()), (2, 2));
        assert_eq!(log.truncate(1), Some((1, 1)));
        assert_eq!(log.truncate(1), None);
        assert!(
            log.entries(1, 2, None, GetEntriesContext::empty(false))
                .is_err()
        );
        assert_eq!(
            log.entries(2, 3, None, GetEntriesContext::empty(false))
                .unwrap()
                .len(),
            1
        );
        assert_eq!(log.term(1).unwrap(), 1);
        log.reset((9, 4), ConfState::default());
        assert_eq!(
            (log.first_index().unwrap(), log.last(), log.bytes()),
            (10, 9, 0)
        );
    }
}
