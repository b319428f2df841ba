//! The metadata group's replica: its log's commands change the [`MetaState`]; its leader answers requests and feeds the watchers.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use raft::eraftpb::{Entry, EntryType};

use crate::consensus::Group;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::MetaState;
use crate::meta::records::{Table, TableState};
use crate::meta::watch::History;
use crate::meta::wire::{
    Change, FeedReport, IndexId, MetaEvents, MetaRefusal, MetaReply, MetaRequest, Outcome,
};
use crate::partition::ReplyTo;
use crate::partition::command::{Command, Do, ReplicaState, replica_key};
use crate::store::{Batch, Keyspace};
use crate::time::Now;
use crate::wire::{Kind, RequestId};

/// A watcher that has not asked again for this long is forgotten, µs.
const WATCH_US: u64 = 5_000_000;
/// Requests that wait for their outcome.
const REQUESTS_MAX: usize = 4096;
/// Origin of the requests that the leader makes itself.
const OWN_ORIGIN: u64 = u64::MAX;

#[derive(Debug)]
struct Watcher {
    shard: u32,
    revision: u64,
    until: u64,
}

/// Messages to send.
pub type Sends = Vec<(ReplyTo, Kind)>;

#[derive(Debug)]
pub struct Metadata {
    pub replica: ReplicaState,
    pub state: MetaState,
    history: History,
    serving: bool,
    /// By log index: (request, whom to answer, term).
    proposed: BTreeMap<u64, (RequestId, ReplyTo, u64)>,
    waiting: Vec<(MetaRequest, ReplyTo)>,
    watchers: BTreeMap<NodeId, Watcher>,
    /// Partitions reported to have a leader.
    led: BTreeSet<u64>,
    /// (partition, index or stream) that are reported to be set up.
    fed: BTreeSet<(u64, u64)>,
    own_requests: u64,
}

impl Metadata {
    pub fn new(replica: ReplicaState, state: MetaState) -> Metadata {
        Metadata {
            replica,
            state,
            history: History::default(),
            serving: false,
            proposed: BTreeMap::new(),
            waiting: Vec::new(),
            watchers: BTreeMap::new(),
            led: BTreeSet::new(),
            fed: BTreeSet::new(),
            own_requests: 0,
        }
    }

    pub fn on_request(
        &mut self,
        group: &mut Group,
        request: MetaRequest,
        to: ReplyTo,
        sends: &mut Sends,
    ) {
        let leader = group.leader().map_or(0, |(_, n)| n.0);
        if !group.may_propose() {
            return sends.push((to, refused(request.id, MetaRefusal::NotLeader, leader)));
        }
        if self.proposed.len() + self.waiting.len() >= REQUESTS_MAX {
            return sends.push((to, refused(request.id, MetaRefusal::Limit, leader)));
        }
        if !self.serving {
            self.waiting.push((request, to));
            return;
        }
        let id = request.id;
        match propose(group, request) {
            Some((index, term)) => drop(self.proposed.insert(index, (id, to, term))),
            None => sends.push((to, refused(id, MetaRefusal::NotLeader, leader))),
        }
    }

    pub fn on_turn(&mut self, group: &Group, sends: &mut Sends) {
        if group.is_leader() {
            return;
        }
        self.serving = false;
        self.watchers.clear();
        self.led.clear();
        self.fed.clear();
        let leader = group.leader().map_or(0, |(_, n)| n.0);
        let proposed = std::mem::take(&mut self.proposed)
            .into_values()
            .map(|(id, to, _)| (id, to));
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(request, to)| (request.id, to));
        for (id, to) in proposed.chain(waiting) {
            sends.push((to, refused(id, MetaRefusal::NotLeader, leader)));
        }
    }

    /// Applies committed entries; returns whether the state changed.
    pub fn apply(
        &mut self,
        group: &mut Group,
        entries: &[Entry],
        batch: &mut Batch,
        now: Now,
        sends: &mut Sends,
    ) -> bool {
        let Some(last) = entries.last() else {
            return false;
        };
        let before = self.state.revision();
        for entry in entries {
            self.apply_entry(entry, batch, sends);
            self.replica.applied_index = entry.index;
            self.replica.applied_term = entry.term;
        }
        batch.put(
            Keyspace::State,
            replica_key(GroupId::META, ReplicaId(self.replica.replica)),
            self.replica.encode_to_vec(),
        );
        group.applied(last.index, last.term);
        if group.is_leader() && last.term == group.term() && !self.serving {
            self.serving = true;
            for (request, to) in std::mem::take(&mut self.waiting) {
                self.on_request(group, request, to, sends);
            }
        }
        let changed = self.state.revision() != before;
        if changed && self.serving {
            self.feed(group, now, sends);
        }
        changed
    }

    fn apply_entry(&mut self, entry: &Entry, batch: &mut Batch, sends: &mut Sends) {
        if entry.get_entry_type() != EntryType::EntryNormal || entry.data.is_empty() {
            return;
        }
        let proposed = self.proposed.remove(&entry.index);
        let Some(Command {
            what: Some(Do::Meta(request)),
            term,
            ..
        }) = Command::decode_entry(&entry.data)
        else {
            return;
        };
        let outcome = if term == entry.term {
            let (outcome, rows) = self.state.apply(&request);
            for row in &rows {
                match &row.value {
                    Some(value) => batch.put(Keyspace::Meta, row.key.clone(), value.clone()),
                    None => batch.delete(Keyspace::Meta, row.key.clone()),
                }
            }
            if !rows.is_empty() {
                self.history.push(self.state.revision(), rows);
            }
            Some(outcome)
        } else {
            None
        };
        if let Some((id, to, proposed_term)) = proposed {
            let reply = match outcome {
                Some(outcome) if proposed_term == entry.term && id == request.id => {
                    Kind::MetaReply(MetaReply {
                        id,
                        outcome,
                        leader: 0,
                    })
                }
                _ => refused(id, MetaRefusal::NotLeader, 0),
            };
            sends.push((to, reply));
        }
    }

    /// Someone asks for changes. Any replica that knows the state answers; the leader goes on telling.
    pub fn on_watch(
        &mut self,
        group: &Group,
        from: NodeId,
        shard: u32,
        revision: u64,
        now: Now,
        sends: &mut Sends,
    ) {
        if !self.state.is_known() {
            return;
        }
        let leader = group.leader().map_or(0, |(_, n)| n.0);
        let events = self.history.since(revision, &self.state, leader);
        if self.serving {
            self.watchers.insert(
                from,
                Watcher {
                    shard,
                    revision: events.revision,
                    until: now.mono_us + WATCH_US,
                },
            );
        }
        sends.push((ReplyTo { node: from, shard }, Kind::MetaEvents(events)));
    }

    fn feed(&mut self, group: &Group, now: Now, sends: &mut Sends) {
        self.watchers.retain(|_, w| w.until > now.mono_us);
        let leader = group.leader().map_or(0, |(_, n)| n.0);
        for (node, watcher) in &mut self.watchers {
            let events: MetaEvents = self.history.since(watcher.revision, &self.state, leader);
            watcher.revision = events.revision;
            sends.push((
                ReplyTo {
                    node: *node,
                    shard: watcher.shard,
                },
                Kind::MetaEvents(events),
            ));
        }
    }

    /// A node says which partitions it leads.
    pub fn on_report(&mut self, leads: &[u64]) {
        for group in leads {
            if self.state.groups.contains_key(group) {
                self.led.insert(*group);
            }
        }
    }

    /// A node says how far the indexes and streams in the making are in the partitions that it leads.
    pub fn on_feeds(&mut self, feeds: &[FeedReport]) {
        for report in feeds {
            if self.state.groups.contains_key(&report.group) {
                let ready = report.ready.iter().map(|feed| (report.group, *feed));
                self.fed.extend(ready);
            }
        }
    }

    /// Whether every partition of a table has set up a reader of its change log.
    fn is_fed(&self, table: u64, reader: u64) -> bool {
        let mut groups = self.state.groups_of(table);
        groups.all(|group| self.fed.contains(&(group.id, reader)))
    }

    /// What becomes of the indexes and streams of a table.
    fn keep_readers(&self, table: &Table, drop_tables: bool, changes: &mut Vec<Change>) {
        let id = |index| IndexId {
            table: table.id,
            index,
        };
        for index in table.indexes.iter().filter(|index| !index.local) {
            match index.state() {
                TableState::Creating if self.is_fed(table.id, index.id) => {
                    changes.push(Change::IndexReady(id(index.id)));
                }
                TableState::Deleting if drop_tables => {
                    changes.push(Change::DropIndex(id(index.id)))
                }
                _ => {}
            }
        }
        let settled = table
            .indexes
            .iter()
            .all(|index| index.local || index.state() == TableState::Active);
        let streaming = table
            .streams
            .iter()
            .all(|stream| stream.ended_ms > 0 || self.is_fed(table.id, stream.id));
        if table.state() == TableState::Updating && settled && streaming {
            changes.push(Change::TableReady(table.id));
        }
    }

    /// Whether all partitions of a new table and of its indexes have leaders, and its change logs readers.
    fn is_made(&self, table: &Table) -> bool {
        let keyspaces = table
            .indexes
            .iter()
            .filter(|index| !index.local)
            .map(|i| i.id);
        let led = |keyspace| {
            self.state
                .groups_of(keyspace)
                .all(|g| self.led.contains(&g.id))
        };
        keyspaces.chain([table.id]).all(led)
            && table
                .readers()
                .all(|(reader, _)| self.is_fed(table.id, reader))
    }

    /// What the leader does by itself: tables become active, deleted ones go.
    pub fn housekeeping(&mut self, group: &mut Group, drop_tables: bool) {
        if !self.serving || !group.may_propose() {
            return;
        }
        let mut changes = Vec::new();
        for table in self.state.tables.values() {
            match table.state() {
                TableState::Creating if self.is_made(table) => {
                    changes.push(Change::TableReady(table.id));
                }
                TableState::Active | TableState::Updating => {
                    self.keep_readers(table, drop_tables, &mut changes);
                }
                TableState::Deleting if drop_tables => changes.push(Change::DropTable(table.id)),
                _ => {}
            }
        }
        let groups = &self.state.groups;
        self.led.retain(|g| groups.contains_key(g));
        self.fed.retain(|(g, _)| groups.contains_key(g));
        for change in changes {
            self.own_requests += 1;
            // Unique over leaders, since a term has one.
            let number = group.term() << 32 | self.own_requests & 0xffff_ffff;
            let id = RequestId {
                origin: OWN_ORIGIN,
                number,
            };
            // Not proposed now: the next round sees the same need.
            let _ = propose(
                group,
                MetaRequest {
                    id,
                    change: Some(change),
                    ..Default::default()
                },
            );
        }
    }

    pub fn restored(&mut self, replica: ReplicaState, state: MetaState) {
        self.replica = replica;
        self.state = state;
        self.history.clear();
        self.serving = false;
    }
}

fn refused(id: RequestId, refusal: MetaRefusal, leader: u64) -> Kind {
    Kind::MetaReply(MetaReply {
        id,
        outcome: Outcome {
            refusal: refusal as i32,
            ..Default::default()
        },
        leader,
    })
}

fn propose(group: &mut Group, request: MetaRequest) -> Option<(u64, u64)> {
    let command = Command {
        term: group.term(),
        what: Some(Do::Meta(request)),
        ..Default::default()
    };
    group.propose(command.encode_entry())
}
