//! Following the metadata: views, watches, registering this start of the node, and changes that it asks for.

use std::sync::Arc;

use super::groups::{Machine, Replica};
use super::io::{Fatal, Lane, MetaError, Output};
use super::metadata::Metadata;
use super::{MetaPending, Shard};
use crate::consensus::GroupLog;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::records::{NodeState, TableState};
use crate::meta::wire::{
    Change, FeedReport, MetaEvents, MetaRefusal, MetaReply, MetaRequest, MetaWatch, NodeReport,
    Register,
};
use crate::meta::{MetaState, View, watch};
use crate::partition::ReplyTo;
use crate::partition::command::{Place, ReplicaState, content, replica_key};
use crate::store::{Batch, Keyspace, LogWrite};
use crate::version::NEWEST;
use crate::wire::{Kind, Target, shard_of};
use prost::Message as _;

/// Changes of the metadata that one node may have under way.
const META_PENDING_MAX: usize = 1024;
/// A replica of the metadata that has not heard its leader for so long is not relied on, µs.
const META_SILENT_US: u64 = 2_000_000;
const META_RETRY_US: u64 = 200_000;
const META_ANSWER_US: u64 = 1_000_000;
/// Ticks between two questions for news, and between two looks at tables in the making.
const WATCH_TICKS: u64 = 10;
/// Ticks between two reports of a shard.
const REPORT_TICKS: u64 = 10;

impl Shard {
    // ---- views ----

    /// The metadata replica here has applied something.
    pub(super) fn publish_own_metadata(&mut self) {
        let Some(metadata) = self
            .replicas
            .get(&GroupId::META)
            .and_then(Replica::metadata)
        else {
            return;
        };
        if metadata.state.revision() > self.view.revision() {
            let state = metadata.state.clone();
            self.publish(state);
        }
    }

    fn publish(&mut self, state: MetaState) {
        let view = Arc::new(self.view.next(state, self.meta_hint));
        self.learn_version(view.state.cluster.cluster_version);
        self.out.push(Output::View(view.clone()));
        self.on_view(view);
    }

    pub(super) fn publish_meta_leader(&mut self, leader: Option<NodeId>) {
        if self.view.meta_leader != leader && self.config.shard == 0 && self.view.state.is_known() {
            let view = Arc::new(self.view.led_by(leader));
            self.out.push(Output::View(view.clone()));
            self.on_view(view);
        }
    }

    pub(super) fn on_view(&mut self, view: Arc<View>) {
        self.learn_version(view.state.cluster.cluster_version);
        #[cfg(feature = "next")]
        {
            self.counts.next_records += u64::from(view.state.cluster.changed_by > 0);
        }
        self.view = view.clone();
        let me = self.config.node;
        if let Some(node) = view.node(me) {
            let now_registered =
                (node.incarnation, node.nonce) == (self.config.incarnation, self.config.nonce);
            if now_registered && !self.registered {
                self.registered = true;
                self.dirty.extend(self.replicas.keys().copied());
            }
            if node.state() == NodeState::Removed {
                self.out.push(Output::Fatal(Fatal::Removed(format!(
                    "node {me} was removed from the cluster; its disk is of no more use to it"
                ))));
            }
        }
        self.leave_groups();
        for group in view.state.groups.values() {
            let id = group.group();
            if id == GroupId::META
                || shard_of(id, self.config.shards) != self.config.shard
                || self.replicas.contains_key(&id)
                || self.leaving.contains_key(&id)
            {
                continue;
            }
            let Some(replica) = group.replica_on(me).or_else(|| group.newcomer_on(me)) else {
                continue;
            };
            // Before this start is registered the view may be older than what an earlier start knew: a replica that was here and
            // is gone with its group would be made a second time, under an id that has voted.
            if self.registered {
                self.settle(group, replica);
            }
        }
        if self.registered {
            self.drop_orphans();
        }
        let gone: Vec<GroupId> = self
            .replicas
            .keys()
            .chain(self.remains.keys())
            .copied()
            .filter(|id| {
                *id != GroupId::META
                    && id.0 < view.state.cluster.next_group
                    && !view.state.groups.contains_key(&id.0)
                    && !self.is_intended(*id)
            })
            .collect();
        for id in gone {
            self.clear_remains(id);
            if !self.is_needed(id) {
                self.destroy_replica(id);
            }
        }
        self.gateway.on_view(&view);
        self.drive_splits();
    }

    /// Logs without state whose replica no group has any more: what is left of a removal that was interrupted.
    fn drop_orphans(&mut self) {
        let groups = &self.view.state.groups;
        let member = |replica: ReplicaId| {
            groups.values().any(|g| {
                let children = g.split.iter().flat_map(|split| &split.members);
                let mut named = g.members.iter().chain(children);
                named.any(|m| m.replica == replica.0)
            })
        };
        let left: Vec<ReplicaId> = self
            .orphans
            .keys()
            .copied()
            .filter(|replica| !member(*replica))
            .collect();
        for replica in left {
            self.orphans.remove(&replica);
            // Every shard has it among its own; removing it more than once changes nothing.
            self.writes.push(LogWrite {
                replica,
                remove: true,
                ..Default::default()
            });
        }
    }

    /// The metadata say that a replica is here, and it is not.
    fn settle(&mut self, group: &crate::meta::records::Group, replica: ReplicaId) {
        if self.remains.contains_key(&group.group()) {
            let why = format!(
                "the log of replica {replica} of partition {} is gone, but its data is here",
                group.id
            );
            self.out.push(Output::Fatal(Fatal::Inconsistent(why)));
            return;
        }
        if self.orphans.get(&replica).is_some_and(|log| log.base.0 > 0) {
            // It was split off: its parent, which is being replayed, brings its beginning.
            return;
        }
        // A founder begins by itself, but not with a range of the past.
        let founder = group.member_version == 1
            && group.range_version == 1
            && group.replica_on(self.config.node).is_some();
        if !founder || self.orphans.contains_key(&replica) {
            self.await_group(group.group(), replica);
        } else {
            let consumers = self
                .view
                .state
                .tables
                .get(&group.table)
                .map(|t| t.consumers.clone())
                .unwrap_or_default();
            self.create_replica(group, replica, consumers);
        }
    }

    // ---- bootstrap ----

    /// Begins a cluster: this node's replica of the metadata group starts with the whole state, durably, before it says a word.
    pub(super) fn bootstrap(&mut self, state: MetaState) {
        if self.replicas.contains_key(&GroupId::META) || self.config.shard != 0 {
            return;
        }
        let Some(group) = state.groups.get(&GroupId::META.0) else {
            return;
        };
        let Some(name) = group.replica_on(self.config.node) else {
            return;
        };
        let replica = ReplicaState {
            group: GroupId::META.0,
            replica: name.0,
            range_version: 1,
            member_version: 1,
            places: group
                .members
                .iter()
                .map(|m| Place {
                    replica: m.replica,
                    node: m.node,
                })
                .collect(),
            voters: group.members.iter().map(|m| m.replica).collect(),
            applied_index: 1,
            applied_term: 1,
            ..Default::default()
        };
        let mut batch = Batch::default();
        for row in state.rows() {
            if let Some(value) = row.value {
                batch.put(Keyspace::Meta, row.key, value);
            }
        }
        batch.put(
            Keyspace::State,
            replica_key(GroupId::META, name),
            replica.encode_to_vec(),
        );
        self.out.push(Output::Install {
            group: GroupId::META,
            stage: 0,
            clear: content(&replica),
            batch,
        });
        self.begin_metadata(replica, state, false);
        let hard_state = raft::eraftpb::HardState {
            term: 1,
            commit: 1,
            ..Default::default()
        };
        if let Some(replica) = self.replicas.get_mut(&GroupId::META) {
            // The log begins only when the state is durable: a log without its state would be a metadata group that is lost.
            replica.installing = Some(LogWrite {
                replica: name,
                reset: Some((1, 1)),
                hard_state: Some(hard_state),
                ..Default::default()
            });
            // Nobody campaigns while it installs. A lone voter would lose an election's time by that, and has nobody to wait for.
            if replica.group.voters().len() == 1 {
                replica.group.campaign();
            }
            replica.group.await_installation();
        }
    }

    pub(super) fn begin_metadata(
        &mut self,
        replica: ReplicaState,
        state: MetaState,
        restarted: bool,
    ) {
        let places = replica
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        let hard_state = raft::eraftpb::HardState {
            term: replica.applied_term,
            commit: replica.applied_index,
            ..Default::default()
        };
        let at = (replica.applied_index, replica.applied_term);
        let log = GroupLog::new(at, Vec::new(), hard_state, replica.conf_state(), at);
        let name = ReplicaId(replica.replica);
        self.add_replica(
            GroupId::META,
            name,
            log,
            places,
            restarted,
            Machine::Metadata(Box::new(Metadata::new(replica, state))),
        );
    }

    // ---- asking ----

    /// Wants a change of the metadata; `token` gets its outcome.
    pub(super) fn ask_meta(&mut self, token: Option<u64>, change: Change, deadline_us: u64) {
        if self.meta_pending.len() >= META_PENDING_MAX {
            if let Some(token) = token {
                self.out.push(Output::MetaReply {
                    token,
                    result: Err(MetaError::Unavailable),
                });
            }
            return;
        }
        let id = self.request_id();
        let request = MetaRequest {
            id,
            reply_shard: self.config.shard,
            change: Some(change),
            ..Default::default()
        };
        self.meta_pending.insert(
            id,
            MetaPending {
                token,
                request,
                deadline_us,
                next_at: 0,
                tries: 0,
            },
        );
        self.ask(id);
    }

    fn ask(&mut self, id: crate::wire::RequestId) {
        let target = self.meta_target(self.meta_pending.get(&id).map_or(0, |p| p.tries));
        let now = self.now.mono_us;
        let Some(pending) = self.meta_pending.get_mut(&id) else {
            return;
        };
        pending.tries += 1;
        pending.next_at = now + META_ANSWER_US;
        let request = pending.request.clone();
        if let Some(to) = target {
            self.send(
                to,
                Target::Group(GroupId::META),
                Lane::Small,
                Kind::MetaRequest(request),
            );
        }
    }

    /// The leader as far as known; after two tries in vain anyone who may know, one after the other.
    fn meta_target(&self, tries: u32) -> Option<NodeId> {
        let me = self.config.node;
        // The first shard has the node's replica of the metadata, if there is one: while that knows nothing, asking this node is in vain, even
        // if it led once.
        let is_blind = self.config.shard == 0 && !self.keeps_metadata();
        let hint = self.meta_hint.filter(|leader| *leader != me || !is_blind);
        let turn = match hint {
            Some(leader) if tries % 3 != 2 => return Some(leader),
            Some(_) => tries / 3,
            None => tries,
        };
        let mut known: Vec<NodeId> = self.view.meta_replicas().into_iter().collect();
        if known.is_empty() {
            known = self.config.seeds.clone();
        }
        if is_blind && known.iter().any(|node| *node != me) {
            known.retain(|node| *node != me);
        }
        // Not all begin with the same one.
        let turn = turn as usize + me.0 as usize;
        (!known.is_empty()).then(|| known[turn % known.len()])
    }

    pub(super) fn on_meta_request(&mut self, request: MetaRequest, to: ReplyTo) {
        if self
            .replicas
            .get(&GroupId::META)
            .and_then(Replica::metadata)
            .is_none()
        {
            let outcome = crate::meta::wire::Outcome {
                refusal: MetaRefusal::NotLeader as i32,
                ..Default::default()
            };
            let leader = self.meta_hint.map_or(0, |n| n.0);
            let reply = MetaReply {
                id: request.id,
                outcome,
                leader,
            };
            return self.send(
                to.node,
                Target::Shard(to.shard),
                Lane::Small,
                Kind::MetaReply(reply),
            );
        }
        let now = self.now;
        self.with_metadata(|metadata, group, sends| {
            metadata.on_request(group, request, to, now, sends)
        });
    }

    pub(super) fn follow_meta_reply(&mut self, reply: MetaReply) {
        let Some(pending) = self.meta_pending.get_mut(&reply.id) else {
            return;
        };
        let refusal = reply.outcome.refusal();
        if refusal == MetaRefusal::NotLeader {
            let leader = Some(NodeId(reply.leader)).filter(|n| n.0 > 0);
            let news = leader.is_some() && leader != self.meta_hint;
            pending.next_at = if news {
                0
            } else {
                self.now.mono_us + META_RETRY_US
            };
            self.meta_hint = leader;
            if news {
                self.ask(reply.id);
            }
            return;
        }
        let Some(done) = self.meta_pending.remove(&reply.id) else {
            return;
        };
        if let Some(Change::Register(_)) = done.request.change {
            self.registering = false;
            match refusal {
                MetaRefusal::RolledBack => self.out.push(Output::Fatal(Fatal::DiskRolledBack(
                    reply.outcome.message.clone(),
                ))),
                MetaRefusal::UnknownNode => self
                    .out
                    .push(Output::Fatal(Fatal::Removed(reply.outcome.message.clone()))),
                MetaRefusal::OldBuild => self.out.push(Output::Fatal(Fatal::OldBuild(
                    reply.outcome.message.clone(),
                ))),
                _ => {}
            }
        }
        if let Some(token) = done.token {
            self.out.push(Output::MetaReply {
                token,
                result: Ok(reply.outcome),
            });
        }
    }

    pub(super) fn on_meta_events(&mut self, events: MetaEvents) {
        if events.leader > 0 {
            self.meta_hint = Some(NodeId(events.leader));
        }
        if self.keeps_metadata() || self.config.shard != 0 {
            return;
        }
        // A row that can't be read stops nothing: the next snapshot of the metadata brings all.
        if let Ok(true) = watch::follow(&mut self.followed, &events) {
            if self.followed.revision() > self.view.revision() {
                let state = self.followed.clone();
                self.publish(state);
            }
        }
    }

    // ---- ticks ----

    pub(super) fn tick_meta(&mut self) {
        let now = self.now.mono_us;
        let late: Vec<_> = self
            .meta_pending
            .iter()
            .filter(|(_, p)| p.deadline_us <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let Some(pending) = self.meta_pending.remove(&id) else {
                continue;
            };
            if matches!(pending.request.change, Some(Change::Register(_))) {
                self.registering = false;
            }
            if let Some(token) = pending.token {
                self.out.push(Output::MetaReply {
                    token,
                    result: Err(MetaError::Unavailable),
                });
            }
        }
        let due: Vec<_> = self
            .meta_pending
            .iter()
            .filter(|(_, p)| p.next_at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.ask(id);
        }
        if self.config.shard == 0 {
            self.tick_first_shard();
        }
        self.report_making();
        if self.ticks % REPORT_TICKS == 1 {
            self.report();
        }
    }

    /// Whether the metadata come from a replica of them here. One that hears no leader may have been left behind, and is never told.
    fn keeps_metadata(&self) -> bool {
        self.replicas.get(&GroupId::META).is_some_and(|r| {
            self.now.mono_us < r.group.heard_at(self.now).saturating_add(META_SILENT_US)
                && r.group.leader().is_some()
                && r.metadata().is_some_and(|m| m.state.is_known())
        })
    }

    fn tick_first_shard(&mut self) {
        let watches = self.ticks % WATCH_TICKS == 1;
        if self.keeps_metadata() {
            let now = self.now;
            let hot = self.hot_requests();
            let mut leads = Vec::new();
            self.with_metadata(|metadata, group, _| {
                metadata.housekeeping(group, true);
                metadata.govern(group, now);
                leads = metadata.relieve(group, hot, now);
            });
            for (to, lead) in leads {
                let target = Target::Group(GroupId(lead.group));
                self.send(to, target, Lane::Small, Kind::Lead(lead));
            }
        } else if watches || !self.view.state.is_known() {
            if self.followed.revision() < self.view.revision() {
                self.followed = (*self.view.state).clone();
            }
            let revision = self.followed.revision();
            let turn = match watches {
                true => self.ticks / WATCH_TICKS,
                false => self.ticks,
            };
            if let Some(to) = self
                .meta_target(turn as u32)
                .filter(|to| *to != self.config.node)
            {
                self.send(
                    to,
                    Target::Group(GroupId::META),
                    Lane::Small,
                    Kind::MetaWatch(MetaWatch { revision }),
                );
            }
        }
        if !self.registered
            && !self.registering
            && (self.view.state.is_known() || !self.config.seeds.is_empty())
        {
            self.registering = true;
            let (node, incarnation, nonce) = (
                self.config.node.0,
                self.config.incarnation,
                self.config.nonce,
            );
            let deadline = self.now.mono_us + 5 * META_ANSWER_US;
            self.ask_meta(
                None,
                Change::Register(Register {
                    node,
                    incarnation,
                    nonce,
                    version_max: NEWEST,
                }),
                deadline,
            );
        }
    }

    /// Tells the metadata leader which partitions of tables in the making are led here.
    fn report_making(&mut self) {
        let leads: Vec<u64> = self
            .view
            .state
            .tables
            .values()
            .filter(|t| matches!(t.state(), TableState::Creating))
            .flat_map(|t| {
                let indexes = t.indexes.iter().filter(|index| !index.local);
                indexes.map(|index| index.id).chain([t.id])
            })
            .flat_map(|keyspace| self.view.state.groups_of(keyspace))
            .map(|g| g.id)
            .filter(|id| {
                self.replicas
                    .get(&GroupId(*id))
                    .and_then(Replica::partition)
                    .is_some_and(|p| p.is_serving())
            })
            .collect();
        let feeds = self.ready_feeds();
        self.send_leads(leads, feeds);
    }

    pub(super) fn report_lead(&mut self, id: GroupId) {
        let making = self
            .view
            .group(id)
            .and_then(|g| self.view.state.table_of_keyspace(g.table))
            .is_some_and(|t| t.state() == TableState::Creating);
        if making {
            self.send_leads(vec![id.0], Vec::new());
        }
    }

    /// To all who may lead the metadata: whoever does hears it, whether that is known here or not.
    fn send_leads(&mut self, leads: Vec<u64>, feeds: Vec<FeedReport>) {
        if leads.is_empty() && feeds.is_empty() {
            return;
        }
        for to in self.meta_listeners() {
            self.send(
                to,
                Target::Group(GroupId::META),
                Lane::Small,
                Kind::NodeReport(NodeReport {
                    leads: leads.clone(),
                    feeds: feeds.clone(),
                    ..Default::default()
                }),
            );
        }
    }
}
