//! The metadata group's replica: its log's commands change the [`MetaState`]; its leader answers requests and feeds the watchers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use raft::eraftpb::{Entry, EntryType};

use crate::consensus::Group;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::MetaState;
use crate::meta::records::{NodeState, Table, TableState};
use crate::meta::watch::History;
use crate::meta::wire::{
    Aim, Aims, BeginSplit, Change, FeedReport, Follow, Heat, IndexId, MetaEvents, MetaRefusal,
    MetaReply, MetaRequest, NodeChange, NodeEvent, NodeReport, Outcome, ReturnPermit, TakePermit,
};
use crate::moves::progress::Progress;
use crate::moves::relief::{Relief, Step};
use crate::moves::reports::{DOWN_US, Health, Reports, health};
use crate::moves::{permit, plan};
use crate::partition::ReplyTo;
use crate::partition::command::{Command, Do, ReplicaState, replica_key};
use crate::store::{Batch, Keyspace};
use crate::time::Now;
use crate::wire::{Kind, Lead, RequestId};

/// A watcher that has not asked again for this long is forgotten, µs.
const WATCH_US: u64 = 5_000_000;
/// Requests that wait for their outcome.
const REQUESTS_MAX: usize = 4096;
/// A node that is down for so long is given up, unless set, ms.
const REPAIR_AFTER_MS: u64 = 600_000;
/// Members are looked over this often though nothing changed, ms.
const LOOK_AGAIN_MS: u64 = 5_000;
/// Load is looked over this often, µs; more seldom by as much for each so many partitions, since a look is a pass over all.
const RELIEVE_US: u64 = 500_000;
const RELIEVE_GROUPS: u64 = 20_000;
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

/// What the metadata leader knows by the reports of all other leaders.
#[derive(Clone, Debug, Default)]
pub struct Governed {
    pub health: Health,
    /// By node: the partitions that it leads.
    pub leaders: BTreeMap<u64, u64>,
    /// Nodes without which a group would have no quorum, or nobody knows.
    pub needed: BTreeSet<u64>,
    /// Replicas that live and are close behind.
    pub close: BTreeSet<u64>,
    /// By group: the node that leads it, its load, and its bytes.
    pub heats: BTreeMap<u64, (u64, Heat, u64)>,
    /// By group: bytes of it that newcomers have in transfers under way, and of all of it.
    pub moving: BTreeMap<u64, (u64, u64)>,
    /// Bytes that moves have sent since the last time that nothing was left to do, and those a second.
    pub moved_bytes: u64,
    pub moved_rate: f64,
    /// By node: processor time a second, µs.
    pub cpu_us: BTreeMap<u64, u64>,
    /// By group: rows that are too much for it and that no split relieves.
    pub hot_keys: BTreeMap<u64, Bytes>,
}

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
    /// Commands applied that name who proposed them.
    #[cfg(feature = "next")]
    pub next_commands: u64,
    pub reports: Reports,
    relief: Relief,
    relieved_at: u64,
    progress: Progress,
    /// When this leadership began to serve, monotonic µs.
    served_from: u64,
    /// Revision at which nothing was left to aim at, and the wall clock of the look, ms.
    settled_at: (u64, u64),
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
            #[cfg(feature = "next")]
            next_commands: 0,
            reports: Reports::default(),
            relief: Relief::default(),
            relieved_at: 0,
            progress: Progress::default(),
            served_from: 0,
            settled_at: (0, 0),
        }
    }

    pub fn on_request(
        &mut self,
        group: &mut Group,
        mut request: MetaRequest,
        to: ReplyTo,
        now: Now,
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
        if let Some(Change::TakePermit(ask)) = &mut request.change {
            ask.now_ms = now.wall_ms;
            if let Err(why) = self.may_spare(ask, now) {
                return sends.push((to, told(id, MetaRefusal::Refused, why)));
            }
        }
        #[cfg(feature = "next")]
        self.sign(group, &mut request);
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
        self.reports.clear();
        self.relief.clear();
        self.progress = Progress::default();
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
            if !crate::moves::members::apply(&mut self.replica, group, entry) {
                self.apply_entry(entry, batch, sends);
            }
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
            self.served_from = now.mono_us;
            self.settled_at = (0, 0);
            for (request, to) in std::mem::take(&mut self.waiting) {
                self.on_request(group, request, to, now, sends);
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
            #[cfg(feature = "next")]
            {
                self.next_commands += u64::from(request.proposed_by > 0);
            }
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
        sends.push((
            ReplyTo {
                node: from,
                shard,
                attempt: 0,
            },
            Kind::MetaEvents(events),
        ));
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
                    attempt: 0,
                },
                Kind::MetaEvents(events),
            ));
        }
    }

    /// A node says that it lives, what it leads, and how that does.
    pub fn on_report(&mut self, group: &mut Group, report: NodeReport, now: Now) {
        if !self.serving {
            return;
        }
        for group in &report.leads {
            if self.state.groups.contains_key(group) {
                self.led.insert(*group);
            }
        }
        let groups = report
            .groups
            .iter()
            .filter(|report| self.state.is_news(report))
            .cloned()
            .collect::<Vec<_>>();
        self.reports.take(report, &self.state, now.mono_us);
        if !groups.is_empty() {
            self.want(group, Change::Follow(Follow { groups }));
        }
    }

    /// What this leader knows of all groups.
    pub fn governed(&self, now: Now) -> Option<Governed> {
        if !self.serving {
            return None;
        }
        let needs =
            |node: &u64| permit::spare(&self.state, &self.reports, *node, now.mono_us).is_err();
        let healthy = |group: &u64| {
            let report = self.reports.fresh(*group, now.mono_us);
            report.map_or_else(Vec::new, |(_, report)| report.healthy.clone())
        };
        let heat = |group: &u64| {
            let (node, report) = self.reports.fresh(*group, now.mono_us)?;
            Some((*group, (node, report.heat.clone()?, report.bytes)))
        };
        let moving = |group: &u64| {
            let (_, report) = self.reports.fresh(*group, now.mono_us)?;
            Some((*group, (report.moving_bytes, report.bytes)))
        };
        Some(Governed {
            health: health(&self.state, &self.reports, now.mono_us),
            leaders: self.reports.leaders(),
            needed: self.state.nodes.keys().copied().filter(needs).collect(),
            close: self.state.groups.keys().flat_map(healthy).collect(),
            heats: self.state.groups.keys().filter_map(heat).collect(),
            moving: self.state.groups.keys().filter_map(moving).collect(),
            moved_bytes: self.progress.done,
            moved_rate: self.progress.rate,
            cpu_us: self.reports.cpu_us(),
            hot_keys: self.relief.keys.clone(),
        })
    }

    /// What the leader does about nodes and members; called each tick.
    pub fn govern(&mut self, group: &mut Group, now: Now) {
        if !self.serving || !group.may_propose() {
            return;
        }
        self.reports.retain(&self.state);
        for change in self.node_changes(now) {
            self.want(group, Change::NodeChange(change));
        }
        if let Some(back) = self.finished_permit(now) {
            self.want(group, Change::ReturnPermit(back));
        }
        // A look costs a pass over all groups: again after a change, or for what only time changes.
        let (revision, at_ms) = self.settled_at;
        if revision == self.state.revision() && now.wall_ms < at_ms + LOOK_AGAIN_MS {
            return;
        }
        self.settled_at = (self.state.revision(), now.wall_ms);
        let Ok(ring) = self.state.ring() else {
            return;
        };
        let aims: Vec<Aim> = plan::aims(&self.state, &ring, now.wall_ms)
            .into_iter()
            .map(|aim| Aim {
                group: aim.group,
                nodes: aim.nodes,
                member_version: aim.member_version,
            })
            .collect();
        let targets = || self.state.groups.values().any(|g| !g.target.is_empty());
        if aims.is_empty() && !targets() {
            self.progress.begin();
        }
        if !aims.is_empty() {
            self.want(group, Change::Aim(Aims { aims }));
        }
    }

    /// Evens load out: has partitions split, and answers which leaders are to hand over. A partition with fewer than `hot` requests a second
    /// is let be.
    pub fn relieve(&mut self, group: &mut Group, hot: f64, now: Now) -> Vec<(NodeId, Lead)> {
        // What all leaders say is to be known first.
        let begins = self.served_from + DOWN_US;
        let pause = RELIEVE_US * (1 + self.state.groups.len() as u64 / RELIEVE_GROUPS);
        if !self.serving
            || !group.may_propose()
            || now.mono_us < begins.max(self.relieved_at + pause)
        {
            return Vec::new();
        }
        self.relieved_at = now.mono_us;
        let reports = &self.reports;
        self.progress.update(&self.state, reports, now.mono_us);
        let mut leads = Vec::new();
        let steps = self
            .relief
            .steps(&self.state, &self.reports, hot, now.mono_us);
        for step in steps {
            match step {
                Step::Lead {
                    group,
                    from,
                    term,
                    to,
                } => leads.push((
                    NodeId(from),
                    Lead {
                        group: group.0,
                        term,
                        replica: to.0,
                    },
                )),
                Step::Split {
                    group: id,
                    at,
                    position,
                } => {
                    let Some(record) = self.state.groups.get(&id.0) else {
                        continue;
                    };
                    let split = BeginSplit {
                        group: id.0,
                        at,
                        position: position.map_or_else(Bytes::new, |token| {
                            Bytes::copy_from_slice(&token.0.to_be_bytes())
                        }),
                        range_version: record.range_version,
                        member_version: record.member_version,
                    };
                    self.want(group, Change::BeginSplit(split));
                }
            }
        }
        leads
    }

    /// Who fell silent, who is back, and who was away for too long.
    fn node_changes(&self, now: Now) -> Vec<NodeChange> {
        if now.mono_us < self.served_from + DOWN_US {
            return Vec::new();
        }
        let repair_after = match self
            .state
            .cluster
            .settings
            .as_ref()
            .map_or(0, |s| s.repair_after_ms)
        {
            0 => REPAIR_AFTER_MS,
            set => set,
        };
        let mut changes = Vec::new();
        for node in self.state.nodes.values() {
            let heard = self.reports.heard(node.id).is_some_and(|h| {
                now.mono_us < h.at_us + DOWN_US && h.incarnation == node.incarnation
            });
            let event = match node.state() {
                NodeState::Up | NodeState::Draining if !heard && node.down_since_ms == 0 => {
                    NodeEvent::Silent
                }
                NodeState::Down | NodeState::Draining
                    if heard && node.down_since_ms > 0 && !node.lost =>
                {
                    NodeEvent::Heard
                }
                NodeState::Down if now.wall_ms > node.down_since_ms + repair_after => {
                    NodeEvent::Lose
                }
                _ => continue,
            };
            changes.push(NodeChange {
                node: node.id,
                event: event as i32,
                at_ms: now.wall_ms,
            });
        }
        changes
    }

    fn may_spare(&self, ask: &TakePermit, now: Now) -> Result<(), String> {
        let node = ask.permit.node;
        if let Some(out) = &self.state.cluster.permit {
            if out.node != node {
                permit::caught_up(&self.state, &self.reports, out.node, now.mono_us)
                    .map_err(|why| format!("node {} has restarted: {why}", out.node))?;
            }
        }
        if ask.allow_unavailable {
            return Ok(());
        }
        permit::spare(&self.state, &self.reports, node, now.mono_us).map_err(|why| why.to_string())
    }

    /// The permit that is out, if its node has started again and caught up.
    fn finished_permit(&self, now: Now) -> Option<ReturnPermit> {
        let out = self.state.cluster.permit.as_ref()?;
        let again = match self.state.nodes.get(&out.node) {
            Some(node) => node.incarnation > out.incarnation && node.state() == NodeState::Up,
            None => true,
        };
        let done = again
            && permit::caught_up(&self.state, &self.reports, out.node, now.mono_us).is_ok()
            && self
                .reports
                .heard(out.node)
                .is_none_or(|h| h.incarnation > out.incarnation);
        done.then_some(ReturnPermit {
            node: out.node,
            incarnation: out.incarnation,
        })
    }

    /// Proposes a change of the leader's own; one that can't be proposed now is wanted again later.
    fn want(&mut self, group: &mut Group, change: Change) {
        self.own_requests += 1;
        // Unique over leaders, since a term has one.
        let number = group.term() << 32 | self.own_requests & 0xffff_ffff;
        let id = RequestId {
            origin: OWN_ORIGIN,
            number,
        };
        let request = MetaRequest {
            id,
            change: Some(change),
            ..Default::default()
        };
        #[cfg(feature = "next")]
        let request = {
            let mut request = request;
            self.sign(group, &mut request);
            request
        };
        let _ = propose(group, request);
    }

    /// Names the proposer of a command, where that may be written.
    #[cfg(feature = "next")]
    fn sign(&self, group: &Group, request: &mut MetaRequest) {
        if self.state.may_write(crate::version::Feature::ProposedBy) {
            request.proposed_by = group.leader().map_or(0, |(_, node)| node.0);
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
            self.want(group, change);
        }
    }

    pub fn restored(&mut self, replica: ReplicaState, state: MetaState) {
        self.replica = replica;
        self.state = state;
        self.history.clear();
        self.serving = false;
    }
}

fn told(id: RequestId, refusal: MetaRefusal, message: String) -> Kind {
    Kind::MetaReply(MetaReply {
        id,
        outcome: Outcome {
            refusal: refusal as i32,
            message,
            ..Default::default()
        },
        leader: 0,
    })
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
