//! Saving the file is `kubectl apply`: a mistake is told with its line, and the running cluster stays as it is.

use kv_operator::crd::condition::{self, ConditionType};

use crate::harness::{Cluster, stderr};

#[test]
fn mistakes_and_changes_that_are_not_supported_leave_the_cluster_alone() {
    let mut cluster = Cluster::new(3);
    cluster.start();
    cluster.is_ready();
    let pids = [1, 2, 3].map(|id| cluster.pid(id));
    let file = cluster.file().display().to_string();

    cluster.write_spec("spec:\n  nodes: 0\n");
    let wrong = cluster.waits_for(ConditionType::Progressing, "False", "InvalidSpec");
    assert!(
        wrong.starts_with(&format!(
            "{file}:6: spec.nodes: must be at least 1, got 0\n"
        )),
        "{wrong}"
    );
    cluster.hears(&format!("{file}:6: spec.nodes: must be at least 1, got 0"));
    cluster.hears("the cluster stays as it is");
    let looked = cluster.looked();
    let progressing =
        condition::find(&looked.conditions, ConditionType::Progressing).expect("a condition");
    assert_eq!(
        (progressing.reason.as_str(), looked.nodes_up),
        ("InvalidSpec", 3),
        "{looked:#?}"
    );

    cluster.write_spec("spec:\n  nodes: 3\n  replicas: 3\n");
    cluster.hears(&format!("{file}:7: spec: unknown field `replicas`"));

    cluster.write_spec("spec:\n  nodes: 1\n");
    let refused = cluster.waits_for(ConditionType::Progressing, "False", "ChangeNotSupported");
    assert!(
        refused.contains(":6: spec.nodes: must not be less than the number of copies"),
        "{refused}"
    );
    cluster.is_ready();
    assert_eq!(cluster.object().map(|object| object.spec.nodes), Some(3));

    cluster.write_spec("spec:\n  nodes: 3\n  auth: {mode: Secret, secretName: keys}\n");
    cluster.hears(":7: spec.auth.mode: must be None on the local platform");

    cluster.write_spec("spec:\n  nodes: 3\n  auth: {mode: None}\n");
    cluster.hears("applied");
    cluster.waits_for(ConditionType::Progressing, "False", "UpToDate");
    let object = cluster.object().expect("an object");
    assert_eq!(object.metadata.generation, Some(2));
    assert_eq!(
        object.status.and_then(|status| status.observed_generation),
        Some(2)
    );

    std::fs::remove_file(cluster.file()).expect("removed");
    cluster.hears("is gone; the cluster stays as it is");
    assert_eq!([1, 2, 3].map(|id| cluster.pid(id)), pids);
    cluster.stops();
}

#[test]
fn a_mistake_at_the_start_ends_it_with_path_and_line() {
    let cluster = Cluster::new(3);
    cluster.write_spec("spec:\n  nodes: 0\n  zones: [a, a]\n");
    let output = cluster.command().output().expect("ran");
    assert_eq!(output.status.code(), Some(65));
    let file = cluster.file().display().to_string();
    assert_eq!(
        stderr(&output),
        format!(
            "kv-operator: {file}:6: spec.nodes: must be at least 1, got 0\n{file}:7: spec.zones: must not name a zone twice\n"
        )
    );
    assert!(!cluster.dir().exists(), "nothing was made");
}
