//! Entries of a global index, as its partition's leader takes them in.
//!
//! ```text
//!   Forward(entries) ─► wait until none of their rows is at work ─► read what is there ─► keep the newer ones ─► propose ─► applied ─► reply
//! ```
//! Invariant: of a row the entry of the newest version of the item is applied last, whatever comes late, twice or in another order.
//! So entries need no request id. A tombstone stays until nothing older than it can come; then it is purged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kv_model::encoding::record::Record;
use raft::eraftpb::Entry as LogEntry;

use super::command::{Command, Do, RowChange, RowChanges};
use super::counts::{self, Count};
use super::{Effects, Partition, ReplyTo, refusal};
use crate::api::{Answer, Entry, Operation, Written};
use crate::consensus::Group;
use crate::mutants::{Mutant, active};
use crate::store::Keyspace;
use crate::time::{Hybrid, Now};
use crate::wire::{Forward, ForwardReply, Refusal};

/// Requests that wait for rows.
const WAITING_MAX: usize = 512;

#[derive(Debug)]
struct Running {
    forward: Forward,
    to: ReplyTo,
}

/// Requests with entries that are under way.
#[derive(Debug, Default)]
pub(super) struct EntriesAtWork {
    waiting: VecDeque<(Forward, ReplyTo)>,
    /// Rows of running requests.
    held: BTreeSet<Bytes>,
    next: u64,
    running: BTreeMap<u64, Running>,
    /// Read → request.
    reads: BTreeMap<u64, u64>,
    /// Log index → request.
    proposed: BTreeMap<u64, u64>,
}

impl EntriesAtWork {
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    pub fn is_read(&self, read: u64) -> bool {
        self.reads.contains_key(&read)
    }
}

fn entries_of(forward: &Forward) -> &[Entry] {
    match &forward.operation {
        Some(Operation::Entries(entries)) => &entries.entries,
        _ => &[],
    }
}

/// The size of the entry in a record; none in a tombstone.
fn size(record: &[u8]) -> Option<u64> {
    let record = Record::parse(record).ok().filter(|r| !r.tombstone)?;
    kv_model::encoding::item::size(record.payload)
        .ok()
        .map(|size| size as u64)
}

/// The entries that are newer than what is there, as changes of rows.
fn newer(entries: &[Entry], found: &[Option<Bytes>]) -> RowChanges {
    let clock = |record: &[u8]| Record::parse(record).map(|r| (r.clock, r.tombstone));
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    // Of rows that come twice in one request: what the first makes of them.
    let mut sizes = BTreeMap::new();
    for (entry, found) in entries.iter().zip(found) {
        let Ok((version, _)) = clock(&entry.record) else {
            continue;
        };
        let there = found.as_deref().map(clock).and_then(Result::ok);
        let row = entry.row.clone();
        if entry.purge {
            if there == Some((version, true)) {
                rows.push(RowChange { row, record: None });
            }
            continue;
        }
        let news = there.is_none_or(|(there, _)| there < version);
        if news || active(Mutant::AppliesOlderEntries) {
            let new = size(&entry.record);
            let old = match sizes.insert(&entry.row, new) {
                Some(earlier) => earlier,
                None => found.as_deref().and_then(size),
            };
            counts::add(&mut counts, Count::of_change(0, old, new).as_slice());
            let record = Some(entry.record.clone());
            rows.push(RowChange { row, record });
        }
    }
    RowChanges { rows, counts }
}

impl Partition {
    pub(super) fn on_entries(&mut self, forward: Forward, to: ReplyTo, now: Now, fx: &mut Effects) {
        if !entries_of(&forward)
            .iter()
            .all(|entry| self.state.holds(&entry.row))
        {
            let words = "some of the entries belong to another partition by now";
            return fx.reply(to, refusal(&forward, Refusal::Throttled, words));
        }
        if Hybrid::from_wall(now.wall_ms) > Hybrid(forward.deadline) {
            return fx.reply(
                to,
                refusal(&forward, Refusal::Expired, "the deadline has passed"),
            );
        }
        if self.entries.waiting.len() >= WAITING_MAX {
            let words = "too many entries wait in this partition";
            return fx.reply(to, refusal(&forward, Refusal::Throttled, words));
        }
        self.entries.waiting.push_back((forward, to));
        self.start_entries(fx);
    }

    /// Starts what waits, in order, as long as nothing before it holds the same rows.
    fn start_entries(&mut self, fx: &mut Effects) {
        while let Some((forward, _)) = self.entries.waiting.front() {
            let rows = || entries_of(forward).iter().map(|entry| &entry.row);
            if rows().any(|row| self.entries.held.contains(row)) {
                return;
            }
            let rows: Vec<Bytes> = rows().cloned().collect();
            let Some((forward, to)) = self.entries.waiting.pop_front() else {
                return;
            };
            let Some(operation) = forward.operation.clone() else {
                continue;
            };
            self.entries.held.extend(rows);
            self.entries.next += 1;
            let number = self.entries.next;
            let read = fx.read(operation);
            self.entries.reads.insert(read, number);
            self.entries.running.insert(number, Running { forward, to });
        }
    }

    /// What the rows hold has been read.
    pub(super) fn on_entries_read(
        &mut self,
        group: &mut Group,
        read: u64,
        found: Result<Vec<Option<Bytes>>, String>,
        now: Now,
        fx: &mut Effects,
    ) {
        let Some(number) = self.entries.reads.remove(&read) else {
            return;
        };
        let Some(running) = self.entries.running.get(&number) else {
            return;
        };
        let forward = &running.forward;
        let found = match found {
            Ok(found) => found,
            Err(words) => {
                let reply = refusal(forward, Refusal::Storage, words);
                return self.end_entries(number, reply, fx);
            }
        };
        let changes = newer(entries_of(forward), &found);
        if changes.rows.is_empty() {
            let reply = self.answer(forward, Answer::Written(Written::default()));
            return self.end_entries(number, reply, fx);
        }
        let stamp = self.stamp(now);
        let command = Command {
            term: group.term(),
            range_version: self.state.range_version,
            stamp: stamp.0,
            deadline: forward.deadline,
            what: Some(Do::Entries(changes)),
            ..Default::default()
        };
        match group.propose(command.encode_entry()) {
            Some((index, _)) => {
                self.last_stamp = stamp;
                self.entries.proposed.insert(index, number);
            }
            None => {
                let reply = refusal(
                    forward,
                    Refusal::Throttled,
                    "too much waits to be replicated",
                );
                self.end_entries(number, reply, fx);
            }
        }
    }

    pub(super) fn apply_entries(&mut self, command: Command, entry: &LogEntry, fx: &mut Effects) {
        let Some(Do::Entries(changes)) = command.what else {
            return;
        };
        let applies = command.term == entry.term
            && command.range_version == self.state.range_version
            && command.stamp <= command.deadline;
        if applies {
            self.state.stamp = self.state.stamp.max(command.stamp);
            counts::add(&mut self.state.counts, &changes.counts);
            for RowChange { row, record } in changes.rows {
                match record {
                    Some(record) => fx.batch.put(Keyspace::Data, row, record),
                    None => fx.batch.delete(Keyspace::Data, row),
                }
            }
        } else {
            self.not_applied += 1;
        }
        let Some(number) = self.entries.proposed.remove(&entry.index) else {
            return;
        };
        let Some(running) = self.entries.running.get(&number) else {
            return;
        };
        let reply = if applies {
            self.answer(&running.forward, Answer::Written(Written::default()))
        } else {
            refusal(&running.forward, Refusal::NotApplied, "")
        };
        self.end_entries(number, reply, fx);
    }

    fn end_entries(&mut self, number: u64, reply: ForwardReply, fx: &mut Effects) {
        if let Some(running) = self.entries.running.remove(&number) {
            for entry in entries_of(&running.forward) {
                self.entries.held.remove(&entry.row);
            }
            fx.reply(running.to, reply);
        }
        self.start_entries(fx);
    }

    /// Not the leader any more: whoever sent entries sends them again.
    pub(super) fn drop_entries(&mut self, leader: u64, fx: &mut Effects) {
        let EntriesAtWork {
            waiting, running, ..
        } = std::mem::take(&mut self.entries);
        let running = running.into_values().map(|r| (r.forward, r.to));
        for (forward, to) in running.chain(waiting) {
            let reply = ForwardReply {
                leader,
                ..refusal(&forward, Refusal::NotLeader, "")
            };
            fx.reply(to, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(clock: u64, tombstone: bool) -> Bytes {
        let mut out = Vec::new();
        Record {
            clock,
            origin: 0,
            tombstone,
            intent: false,
            siblings: false,
            expiry_s: None,
            payload: b"",
        }
        .encode_into(&mut out);
        out.into()
    }

    fn entry(clock: u64, purge: bool) -> Entry {
        Entry {
            row: Bytes::from_static(b"row"),
            record: record(clock, purge),
            purge,
        }
    }

    #[test]
    fn only_newer_entries_are_applied_and_only_that_tombstone_is_purged() {
        for (entry, there, applied) in [
            (entry(5, false), None, true),
            (entry(5, false), Some(record(4, false)), true),
            (entry(5, false), Some(record(5, false)), false),
            (entry(5, false), Some(record(6, true)), false),
            (entry(5, true), Some(record(5, true)), true),
            (entry(5, true), Some(record(5, false)), false),
            (entry(5, true), Some(record(6, true)), false),
            (entry(5, true), None, false),
        ] {
            let changes = newer(std::slice::from_ref(&entry), std::slice::from_ref(&there));
            assert_eq!(
                !changes.rows.is_empty(),
                applied,
                "{entry:?} over {there:?}"
            );
        }
    }
}
