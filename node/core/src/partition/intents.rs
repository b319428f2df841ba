//! Intents: what transactions have prepared for rows of this partition, beside the items as they still are.
//!
//! ```text
//!   Forward(Prepare) ─► like a write, up to the proposal ─► applied: an intent beside the item ─► reply
//!   Forward(Finish)  ─► propose ─► applied: the intent becomes the item, with its change and index entries, or goes ─► reply
//!   anything that meets an intent ─► ask the record ─► decided: finish first, then go on
//!                                                    └ not decided: a read shows the item as it is, all others conflict
//!   an intent past its time ─► ask the record, which is told to abort unless it has decided ─► finish
//! ```
//! Invariants:
//! - A row has at most one intent, and while it has one nothing else changes the row: what was evaluated stays true.
//! - Only the record decides; an intent goes only by a `Finish` that follows from the record, or from a coordinator that will never commit.
//! - A read under a ticket is not served while there are intents, nor in the step in which the last one went.
//!
//! Intents are rows of the state, keyed by their rows: snapshots carry them, and a split divides them with the range.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::encoding::record::Record;
use prost::Message;
use raft::eraftpb::Entry;

use super::command::{Command, Do, RowChange, RowWrite, intent_key};
use super::{Effect, Effects, Guarded, Partition, ReplyTo, refusal};
use crate::api::{Answer, Attempt, Consistency, Finish, Operation, Written};
use crate::consensus::Group;
use crate::mutants::{Mutant, active};
use crate::store::{Batch, Keyspace};
use crate::time::{Hybrid, Now};
use crate::transactions::record::Verdict;
use crate::wire::{Forward, ForwardReply, Refusal, RequestId};

/// Intents and their bytes at which a leader prepares nothing more until some are finished.
const INTENTS_MAX: usize = 20_000;
const BYTES_MAX: usize = 64 << 20;
const INTENT_BYTES: usize = 300;
/// Intents past their time that are asked about in one go.
const EXPIRED_MAX: usize = 64;

/// What a transaction has prepared for a row.
#[derive(Clone, PartialEq, Message)]
pub struct Intent {
    #[prost(message, required, tag = "1")]
    pub attempt: Attempt,
    /// What becomes of the row at a commit; none where only a condition was checked.
    #[prost(message, optional, tag = "2")]
    pub write: Option<RowWrite>,
    /// The request that prepared it.
    #[prost(message, optional, tag = "3")]
    pub id: Option<RequestId>,
}

/// A row's intent, as a command.
#[derive(Clone, PartialEq, Message)]
pub struct PrepareRow {
    #[prost(bytes = "bytes", tag = "1")]
    pub row: Bytes,
    #[prost(message, required, tag = "2")]
    pub intent: Intent,
    /// As [`RowWrite::outcome`].
    #[prost(bytes = "bytes", tag = "3")]
    pub outcome: Bytes,
}

/// The intents of a partition by row.
#[derive(Clone, Debug, Default)]
pub struct Intents {
    by_row: BTreeMap<Bytes, Intent>,
    bytes: usize,
}

fn bytes_of(row: &Bytes, intent: &Intent) -> usize {
    INTENT_BYTES + row.len() + intent.encoded_len()
}

impl Intents {
    pub fn get(&self, row: &[u8]) -> Option<&Intent> {
        self.by_row.get(row)
    }

    pub fn len(&self) -> usize {
        self.by_row.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_row.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.by_row.len() >= INTENTS_MAX || self.bytes >= BYTES_MAX
    }

    /// Takes over a row of the state.
    pub fn load(&mut self, row: Bytes, intent: Intent) {
        self.bytes += bytes_of(&row, &intent);
        if let Some(before) = self.by_row.insert(row.clone(), intent) {
            self.bytes -= bytes_of(&row, &before);
        }
    }

    /// Those of rows from `at` on are another partition's now.
    pub fn split_off(&mut self, at: &[u8]) -> Intents {
        let by_row = self.by_row.split_off(at);
        let bytes = by_row
            .iter()
            .map(|(row, intent)| bytes_of(row, intent))
            .sum();
        self.bytes -= bytes;
        Intents { by_row, bytes }
    }

    fn put(&mut self, row: Bytes, intent: Intent, batch: &mut Batch) {
        batch.put(Keyspace::State, intent_key(&row), intent.encode_to_vec());
        self.load(row, intent);
    }

    fn take(&mut self, row: &Bytes, batch: &mut Batch) -> Option<Intent> {
        let intent = self.by_row.remove(row)?;
        self.bytes -= bytes_of(row, &intent);
        batch.delete(Keyspace::State, intent_key(row));
        Some(intent)
    }
}

/// Requests that wait until it is known what becomes of a row's intent.
#[derive(Debug, Default)]
struct Asking {
    /// Of the question that is under way.
    number: u64,
    /// A write that holds the row's latch.
    write: Option<RequestId>,
    /// Reads that came before the question was asked, and those that came after: its answer may be too old for them.
    reads: Vec<(Forward, ReplyTo, bool)>,
    later: Vec<(Forward, ReplyTo, bool)>,
    /// The end was proposed.
    ending: bool,
}

/// What waits for the ends of intents.
#[derive(Debug, Default)]
pub(super) struct Ends {
    asking: BTreeMap<Bytes, Asking>,
    next: u64,
    /// By log index: the row, and who asked for its end.
    proposed: BTreeMap<u64, (Bytes, Option<(Forward, ReplyTo)>)>,
}

impl Ends {
    pub fn len(&self) -> usize {
        let reads = self.asking.values().map(|a| a.reads.len() + a.later.len());
        self.proposed.len() + reads.sum::<usize>()
    }
}

/// The write that an intent becomes, as of its commit.
fn restamped(write: RowWrite, stamp: u64) -> RowWrite {
    let restamp = |record: Bytes| match Record::parse(&record) {
        Ok(parsed) => {
            let mut out = Vec::with_capacity(record.len());
            Record {
                clock: stamp,
                ..parsed
            }
            .encode_into(&mut out);
            out.into()
        }
        Err(_) => record,
    };
    let entries = write.entries.into_iter().map(|change| RowChange {
        record: change.record.map(restamp),
        ..change
    });
    RowWrite {
        entries: entries.collect(),
        record: write.record.map(restamp),
        ..write
    }
}

fn is_strong_get(forward: &Forward) -> Option<Bytes> {
    match &forward.operation {
        Some(Operation::Get(get)) if get.consistency() == Consistency::Strong => {
            Some(get.row.clone())
        }
        _ => None,
    }
}

impl Partition {
    /// Whether reads that don't ask the leader's state machine may show what a transaction has changed elsewhere already.
    pub fn has_intents(&self) -> bool {
        !self.intents.is_empty()
    }

    // ---- what meets an intent ----

    /// Holds a strong read of a row back if a transaction has prepared it; returns it otherwise.
    pub(super) fn hold_read(
        &mut self,
        forward: Forward,
        to: ReplyTo,
        leased: bool,
        fx: &mut Effects,
    ) -> Option<(Forward, ReplyTo)> {
        let row = is_strong_get(&forward).filter(|row| self.intents.get(row).is_some());
        let Some(row) = row else {
            return Some((forward, to));
        };
        if active(Mutant::ReadsPastIntents) {
            return Some((forward, to));
        }
        match self.ends.asking.get_mut(&row) {
            Some(asking) => asking.later.push((forward, to, leased)),
            None => {
                let asking = self.ask(&row, false, fx);
                asking.reads.push((forward, to, leased));
            }
        }
        None
    }

    /// Holds a write back if a transaction has prepared its row.
    pub(super) fn hold_write(&mut self, id: RequestId, row: &Bytes, fx: &mut Effects) -> bool {
        if self.intents.get(row).is_none() || active(Mutant::WritesPastIntents) {
            return false;
        }
        match self.ends.asking.get_mut(row) {
            Some(asking) => asking.write = Some(id),
            None => self.ask(row, false, fx).write = Some(id),
        }
        true
    }

    fn ask(&mut self, row: &Bytes, abort: bool, fx: &mut Effects) -> &mut Asking {
        self.ends.next += 1;
        let number = self.ends.next;
        if let Some(intent) = self.intents.get(row) {
            fx.list.push(Effect::Ask {
                row: row.clone(),
                number,
                attempt: intent.attempt.clone(),
                abort,
            });
        }
        let asking = self.ends.asking.entry(row.clone()).or_default();
        asking.number = number;
        asking
    }

    /// Asks about intents whose time is over.
    pub fn ask_expired(&mut self, now: Now, fx: &mut Effects) {
        if !self.serving || self.intents.is_empty() {
            return;
        }
        let time = Hybrid::from_wall(now.wall_ms);
        let expired = self.intents.by_row.iter().filter(|(row, intent)| {
            Hybrid(intent.attempt.expires) < time && !self.ends.asking.contains_key(*row)
        });
        let rows: Vec<Bytes> = expired
            .take(EXPIRED_MAX)
            .map(|(row, _)| row.clone())
            .collect();
        for row in rows {
            self.ask(&row, true, fx);
        }
    }

    /// What the record of an intent's attempt says.
    pub fn on_verdict(
        &mut self,
        group: &mut Group,
        row: &Bytes,
        number: u64,
        verdict: Verdict,
        now: Now,
        fx: &mut Effects,
    ) {
        let asking = self.ends.asking.get(row);
        if asking.is_none_or(|asking| asking.number != number || asking.ending) {
            return;
        }
        let attempt = self.intents.get(row).map(|intent| intent.attempt.clone());
        let Some(attempt) = attempt else {
            return self.wake(row, fx);
        };
        let commit = match verdict {
            Verdict::Committed => true,
            Verdict::Aborted => false,
            Verdict::Open | Verdict::Unknown => {
                return self.go_on(group, row, &attempt, verdict, now, fx);
            }
        };
        let finish = Finish {
            table: self.state.table,
            row: row.clone(),
            attempt: attempt.id.clone(),
            commit,
        };
        match self.propose_finish(group, finish, now) {
            Some(index) => {
                self.ends.proposed.insert(index, (row.clone(), None));
                if let Some(asking) = self.ends.asking.get_mut(row) {
                    asking.ending = true;
                }
            }
            None => self.go_on(group, row, &attempt, Verdict::Unknown, now, fx),
        }
    }

    /// The attempt may still commit: whoever met its intent is answered without its outcome.
    fn go_on(
        &mut self,
        group: &mut Group,
        row: &Bytes,
        attempt: &Attempt,
        verdict: Verdict,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(asking) = self.ends.asking.remove(row) else {
            return;
        };
        if let Some(id) = asking.write
            && let Some(writing) = self.writes.get(&id)
        {
            let same_token = match &writing.forward.operation {
                Some(Operation::Prepare(prepare)) => prepare.attempt.record == attempt.record,
                _ => false,
            };
            let why = match same_token {
                true => Refusal::InProgress,
                false => Refusal::Conflict,
            };
            let reply = refusal(&writing.forward, why, "");
            self.refuse_write(group, id, row.clone(), reply, now, fx);
        }
        for (forward, to, leased) in asking.reads {
            let transactional =
                matches!(&forward.operation, Some(Operation::Get(get)) if get.transactional);
            if verdict == Verdict::Unknown {
                // Perhaps it has committed: the gateway asks again.
                fx.reply(to, refusal(&forward, Refusal::Storage, ""));
            } else if transactional {
                fx.reply(to, refusal(&forward, Refusal::Conflict, ""));
            } else {
                self.read_as_it_is(forward, to, leased, fx);
            }
        }
        for (forward, to, leased) in asking.later {
            self.read(forward, to, leased, fx);
        }
    }

    /// The intent is gone, or another is there: all that waited for its end looks again.
    fn wake(&mut self, row: &Bytes, fx: &mut Effects) {
        let Some(asking) = self.ends.asking.remove(row) else {
            return;
        };
        if let Some(id) = asking.write {
            self.start(id, fx);
        }
        for (forward, to, leased) in asking.reads.into_iter().chain(asking.later) {
            self.read(forward, to, leased, fx);
        }
    }

    // ---- ends ----

    pub(super) fn on_finish(
        &mut self,
        group: &mut Group,
        forward: Forward,
        to: ReplyTo,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(Operation::Finish(finish)) = &forward.operation else {
            return;
        };
        let intent = self.intents.get(&finish.row);
        if intent.is_none_or(|intent| intent.attempt.id != finish.attempt) {
            // Nothing (more) to do, if this is still the leader.
            let reply = self.answer(&forward, Answer::Written(Written::default()));
            return match self.lease_until(group) > now.mono_us {
                true => fx.reply(to, reply),
                false => self.unconfirmed.push(Guarded::Reply(reply, to)),
            };
        }
        let row = finish.row.clone();
        match self.propose_finish(group, finish.clone(), now) {
            Some(index) => {
                self.ends.proposed.insert(index, (row, Some((forward, to))));
            }
            None => {
                let words = "too much is waiting to be replicated";
                fx.reply(to, refusal(&forward, Refusal::Throttled, words));
            }
        }
    }

    fn propose_finish(&mut self, group: &mut Group, finish: Finish, now: Now) -> Option<u64> {
        let stamp = self.stamp(now);
        let command = Command {
            term: group.term(),
            range_version: self.state.range_version,
            stamp: stamp.0,
            what: Some(Do::Finish(finish)),
            ..Default::default()
        };
        let (index, _) = group.propose(command.encode_entry())?;
        self.last_stamp = stamp;
        Some(index)
    }

    pub(super) fn apply_prepare(&mut self, prepared: PrepareRow, batch: &mut Batch) {
        self.intents.put(prepared.row, prepared.intent, batch);
    }

    pub(super) fn apply_finish(&mut self, command: Command, entry: &Entry, fx: &mut Effects) {
        let Some(Do::Finish(finish)) = command.what else {
            return;
        };
        let row = finish.row;
        let applies = command.term == entry.term
            && command.range_version == self.state.range_version
            && self.state.holds(&row);
        if applies {
            self.state.stamp = self.state.stamp.max(command.stamp);
            let mine = self.intents.get(&row);
            let mine = mine.is_some_and(|intent| intent.attempt.id == finish.attempt);
            if mine
                && let Some(intent) = self.intents.take(&row, &mut fx.batch)
                && let Some(write) = intent.write.filter(|_| finish.commit)
            {
                let write = restamped(write, command.stamp);
                let id = intent.id.unwrap_or_default();
                self.apply_write(self.state.group(), id, command.stamp, write, entry, fx);
            }
        } else {
            self.not_applied += 1;
        }
        let asked = match self.ends.proposed.remove(&entry.index) {
            Some((_, Some((forward, to)))) => {
                let reply = match applies {
                    true => self.answer(&forward, Answer::Written(Written::default())),
                    false => refusal(&forward, Refusal::NotApplied, ""),
                };
                fx.reply(to, reply);
                false
            }
            Some((_, None)) => true,
            None => false,
        };
        if applies || asked {
            self.wake(&row, fx);
        }
    }

    /// The range has changed: reads that waited for the ends of intents, and wait no more. Ends that were proposed have their turn in the log.
    pub(super) fn take_held_reads(&mut self) -> Vec<(Forward, ReplyTo)> {
        let asking = std::mem::take(&mut self.ends.asking).into_values();
        let reads = asking.flat_map(|asking| asking.reads.into_iter().chain(asking.later));
        reads.map(|(forward, to, _)| (forward, to)).collect()
    }

    /// Not the leader any more.
    pub(super) fn drop_ends(&mut self, leader: u64, fx: &mut Effects) {
        let Ends {
            asking,
            proposed,
            next,
        } = std::mem::take(&mut self.ends);
        // An answer to a question of this leadership must not be taken for one of the next.
        self.ends.next = next;
        let reads = asking.into_values();
        let reads = reads.flat_map(|asking| asking.reads.into_iter().chain(asking.later));
        let finishes = proposed.into_values().filter_map(|(_, request)| request);
        for (forward, to) in reads.map(|(forward, to, _)| (forward, to)).chain(finishes) {
            let reply = ForwardReply {
                leader,
                ..refusal(&forward, Refusal::NotLeader, "")
            };
            fx.reply(to, reply);
        }
    }
}
