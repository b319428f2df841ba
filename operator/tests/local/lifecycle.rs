//! From nothing to ready, stopped in order, and back again.

use kv_operator::crd::NodeState;
use kv_operator::crd::condition::ConditionType;
use kv_operator::platform::local::node_config;
use rustix::process::Signal;

use crate::harness::Cluster;

#[test]
fn three_nodes_come_up_stop_in_order_and_come_back() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    cluster.waits_for(ConditionType::Progressing, "False", "UpToDate");
    let status = cluster.status().expect("a status");
    assert_eq!(
        (status.nodes_up, status.replicas, status.cluster_version),
        (3, 3, Some(1))
    );
    assert_eq!(
        status
            .endpoints
            .iter()
            .filter(|end| end.name == "dynamodb")
            .count(),
        3
    );
    let zones: Vec<&str> = status.nodes.iter().map(|node| node.zone.as_str()).collect();
    assert_eq!(zones, ["a", "b", "c"]);
    for node in &status.nodes {
        assert_eq!(
            (node.state, node.leaders, node.partitions),
            (NodeState::Up, 1, 3)
        );
        assert_eq!(node.pid, Some(cluster.pid(node.id)));
        assert!((node.share - 1.0 / 3.0).abs() < 0.05, "{}", node.share);
    }
    for line in [
        "certificates made",
        "rides-1 started (pid ",
        "rides-3 joined",
        "ready in ",
        "aws dynamodb put-item",
    ] {
        cluster.hears(line);
    }
    assert_eq!(cluster.lines_of("bootstraps").len(), 1);
    let config = |id| {
        node_config::read(&cluster.node_file(id, "node.json"))
            .expect("read")
            .expect("there")
    };
    let before = [1, 2, 3].map(config);
    let cluster_id = status.cluster_id.clone();

    cluster.stops();
    assert_eq!(
        cluster.lines_of("stopped"),
        ["rides-3", "rides-2", "rides-1"]
    );
    cluster.waits_for(ConditionType::Ready, "False", "Stopped");
    let down = cluster.status().expect("a status");
    assert!(
        down.nodes
            .iter()
            .all(|node| node.state == NodeState::Down && node.pid.is_none())
    );

    cluster.start();
    cluster.is_ready();
    let config = |id| {
        node_config::read(&cluster.node_file(id, "node.json"))
            .expect("read")
            .expect("there")
    };
    assert_eq!([1, 2, 3].map(config), before, "ports are kept");
    assert_eq!(cluster.status().expect("a status").cluster_id, cluster_id);
    assert_eq!(
        cluster.lines_of("bootstraps").len(),
        1,
        "a cluster is made once"
    );
    cluster.stops();
}

#[test]
fn a_second_signal_leaves_at_once_and_names_who_still_runs() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    std::fs::write(cluster.node_file(1, "ignore-term"), "").expect("written");
    cluster.start();
    cluster.is_ready();
    cluster.signal_operator(Signal::INT);
    cluster.hears("rides-1: asked to stop");
    cluster.signal_operator(Signal::INT);
    assert_eq!(cluster.ended().code(), Some(130));
    cluster.hears("left without waiting: rides-1 may still run");
    assert!(cluster.is_alive(1));
}

#[test]
fn a_cluster_of_one_and_one_of_five_come_up() {
    for nodes in [1, 5] {
        let mut cluster = Cluster::new(nodes);
        cluster.start();
        cluster.is_ready();
        assert_eq!(cluster.status().expect("a status").nodes.len(), nodes);
        cluster.stops();
    }
}
