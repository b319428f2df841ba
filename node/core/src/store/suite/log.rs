//! What every [`LogStore`] must do.

use std::collections::BTreeMap;
use std::ops::Range;

use raft::eraftpb::{Entry, EntryType, HardState};

use super::{Choices, LogBench};
use crate::ids::ReplicaId;
use crate::store::span::{Logs, Span, Spans};
use crate::store::{LEFT, LogStore, LogWrite, RecoveredLog};

/// Runs every check; the random one with each seed.
pub fn all<B: LogBench>(bench: &mut B, seeds: Range<u64>) {
    appended_entries_come_back(bench);
    tails_are_overwritten(bench);
    truncation_and_reset(bench);
    removed_logs_are_gone(bench);
    hard_states_alone(bench);
    misfits_are_refused(bench);
    a_sync_covers_what_came_before(bench);
    many_logs_in_one_append(bench);
    several_threads(bench);
    purging_changes_nothing(bench);
    for seed in seeds {
        random(bench, seed);
    }
}

pub fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let data: Vec<u8> = (0..bytes)
        .map(|i| (index as usize * 31 + term as usize * 7 + i) as u8)
        .collect();
    Entry {
        index,
        term,
        data: data.into(),
        ..Entry::default()
    }
}

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    range.map(|index| entry(index, term, 20)).collect()
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote,
        commit,
        ..HardState::default()
    }
}

pub fn write(replica: u64) -> LogWrite {
    LogWrite {
        replica: ReplicaId(replica),
        ..LogWrite::default()
    }
}

fn only(log: &impl LogStore) -> RecoveredLog {
    let logs = log.recover().expect("recover");
    assert_eq!(logs.len(), 1, "one log");
    logs.into_iter().next().expect("one log")
}

fn appended_entries_come_back<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    assert_eq!(log.recover().expect("recover"), []);
    log.append(&[], true).expect("an empty append");
    log.append(&[write(1)], true)
        .expect("a write that says nothing");
    let log = bench.crash(log, 0);
    assert_eq!(log.recover().expect("recover"), []);
    let mut all = vec![entry(1, 1, 0), entry(2, 1, 100_000), entry(3, 2, 1)];
    all[2].entry_type = EntryType::EntryConfChangeV2;
    all[2].context = vec![1, 2, 3].into();
    log.append(
        &[LogWrite {
            entries: all[..2].to_vec(),
            ..write(1)
        }],
        false,
    )
    .expect("append");
    log.append(
        &[LogWrite {
            entries: all[2..].to_vec(),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    for _ in 0..2 {
        assert!(only(&log).entries == all);
    }
    assert!(log.bytes() > 100);
    let log = bench.crash(log, 1);
    assert!(
        only(&log)
            == RecoveredLog {
                replica: ReplicaId(1),
                hard_state: HardState::default(),
                base: (0, 0),
                entries: all
            }
    );
}

fn tails_are_overwritten<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    log.append(
        &[LogWrite {
            entries: entries(1..=10, 1),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    log.append(
        &[LogWrite {
            entries: entries(4..=6, 2),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    let expected = [entries(1..=3, 1), entries(4..=6, 2)].concat();
    assert!(only(&log).entries == expected);
    let log = bench.crash(log, 0);
    assert!(only(&log).entries == expected);
    log.append(
        &[LogWrite {
            entries: entries(1..=1, 3),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    let log = bench.crash(log, 0);
    assert!(only(&log).entries == entries(1..=1, 3));
}

fn truncation_and_reset<B: LogBench>(bench: &mut B) {
    let mut log = bench.fresh();
    let hard = hard_state(3, 2, 8);
    log.append(
        &[LogWrite {
            entries: entries(1..=10, 3),
            hard_state: Some(hard.clone()),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    log.append(
        &[LogWrite {
            truncate: Some((4, 3)),
            ..write(1)
        }],
        true,
    )
    .expect("truncate");
    log.append(
        &[LogWrite {
            truncate: Some((2, 3)),
            ..write(1)
        }],
        true,
    )
    .expect("a truncation below the base does nothing");
    for _ in 0..2 {
        let found = only(&log);
        assert_eq!((found.base, &found.hard_state), ((4, 3), &hard));
        assert!(found.entries == entries(5..=10, 3));
        log = bench.crash(log, 0);
        log.recover().expect("recover");
    }
    // All of them, then on from there.
    log.append(
        &[LogWrite {
            truncate: Some((10, 3)),
            ..write(1)
        }],
        true,
    )
    .expect("truncate all");
    let log = bench.crash(log, 0);
    assert_eq!((only(&log).base, only(&log).entries.len()), ((10, 3), 0));
    log.append(
        &[LogWrite {
            entries: entries(11..=12, 4),
            truncate: Some((11, 4)),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    assert!(only(&log).base == (11, 4) && only(&log).entries == entries(12..=12, 4));
    // Behind a snapshot, with entries and a hard state in the same write.
    let reset = LogWrite {
        reset: Some((100, 7)),
        entries: entries(101..=103, 8),
        hard_state: Some(hard_state(8, 0, 100)),
        ..write(1)
    };
    log.append(std::slice::from_ref(&reset), true)
        .expect("reset");
    let log = bench.crash(log, 0);
    assert!(
        only(&log)
            == RecoveredLog {
                replica: ReplicaId(1),
                hard_state: hard_state(8, 0, 100),
                base: (100, 7),
                entries: reset.entries
            }
    );
    // A reset backwards keeps the hard state.
    log.append(
        &[LogWrite {
            reset: Some((50, 5)),
            ..write(1)
        }],
        true,
    )
    .expect("reset");
    let log = bench.crash(log, 0);
    let found = only(&log);
    assert_eq!(
        (found.base, found.entries.len(), found.hard_state),
        ((50, 5), 0, hard_state(8, 0, 100))
    );
    // The mark of a replica that has left, far above all that was there, and its end.
    let left = LogWrite {
        reset: Some(LEFT),
        ..write(1)
    };
    log.append(&[left], true).expect("left");
    let log = bench.crash(log, 0);
    let found = only(&log);
    assert_eq!((found.base, found.entries.len()), (LEFT, 0));
    let gone = LogWrite {
        remove: true,
        ..write(1)
    };
    log.append(&[gone], true).expect("removed");
    let log = bench.crash(log, 0);
    assert_eq!(log.recover().expect("logs"), []);
}

fn removed_logs_are_gone<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    for replica in 1..=3 {
        let first = LogWrite {
            entries: entries(1..=5, 1),
            hard_state: Some(hard_state(1, 1, 1)),
            ..write(replica)
        };
        log.append(&[first], true).expect("append");
    }
    log.append(
        &[
            LogWrite {
                remove: true,
                ..write(2)
            },
            LogWrite {
                remove: true,
                ..write(9)
            },
        ],
        true,
    )
    .expect("remove");
    let replicas = |log: &B::Log| -> Vec<u64> {
        log.recover()
            .expect("recover")
            .iter()
            .map(|log| log.replica.0)
            .collect()
    };
    assert_eq!(replicas(&log), [1, 3]);
    let log = bench.crash(log, 0);
    assert_eq!(replicas(&log), [1, 3]);
    log.append(
        &[LogWrite {
            entries: entries(6..=6, 1),
            ..write(3)
        }],
        true,
    )
    .expect("the others go on");
    assert_eq!(replicas(&log), [1, 3]);
}

fn hard_states_alone<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    for term in 1..=3 {
        log.append(
            &[LogWrite {
                hard_state: Some(hard_state(term, 2, 0)),
                ..write(5)
            }],
            true,
        )
        .expect("append");
    }
    let log = bench.crash(log, 0);
    assert!(
        only(&log)
            == RecoveredLog {
                replica: ReplicaId(5),
                hard_state: hard_state(3, 2, 0),
                base: (0, 0),
                entries: vec![]
            }
    );
}

fn misfits_are_refused<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    log.append(
        &[LogWrite {
            reset: Some((5, 1)),
            entries: entries(6..=8, 1),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    for bad in [entries(10..=10, 1), entries(5..=6, 1)] {
        let good = LogWrite {
            entries: entries(1..=1, 1),
            ..write(2)
        };
        assert!(
            log.append(
                &[
                    good,
                    LogWrite {
                        entries: bad,
                        ..write(1)
                    }
                ],
                true
            )
            .is_err()
        );
        assert!(only(&log).entries == entries(6..=8, 1));
    }
    log.append(
        &[LogWrite {
            entries: entries(9..=9, 1),
            ..write(1)
        }],
        true,
    )
    .expect("append");
    let log = bench.crash(log, 0);
    assert!(only(&log).entries == entries(6..=9, 1));
}

fn a_sync_covers_what_came_before<B: LogBench>(bench: &mut B) {
    for choice in 0..6 {
        let log = bench.fresh();
        log.append(
            &[LogWrite {
                entries: entries(1..=3, 1),
                ..write(1)
            }],
            false,
        )
        .expect("append");
        log.append(
            &[LogWrite {
                hard_state: Some(hard_state(4, 0, 0)),
                ..write(2)
            }],
            false,
        )
        .expect("append");
        log.append(&[], true).expect("a sync of nothing new");
        log.append(
            &[LogWrite {
                entries: entries(4..=4, 1),
                ..write(1)
            }],
            false,
        )
        .expect("append");
        log.append(
            &[LogWrite {
                entries: entries(5..=5, 1),
                ..write(1)
            }],
            false,
        )
        .expect("append");
        let log = bench.crash(log, choice);
        let logs = log.recover().expect("recover");
        assert_eq!(logs.len(), 2);
        assert_eq!(logs[1].hard_state, hard_state(4, 0, 0));
        let kept = logs[0].entries.len() as u64;
        assert!((3..=5).contains(&kept) && logs[0].entries == entries(1..=kept, 1));
        log.append(
            &[LogWrite {
                entries: entries(kept + 1..=9, 2),
                ..write(1)
            }],
            true,
        )
        .expect("append");
        let log = bench.crash(log, choice);
        assert!(
            log.recover().expect("recover")[0].entries
                == [entries(1..=kept, 1), entries(kept + 1..=9, 2)].concat()
        );
    }
}

fn many_logs_in_one_append<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    for round in 0..3_u64 {
        let writes: Vec<LogWrite> = (1..=300)
            .map(|replica| LogWrite {
                entries: entries(round * 2 + 1..=round * 2 + 2, 1),
                hard_state: Some(hard_state(1, replica, round)),
                ..write(replica)
            })
            .collect();
        log.append(&writes, true).expect("append");
    }
    let log = bench.crash(log, 0);
    let logs = log.recover().expect("recover");
    assert!(
        logs.iter().map(|log| log.replica.0).eq(1..=300),
        "in order of replicas"
    );
    assert!(
        logs.iter().all(|log| log.entries == entries(1..=6, 1)
            && log.hard_state == hard_state(1, log.replica.0, 2))
    );
}

fn several_threads<B: LogBench>(bench: &mut B) {
    let log = bench.fresh();
    std::thread::scope(|scope| {
        for replica in 1..=4 {
            let log = &log;
            scope.spawn(move || {
                for index in 1..=50 {
                    log.append(
                        &[LogWrite {
                            entries: entries(index..=index, 1),
                            ..write(replica)
                        }],
                        index % 10 == 0,
                    )
                    .expect("append");
                }
            });
        }
    });
    let log = bench.crash(log, 0);
    let logs = log.recover().expect("recover");
    assert!(logs.len() == 4 && logs.iter().all(|log| log.entries == entries(1..=50, 1)));
}

fn purging_changes_nothing<B: LogBench>(bench: &mut B) {
    let mut log = bench.fresh();
    // One log that moves on, one that never truncates, one with a hard state alone.
    log.append(
        &[
            LogWrite {
                entries: entries(1..=3, 1),
                ..write(2)
            },
            LogWrite {
                hard_state: Some(hard_state(9, 9, 9)),
                ..write(3)
            },
        ],
        true,
    )
    .expect("append");
    let mut largest = 0;
    for index in 1..=3000_u64 {
        let truncate = (index % 20 == 0).then(|| (index - 10, 1));
        log.append(
            &[LogWrite {
                entries: vec![entry(index, 1, 4000)],
                truncate,
                ..write(1)
            }],
            index % 50 == 0,
        )
        .expect("append");
        if index % 100 == 0 {
            let wanted = log.purge().expect("purge");
            assert!(
                wanted.iter().all(|replica| (1..=3).contains(&replica.0)),
                "{wanted:?}"
            );
            largest = largest.max(log.bytes());
        }
        if index % 1000 == 0 {
            log = bench.crash(log, index);
            let logs = log.recover().expect("recover");
            assert_eq!(logs.len(), 3);
            assert!(
                logs[1].entries == entries(1..=3, 1) && logs[2].hard_state == hard_state(9, 9, 9)
            );
            assert_eq!((logs[0].base, logs[0].entries.len()), ((index - 10, 1), 10));
        }
    }
    let written = 3000 * 4000;
    assert!(
        largest < written,
        "{largest} bytes on disk after {written} were written and truncated"
    );
}

/// Random appends over several logs with crashes. After a crash the logs must be as after a prefix of the appends that holds every synced one.
pub fn random<B: LogBench>(bench: &mut B, seed: u64) {
    let mut choices = Choices::new(seed);
    let mut log = bench.fresh();
    let mut model = Model::default();
    for step in 0..100 {
        match choices.below(16) {
            0 => {
                log = bench.crash(log, choices.draw());
                let found = log.recover().expect("recover");
                let before = model.clone();
                assert!(
                    model.crash(&found),
                    "seed {seed}, step {step}: no prefix of the appends gives\n{}, they give\n{}",
                    outline(&found),
                    outline(&before.current())
                );
            }
            1 => {
                log.purge().expect("purge");
            }
            _ => {
                let writes = model.draw(&mut choices);
                let sync = choices.one_in(3);
                log.append(&writes, sync).expect("append");
                model.append(writes, sync);
            }
        }
    }
    assert!(
        log.recover().expect("recover") == model.current(),
        "seed {seed}: the logs differ"
    );
}

/// What a log store may hold: the logs at the last sync, and the appends since.
#[derive(Clone, Debug, Default)]
pub struct Model {
    synced: Logs,
    tail: Vec<Vec<LogWrite>>,
    spans: Spans,
    terms: BTreeMap<u64, u64>,
    lives: BTreeMap<u64, u64>,
}

impl Model {
    pub fn append(&mut self, writes: Vec<LogWrite>, sync: bool) {
        self.spans.advance(&writes).expect("the writes fit");
        self.tail.push(writes);
        if sync {
            for writes in std::mem::take(&mut self.tail) {
                apply(&mut self.synced, writes);
            }
        }
    }

    pub fn current(&self) -> Vec<RecoveredLog> {
        let mut logs = self.synced.clone();
        self.tail
            .iter()
            .for_each(|writes| apply(&mut logs, writes.clone()));
        logs.into_vec()
    }

    /// Whether `found` is what a prefix of the appends gives that holds all synced ones; if so the model goes on from there.
    pub fn crash(&mut self, found: &[RecoveredLog]) -> bool {
        let mut tail = std::mem::take(&mut self.tail).into_iter();
        loop {
            if self.synced.clone().into_vec() == found {
                self.spans = Spans::new(found);
                return true;
            }
            match tail.next() {
                Some(writes) => apply(&mut self.synced, writes),
                None => return false,
            }
        }
    }

    /// Writes that fit the logs as they are.
    pub fn draw(&mut self, choices: &mut Choices) -> Vec<LogWrite> {
        let mut writes = Vec::new();
        for slot in 1..=6 {
            if choices.one_in(3) {
                writes.push(self.draw_one(choices, slot));
            }
        }
        writes
    }

    fn draw_one(&mut self, choices: &mut Choices, slot: u64) -> LogWrite {
        // An id is never used again: a replica that follows a removed one has an id of its own.
        let lives = self.lives.entry(slot).or_default();
        let replica = slot + 10 * *lives;
        if choices.one_in(40) {
            *lives += 1;
            return LogWrite {
                remove: true,
                ..write(replica)
            };
        }
        let mut drawn = write(replica);
        let mut span = self.spans.get(ReplicaId(replica)).unwrap_or_default();
        let term = self.terms.entry(replica).or_default();
        *term += choices.below(2);
        if choices.one_in(30) {
            span.base = (choices.below(60), *term);
            span.last = span.base.0;
            drawn.reset = Some(span.base);
        }
        if !choices.one_in(4) {
            let first = span.base.0
                + 1
                + choices
                    .below(span.last - span.base.0 + 1)
                    .max((span.last - span.base.0).saturating_sub(3));
            let count = 1 + choices.below(5);
            drawn.entries = (first..first + count)
                .map(|index| entry(index, *term, choices.below(200) as usize))
                .collect();
            span.last = first + count - 1;
        }
        if choices.one_in(3) {
            drawn.hard_state = Some(hard_state(*term, choices.below(3), span.base.0));
        }
        if choices.one_in(8) && span.last > span.base.0 {
            let Span { base, last } = span;
            drawn.truncate = Some((base.0 + 1 + choices.below(last - base.0), *term));
        }
        drawn
    }
}

fn apply(logs: &mut Logs, writes: Vec<LogWrite>) {
    for write in writes {
        logs.apply(write).expect("the writes fit");
    }
}

/// Logs without their entries' bytes.
fn outline(logs: &[RecoveredLog]) -> String {
    let line = |log: &RecoveredLog| {
        let terms: Vec<_> = log
            .entries
            .iter()
            .map(|entry| (entry.index, entry.term))
            .collect();
        format!(
            "{}: {:?} base {:?} {terms:?}\n",
            log.replica, log.hard_state, log.base
        )
    };
    logs.iter().map(line).collect()
}
