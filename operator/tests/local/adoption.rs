//! Nodes outlive the operator; the next one finds them, and only them.

use std::process::{Command, Stdio};

use kv_operator::crd::condition::{self, ConditionType};
use kv_operator::platform::local::process::Process;
use rustix::process::Signal;

use crate::harness::{Cluster, eventually, send, stderr};

#[test]
fn a_killed_operator_leaves_its_nodes_and_the_next_takes_them_over() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    let pids = [1, 2, 3].map(|id| cluster.pid(id));
    cluster.kill_operator();
    assert!([1, 2, 3].into_iter().all(|id| cluster.is_alive(id)));
    send(pids[1], Signal::KILL);
    eventually("the node is gone", || (!cluster.is_alive(2)).then_some(()));
    let looked = cluster.looked();
    let degraded =
        condition::find(&looked.conditions, ConditionType::Degraded).expect("a condition");
    assert_eq!(
        degraded.message,
        "rides-2 is down, and no operator is at work to start it again"
    );

    cluster.start();
    cluster.hears(&format!(
        "rides-1 was running already (pid {}), adopted",
        pids[0]
    ));
    cluster.hears(&format!(
        "rides-3 was running already (pid {}), adopted",
        pids[2]
    ));
    cluster.hears("rides-2 started");
    let up = || cluster.is_alive(2).then_some(());
    eventually("the dead node is back", up);
    cluster.is_ready();
    assert_eq!((cluster.pid(1), cluster.pid(3)), (pids[0], pids[2]));
    assert_ne!(cluster.pid(2), pids[1]);
    // An adopted node that dies is noticed, too, though it is nobody's child.
    send(pids[0], Signal::KILL);
    cluster.hears("rides-1 ended: exit status not known");
    cluster.hears("rides-1 started");
    cluster.is_ready();
    cluster.stops();
    assert!([1, 2, 3].into_iter().all(|id| !cluster.is_alive(id)));
}

#[test]
fn a_pid_that_another_process_uses_is_not_a_node() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    cluster.is_ready();
    cluster.stops();
    let mut stranger = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .spawn()
        .expect("spawned");
    let real = Process::of(stranger.id()).expect("alive");
    // Once with another start time, as when the number was used again; once with all right but the command line.
    for process in [
        Process {
            start_ticks: real.start_ticks - 1,
            ..real.clone()
        },
        real,
    ] {
        process
            .write(&cluster.node_file(1, "pid"))
            .expect("written");
        cluster.start();
        cluster.hears("rides-1 started");
        cluster.is_ready();
        assert_ne!(cluster.pid(1), stranger.id());
        cluster.stops();
    }
    assert_eq!(
        stranger.try_wait().expect("waited"),
        None,
        "the stranger is left alone"
    );
    stranger
        .kill()
        .and_then(|()| stranger.wait())
        .expect("killed");
}

#[test]
fn a_directory_has_one_operator() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    cluster.is_ready();
    let second = cluster.command().output().expect("ran");
    assert_eq!(second.status.code(), Some(75));
    let text = stderr(&second);
    assert!(
        text.contains(&format!(
            "in use by another kv-operator (pid {})",
            cluster.operator_pid()
        )),
        "{text}"
    );
    cluster.stops();
}
