//! Scaling, restarting, replacing and what else a user orders, with real processes that keep no data.

use kv_operator::crd::condition::{self, ConditionType};
use kv_operator::crd::{KvCluster, NodeState};

use crate::harness::{Cluster, eventually, operator, stderr};

/// Waits until exactly these nodes are there, and nothing is under way.
fn settles(cluster: &Cluster, ids: &[u64]) {
    eventually(
        &format!("nodes {ids:?} and no plan; it said {:?}", cluster.said()),
        || {
            let status = cluster.status()?;
            let is_still =
                condition::find(&status.conditions, ConditionType::Progressing)?.status == "False";
            let there: Vec<u64> = status.nodes.iter().map(|node| node.id).collect();
            let all_up = status.nodes.iter().all(|node| node.state == NodeState::Up);
            (is_still && all_up && there == ids).then_some(())
        },
    );
}

#[test]
fn editing_the_file_scales_out_and_in_and_the_mind_can_be_changed() {
    let mut cluster = Cluster::new(3);
    cluster.write_spec("spec:\n  nodes: 3\n  drainSeconds: 0\n  storage: {policy: Delete}\n");
    cluster.start();
    cluster.is_ready();
    cluster.write_spec("spec:\n  nodes: 5\n  drainSeconds: 0\n  storage: {policy: Delete}\n");
    settles(&cluster, &[1, 2, 3, 4, 5]);
    cluster.hears("rides-5 started (pid ");
    assert_eq!(cluster.lines_of("bootstraps").len(), 1);

    cluster.write_spec("spec:\n  nodes: 3\n  drainSeconds: 0\n  storage: {policy: Delete}\n");
    settles(&cluster, &[1, 2, 3]);
    cluster.hears("rides-5 has left; what it kept is deleted");
    assert!(!cluster.node_file(5, "").exists());
    let mut ended = cluster.lines_of("stopped");
    ended.sort();
    assert_eq!(ended, ["rides-4", "rides-5"], "they end in order");

    // Out again, and back before it is done: with Retain what they kept is put aside.
    cluster.write_spec("spec:\n  nodes: 6\n  drainSeconds: 0\n");
    cluster.hears("rides-6 started (pid ");
    cluster.write_spec("spec:\n  nodes: 3\n  drainSeconds: 0\n");
    settles(&cluster, &[1, 2, 3]);
    let id = cluster
        .status()
        .expect("a status")
        .cluster_id
        .expect("an id");
    assert!(
        cluster
            .dir()
            .join("retired")
            .join(id)
            .join("rides-6")
            .exists()
    );
    cluster.stops();
}

#[test]
fn a_restart_ends_one_node_after_the_other() {
    let mut cluster = Cluster::new(3);
    cluster.write_spec("spec:\n  nodes: 3\n  drainSeconds: 0\n");
    cluster.start();
    cluster.is_ready();
    let pids = [1, 2, 3].map(|id| cluster.pid(id));
    let told = operator(&["restart", "rides-2"], &cluster.dir());
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    eventually("node 2 runs anew", || {
        (cluster.pid(2) != pids[1] && cluster.is_alive(2)).then_some(())
    });
    settles(&cluster, &[1, 2, 3]);
    assert_eq!([cluster.pid(1), cluster.pid(3)], [pids[0], pids[2]]);

    let told = operator(&["restart"], &cluster.dir());
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    eventually("all run anew", || {
        [1, 3]
            .iter()
            .all(|&id| !pids.contains(&cluster.pid(id)) && cluster.is_alive(id))
            .then_some(())
    });
    settles(&cluster, &[1, 2, 3]);
    assert_eq!(
        cluster.lines_of("stopped"),
        ["rides-2", "rides-1", "rides-2", "rides-3"]
    );
    cluster.stops();
}

#[test]
fn nodes_are_replaced_and_drained_by_order() {
    let mut cluster = Cluster::new(4);
    cluster.write_spec("spec:\n  nodes: 4\n  drainSeconds: 0\n");
    cluster.start();
    cluster.is_ready();
    let replaced = operator(&["replace", "2"], &cluster.dir());
    assert_eq!(replaced.status.code(), Some(0), "{}", stderr(&replaced));
    settles(&cluster, &[1, 3, 4, 5]);
    let zone = |id| {
        cluster
            .status()
            .and_then(|status| Some(status.nodes.iter().find(|node| node.id == id)?.zone.clone()))
    };
    assert_eq!(zone(5), Some("b".into()));

    let drained = operator(&["drain", "rides-4"], &cluster.dir());
    assert_eq!(drained.status.code(), Some(0), "{}", stderr(&drained));
    let state = |id| {
        cluster
            .status()
            .and_then(|status| Some(status.nodes.iter().find(|node| node.id == id)?.state))
    };
    eventually("node 4 drains", || {
        (state(4) == Some(NodeState::Draining)).then_some(())
    });
    operator(&["drain", "--undo", "rides-4"], &cluster.dir());
    settles(&cluster, &[1, 3, 4, 5]);

    let unknown = operator(&["drain", "rides-9"], &cluster.dir());
    assert_eq!(unknown.status.code(), Some(64));
    assert!(
        stderr(&unknown).contains("there is no node rides-9: it is one of rides-1, rides-3"),
        "{}",
        stderr(&unknown)
    );
    cluster.stops();
}

#[test]
fn a_plan_says_what_would_happen_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    let new = cluster.dir().join("../new.yaml");
    let head = "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata: {name: rides}\nspec:\n";
    std::fs::write(&new, format!("{head}  nodes: 5\n")).expect("written");
    let path = new.display().to_string();
    let planned = operator(&["plan", "-f", &path], &cluster.dir());
    let text = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(
        text.contains("+ rides-4 in zone a, group default\n+ rides-5 in zone b"),
        "{text}{}",
        stderr(&planned)
    );
    assert!(text.contains("to move: "), "{text}");
    let before = cluster.object();
    assert_eq!(before.map(|object: KvCluster| object.spec.nodes), Some(3));

    std::fs::write(&new, format!("{head}  nodes: 1\n")).expect("written");
    let refused = operator(&["plan", "-f", &path], &cluster.dir());
    assert_eq!(refused.status.code(), Some(65));
    assert!(
        stderr(&refused)
            .contains("new.yaml:5: spec.nodes: must not be less than the number of copies"),
        "{}",
        stderr(&refused)
    );

    let top = operator(&["top", "nodes"], &cluster.dir());
    let lines: Vec<String> = String::from_utf8_lossy(&top.stdout)
        .lines()
        .map(String::from)
        .collect();
    assert!(
        lines[1].starts_with("rides-2") && lines[2].starts_with("rides-1"),
        "the busiest first: {lines:?}"
    );
    let split = operator(&["split", "rides"], &cluster.dir());
    let said = String::from_utf8_lossy(&split.stdout).into_owned();
    assert_eq!(
        said,
        "partition 7 of rides splits; its right part becomes partition 8\n"
    );
    let none = operator(&["split", "nothing"], &cluster.dir());
    assert_eq!(none.status.code(), Some(69), "{}", stderr(&none));
    cluster.stops();
}
