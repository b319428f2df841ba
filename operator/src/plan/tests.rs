use std::collections::BTreeMap;

use kv_proto::admin::GetIdentityReply;
use proptest::prelude::*;

use super::*;
use crate::dataplane::NodeView;
use crate::platform::{Addresses, ClusterIdentity, NodeObject};

fn cluster(nodes: u32) -> Cluster {
    Cluster {
        name: "rides".into(),
        nodes,
        replication_factor: nodes.min(3),
        zones: ["a", "b", "c"].map(String::from).to_vec(),
    }
}

fn object(id: u64, presence: Presence, disk: Disk) -> NodeObject {
    NodeObject {
        id: NodeId(id),
        name: format!("rides-{id}"),
        zone: "a".into(),
        host: "localhost".into(),
        addresses: Addresses::default(),
        presence,
        disk,
        pid: None,
        trouble: None,
    }
}

fn inventory(formed: Option<bool>, nodes: impl IntoIterator<Item = NodeObject>) -> Inventory {
    Inventory {
        identity: formed.map(|is_formed| ClusterIdentity {
            cluster_id: "c".into(),
            is_formed,
        }),
        nodes: nodes.into_iter().map(|node| (node.id, node)).collect(),
    }
}

fn view(joined: &[bool]) -> ClusterView {
    let node = |joined: bool| NodeView {
        identity: GetIdentityReply {
            joined,
            bootstrapped: joined,
            ..GetIdentityReply::default()
        },
        status: None,
        is_late: false,
    };
    let nodes = (1..)
        .map(NodeId)
        .zip(joined.iter().map(|&joined| node(joined)))
        .collect();
    ClusterView {
        nodes,
        cluster: None,
    }
}

fn three(presence: Presence, disk: Disk) -> [NodeObject; 3] {
    [1, 2, 3].map(|id| object(id, presence, disk))
}

#[test]
fn from_nothing_the_identity_is_kept_before_all_else() {
    let plan = plan(&cluster(3), &inventory(None, []), &view(&[]), "new");
    assert_eq!(
        plan.steps[0],
        Step::KeepIdentity {
            cluster_id: "new".into()
        }
    );
    assert!(
        matches!(&plan.steps[1], Step::Prepare { cluster_id, seats } if cluster_id == "new" && seats.len() == 3)
    );
    assert_eq!(plan.steps[2..], [1, 2, 3].map(|id| Step::Start(NodeId(id))));
}

#[test]
fn a_cluster_is_made_only_when_all_nodes_answer_and_none_knows_one() {
    let running = || three(Presence::Running, Disk::Used);
    let bootstrap = Step::Bootstrap { on: NodeId(1) };
    let steps = |formed, joined: &[bool]| {
        plan(
            &cluster(3),
            &inventory(Some(formed), running()),
            &view(joined),
            "new",
        )
        .steps
    };
    assert_eq!(steps(false, &[false, false]), []);
    assert_eq!(
        steps(false, &[false; 3]),
        [Step::MarkFormed, bootstrap.clone()]
    );
    assert_eq!(
        steps(true, &[false; 3]),
        [bootstrap],
        "killed between the mark and the call"
    );
    assert_eq!(steps(true, &[true, false, false]), []);
    assert_eq!(steps(true, &[true; 3]), []);
}

#[test]
fn a_late_answer_is_not_acted_on() {
    let inventory = inventory(Some(true), three(Presence::Running, Disk::Used));
    for late in 1..=3 {
        let mut view = view(&[false; 3]);
        view.nodes.get_mut(&NodeId(late)).expect("asked").is_late = true;
        assert_eq!(plan(&cluster(3), &inventory, &view, "new").steps, []);
    }
}

#[test]
fn dead_nodes_are_started_and_unknown_ones_are_not() {
    let nodes = [
        object(1, Presence::Absent, Disk::Used),
        object(2, Presence::Unknown, Disk::Used),
        object(3, Presence::Absent, Disk::Unknown),
    ];
    let plan = plan(
        &cluster(3),
        &inventory(Some(true), nodes),
        &view(&[]),
        "new",
    );
    assert_eq!(plan.steps, [Step::Start(NodeId(1))]);
}

#[test]
fn an_empty_disk_of_a_formed_cluster_is_not_started() {
    let nodes = [
        object(1, Presence::Absent, Disk::Used),
        object(2, Presence::Absent, Disk::Empty),
        object(3, Presence::Absent, Disk::Used),
    ];
    let plan = plan(
        &cluster(3),
        &inventory(Some(true), nodes),
        &view(&[]),
        "new",
    );
    assert_eq!(plan.identity_lost, [NodeId(2)]);
    assert_eq!(plan.steps, [Step::Start(NodeId(1)), Step::Start(NodeId(3))]);
}

#[test]
fn when_every_disk_is_empty_nothing_happens() {
    let lost = Some(Blocked::DataLost {
        cluster_id: "c".into(),
    });
    for nodes in [three(Presence::Absent, Disk::Empty).to_vec(), Vec::new()] {
        let plan = plan(
            &cluster(3),
            &inventory(Some(true), nodes),
            &view(&[]),
            "new",
        );
        assert_eq!((plan.blocked, plan.steps), (lost.clone(), Vec::new()));
    }
    let fresh = plan(
        &cluster(3),
        &inventory(Some(false), three(Presence::Absent, Disk::Empty)),
        &view(&[]),
        "new",
    );
    assert_eq!(
        fresh.blocked, None,
        "before the cluster is made empty disks are as they should be"
    );
}

#[test]
fn data_without_an_identity_is_left_alone() {
    let plan = plan(
        &cluster(3),
        &inventory(None, three(Presence::Absent, Disk::Used)),
        &view(&[]),
        "new",
    );
    assert_eq!(
        (plan.blocked, plan.steps),
        (Some(Blocked::IdentityMissing), Vec::new())
    );
}

#[test]
fn seats_are_dealt_to_zones_in_turn() {
    let zones: Vec<String> = seats::seats(&cluster(5))
        .into_iter()
        .map(|seat| seat.zone)
        .collect();
    assert_eq!(zones, ["a", "b", "c", "a", "b"]);
}

#[test]
fn planned_tokens_are_the_same_each_time_and_never_shared() {
    let seats = seats::seats(&cluster(3));
    let plan = || tokens::initial(&seats, |_| "localhost".into(), 3).expect("planned");
    assert_eq!(plan(), plan());
    let all: Vec<String> = plan().into_values().flatten().collect();
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert!(all.len() == distinct.len() && all.iter().all(|token| token.len() == 32));
}

/// A world that does what it is told, in which the operator may die after any step.
#[derive(Clone, Debug)]
struct World {
    inventory: Inventory,
    joined: bool,
    bootstraps: usize,
}

impl World {
    fn view(&self, nodes: u32) -> ClusterView {
        let running = |id: &NodeId| {
            self.inventory
                .nodes
                .get(id)
                .is_some_and(|node| node.presence == Presence::Running)
        };
        let mut view = view(&vec![self.joined; nodes as usize]);
        view.nodes.retain(|id, _| running(id));
        view
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::KeepIdentity { cluster_id } => {
                assert!(
                    self.inventory.identity.is_none(),
                    "an identity never changes"
                );
                self.inventory.identity = Some(ClusterIdentity {
                    cluster_id: cluster_id.clone(),
                    is_formed: false,
                });
            }
            Step::Prepare { cluster_id, seats } => {
                assert_eq!(
                    self.inventory.identity.as_ref().map(|i| &i.cluster_id),
                    Some(cluster_id)
                );
                for seat in seats {
                    let fresh = object(seat.id.0, Presence::Absent, Disk::Empty);
                    self.inventory.nodes.entry(seat.id).or_insert(fresh);
                }
            }
            Step::Start(id) => {
                let node = self
                    .inventory
                    .nodes
                    .get_mut(id)
                    .expect("prepared before it is started");
                (node.presence, node.disk) = (Presence::Running, Disk::Used);
            }
            Step::MarkFormed => {
                self.inventory.identity.as_mut().expect("kept").is_formed = true;
            }
            Step::Bootstrap { on } => {
                let formed = self
                    .inventory
                    .identity
                    .as_ref()
                    .is_some_and(|identity| identity.is_formed);
                assert!(formed && *on == NodeId(1));
                self.joined = true;
                self.bootstraps += 1;
            }
        }
    }
}

proptest! {
    #[test]
    fn wherever_the_operator_dies_it_ends_in_the_same_place(
        nodes in 1_u32..8,
        crashes in prop::collection::vec(0_usize..6, 0..12),
        kills in prop::collection::vec((0_usize..12, 1_u64..8), 0..6),
    ) {
        let cluster = cluster(nodes);
        let mut world = World { inventory: inventory(None, []), joined: false, bootstraps: 0 };
        let mut crashes = crashes.into_iter();
        for round in 0..64 {
            for &(when, id) in &kills {
                if let Some(node) = world.inventory.nodes.get_mut(&NodeId(id)).filter(|_| when == round) {
                    node.presence = Presence::Absent;
                }
            }
            let plan = plan(&cluster, &world.inventory, &world.view(nodes), &format!("id-{round}"));
            prop_assert_eq!(&plan.blocked, &None);
            let done = crashes.next().unwrap_or(usize::MAX);
            plan.steps.iter().take(done).for_each(|step| world.apply(step));
        }
        prop_assert!(world.joined);
        prop_assert_eq!(world.bootstraps, 1);
        prop_assert_eq!(world.inventory.nodes.len(), nodes as usize);
        let running: BTreeMap<NodeId, Presence> =
            world.inventory.nodes.iter().map(|(&id, node)| (id, node.presence)).collect();
        prop_assert!(running.values().all(|&presence| presence == Presence::Running));
    }
}
