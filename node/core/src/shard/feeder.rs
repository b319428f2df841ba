//! Feeding: the leader of a partition brings its changes to global indexes, forgets tombstones, trims, and expires items.
//!
//! ```text
//!   job of a reader:  read rows (engine) ─► writes for other partitions ─► gateway ─► all acknowledged ─► position, by a command
//!      Feed   changes behind the index's position        ─► entries, tombstones                              │
//!      Fill   items that were there before the index     ─► entries of their versions                        └─► next read
//!      Sweep  changes that all indexes have, a while old ─► purges of their tombstones
//!      Settle (after a split)                            ─► has the parent sent all that it had logged?
//!      Trim   changes older than a stream shows          ─► nothing: the position alone
//!      Expire items whose time has come                  ─► deletes of the version seen
//! ```
//! Whatever is lost on its way (a leader, a message, a position) is done again from the replicated position; versions make that harmless.
//! A write made of what was read must arrive within [`WRITE_US`] of the read, and tombstones live much longer ([`TOMBSTONE_MS`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::encoding::key::{ITEM_INDEX, RowKey};
use kv_model::encoding::record::Record;
use kv_model::index::IndexSchema;
use prost::Message as _;

use super::Shard;
use super::io::{Output, Request};
use crate::api::{
    self, Action, Answer, Caller, Consistency, Entries, Entry, Expired, LogState, Operation,
    RequestClass, Row, Rows, RowsOf, RowsRead, Write,
};
use crate::ids::GroupId;
use crate::meta::records::TableState;
use crate::meta::wire::FeedReport;
use crate::mutants::{Mutant, active};
use crate::partition::command::Change;
use crate::partition::feeds::{Feed, FeedKind, FeedsChange, SWEEP, has_sent, key_after, log_end};
use crate::partition::{Definition, Partition, ReadResult, record_of, tombstone_of};
use crate::time::Hybrid;

/// A write must arrive so long after the read that it was made of, µs.
const WRITE_US: u64 = 4_000_000;
/// A tombstone of an index is kept so long at least: far longer than a write made of an older version can be on its way.
const TOMBSTONE_MS: u64 = 60_000;
/// A stream shows a change for so long.
const STREAM_MS: u64 = 24 * 3600 * 1000;
/// Rows looked at in one go, bytes.
const READ_BYTES: u64 = 256 << 10;
/// Entries in one request.
const ENTRIES_MAX: usize = 256;
const ENTRIES_BYTES: usize = 512 << 10;
/// Pause after a failure, µs.
const PAUSE_US: u64 = 200_000;
/// Pause between two sweeps or trims that found nothing, µs.
const SWEEP_US: u64 = 5_000_000;
/// Pause between two looks for expired items over a whole partition, µs.
const EXPIRE_US: u64 = 30_000_000;
/// Pause between two pages of such a look: at most 256 KiB of rows in so long, µs.
const EXPIRE_PAGE_US: u64 = 100_000;
/// Expired items deleted in one go.
const EXPIRE_ROWS: u32 = 100;
/// An item that expired longer ago than this is left alone, as the service does: five years.
const EXPIRE_AGE_S: u64 = 5 * 365 * 24 * 3600;
/// Distinguishes the feeder's tokens from the rim's.
const TOKEN: u64 = 1 << 63;
/// Pause after a read that found nothing, µs.
const EMPTY_US: u64 = 50_000;
/// Where a position begins in a change's key: behind the group.
const POSITION_AT: usize = 8;
/// Ticks between two cuts of a log.
const TRIM_TICKS: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Feed,
    Fill,
    Sweep,
    Settle,
    Trim,
    Expire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TaskId {
    group: GroupId,
    feed: u64,
    job: Job,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Reading {
        /// Monotonic µs.
        asked_at: u64,
    },
    Sending {
        left: usize,
        failed: bool,
        next: Progress,
    },
}

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Progress {
    /// A position of the log, or a row.
    at: Bytes,
    logged: u64,
    /// Nothing more to do for so long, µs.
    rest_us: u64,
    /// When the newest of its changes was made, ms.
    newest_ms: u64,
}

impl Progress {
    /// With a pause if it did not move.
    fn rested(self, pause_us: u64) -> Progress {
        let rest_us = if self.rest_us > 0 { pause_us } else { 0 };
        Progress { rest_us, ..self }
    }
}

#[derive(Debug)]
struct Task {
    term: u64,
    stage: Stage,
    done: Progress,
    not_before: u64,
    /// Wall clock from which on changes may wait, ms; 0: none do.
    behind_ms: u64,
    /// Monotonic ms since when the parent is known to have sent everything.
    sent_ms: Option<u64>,
}

/// What leaders of this shard do for readers of their change logs.
#[derive(Debug, Default)]
pub(super) struct Feeder {
    tasks: BTreeMap<TaskId, Task>,
    reads: BTreeMap<u64, TaskId>,
    sends: BTreeMap<u64, TaskId>,
    next_token: u64,
}

impl Feeder {
    pub fn is_token(token: u64) -> bool {
        token & TOKEN != 0
    }

    pub fn is_read(&self, read: u64) -> bool {
        self.reads.contains_key(&read)
    }

    /// The task in this term; what was under way in another is forgotten.
    fn task(&mut self, id: TaskId, term: u64, begin: impl FnOnce() -> Progress) -> &mut Task {
        if self.tasks.get(&id).is_some_and(|task| task.term != term) {
            self.forget(id);
        }
        self.tasks.entry(id).or_insert_with(|| Task {
            term,
            stage: Stage::Idle,
            done: begin(),
            not_before: 0,
            behind_ms: 0,
            sent_ms: None,
        })
    }

    fn forget(&mut self, id: TaskId) {
        self.tasks.remove(&id);
        self.reads.retain(|_, task| *task != id);
        self.sends.retain(|_, task| *task != id);
    }

    fn forget_group(&mut self, group: GroupId) {
        let tasks: Vec<TaskId> = self
            .tasks
            .keys()
            .filter(|t| t.group == group)
            .copied()
            .collect();
        for task in tasks {
            self.forget(task);
        }
    }
}

impl Shard {
    /// Lets a partition know what the metadata say of its table.
    pub(super) fn define(&mut self, id: GroupId) {
        let state = &self.view.state;
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        if let Some(partition) = replica.partition_mut() {
            let table = state.tables.get(&partition.state.table);
            partition.define(table, state.revision());
        }
    }

    pub(super) fn tick_feeds(&mut self) {
        let ids: Vec<GroupId> = self.replicas.keys().copied().collect();
        for id in ids {
            self.define(id);
            self.keep_feeds(id);
            self.work_feeds(id);
        }
        self.counts.index_lag_ms = self.index_lag_ms();
    }

    /// Serving leader of a partition: (term, partition).
    fn leading(&self, id: GroupId) -> Option<(u64, &Partition)> {
        let replica = self.replicas.get(&id)?;
        let partition = replica.partition()?;
        (replica.group.is_leader() && partition.is_serving())
            .then(|| (replica.group.term(), partition))
    }

    /// Commits how far the readers are, and makes them those of the table.
    fn keep_feeds(&mut self, id: GroupId) {
        let Some((term, partition)) = self.leading(id) else {
            return self.feeder.forget_group(id);
        };
        let Some(definition) = partition.definition() else {
            return;
        };
        if partition.state.feeds.is_empty() && !definition.is_read() {
            return;
        }
        let mut change = partition.wanted_feeds(definition).unwrap_or_default();
        for feed in &partition.state.feeds {
            let done = |job| {
                let task = TaskId {
                    group: id,
                    feed: feed.id,
                    job,
                };
                self.feeder
                    .tasks
                    .get(&task)
                    .filter(|t| t.term == term)
                    .map(|t| &t.done)
            };
            let mut moved = Feed {
                id: feed.id,
                at: feed.at.clone(),
                logged: feed.logged,
                fill: feed.fill.clone(),
                ..Default::default()
            };
            for job in [Job::Feed, Job::Sweep, Job::Trim] {
                if let Some(done) = done(job).filter(|done| done.at > moved.at) {
                    (moved.at, moved.logged) = (done.at.clone(), done.logged);
                }
            }
            if let Some(done) = done(Job::Fill) {
                moved.fill = moved.fill.clone().max(done.at.clone());
            }
            if moved.at != feed.at || moved.fill != feed.fill {
                change.set.push(moved);
            }
        }
        if change == FeedsChange::default() {
            return;
        }
        change.trim = self.ticks.is_multiple_of(TRIM_TICKS);
        self.with_partition(id, |partition, group, now, _| {
            partition.propose_feeds(group, change, now);
        });
    }

    /// Which readers in the making are set up in partitions led here.
    pub(super) fn ready_feeds(&self) -> Vec<FeedReport> {
        let making = self.view.state.tables.values();
        let making =
            making.filter(|t| matches!(t.state(), TableState::Creating | TableState::Updating));
        let groups = making.flat_map(|table| self.view.state.groups_of(table.id));
        groups
            .filter_map(|group| {
                let (_, partition) = self.leading(group.group())?;
                let state = &partition.state;
                let ready = state.feeds.iter().filter(|feed| feed.is_filled(&state.end));
                let ready: Vec<u64> = ready
                    .map(|feed| feed.id)
                    .filter(|id| *id != SWEEP)
                    .collect();
                (!ready.is_empty()).then_some(FeedReport {
                    group: group.id,
                    ready,
                })
            })
            .collect()
    }

    /// Starts what can be started for the readers of a partition.
    pub(super) fn work_feeds(&mut self, id: GroupId) {
        let Some((term, partition)) = self.leading(id) else {
            return;
        };
        let expires = partition
            .definition()
            .and_then(|d| d.record.expiry.as_ref())
            .is_some_and(|expiry| expiry.enabled);
        if partition.state.feeds.is_empty() && !expires {
            return;
        }
        let state = &partition.state;
        let (logged, start, end) = (state.logged, state.start.clone(), state.end.clone());
        let slowest = state.feeds.iter().filter(|f| f.kind() == FeedKind::Index);
        let slowest = slowest.map(|feed| feed.logged).min().unwrap_or(0);
        let feeds = state.feeds.clone();
        for feed in &feeds {
            let task = |job| TaskId {
                group: id,
                feed: feed.id,
                job,
            };
            let at = || Progress {
                at: feed.at.clone(),
                logged: feed.logged,
                ..Default::default()
            };
            match feed.kind() {
                FeedKind::Index => {
                    self.start_task(task(Job::Feed), term, at, |done| done.logged < logged);
                    let fill = || Progress {
                        at: feed.fill.clone().max(start.clone()),
                        ..Default::default()
                    };
                    self.start_task(task(Job::Fill), term, fill, |done| done.at < end);
                }
                FeedKind::Sweep if feed.parent_group > 0 => {
                    self.ask_parent(task(Job::Settle), term, feed.parent_group);
                }
                FeedKind::Sweep => {
                    self.start_task(task(Job::Sweep), term, at, |done| done.logged < slowest);
                }
                FeedKind::Stream => {
                    self.start_task(task(Job::Trim), term, at, |done| done.logged < logged);
                }
            }
        }
        if expires {
            let task = TaskId {
                group: id,
                feed: 0,
                job: Job::Expire,
            };
            let begin = || Progress {
                at: start.clone(),
                ..Default::default()
            };
            self.start_task(task, term, begin, |_| true);
        }
    }

    fn start_task(
        &mut self,
        id: TaskId,
        term: u64,
        begin: impl FnOnce() -> Progress,
        wanted: impl FnOnce(&Progress) -> bool,
    ) {
        let now = self.now.mono_us;
        let task = self.feeder.task(id, term, begin);
        if !matches!(task.stage, Stage::Idle) || now < task.not_before || !wanted(&task.done) {
            return;
        }
        // A leader of the past must not bring what others have brought, and forgotten since.
        let replica = self.replicas.get(&id.group);
        if !replica.is_some_and(|r| r.group.hears_majority(self.now)) {
            return;
        }
        if task.behind_ms == 0 {
            task.behind_ms = self.now.wall_ms;
        }
        task.stage = Stage::Reading { asked_at: now };
        let at = task.done.at.clone();
        let Some(operation) = self.what_to_read(id, &at) else {
            return self.feeder.forget(id);
        };
        self.next_read += 1;
        self.feeder.reads.insert(self.next_read, id);
        self.out.push(Output::Read {
            id: self.next_read,
            group: id.group,
            operation: Operation::Rows(operation),
            raw: false,
        });
    }

    fn what_to_read(&self, id: TaskId, at: &Bytes) -> Option<Rows> {
        let (_, partition) = self.leading(id.group)?;
        let log = |start| Rows {
            group: id.group.0,
            of: RowsOf::ChangeLog as i32,
            start,
            end: log_end(id.group),
            max_bytes: READ_BYTES,
            ..Default::default()
        };
        let data = || Rows {
            group: id.group.0,
            of: RowsOf::Data as i32,
            start: at.clone(),
            end: partition.state.end.clone(),
            max_bytes: READ_BYTES,
            ..Default::default()
        };
        Some(match id.job {
            Job::Feed | Job::Sweep | Job::Trim => log(key_after(id.group, at)),
            Job::Settle => return None,
            Job::Fill => data(),
            Job::Expire => {
                let expiry = partition.definition()?.record.expiry.as_ref()?;
                let now_s = self.now.wall_ms / 1000;
                Rows {
                    max_rows: EXPIRE_ROWS,
                    expired: Some(Expired {
                        attribute: expiry.attribute.clone(),
                        before_s: now_s,
                        after_s: now_s.saturating_sub(EXPIRE_AGE_S),
                    }),
                    ..data()
                }
            }
        })
    }

    /// Rows that a task wanted are here.
    pub(super) fn on_feed_read(&mut self, read: u64, group: GroupId, result: ReadResult) {
        let Some(id) = self.feeder.reads.remove(&read) else {
            return;
        };
        let asked_at = match self.feeder.tasks.get(&id).map(|task| &task.stage) {
            Some(Stage::Reading { asked_at }) => *asked_at,
            _ => return,
        };
        let rows = match result {
            ReadResult::Answer(Answer::Rows(rows)) => rows,
            _ => return self.fail_task(id),
        };
        let Some((_, partition)) = self.leading(group) else {
            return self.feeder.forget(id);
        };
        let Some((operations, next)) = self.plan(id, partition, rows) else {
            return self.fail_task(id);
        };
        let Some(task) = self.feeder.tasks.get_mut(&id) else {
            return;
        };
        task.stage = Stage::Sending {
            left: operations.len(),
            failed: false,
            next,
        };
        if operations.is_empty() {
            return self.end_task(id);
        }
        self.send_operations(id, operations, asked_at + WRITE_US);
    }

    fn send_operations(&mut self, id: TaskId, operations: Vec<Operation>, deadline_us: u64) {
        // Numbered before the first is sent, for an answer may come at once.
        let mut requests = Vec::with_capacity(operations.len());
        for operation in operations {
            self.feeder.next_token += 1;
            let token = TOKEN | self.feeder.next_token;
            self.feeder.sends.insert(token, id);
            let class = match id.job {
                Job::Expire => RequestClass::TimeToLive,
                _ => RequestClass::Index,
            };
            let caller = Caller {
                class: class as i32,
                ..Default::default()
            };
            requests.push(Request {
                token,
                caller,
                operation,
                deadline_us,
            });
        }
        for request in requests {
            let id = self.request_id();
            let (shard, now) = (self.config.shard, self.now);
            let mut acts = Vec::new();
            let view = self.view.clone();
            self.gateway
                .start(id, request, None, shard, &view, now, &mut acts);
            self.perform(acts);
        }
    }

    /// A partition that was split off forgets no tombstone before its parent has sent what it had logged for these items.
    fn ask_parent(&mut self, id: TaskId, term: u64, parent: u64) {
        let now = self.now.mono_us;
        let task = self.feeder.task(id, term, Progress::default);
        if !matches!(task.stage, Stage::Idle) || now < task.not_before {
            return;
        }
        task.stage = Stage::Sending {
            left: 1,
            failed: false,
            next: Progress {
                rest_us: SWEEP_US,
                ..Default::default()
            },
        };
        let nothing = Rows {
            group: parent,
            of: RowsOf::ChangeLog as i32,
            start: Bytes::from_static(b"\0"),
            end: Bytes::from_static(b"\0"),
            max_bytes: 1,
            consistency: Consistency::Strong as i32,
            ..Default::default()
        };
        self.send_operations(id, vec![Operation::Rows(nothing)], now + WRITE_US);
    }

    fn tombstone_ms(&self) -> u64 {
        match self.config.tombstone_ms {
            0 => TOMBSTONE_MS,
            set => set,
        }
    }

    /// What the parent says of its log.
    fn on_parent(&mut self, id: TaskId, log: &LogState) {
        let Some((_, partition)) = self.leading(id.group) else {
            return;
        };
        let sweep = partition.state.feeds.iter().find(|feed| feed.id == SWEEP);
        if !sweep.is_some_and(|sweep| has_sent(log, sweep.parent_version)) {
            return;
        }
        // What an earlier leader of the parent sent may still be on its way for as long as a tombstone is kept.
        let (now_ms, kept_ms) = (self.now.mono_us / 1000, self.tombstone_ms());
        let Some(task) = self.feeder.tasks.get_mut(&id) else {
            return;
        };
        let since_ms = *task.sent_ms.get_or_insert(now_ms);
        if now_ms < since_ms + kept_ms {
            return;
        }
        let change = FeedsChange {
            settled: true,
            ..Default::default()
        };
        self.with_partition(id.group, |partition, group, now, _| {
            partition.propose_feeds(group, change, now);
        });
    }

    /// Age of the oldest change that an index of a partition led here may lack, ms.
    fn index_lag_ms(&self) -> u64 {
        let feeds = self
            .feeder
            .tasks
            .iter()
            .filter(|(id, _)| id.job == Job::Feed);
        let behind = feeds.map(|(_, task)| task.behind_ms).filter(|ms| *ms > 0);
        behind
            .min()
            .map_or(0, |ms| self.now.wall_ms.saturating_sub(ms))
    }

    /// What follows from rows that were read; none if it can't be done now.
    fn plan(
        &self,
        id: TaskId,
        partition: &Partition,
        read: RowsRead,
    ) -> Option<(Vec<Operation>, Progress)> {
        let definition = partition.definition()?;
        let done = &self.feeder.tasks.get(&id)?.done;
        match id.job {
            Job::Feed => {
                let index = definition.index(id.feed)?;
                let (changes, next) = changes_until(&read, u64::MAX, done);
                let entries = entries_of_changes(definition, index, &changes)?;
                Some((self.group_entries(id.feed, entries, false)?, next))
            }
            Job::Sweep => {
                let until = match active(Mutant::PurgesTombstonesEarly) {
                    true => u64::MAX,
                    false => self.now.wall_ms.saturating_sub(self.tombstone_ms()),
                };
                let slowest = partition
                    .state
                    .feeds
                    .iter()
                    .filter(|f| f.kind() == FeedKind::Index);
                let slowest = slowest.map(|feed| feed.at.clone()).min()?;
                let within = |row: &Row| row.key[POSITION_AT..] <= slowest[..];
                let rows = read.rows.into_iter().take_while(within).collect();
                let read = RowsRead { rows, ..read };
                let (changes, next) = changes_until(&read, until, done);
                let mut operations = Vec::new();
                for index in &definition.global {
                    let kv_model::index::Place::Global(keyspace) = index.place else {
                        continue;
                    };
                    let entries = entries_of_changes(definition, index, &changes)?;
                    operations.extend(self.group_entries(keyspace, entries, true)?);
                }
                Some((operations, next.rested(SWEEP_US)))
            }
            Job::Settle => None,
            Job::Trim => {
                let until = self.now.wall_ms.saturating_sub(STREAM_MS);
                let (_, next) = changes_until(&read, until, done);
                Some((Vec::new(), next.rested(SWEEP_US)))
            }
            Job::Fill => {
                let index = definition.index(id.feed)?;
                let entries = entries_of_items(definition, index, &read.rows)?;
                let at = match &read.last {
                    Some(last) => behind(last),
                    None => partition.state.end.clone(),
                };
                let next = Progress {
                    at,
                    ..Default::default()
                };
                Some((self.group_entries(id.feed, entries, false)?, next))
            }
            Job::Expire => {
                let next = match &read.last {
                    Some(last) => Progress {
                        at: behind(last),
                        rest_us: EXPIRE_PAGE_US,
                        ..Default::default()
                    },
                    None => Progress {
                        at: partition.state.start.clone(),
                        rest_us: match self.config.expire_us {
                            0 => EXPIRE_US,
                            set => set,
                        },
                        ..Default::default()
                    },
                };
                let deletes = read
                    .rows
                    .iter()
                    .filter_map(|row| delete_of(partition.state.table, row));
                Some((deletes.collect(), next))
            }
        }
    }

    /// Requests with entries, by partition of the index; none while one of the partitions is not known here.
    fn group_entries(&self, keyspace: u64, entries: ByRow, purge: bool) -> Option<Vec<Operation>> {
        let mut by_group: BTreeMap<GroupId, Vec<Entry>> = BTreeMap::new();
        for (row, (version, item)) in entries {
            if purge && item.is_some() {
                continue;
            }
            let group = self.gateway.group_of(&self.view, keyspace, &row)?;
            let record = match item {
                Some(item) => record_of(Hybrid(version), &item),
                None => tombstone_of(Hybrid(version)),
            };
            let entry = Entry { row, record, purge };
            by_group.entry(group).or_default().push(entry);
        }
        let mut operations = Vec::new();
        for entries in by_group.into_values() {
            let mut part = Vec::new();
            let mut bytes = 0;
            for entry in entries {
                bytes += entry.row.len() + entry.record.len();
                part.push(entry);
                if part.len() >= ENTRIES_MAX || bytes >= ENTRIES_BYTES {
                    operations.push(entries_to(keyspace, std::mem::take(&mut part)));
                    bytes = 0;
                }
            }
            if !part.is_empty() {
                operations.push(entries_to(keyspace, part));
            }
        }
        Some(operations)
    }

    pub(super) fn on_feed_reply(&mut self, token: u64, result: Result<Answer, api::Error>) {
        let Some(id) = self.feeder.sends.remove(&token) else {
            return;
        };
        let Some(task) = self.feeder.tasks.get_mut(&id) else {
            return;
        };
        let Stage::Sending { left, failed, .. } = &mut task.stage else {
            return;
        };
        *left -= 1;
        let last = *left == 0;
        match (&result, id.job) {
            (Ok(Answer::Rows(read)), Job::Settle) => {
                let log = read.log.clone().unwrap_or_default();
                self.on_parent(id, &log);
            }
            (_, Job::Settle) => {}
            (Ok(_), Job::Expire) => self.counts.expired_items += 1,
            // Changed meanwhile, or it will be met again.
            (Err(_), Job::Expire) => {}
            (Ok(_), Job::Sweep) => self.counts.tombstones_purged += 1,
            (Ok(_), _) => self.counts.index_entries += 1,
            (Err(_), _) => *failed = true,
        }
        if last {
            self.end_task(id);
        }
    }

    fn end_task(&mut self, id: TaskId) {
        let now = self.now;
        let logged = self.leading(id.group).map_or(0, |(_, p)| p.state.logged);
        let Some(task) = self.feeder.tasks.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut task.stage, Stage::Idle) {
            Stage::Sending {
                failed: false,
                next,
                ..
            } => {
                task.not_before = now.mono_us + next.rest_us;
                task.behind_ms = if next.logged < logged {
                    next.newest_ms
                } else {
                    0
                };
                task.done = next;
            }
            _ => task.not_before = now.mono_us + PAUSE_US,
        }
        self.work_feeds(id.group);
    }

    fn fail_task(&mut self, id: TaskId) {
        if let Some(task) = self.feeder.tasks.get_mut(&id) {
            task.stage = Stage::Idle;
            task.not_before = self.now.mono_us + PAUSE_US;
        }
    }
}

/// By row of the index: the version, and the projected item or none if there is no entry any more.
type ByRow = BTreeMap<Bytes, (u64, Option<Bytes>)>;

fn entries_to(keyspace: u64, entries: Vec<Entry>) -> Operation {
    Operation::Entries(Entries {
        table: keyspace,
        entries,
    })
}

/// The least key behind `key`.
fn behind(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// The changes that were made by `until_ms`, and the place of the last of them.
fn changes_until(read: &RowsRead, until_ms: u64, done: &Progress) -> (Vec<Change>, Progress) {
    let mut changes = Vec::new();
    let mut next = Progress {
        rest_us: EMPTY_US,
        ..done.clone()
    };
    for row in &read.rows {
        // What can't be read was written by a newer version, and is for its readers.
        let Ok(change) = Change::decode(row.value.clone()) else {
            continue;
        };
        let made_ms = Hybrid(change.stamp).wall_ms();
        if made_ms > until_ms {
            break;
        }
        next.rest_us = 0;
        next.newest_ms = made_ms;
        next.at = row.key.slice(POSITION_AT..);
        next.logged = change.logged;
        changes.push(change);
    }
    (changes, next)
}

/// The item in a record; none without a record, or if it is no item's.
fn item_in(record: Option<&Bytes>) -> Option<Bytes> {
    let record = record?;
    let parsed = Record::parse(record).ok()?;
    (!parsed.tombstone && !parsed.intent).then(|| record.slice_ref(parsed.payload))
}

fn entries_of_changes(
    definition: &Definition,
    index: &IndexSchema,
    changes: &[Change],
) -> Option<ByRow> {
    let mut rows = ByRow::new();
    for change in changes {
        let (old, new) = (item_in(change.old.as_ref()), item_in(change.new.as_ref()));
        let entries = definition.entries(index, &change.row, old.as_ref(), new.as_ref());
        let (before, after) = entries.ok()?;
        if before == after {
            continue;
        }
        if let Some(before) = before
            && after.as_ref().is_none_or(|after| after.row != before.row)
        {
            rows.insert(before.row.into(), (change.stamp, None));
        }
        if let Some(after) = after {
            rows.insert(after.row.into(), (change.stamp, Some(after.item)));
        }
    }
    Some(rows)
}

fn entries_of_items(definition: &Definition, index: &IndexSchema, items: &[Row]) -> Option<ByRow> {
    let mut rows = ByRow::new();
    for Row { key, value } in items {
        let base = RowKey::parse(key).ok()?;
        let version = Record::parse(value).ok()?.clock;
        if base.index != ITEM_INDEX {
            continue;
        }
        let Some(item) = item_in(Some(value)) else {
            continue;
        };
        if let Some(entry) = index.entry(&definition.schema, &base, &item).ok()? {
            rows.insert(entry.row.into(), (version, Some(entry.item)));
        }
    }
    Some(rows)
}

/// Deletes an item that expired, if it is still of the version that was read.
fn delete_of(table: u64, row: &Row) -> Option<Operation> {
    let version = Record::parse(&row.value).ok()?.clock;
    Some(Operation::Write(Write {
        table,
        row: row.key.clone(),
        action: Some(Action::Delete(true)),
        only_version: if active(Mutant::ExpiresNewerItems) {
            0
        } else {
            version
        },
        ..Default::default()
    }))
}
