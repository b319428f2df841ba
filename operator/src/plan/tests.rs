use std::collections::{BTreeMap, BTreeSet};

use kv_proto::admin::GetIdentityReply;
use kv_ring::{MemberState, NodeSpec, Ring};

use super::roster::{Have, roster};
use super::tokens::{Wishes, change};
use super::*;
use crate::crd::{KvCluster, KvClusterSpec, NodeGroup};
use crate::dataplane::NodeView;
use crate::platform::{Addresses, ClusterIdentity, local};
use crate::reconcile::validate::validate;

fn of_spec(spec: KvClusterSpec) -> Cluster {
    validate(&KvCluster::new("rides", spec), local::DEFAULTS).expect("valid")
}

fn cluster(nodes: i32) -> Cluster {
    of_spec(KvClusterSpec {
        nodes,
        ..KvClusterSpec::default()
    })
}

fn object(id: u64, presence: Presence, disk: Disk) -> NodeObject {
    NodeObject {
        id: NodeId(id),
        name: format!("rides-{id}"),
        zone: "a".into(),
        group: "default".into(),
        started_revision: None,
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
            founders: BTreeSet::new(),
        }),
        nodes: nodes.into_iter().map(|node| (node.id, node)).collect(),
        orphaned: None,
        trust: None,
    }
}

fn view(joined: &[bool]) -> ClusterView {
    let node = |joined: bool| NodeView {
        identity: GetIdentityReply {
            joined,
            bootstrapped: joined,
            ..GetIdentityReply::default()
        },
        ..NodeView::default()
    };
    let nodes = (1..)
        .map(NodeId)
        .zip(joined.iter().map(|&joined| node(joined)))
        .collect();
    ClusterView {
        nodes,
        ..ClusterView::default()
    }
}

fn three(presence: Presence, disk: Disk) -> [NodeObject; 3] {
    [1, 2, 3].map(|id| object(id, presence, disk))
}

fn planned(inventory: &Inventory, view: &ClusterView) -> Plan {
    plan(&World {
        cluster: &cluster(3),
        inventory,
        view,
        orders: &Orders::default(),
        now_ms: 0,
        fresh_id: "new",
        soaking: None,
    })
}

fn starts(plan: &Plan) -> Vec<u64> {
    let start = |step: &Step| match step {
        Step::Start { id, .. } => Some(id.0),
        _ => None,
    };
    plan.steps.iter().filter_map(start).collect()
}

#[test]
fn from_nothing_the_identity_is_kept_before_all_else() {
    let plan = planned(&inventory(None, []), &view(&[]));
    assert_eq!(
        plan.steps[0],
        Step::KeepIdentity {
            cluster_id: "new".into()
        }
    );
    assert!(
        matches!(&plan.steps[1], Step::Prepare { cluster_id, seats } if cluster_id == "new" && seats.len() == 3)
    );
    assert_eq!(starts(&plan), [1, 2, 3]);
}

#[test]
fn a_cluster_is_made_only_when_all_nodes_answer_and_none_knows_one() {
    let bootstrap = Step::Bootstrap { on: NodeId(1) };
    let steps = |formed, joined: &[bool]| {
        planned(
            &inventory(Some(formed), three(Presence::Running, Disk::Used)),
            &view(joined),
        )
        .steps
    };
    assert_eq!(steps(false, &[false, false]), []);
    assert_eq!(
        steps(false, &[false; 3]),
        [
            Step::MarkFormed {
                founders: (1..=3).map(NodeId).collect()
            },
            bootstrap.clone()
        ]
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
        assert_eq!(planned(&inventory, &view).steps, []);
    }
}

#[test]
fn dead_nodes_are_started_and_unknown_ones_are_not() {
    let nodes = [
        object(1, Presence::Absent, Disk::Used),
        object(2, Presence::Unknown, Disk::Used),
        object(3, Presence::Absent, Disk::Unknown),
    ];
    assert_eq!(
        starts(&planned(&inventory(Some(true), nodes), &view(&[]))),
        [1]
    );
}

#[test]
fn an_empty_disk_of_a_formed_cluster_is_not_started() {
    let nodes = [
        object(1, Presence::Absent, Disk::Used),
        object(2, Presence::Absent, Disk::Empty),
        object(3, Presence::Absent, Disk::Used),
    ];
    let plan = planned(&inventory(Some(true), nodes), &view(&[]));
    assert_eq!(plan.identity_lost, [NodeId(2)]);
    assert_eq!(starts(&plan), [1, 3]);
}

#[test]
fn when_every_disk_is_empty_nothing_happens() {
    let lost = Some(Blocked::DataLost {
        cluster_id: "c".into(),
    });
    for nodes in [three(Presence::Absent, Disk::Empty).to_vec(), Vec::new()] {
        let plan = planned(&inventory(Some(true), nodes), &view(&[]));
        assert_eq!((plan.blocked, plan.steps), (lost.clone(), Vec::new()));
    }
    let fresh = planned(
        &inventory(Some(false), three(Presence::Absent, Disk::Empty)),
        &view(&[]),
    );
    assert_eq!(
        fresh.blocked, None,
        "before the cluster is made empty disks are as they should be"
    );
}

#[test]
fn data_without_an_identity_is_left_alone() {
    let plan = planned(
        &inventory(None, three(Presence::Absent, Disk::Used)),
        &view(&[]),
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
    let plan = || tokens::initial(&seats, |_| "localhost".into(), |_| 1, 3).expect("planned");
    assert_eq!(plan(), plan());
    let all: Vec<String> = plan().into_values().flatten().collect();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert!(all.len() == distinct.len() && all.iter().all(|token| token.len() == 32));
}

fn have(id: u64, group: &str, zone: &str) -> Have {
    Have {
        id: NodeId(id),
        group: group.into(),
        zone: zone.into(),
        must_go: false,
        is_draining: false,
    }
}

#[test]
fn the_youngest_of_the_fullest_zone_goes_first() {
    let nodes = ["a", "b", "c", "a", "c"]
        .into_iter()
        .zip(1..)
        .map(|(zone, id)| have(id, "default", zone));
    let nodes: Vec<Have> = nodes.collect();
    assert_eq!(roster(&cluster(4), &nodes).leave, [NodeId(5)]);
    assert_eq!(roster(&cluster(3), &nodes).leave, [4, 5].map(NodeId));
    let two_in_b = [
        have(1, "default", "a"),
        have(3, "default", "c"),
        have(4, "default", "b"),
        have(2, "default", "b"),
    ];
    assert_eq!(roster(&cluster(3), &two_in_b).leave, [NodeId(4)]);
}

#[test]
fn a_group_takes_over_nodes_before_new_ones_come() {
    let group = |name: &str, count| NodeGroup {
        name: name.into(),
        count,
        ..NodeGroup::default()
    };
    let groups = vec![group("big", Some(1)), group("rest", None)];
    let cluster = of_spec(KvClusterSpec {
        nodes: 3,
        node_groups: Some(groups),
        ..KvClusterSpec::default()
    });
    let nodes = [
        have(1, "default", "a"),
        have(2, "default", "b"),
        have(3, "default", "c"),
    ];
    let roster = roster(&cluster, &nodes);
    assert_eq!((roster.leave.len(), roster.join.len()), (0, 0));
    let names: Vec<&str> = roster.keep.values().map(String::as_str).collect();
    assert_eq!(names, ["big", "rest", "rest"]);
}

fn ring(nodes: u64, tokens: impl Fn(u64) -> Vec<kv_ring::Token>) -> Ring {
    let zones = ["a", "b", "c"];
    let member = |id: u64| {
        let zone = zones[usize::try_from(id % 3).expect("small")];
        let spec = NodeSpec {
            id: NodeId(id),
            zone: zone.into(),
            host: format!("h{id}").into(),
            weight: 1,
        };
        spec.member(MemberState::Up, tokens(id))
    };
    Ring::new(7, (1..=nodes).map(member).collect()).expect("a ring")
}

fn planned_ring(bearing: u64, all: u64) -> Ring {
    let specs: Vec<NodeSpec> = ring(bearing, |_| Vec::new())
        .members()
        .iter()
        .map(NodeSpec::from)
        .collect();
    let planned: BTreeMap<NodeId, Vec<kv_ring::Token>> =
        kv_ring::plan::initial(&specs, 3).expect("planned");
    ring(all, |id| {
        planned.get(&NodeId(id)).cloned().unwrap_or_default()
    })
}

#[test]
fn who_replaces_a_node_takes_its_tokens_as_they_are() {
    let before = planned_ring(6, 9);
    // Node 9 is in the zone of node 3.
    let wishes = Wishes {
        join: vec![(NodeId(9), 1)],
        replace: vec![NodeId(3)],
        ..Wishes::default()
    };
    let change = change(&before, &wishes, 3)
        .expect("planned")
        .expect("a change");
    assert_eq!(change.expected_epoch, 7);
    let changed: Vec<u64> = change.nodes.iter().map(|node| node.id.0).collect();
    assert_eq!(changed, [3, 9]);
    assert!(change.nodes[0].tokens.is_empty());
    assert_eq!(
        change.nodes[1].tokens,
        before.member(NodeId(3)).expect("there").tokens
    );
}

#[test]
fn joins_leaves_and_weights_become_one_change_of_one_epoch() {
    let before = planned_ring(6, 8);
    let wishes = Wishes {
        join: vec![(NodeId(7), 1), (NodeId(8), 2)],
        leave: vec![NodeId(6)],
        reweight: vec![(NodeId(1), 3)],
        ..Wishes::default()
    };
    let planned = change(&before, &wishes, 3)
        .expect("planned")
        .expect("a change");
    assert_eq!(
        change(&before, &wishes, 3).expect("planned").as_ref(),
        Some(&planned),
        "deterministic"
    );
    let after = tokens::after(&before, &planned).expect("a ring");
    assert_eq!(after.epoch(), 8);
    let bears = |id: u64| !after.member(NodeId(id)).expect("there").tokens.is_empty();
    assert_eq!([6, 7, 8].map(bears), [false, true, true]);
    assert_eq!(after.member(NodeId(1)).expect("there").weight, 3);
    assert_eq!(change(&before, &Wishes::default(), 3), Ok(None));
}

/// With optimized code; what is slow without them says nothing.
#[cfg(not(debug_assertions))]
#[test]
fn ten_thousand_nodes_and_a_million_partitions_are_planned_in_seconds() {
    let before = planned_ring(9_999, 10_000);
    let nodes: Vec<Have> = (1..=9_999_u64)
        .map(|id| have(id, "default", ["a", "b", "c"][(id % 3) as usize]))
        .collect();
    let mut cluster = cluster(1_000);
    (cluster.nodes, cluster.groups[0].count) = (10_000, 10_000);
    let start = std::time::Instant::now();
    let roster = roster(&cluster, &nodes);
    assert_eq!(roster.join.len(), 1);
    let wishes = Wishes {
        join: vec![(NodeId(10_000), 1)],
        ..Wishes::default()
    };
    let planned = change(&before, &wishes, 3)
        .expect("planned")
        .expect("a change");
    let after = tokens::after(&before, &planned).expect("a ring");
    let moved: usize = kv_ring::Token::evenly_spaced(1_000_000)
        .into_iter()
        .filter(|&at| before.placement(at, 3) != after.placement(at, 3))
        .count();
    println!(
        "10,000 nodes, 1,000,000 partitions: {moved} move, planned in {:?}",
        start.elapsed()
    );
    assert!(
        moved < 1_000 && start.elapsed().as_secs() < 5,
        "{moved} {:?}",
        start.elapsed()
    );
}
