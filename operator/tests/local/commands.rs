//! `status`, `stop`, `delete`, and the exit status of what can't work.

use std::fs;

use kv_operator::crd::condition::{ConditionType, holds};
use kv_operator::crd::{KvCluster, NodeState};

use crate::harness::{Cluster, operator, stderr};

#[test]
fn status_stop_and_delete() {
    let mut cluster = Cluster::new(3);
    let dir = cluster.dir();
    assert_eq!(operator(&["status"], &dir).status.code(), Some(66));
    cluster.start();
    cluster.is_ready();

    let json = operator(&["status", "-o", "json"], &dir);
    let yaml = operator(&["status", "-o", "yaml"], &dir);
    let objects: [KvCluster; 2] = [
        serde_json::from_slice(&json.stdout).expect("JSON"),
        serde_yaml::from_slice(&yaml.stdout).expect("YAML"),
    ];
    for object in objects {
        let status = object.status.expect("a status");
        let is_ready = holds(&status.conditions, ConditionType::Ready);
        assert!(
            is_ready && status.nodes_up == 3,
            "{status:#?} {} {}",
            stderr(&json),
            stderr(&yaml)
        );
    }
    let table = String::from_utf8(operator(&["status"], &dir).stdout).expect("UTF-8");
    assert!(
        table.contains("NAME")
            && table.contains("rides-3  c     Up ")
            && table.contains("Ready True (Serving)"),
        "{table}"
    );

    let refused = operator(&["delete", "--yes"], &dir);
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
    let stopped = operator(&["stop"], &dir);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    assert_eq!(
        cluster.ended().code(),
        Some(0),
        "the operator was told to stop"
    );

    let down: KvCluster =
        serde_json::from_slice(&operator(&["status", "-o", "json"], &dir).stdout).expect("JSON");
    assert!(
        down.status
            .expect("a status")
            .nodes
            .iter()
            .all(|node| node.state == NodeState::Down)
    );
    let unasked = operator(&["delete"], &dir);
    assert_eq!(unasked.status.code(), Some(64), "{}", stderr(&unasked));
    assert!(dir.exists());
    assert_eq!(operator(&["delete", "--yes"], &dir).status.code(), Some(0));
    assert!(!dir.exists());
}

#[test]
fn stop_and_delete_without_an_operator() {
    let mut cluster = Cluster::new(3);
    let dir = cluster.dir();
    cluster.start();
    cluster.is_ready();
    cluster.kill_operator();
    let looked = cluster.looked();
    assert_eq!(looked.nodes_up, 3, "status looks for itself: {looked:#?}");
    let refused = operator(&["delete", "--yes"], &dir);
    assert!(
        stderr(&refused).contains("rides-1, rides-2, rides-3 still runs"),
        "{}",
        stderr(&refused)
    );
    let stopped = operator(&["stop"], &dir);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    assert_eq!(
        cluster.lines_of("stopped"),
        ["rides-3", "rides-2", "rides-1"]
    );
    assert!([1, 2, 3].into_iter().all(|id| !cluster.is_alive(id)));
}

#[test]
fn what_cannot_work_ends_with_a_sentence_and_its_status() {
    let cluster = Cluster::new(3);
    let run = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = cluster.command();
        change(&mut command);
        let output = command.output().expect("ran");
        let text = stderr(&output);
        assert!(
            text.starts_with("kv-operator: ") && text.lines().count() == 1,
            "{text}"
        );
        (output.status.code(), text)
    };
    fs::write(cluster.dir(), "a file").expect("written");
    let (code, text) = run(&|_| {});
    assert!(
        code == Some(74) && text.contains("choose a --dir that is a directory"),
        "{code:?} {text}"
    );
    fs::remove_file(cluster.dir()).expect("removed");

    fs::create_dir(cluster.dir()).expect("created");
    let identity =
        |text: &str| fs::write(cluster.dir().join("cluster.json"), text).expect("written");
    identity("{\"format\": 1, \"clusterId\": \"c\", \"name\": \"walks\", \"isFormed\": true}");
    let (code, text) = run(&|_| {});
    assert!(
        code == Some(78) && text.contains("holds cluster \"walks\", not \"rides\""),
        "{text}"
    );
    identity("{\"format\": 99}");
    let (code, text) = run(&|_| {});
    assert!(code == Some(78) && text.contains("has format 99"), "{text}");
    identity("{\"format\": ");
    let (code, text) = run(&|_| {});
    assert!(code == Some(65) && text.contains("is damaged"), "{text}");

    fs::remove_file(cluster.file()).expect("removed");
    let (code, text) = run(&|_| {});
    assert!(
        code == Some(66) && text.contains("does not exist"),
        "{text}"
    );
}
