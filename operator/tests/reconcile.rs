//! The reconcile loop whole, on a platform and a data plane of memory: steps fail, replies are lost, processes and the operator die
//! after any step, and the spec changes half-way. It always ends with what was asked for last, and never breaks an invariant on its way:
//! the platform and the model assert theirs, the world below asserts that no partition ever has fewer copies than it may.

mod model;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use kv_operator::crd::condition::{ConditionType, find, holds};
use kv_operator::crd::{
    KvCluster, KvClusterSpec, KvClusterStatus, Maintenance, MaintenanceWindow, NodeGroup, rules,
};
use kv_operator::dataplane::{self, Call, ClusterView, DataPlane, NodeView, Targets};
use kv_operator::plan::orders::Orders;
use kv_operator::platform::{
    Action, Addresses, ClusterIdentity, Defaults, Disk, Inventory, NodeObject, Platform, Presence,
};
use kv_operator::reconcile;
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapRequest, GetClusterReply, GetIdentityReply,
    GetNodeStatusReply,
};
use kv_ring::NodeId;
use model::Model;
use proptest::prelude::*;

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// What a step meets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nothing happened, and it says so.
    Failed,
    /// It happened, and it says that it did not: as if the operator had died right after it, since a failure ends the round.
    ReplyLost,
}

/// What the platform and the nodes share.
#[derive(Default)]
struct World {
    inventory: Inventory,
    model: Model,
    fates: Vec<Fate>,
    now_ms: u64,
    silent: Option<NodeId>,
    /// How many rounds old the metadata are that nodes show, as if those that answer lagged behind.
    lag: usize,
    past: VecDeque<GetClusterReply>,
    /// Nodes whose answers are late: what they said before is shown, and must not be acted on.
    late: BTreeSet<NodeId>,
    /// By how much the nodes' build is newer than the version that the cluster began with.
    newer: u32,
    /// Bytes of each node's disk and those free; (0, 0): nobody has measured.
    disk: (u64, u64),
}

/// How far behind the metadata may be that nodes show.
const LAG_MAX: usize = 12;

impl World {
    fn fate(&mut self) -> Fate {
        self.fates.pop().unwrap_or(Fate::Done)
    }

    fn up(&self) -> BTreeSet<u64> {
        let running = self
            .inventory
            .nodes
            .values()
            .filter(|node| node.presence == Presence::Running);
        running.map(|node| node.id.0).collect()
    }

    fn do_it(&mut self, action: &Action) {
        match action {
            Action::KeepIdentity { cluster_id } => {
                assert!(
                    self.inventory.identity.is_none(),
                    "an identity is never replaced"
                );
                let cluster_id = cluster_id.clone();
                self.inventory.identity = Some(ClusterIdentity {
                    cluster_id,
                    is_formed: false,
                    founders: BTreeSet::new(),
                });
            }
            Action::Renew { old_id, cluster_id } => {
                let identity = self.inventory.identity.as_mut().expect("kept");
                assert_eq!((&identity.cluster_id, identity.is_formed), (old_id, true));
                self.past.clear();
                *identity = ClusterIdentity {
                    cluster_id: cluster_id.clone(),
                    is_formed: false,
                    founders: BTreeSet::new(),
                };
                self.inventory.nodes.clear();
                self.model = Model::default();
            }
            Action::Prepare { cluster_id, seats } => {
                assert_eq!(
                    self.inventory
                        .identity
                        .as_ref()
                        .map(|identity| &identity.cluster_id),
                    Some(cluster_id)
                );
                for seat in seats {
                    let fresh = NodeObject {
                        id: seat.id,
                        name: seat.name.clone(),
                        zone: seat.zone.clone(),
                        group: seat.group.clone(),
                        started_revision: None,
                        host: "localhost".into(),
                        addresses: Addresses {
                            peer: format!("localhost:{}", 7000 + seat.id.0),
                            ..Addresses::default()
                        },
                        presence: Presence::Absent,
                        disk: Disk::Empty,
                        pid: None,
                        trouble: None,
                    };
                    self.inventory
                        .nodes
                        .entry(seat.id)
                        .or_insert(fresh)
                        .group
                        .clone_from(&seat.group);
                }
            }
            Action::Start {
                id,
                revision,
                drain_seconds: _,
            } => {
                let node = self
                    .inventory
                    .nodes
                    .get_mut(id)
                    .expect("prepared before it is started");
                assert_eq!(node.presence, Presence::Absent, "one process a node");
                let registered = self
                    .model
                    .nodes
                    .get(&id.0)
                    .map_or(0, |peer| peer.incarnation);
                assert!(
                    node.disk == Disk::Used || registered == 0,
                    "a disk that has forgotten its votes"
                );
                (node.presence, node.disk) = (Presence::Running, Disk::Used);
                node.started_revision = Some(revision.clone());
                self.model.register(id.0);
            }
            Action::Stop(id) | Action::Restart { id, .. } => {
                let peer = &self.model.nodes[&id.0];
                let has_permit = self.model.permit.is_some_and(|(node, _, _)| node == id.0);
                assert!(
                    peer.state == "Removed" || has_permit,
                    "{id} is stopped without leave"
                );
                self.inventory.nodes.get_mut(id).expect("there").presence = Presence::Absent;
            }
            Action::Forget {
                id,
                deletes_disk: _,
            } => {
                assert_eq!(
                    self.model.nodes[&id.0].state, "Removed",
                    "what is not sure to be empty is not deleted"
                );
                self.inventory.nodes.remove(id);
            }
            Action::MarkFormed { founders } => {
                let identity = self.inventory.identity.as_mut().expect("kept");
                assert!(!identity.is_formed, "founders are named once");
                (identity.is_formed, identity.founders) = (true, founders.clone());
            }
            Action::Certify(_) => panic!("no CA is known of"),
        }
    }

    /// Time goes by: who is silent is missed, replicas move, and no partition has fewer copies than before or than it should.
    fn elapse(&mut self) {
        self.now_ms += 1_000;
        let up = self.up();
        for id in self.model.nodes.keys().copied().collect::<Vec<_>>() {
            if up.contains(&id) {
                self.model.alive(id);
            } else {
                silent(&mut self.model, id, self.now_ms);
            }
        }
        let copies = self.model.replication_factor as usize;
        let before: Vec<usize> = self
            .model
            .parts
            .iter()
            .map(|part| part.members.len())
            .collect();
        self.model.tick(&up);
        for (part, before) in self.model.parts.iter().zip(before) {
            assert!(
                part.members.len() >= before.min(copies),
                "a partition lost a copy"
            );
            for id in &part.members {
                assert_ne!(
                    self.model.nodes[id].state, "Removed",
                    "a removed node holds data"
                );
            }
        }
    }
}

/// A node is missed.
fn silent(model: &mut Model, id: u64, now_ms: u64) {
    let peer = model.nodes.get_mut(&id);
    if let Some(peer) = peer.filter(|peer| peer.incarnation > 0 && peer.state != "Removed") {
        if peer.down_since_ms == 0 {
            peer.down_since_ms = now_ms;
        }
        if peer.state == "Up" {
            peer.state = "Down".into();
        }
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic before")
    }
}

impl Platform for Shared {
    type Error = Refused;

    const DEFAULTS: Defaults = kv_operator::platform::local::DEFAULTS;

    async fn observe(&mut self) -> Result<Inventory, Refused> {
        Ok(self.get().inventory.clone())
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Refused> {
        let mut world = self.get();
        let fate = world.fate();
        if fate != Fate::Failed {
            world.do_it(action);
        }
        if fate == Fate::Done {
            Ok(())
        } else {
            Err(Refused)
        }
    }
}

fn lost(address: &str) -> dataplane::Error {
    let source = Box::new(tonic::Status::unavailable("lost"));
    dataplane::Error::Call {
        address: address.into(),
        source,
    }
}

impl DataPlane for Shared {
    async fn observe(&mut self, targets: &Targets) -> ClusterView {
        let mut world = self.get();
        if world.model.is_made() {
            let now = world.model.reply();
            world.past.push_front(now);
            world.past.truncate(LAG_MAX);
        }
        let joined = world.model.is_made();
        let up = world.up();
        let answering = targets
            .addresses
            .keys()
            .copied()
            .filter(|id| Some(*id) != world.silent && up.contains(&id.0));
        let node = |id: NodeId| {
            let is_member = world.model.nodes.contains_key(&id.0);
            let identity = GetIdentityReply {
                joined: joined && is_member,
                bootstrapped: joined && is_member,
                cluster_version_max: 1 + world.newer,
                incarnation: world
                    .model
                    .nodes
                    .get(&id.0)
                    .map_or(0, |peer| peer.incarnation),
                ..GetIdentityReply::default()
            };
            let status = identity.joined.then(|| GetNodeStatusReply {
                ready: true,
                disk_total_bytes: world.disk.0,
                disk_free_bytes: world.disk.1,
                ..GetNodeStatusReply::default()
            });
            (
                id,
                NodeView {
                    identity,
                    status,
                    is_late: world.late.contains(&id),
                },
            )
        };
        let nodes: BTreeMap<NodeId, NodeView> = answering.map(node).collect();
        let cluster = (joined && !nodes.is_empty()).then(|| {
            let at = world.lag.min(world.past.len() - 1);
            world.past[at].clone()
        });
        ClusterView {
            nodes,
            cluster,
            progress: None,
        }
    }

    async fn bootstrap(
        &mut self,
        address: &str,
        request: BootstrapRequest,
    ) -> Result<(), dataplane::Error> {
        assert_eq!(address, "localhost:7001", "the node with the lowest id");
        let mut world = self.get();
        let fate = world.fate();
        if fate != Fate::Failed {
            world.model.bootstrap(&request);
        }
        if fate == Fate::Done {
            Ok(())
        } else {
            Err(lost(address))
        }
    }

    async fn call(&mut self, addresses: &[String], call: Call) -> Result<(), dataplane::Error> {
        assert!(!addresses.is_empty(), "nobody to call");
        let mut world = self.get();
        let fate = world.fate();
        if fate != Fate::Failed {
            let refused = |status| dataplane::Error::Call {
                address: addresses[0].clone(),
                source: Box::new(status),
            };
            world.model.call(call).map_err(refused)?;
        }
        if fate == Fate::Done {
            Ok(())
        } else {
            Err(lost(&addresses[0]))
        }
    }

    async fn ask_permit(
        &mut self,
        addresses: &[String],
        request: AskPermitRequest,
    ) -> Result<AskPermitReply, dataplane::Error> {
        let mut world = self.get();
        let (fate, up, now_ms) = (world.fate(), world.up(), world.now_ms);
        if fate == Fate::Failed {
            return Err(lost(&addresses[0]));
        }
        let reply = world.model.ask_permit(&request, &up, now_ms);
        if fate == Fate::Done {
            Ok(reply)
        } else {
            Err(lost(&addresses[0]))
        }
    }
}

/// A cluster and its operator; only the object and the world survive a round, so that each is a new operator's first.
struct Run {
    shared: Shared,
    object: KvCluster,
    orders: Orders,
}

impl Run {
    fn new(spec: KvClusterSpec) -> Self {
        let mut object = KvCluster::new("rides", spec);
        object.metadata.generation = Some(1);
        let shared = Shared::default();
        shared.get().now_ms = 1_700_000_000_000;
        Self {
            shared,
            object,
            orders: Orders::default(),
        }
    }

    fn round(&mut self) -> KvClusterStatus {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        let now_ms = i64::try_from(self.shared.get().now_ms).expect("small");
        let request = reconcile::Request {
            object: &self.object,
            orders: &self.orders,
            refused: None,
            now: Timestamp::from_millisecond(now_ms).expect("in range"),
        };
        let (mut platform, mut dataplane) = (self.shared.clone(), self.shared.clone());
        let outcome = runtime
            .block_on(reconcile::round(&mut platform, &mut dataplane, &request))
            .expect("looked");
        self.object.status = Some(outcome.status.clone());
        self.shared.get().elapse();
        outcome.status
    }

    fn rounds(&mut self, count: usize) -> KvClusterStatus {
        (0..count).map(|_| self.round()).last().expect("rounds")
    }

    /// Takes a new spec if admission lets it through.
    fn apply(&mut self, spec: KvClusterSpec) {
        if rules::violations(&spec, Some(&self.object.spec)).is_empty() {
            self.object.metadata.generation = self
                .object
                .metadata
                .generation
                .map(|generation| generation + 1);
            self.object.spec = spec;
        }
    }

    /// Nodes by zone that bear data.
    fn bearers(&self) -> BTreeMap<String, usize> {
        let mut zones = BTreeMap::new();
        for peer in self
            .shared
            .get()
            .model
            .nodes
            .values()
            .filter(|peer| !peer.tokens.is_empty() && peer.state == "Up")
        {
            *zones.entry(peer.zone.clone()).or_default() += 1;
        }
        zones
    }

    /// Everything is as the spec asks.
    fn is_as_asked(&self, status: &KvClusterStatus) -> Result<(), String> {
        let progressing = find(&status.conditions, ConditionType::Progressing).expect("told");
        if progressing.status == "True" || !holds(&status.conditions, ConditionType::Ready) {
            return Err(format!("{:?}", status.conditions));
        }
        let wanted = usize::try_from(self.object.spec.nodes).expect("small");
        let world = self.shared.get();
        let model = &world.model;
        let copies = usize::try_from(self.object.spec.replication_factor()).expect("small");
        let living = model
            .nodes
            .values()
            .filter(|peer| peer.state == "Up")
            .count();
        if living != wanted
            || world.inventory.nodes.len() != wanted
            || model.parts.iter().any(|part| part.members.len() != copies)
        {
            return Err(format!(
                "{living} of {wanted} live, {} objects, {:?}",
                world.inventory.nodes.len(),
                model.parts
            ));
        }
        drop(world);
        let zones = self.bearers();
        let spread = zones.values().max().unwrap_or(&0) - zones.values().min().unwrap_or(&0);
        let is_bound = self.object.spec.node_groups.is_some();
        if !is_bound && spread > 1 {
            Err(format!("zones are uneven: {zones:?}"))
        } else {
            Ok(())
        }
    }
}

fn spec(nodes: i32) -> KvClusterSpec {
    KvClusterSpec {
        nodes,
        ..KvClusterSpec::default()
    }
}

fn group(name: &str, count: Option<i32>, weight: Option<i32>) -> NodeGroup {
    NodeGroup {
        name: name.into(),
        count,
        weight,
        ..NodeGroup::default()
    }
}

fn specs() -> impl Strategy<Value = KvClusterSpec> {
    let zones = prop_oneof![
        Just(None),
        Just(Some(vec!["a", "b"])),
        Just(Some(vec!["b", "c", "d"])),
        Just(Some(vec!["a"]))
    ];
    let groups = prop::option::of((1_i32..4, 1_i32..4));
    let restarted = prop::option::of(prop_oneof![Just("1".to_owned()), Just("2".to_owned())]);
    (
        1_i32..8,
        prop::option::of(1_i32..4),
        zones,
        groups,
        restarted,
    )
        .prop_map(
            |(nodes, factor, zones, groups, restarted_at)| KvClusterSpec {
                nodes,
                replication_factor: factor.map(|factor| factor.min(nodes)),
                zones: zones.map(|zones| zones.into_iter().map(String::from).collect()),
                node_groups: groups.map(|(count, weight)| {
                    vec![
                        group("big", Some(count.min(nodes)), Some(weight)),
                        group("rest", None, None),
                    ]
                }),
                restarted_at,
                ..KvClusterSpec::default()
            },
        )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Done), 1 => Just(Fate::Failed), 1 => Just(Fate::ReplyLost)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Planning tokens takes its time without optimization.
        cases: if cfg!(debug_assertions) { 24 } else { 256 }, ..ProptestConfig::default() })]
    #[test]
    fn whatever_fails_and_however_often_the_mind_is_changed_it_ends_as_asked(
        first in 1_i32..7,
        changes in prop::collection::vec((1_usize..14, specs()), 0..6),
        fates in prop::collection::vec(fate(), 0..60),
        kills in prop::collection::vec((0_usize..60, 1_u64..12), 0..8),
        silences in prop::collection::vec((0_usize..60, 1_u64..12), 0..8),
        lags in prop::collection::vec((8_usize..70, 1_usize..LAG_MAX), 0..6),
        lates in prop::collection::vec((0_usize..60, 1_u64..12), 0..8),
        replaced in prop::option::of((20_usize..60, 1_u64..8)),
    ) {
        let mut run = Run::new(spec(first));
        run.shared.get().fates = fates;
        let mut due: Vec<(usize, KvClusterSpec)> = Vec::new();
        let mut at = 0;
        for (gap, spec) in changes {
            at += gap;
            due.push((at, spec));
        }
        for round in 0..100 {
            for (_, spec) in due.iter().filter(|(when, _)| *when == round) {
                run.apply(spec.clone());
            }
            if let Some((_, id)) = replaced.filter(|&(when, _)| when == round) {
                run.orders.replace.insert(id);
            }
            let mut world = run.shared.get();
            for &(_, id) in kills.iter().filter(|&&(when, _)| when == round) {
                if let Some(node) = world.inventory.nodes.get_mut(&NodeId(id)) {
                    node.presence = Presence::Absent;
                }
            }
            world.silent = silences.iter().find(|&&(when, _)| when == round).map(|&(_, id)| NodeId(id));
            let lag = lags.iter().find(|&&(when, _)| when == round);
            world.lag = lag.map_or(0, |&(_, lag)| lag);
            world.late = lates.iter().filter(|&&(when, _)| when == round).map(|&(_, id)| NodeId(id)).collect();
            drop(world);
            let status = run.round();
            prop_assert!(!holds(&status.conditions, ConditionType::DataLost));
        }
        // One copy on one node can't be restarted; the condition says so.
        run.object.spec.disruption = Some(kv_operator::crd::Disruption { allow_unavailable: Some(true) });
        let status = run.rounds(120);
        if let Err(why) = run.is_as_asked(&status) {
            prop_assert!(false, "{why}\n{:?}\n{:#?}", run.object.spec, run.shared.get().model.reply().nodes);
        }
    }
}

#[test]
fn who_was_prepared_and_never_started_is_no_founder() {
    // Some of six start, then three are wanted, and the reply to a later step, be it the mark, is lost.
    for failed in 2..9 {
        for lost in failed + 1..14 {
            let mut run = Run::new(spec(6));
            let mut fates = vec![Fate::Done; lost + 1];
            (fates[failed], fates[lost]) = (Fate::Failed, Fate::ReplyLost);
            fates.reverse();
            run.shared.get().fates = fates;
            run.round();
            run.apply(spec(3));
            let status = run.rounds(40);
            run.is_as_asked(&status)
                .unwrap_or_else(|why| panic!("step {failed} failed, {lost} lost: {why}"));
        }
    }
}

#[test]
fn counts_of_groups_that_change_on_the_way_replace_nobody_without_end() {
    let grouped = |nodes, big| KvClusterSpec {
        node_groups: Some(vec![
            group("big", Some(big), Some(1)),
            group("rest", None, None),
        ]),
        ..spec(nodes)
    };
    let mut run = Run::new(spec(1));
    for (rounds, next) in [
        (3, spec(2)),
        (2, grouped(3, 1)),
        (1, grouped(4, 3)),
        (6, grouped(3, 3)),
    ] {
        run.rounds(rounds);
        run.apply(next);
    }
    run.object.spec.disruption = Some(kv_operator::crd::Disruption {
        allow_unavailable: Some(true),
    });
    let status = run.rounds(60);
    run.is_as_asked(&status).expect("three");
    let world = run.shared.get();
    assert!(world.model.nodes.keys().all(|&id| id <= 5), "few came");
}

#[test]
fn three_to_five_and_back_takes_the_youngest() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    run.apply(spec(5));
    let status = run.rounds(30);
    run.is_as_asked(&status).expect("five");
    assert_eq!(
        run.bearers().values().copied().collect::<Vec<_>>(),
        [2, 2, 1]
    );
    run.apply(spec(3));
    let status = run.rounds(30);
    run.is_as_asked(&status).expect("three");
    let ids: Vec<u64> = run
        .shared
        .get()
        .inventory
        .nodes
        .keys()
        .map(|id| id.0)
        .collect();
    assert_eq!(ids, [1, 2, 3]);
    run.apply(spec(4));
    let status = run.rounds(30);
    run.is_as_asked(&status).expect("four");
    let ids: Vec<u64> = run
        .shared
        .get()
        .inventory
        .nodes
        .keys()
        .map(|id| id.0)
        .collect();
    assert_eq!(ids, [1, 2, 3, 6], "ids are never used again");
}

#[test]
fn a_plan_is_cancelled_after_any_round() {
    for round in 0..20 {
        let mut run = Run::new(spec(3));
        run.rounds(10);
        run.apply(spec(6));
        (0..round).for_each(|_| drop(run.round()));
        run.apply(spec(3));
        let status = run.rounds(40);
        run.is_as_asked(&status)
            .unwrap_or_else(|why| panic!("cancelled after {round} rounds: {why}"));
        let ids: Vec<u64> = run
            .shared
            .get()
            .inventory
            .nodes
            .keys()
            .map(|id| id.0)
            .collect();
        assert_eq!(ids, [1, 2, 3]);
    }
}

/// The reason and message of `Progressing`.
fn progressing(status: &KvClusterStatus) -> (&str, &str) {
    let found = find(&status.conditions, ConditionType::Progressing).expect("told");
    (&found.reason, &found.message)
}

#[test]
fn nobody_is_drained_while_one_that_stays_is_down() {
    for comes_back in [true, false] {
        let mut run = Run::new(spec(4));
        run.rounds(15);
        // Down, and nothing can be said of its disk: it is not started.
        let set = |run: &Run, presence, disk| {
            let mut world = run.shared.get();
            let node = world.inventory.nodes.get_mut(&NodeId(2)).expect("there");
            (node.presence, node.disk) = (presence, disk);
        };
        set(&run, Presence::Absent, Disk::Unknown);
        run.rounds(2);
        run.apply(spec(3));
        let status = run.rounds(10);
        let (reason, message) = progressing(&status);
        assert_eq!(reason, "Waiting");
        assert!(
            message.contains("rides-4 is drained once rides-2 is up again"),
            "{message}"
        );
        assert_eq!(run.shared.get().model.nodes[&4].state, "Up");
        if comes_back {
            set(&run, Presence::Running, Disk::Used);
        } else {
            run.shared.get().now_ms += 600_000;
        }
        let status = run.rounds(40);
        run.is_as_asked(&status).expect("three");
        let left = run.shared.get().inventory.nodes.len();
        assert_eq!(left, 3);
        let gone = if comes_back { 4 } else { 2 };
        assert_eq!(run.shared.get().model.nodes[&gone].state, "Removed");
    }
}

#[test]
fn nobody_is_drained_whose_data_have_no_room_elsewhere() {
    let mut run = Run::new(spec(4));
    run.rounds(15);
    run.shared.get().disk = (1 << 30, 256 << 20);
    run.apply(spec(3));
    let status = run.rounds(10);
    let (reason, message) = progressing(&status);
    assert_eq!(reason, "Waiting");
    assert!(
        message.contains("too little space without rides-4: rides-1 would get")
            && message.contains("has room for 0 MiB"),
        "{message}"
    );
    assert_eq!(run.shared.get().model.nodes[&4].state, "Up");
    assert_eq!(run.rounds(5).conditions, status.conditions, "a steady word");
    run.shared.get().disk = (2 << 30, 1 << 30);
    let status = run.rounds(40);
    run.is_as_asked(&status).expect("three");
}

#[test]
fn a_node_that_is_gone_for_long_is_replaced_in_its_zone() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    // Its disk is empty: it is not started any more.
    let mut world = run.shared.get();
    let node = world.inventory.nodes.get_mut(&NodeId(2)).expect("there");
    (node.presence, node.disk) = (Presence::Absent, Disk::Empty);
    drop(world);
    let status = run.rounds(10);
    assert_eq!(status.nodes_up, 2, "not before its time");
    run.shared.get().now_ms += 600_000;
    let status = run.rounds(40);
    run.is_as_asked(&status).expect("replaced");
    let world = run.shared.get();
    assert_eq!(world.model.nodes[&4].zone, "b");
    assert_eq!(world.model.nodes[&2].state, "Removed");
}

#[test]
fn restarts_go_one_by_one_and_end() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    run.apply(KvClusterSpec {
        restarted_at: Some("now".into()),
        ..spec(3)
    });
    for _ in 0..20 {
        run.round();
        let down = run
            .shared
            .get()
            .inventory
            .nodes
            .values()
            .filter(|node| node.presence == Presence::Absent)
            .count();
        assert!(down <= 1, "{down} are down at a time");
    }
    let incarnations: Vec<u64> = run
        .shared
        .get()
        .model
        .nodes
        .values()
        .map(|peer| peer.incarnation)
        .collect();
    assert_eq!(incarnations, [2, 2, 2]);
    assert!(run.shared.get().model.permit.is_none());
}

/// Three nodes to be restarted, in a window of each day. Time begins at 2023-11-14T22:13:20Z.
fn to_restart_at(start: &str, duration: &str) -> KvClusterSpec {
    let window = MaintenanceWindow {
        days: None,
        start: start.into(),
        duration: duration.into(),
    };
    KvClusterSpec {
        restarted_at: Some("now".into()),
        maintenance: Some(Maintenance {
            windows: vec![window],
        }),
        ..spec(3)
    }
}

impl Run {
    fn incarnations(&self) -> Vec<u64> {
        let world = self.shared.get();
        let nodes = world.model.nodes.values();
        nodes.map(|peer| peer.incarnation).collect()
    }

    fn turn_clock_to(&self, time: &str) {
        let time: Timestamp = time.parse().expect("a time");
        self.shared.get().now_ms = u64::try_from(time.as_millisecond()).expect("after 1970");
    }
}

#[test]
fn a_changed_spec_waits_for_its_window_and_says_when_it_opens() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    run.apply(to_restart_at("23:00", "1h"));
    let status = run.rounds(10);
    let (reason, message) = progressing(&status);
    assert_eq!(reason, "OutsideWindow");
    assert_eq!(
        message,
        "the restart of rides-1, rides-2, rides-3 waits for the maintenance window that opens at 2023-11-14T23:00:00Z \
         (spec.maintenance)"
    );
    assert!(holds(&status.conditions, ConditionType::Ready));
    assert_eq!(run.rounds(30), status, "a steady word");
    assert_eq!(run.incarnations(), [1, 1, 1]);
    run.turn_clock_to("2023-11-14T23:00:00Z");
    let status = run.rounds(30);
    run.is_as_asked(&status).expect("rolled");
    assert_eq!(run.incarnations(), [2, 2, 2]);
}

#[test]
fn a_window_that_closes_lets_the_node_at_hand_be_finished_and_no_other() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    run.apply(to_restart_at("22:13", "1m"));
    // The permit is given, and the operator dies before it ends the process.
    run.shared.get().fates = vec![Fate::Failed, Fate::Done];
    run.round();
    assert_eq!(run.incarnations(), [1, 1, 1]);
    assert!(run.shared.get().model.permit.is_some());
    run.turn_clock_to("2023-11-14T22:14:00Z");
    let status = run.rounds(20);
    assert_eq!(run.incarnations(), [2, 1, 1]);
    let (reason, message) = progressing(&status);
    assert_eq!(reason, "OutsideWindow");
    assert!(
        message.starts_with("the restart of rides-2, rides-3 waits")
            && message.contains("2023-11-15T22:13:00Z"),
        "{message}"
    );
    assert!(run.shared.get().model.permit.is_none());
}

#[test]
fn no_window_holds_up_orders_nor_what_does_not_run_nor_scaling() {
    let mut run = Run::new(spec(3));
    run.rounds(10);
    run.apply(to_restart_at("23:00", "1h"));
    run.orders.restart.insert(2, 1);
    run.rounds(10);
    assert_eq!(run.incarnations(), [1, 2, 1], "a person's order");
    let mut world = run.shared.get();
    world
        .inventory
        .nodes
        .get_mut(&NodeId(3))
        .expect("there")
        .presence = Presence::Absent;
    drop(world);
    let status = run.rounds(10);
    assert_eq!(
        run.incarnations(),
        [1, 2, 2],
        "started as what it should be"
    );
    let (reason, message) = progressing(&status);
    assert_eq!(reason, "OutsideWindow");
    assert!(
        message.starts_with("the restart of rides-1 waits"),
        "{message}"
    );
    run.apply(KvClusterSpec {
        nodes: 4,
        ..to_restart_at("23:00", "1h")
    });
    run.rounds(30);
    assert_eq!(run.bearers().values().sum::<usize>(), 4, "scaled");
    assert_eq!(run.incarnations(), [1, 2, 2, 1]);
}

#[test]
fn a_newer_version_is_used_within_a_window_only() {
    let mut run = Run::new(to_restart_at("23:00", "1h"));
    run.rounds(10);
    run.shared.get().newer = 1;
    assert_eq!(progressing(&run.rounds(5)).0, "Upgrading");
    run.turn_clock_to("2023-11-14T22:30:00Z");
    let status = run.rounds(5);
    let (reason, message) = progressing(&status);
    assert_eq!(reason, "OutsideWindow");
    assert!(
        message.starts_with("the use of version 2 waits for") && message.contains("T23:00:00Z"),
        "{message}"
    );
    assert_eq!(run.shared.get().model.version, 1);
    run.turn_clock_to("2023-11-14T23:59:00Z");
    run.rounds(5);
    assert_eq!(run.shared.get().model.version, 2);
}

#[test]
fn a_lost_cluster_is_made_anew_under_a_new_id_once_a_person_says_so() {
    let mut run = Run::new(spec(3));
    let old = run.rounds(10).cluster_id.expect("an id");
    for node in run.shared.get().inventory.nodes.values_mut() {
        (node.presence, node.disk) = (Presence::Absent, Disk::Empty);
    }
    let status = run.rounds(5);
    assert!(holds(&status.conditions, ConditionType::DataLost));
    run.orders.give_up = Some("another".into());
    assert!(holds(&run.rounds(5).conditions, ConditionType::DataLost));
    run.orders.give_up = Some(old.clone());
    let status = run.rounds(20);
    run.is_as_asked(&status).expect("made anew");
    assert_ne!(status.cluster_id, Some(old));
}

#[test]
fn a_steady_cluster_has_a_steady_status_and_takes_no_step() {
    let mut run = Run::new(spec(3));
    let settled = run.rounds(15);
    assert!(holds(&settled.conditions, ConditionType::Ready));
    let revision = run.shared.get().model.reply().ring_epoch;
    assert_eq!(run.rounds(10), settled, "nothing to write");
    assert_eq!(run.shared.get().model.reply().ring_epoch, revision);
}
