//! Nodes that die, ports that are taken, disks that are gone.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use kv_operator::crd::condition::{self, ConditionType};
use kv_operator::local::shutdown::{self, Progress};
use kv_operator::platform::local::LocalPlatform;
use kv_operator::platform::local::dir::Dir;
use kv_operator::platform::local::node_config;
use rustix::process::Signal;

use crate::harness::{Cluster, send};

#[test]
fn a_node_that_dies_is_started_again_with_back_off_and_its_last_words_are_told() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    fs::write(
        cluster.node_file(2, "fail"),
        "76 kv-node: the disk belongs to another cluster",
    )
    .expect("written");
    send(cluster.pid(2), Signal::KILL);
    cluster.hears("rides-2 ended: signal: 9 (SIGKILL)");
    let line = cluster.hears("exit status: 76");
    assert!(
        line.contains(
            "its last words: kv-node: the disk belongs to another cluster; started again in"
        ),
        "{line}"
    );
    for wait in [
        "started again in 100 ms",
        "started again in 200 ms",
        "started again in 400 ms",
    ] {
        cluster.hears(wait);
    }
    let message = cluster.waits_for(ConditionType::Degraded, "True", "NodesDown");
    assert!(
        message.contains("rides-2 ended: exit status: 76"),
        "{message}"
    );
    cluster.waits_for(ConditionType::Ready, "False", "NodesNotUp");
    let looked = cluster.looked();
    let degraded =
        condition::find(&looked.conditions, ConditionType::Degraded).expect("a condition");
    assert!(
        degraded.status == "True" && degraded.message.contains("rides-2 ended: exit status: 76"),
        "{degraded:?}"
    );
    cluster.waits_for(ConditionType::Progressing, "False", "UpToDate");
    fs::remove_file(cluster.node_file(2, "fail")).expect("removed");
    cluster.is_ready();
    cluster.waits_for(ConditionType::Degraded, "False", "AsExpected");
    cluster.stops();
}

#[test]
fn a_node_that_hangs_is_told_apart_from_a_dead_one() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    let pid = cluster.pid(2);
    send(pid, Signal::STOP);
    let message = cluster.waits_for(ConditionType::Degraded, "True", "NodesUnresponsive");
    assert_eq!(message, "rides-2 does not answer, though its process runs");
    send(pid, Signal::CONT);
    cluster.is_ready();
    assert_eq!(cluster.pid(2), pid, "it was not started again");
    cluster.stops();
}

#[test]
fn a_port_that_is_taken_is_named_and_waited_for() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    let config = node_config::read(&cluster.node_file(1, "node.json"))
        .expect("read")
        .expect("there");
    let listener = TcpListener::bind(&config.listen.dynamo).expect("free again");
    let port = listener.local_addr().expect("address").port();
    cluster.start();
    let message = cluster.waits_for(ConditionType::Degraded, "True", "CannotStart");
    assert!(
        message.starts_with(&format!(
            "port {port} of rides-1 is taken by another program"
        )),
        "{message}"
    );
    drop(listener);
    cluster.is_ready();
    cluster.stops();
}

#[test]
fn when_every_disk_is_empty_nothing_is_started() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    for id in [1, 2, 3] {
        fs::rename(cluster.node_file(id, "data"), cluster.node_file(id, "away")).expect("renamed");
    }
    cluster.start();
    let message = cluster.waits_for(ConditionType::DataLost, "True", "EveryDiskEmpty");
    assert!(
        message.contains(
            &cluster
                .status()
                .and_then(|status| status.cluster_id)
                .expect("an id")
        ),
        "{message}"
    );
    cluster.waits_for(ConditionType::Ready, "False", "Blocked");
    assert!([1, 2, 3].into_iter().all(|id| !cluster.is_alive(id)));
    for id in [1, 2, 3] {
        // The disks come back while it watches.
        fs::rename(cluster.node_file(id, "away"), cluster.node_file(id, "data")).expect("renamed");
    }
    cluster.is_ready();
    cluster.waits_for(ConditionType::DataLost, "False", "DataPresent");
    cluster.stops();
}

#[test]
fn one_empty_disk_keeps_its_node_from_starting() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    fs::remove_dir_all(cluster.node_file(2, "data")).expect("removed");
    cluster.start();
    let message = cluster.waits_for(ConditionType::Degraded, "True", "IdentityLost");
    assert!(
        message.starts_with("the disk of rides-2 is empty"),
        "{message}"
    );
    assert!(!cluster.is_alive(2));
    cluster.stops();
}

#[tokio::test]
async fn a_node_that_does_not_stop_is_ended_by_force() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    fs::write(cluster.node_file(1, "ignore-term"), "").expect("written");
    cluster.start();
    cluster.is_ready();
    cluster.kill_operator();
    let mut platform = LocalPlatform::reader(Dir::open(&cluster.dir()).expect("opened"));
    let mut told = Vec::new();
    let grace = Duration::from_millis(100);
    shutdown::stop_all(&mut platform, grace, |progress| told.push(progress))
        .await
        .expect("stopped");
    let name = || "rides-1".to_owned();
    assert_eq!(
        told,
        [
            Progress::Asked(name()),
            Progress::Killed(name()),
            Progress::Ended(name())
        ]
    );
    assert!(!cluster.is_alive(1));
}
