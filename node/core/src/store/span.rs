//! Which indexes a log holds, and what an append makes of them: the rules of [`LogWrite`] in one place.
//!
//! Invariant: a log is `base` and the consecutive entries from `base.0 + 1` to `last`. A write that would leave a gap, or
//! change what is at or below the base, is refused before anything of its append reaches a disk.

use std::collections::BTreeMap;

use crate::ids::ReplicaId;

use super::{Error, LogWrite, RecoveredLog, Result};

/// The extent of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// (index, term) just before the first entry.
    pub base: (u64, u64),
    /// Index of the last entry; the base's if there is none.
    pub last: u64,
}

impl Span {
    /// The extent after `write`, which is not a removal.
    fn after(mut self, write: &LogWrite) -> Result<Span> {
        if let Some(base) = write.reset {
            self = Span { base, last: base.0 };
        }
        if let Some(first) = write.entries.first().map(|entry| entry.index) {
            let consecutive = write
                .entries
                .iter()
                .zip(first..)
                .all(|(entry, index)| entry.index == index);
            if !consecutive || first <= self.base.0 || first > self.last + 1 {
                return Err(Error::Failed(format!(
                    "the log of replica {} holds ({}, {}]: entries from {first} on don't fit",
                    write.replica, self.base.0, self.last
                )));
            }
            self.last = first + write.entries.len() as u64 - 1;
        }
        if let Some(base) = write.truncate.filter(|base| base.0 > self.base.0) {
            self = Span {
                base,
                last: self.last.max(base.0),
            };
        }
        Ok(self)
    }
}

/// The extents of all logs of a node.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    spans: BTreeMap<ReplicaId, Span>,
}

/// What [`Spans::advance`] changed, to take it back when the disk refuses.
#[derive(Debug)]
pub struct Undo(Vec<(ReplicaId, Option<Span>)>);

impl Undo {
    /// The extent that each write met.
    pub fn before(&self) -> Vec<Option<Span>> {
        self.0.iter().map(|(_, before)| *before).collect()
    }
}

impl Spans {
    pub fn new(logs: &[RecoveredLog]) -> Spans {
        let span = |log: &RecoveredLog| Span {
            base: log.base,
            last: log.base.0 + log.entries.len() as u64,
        };
        Spans {
            spans: logs.iter().map(|log| (log.replica, span(log))).collect(),
        }
    }

    pub fn get(&self, replica: ReplicaId) -> Option<Span> {
        self.spans.get(&replica).copied()
    }

    /// Takes all writes in, or none if one of them doesn't fit.
    pub fn advance(&mut self, writes: &[LogWrite]) -> Result<Undo> {
        let mut undo = Undo(Vec::with_capacity(writes.len()));
        for write in writes {
            let before = self.get(write.replica);
            let after = if write.remove {
                Ok(None)
            } else {
                self.after(before, write)
            };
            match after {
                Ok(after) => {
                    undo.0.push((write.replica, before));
                    self.set(write.replica, after);
                }
                Err(error) => {
                    self.revert(undo);
                    return Err(error);
                }
            }
        }
        Ok(undo)
    }

    pub fn revert(&mut self, undo: Undo) {
        for (replica, span) in undo.0.into_iter().rev() {
            self.set(replica, span);
        }
    }

    /// A write that says nothing does not bring a log into being.
    fn after(&self, before: Option<Span>, write: &LogWrite) -> Result<Option<Span>> {
        if before.is_none() && is_empty(write) {
            return Ok(None);
        }
        before.unwrap_or_default().after(write).map(Some)
    }

    fn set(&mut self, replica: ReplicaId, span: Option<Span>) {
        match span {
            Some(span) => self.spans.insert(replica, span),
            None => self.spans.remove(&replica),
        };
    }
}

/// Whether the write changes nothing.
pub fn is_empty(write: &LogWrite) -> bool {
    let LogWrite {
        replica: _,
        reset,
        entries,
        hard_state,
        truncate,
        remove,
    } = write;
    reset.is_none() && entries.is_empty() && hard_state.is_none() && truncate.is_none() && !remove
}

/// Whole logs as appends build them up: what recovery must answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    logs: BTreeMap<ReplicaId, RecoveredLog>,
}

impl Logs {
    /// Applies a write that [`Spans`] let pass. One that doesn't fit (only a damaged disk holds such) is refused.
    pub fn apply(&mut self, write: LogWrite) -> Result<()> {
        if write.remove {
            self.logs.remove(&write.replica);
            return Ok(());
        }
        if is_empty(&write) {
            return Ok(());
        }
        let log = self
            .logs
            .entry(write.replica)
            .or_insert_with(|| empty(write.replica));
        Span {
            base: log.base,
            last: log.base.0 + log.entries.len() as u64,
        }
        .after(&write)?;
        let LogWrite {
            replica: _,
            reset,
            entries,
            hard_state,
            truncate,
            remove: _,
        } = write;
        if let Some(base) = reset {
            log.base = base;
            log.entries.clear();
        }
        if let Some(first) = entries.first() {
            log.entries
                .truncate((first.index - log.base.0 - 1) as usize);
            log.entries.extend(entries);
        }
        if let Some(hard_state) = hard_state {
            log.hard_state = hard_state;
        }
        if let Some(base) = truncate.filter(|base| base.0 > log.base.0) {
            let gone = ((base.0 - log.base.0) as usize).min(log.entries.len());
            log.entries.drain(..gone);
            log.base = base;
        }
        Ok(())
    }

    /// By replica id.
    pub fn into_vec(self) -> Vec<RecoveredLog> {
        self.logs.into_values().collect()
    }
}

fn empty(replica: ReplicaId) -> RecoveredLog {
    RecoveredLog {
        replica,
        hard_state: Default::default(),
        base: (0, 0),
        entries: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn entries(from: u64, to: u64) -> Vec<Entry> {
        (from..=to)
            .map(|index| Entry {
                index,
                ..Entry::default()
            })
            .collect()
    }

    fn write(replica: u64) -> LogWrite {
        LogWrite {
            replica: ReplicaId(replica),
            ..LogWrite::default()
        }
    }

    #[test]
    fn gaps_and_changes_below_the_base_are_refused_and_nothing_is_kept() {
        let mut spans = Spans::default();
        spans
            .advance(&[LogWrite {
                reset: Some((5, 1)),
                entries: entries(6, 8),
                ..write(1)
            }])
            .unwrap();
        for bad in [
            entries(10, 10),
            entries(5, 6),
            vec![entries(7, 7).remove(0), entries(9, 9).remove(0)],
        ] {
            let good = LogWrite {
                entries: entries(1, 1),
                ..write(2)
            };
            assert!(
                spans
                    .advance(&[
                        good,
                        LogWrite {
                            entries: bad,
                            ..write(1)
                        }
                    ])
                    .is_err()
            );
            assert_eq!(
                spans.get(ReplicaId(1)),
                Some(Span {
                    base: (5, 1),
                    last: 8
                })
            );
            assert_eq!(spans.get(ReplicaId(2)), None);
        }
    }

    #[test]
    fn an_overwritten_tail_is_shorter_and_a_truncation_may_pass_the_end() {
        let mut spans = Spans::default();
        spans
            .advance(&[LogWrite {
                entries: entries(1, 9),
                ..write(1)
            }])
            .unwrap();
        spans
            .advance(&[LogWrite {
                entries: entries(4, 4),
                ..write(1)
            }])
            .unwrap();
        assert_eq!(spans.get(ReplicaId(1)).unwrap().last, 4);
        let undo = spans
            .advance(&[LogWrite {
                truncate: Some((6, 2)),
                ..write(1)
            }])
            .unwrap();
        assert_eq!(
            spans.get(ReplicaId(1)),
            Some(Span {
                base: (6, 2),
                last: 6
            })
        );
        spans.revert(undo);
        assert_eq!(spans.get(ReplicaId(1)).unwrap().last, 4);
    }
}
