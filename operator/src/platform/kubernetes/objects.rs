//! The objects of a cluster, built from what is wanted. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, HTTPGetAction, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, SeccompProfile, Secret, SecretVolumeSource, SecurityContext, Service,
    ServicePort, ServiceSpec, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kv_ring::Token;

use super::affinity::affinity;
use super::names::{self, port};
use super::wanted::{Auth, Wanted};
use crate::crd::ServiceType;

/// Who the processes are: nobody that a system knows.
const USER: i64 = 65532;
/// How long a node that is told to end may take beyond the time for which it serves on, seconds.
pub const FORCE_AFTER_SECONDS: i64 = 30;
/// For how long a node may replay its log before it counts as stuck, seconds.
const STARTUP_SECONDS: i32 = 1800;
/// Where the configuration and certificates are mounted.
pub const CONFIG_DIR: &str = "/etc/ringkv";
/// Where the volume is mounted.
pub const DATA_DIR: &str = "/data";

/// One node, as far as its objects go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeat {
    /// Its id.
    pub id: u64,
    /// `<cluster>-<id>`.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its group.
    pub group: String,
}

/// Metadata of an object that goes with its `KvCluster`.
fn meta(wanted: &Wanted, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(wanted.namespace.clone()),
        labels: Some(names::labels(&wanted.name)),
        owner_references: Some(vec![wanted.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Metadata of an object that goes or stays by the policy.
pub fn kept_meta(wanted: &Wanted, name: String) -> ObjectMeta {
    let mut meta = meta(wanted, name);
    if !wanted.deletes_volumes {
        meta.owner_references = None;
    }
    meta
}

fn node_labels(wanted: &Wanted, seat: &NodeSeat) -> BTreeMap<String, String> {
    let mut labels = names::labels(&wanted.name);
    for (key, value) in [
        (names::COMPONENT, "node".to_owned()),
        (names::NODE_ID, seat.id.to_string()),
        (names::ZONE, seat.zone.clone()),
        (names::GROUP, seat.group.clone()),
    ] {
        labels.insert(key.to_owned(), value);
    }
    labels
}

fn service_port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

/// Gives every node a name of its own, before it is ready too: peers need each other to become so.
pub fn nodes_service(wanted: &Wanted) -> Service {
    let mut metadata = meta(wanted, names::nodes_service(&wanted.name));
    metadata.annotations = wanted.is_annotated.then(scrape_annotations);
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(names::pod_selector(&wanted.name)),
            ports: Some(vec![
                service_port("peer", port::PEER),
                service_port("metrics", port::METRICS),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// By which Prometheus is told of what lies behind a Service, where it is set up so.
fn scrape_annotations() -> BTreeMap<String, String> {
    let port = port::METRICS.to_string();
    [("scrape", "true"), ("port", &port), ("path", "/metrics")]
        .map(|(key, value)| (format!("prometheus.io/{key}"), value.to_owned()))
        .into()
}

/// What clients use: any node that is ready.
pub fn client_service(wanted: &Wanted) -> Service {
    let mut metadata = meta(wanted, wanted.name.clone());
    metadata.annotations.clone_from(&wanted.service.annotations);
    let type_ = match wanted.service.type_.unwrap_or_default() {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            selector: Some(names::pod_selector(&wanted.name)),
            ports: Some(vec![
                service_port("dynamo", port::DYNAMO),
                service_port("kv", port::KV),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// How many pods must stay. An integer: a `maxUnavailable` would count only controllers whose pods exist.
pub fn budget(wanted: &Wanted, min_available: i32) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta(wanted, wanted.name.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(min_available)),
            selector: Some(LabelSelector {
                match_labels: Some(names::pod_selector(&wanted.name)),
                ..LabelSelector::default()
            }),
            // A pod that isn't ready can be evicted whatever the budget says: what crashes must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// A node's volume.
pub fn volume(
    wanted: &Wanted,
    seat: &NodeSeat,
    cluster_id: &str,
    class_name: Option<String>,
    size: String,
) -> PersistentVolumeClaim {
    let mut metadata = kept_meta(wanted, names::volume(&seat.name));
    metadata.labels = Some(node_labels(wanted, seat));
    metadata.annotations = Some([(names::CLUSTER_ID.to_owned(), cluster_id.to_owned())].into());
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: class_name,
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// A node's configuration and certificate.
pub fn node_secret(
    wanted: &Wanted,
    seat: &NodeSeat,
    files: BTreeMap<String, ByteString>,
) -> Secret {
    let mut metadata = meta(wanted, seat.name.clone());
    metadata.labels = Some(node_labels(wanted, seat));
    Secret {
        metadata,
        data: Some(files),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// A node: one pod that keeps its name, replaced only when somebody takes it away.
pub fn stateful_set(
    wanted: &Wanted,
    seat: &NodeSeat,
    revision: &str,
    drain_seconds: u32,
    replicas: i32,
) -> StatefulSet {
    let labels = node_labels(wanted, seat);
    let selector = [
        (names::CLUSTER, wanted.name.clone()),
        (names::NODE_ID, seat.id.to_string()),
    ];
    let mut metadata = meta(wanted, seat.name.clone());
    metadata.labels = Some(labels.clone());
    StatefulSet {
        metadata,
        spec: StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(names::nodes_service(&wanted.name)),
            selector: LabelSelector {
                match_labels: Some(selector.map(|(k, v)| (k.to_owned(), v)).into()),
                ..LabelSelector::default()
            },
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            pod_management_policy: Some("Parallel".to_owned()),
            revision_history_limit: Some(1),
            template: template(wanted, seat, revision, drain_seconds, labels),
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    }
}

fn template(
    wanted: &Wanted,
    seat: &NodeSeat,
    revision: &str,
    drain_seconds: u32,
    labels: BTreeMap<String, String>,
) -> PodTemplateSpec {
    let mut template = bare_template(wanted, seat, revision, drain_seconds, labels);
    let digest = template_digest(wanted, seat, drain_seconds);
    let meta = template.metadata.get_or_insert_default();
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(names::TEMPLATE.to_owned(), digest);
    template
}

/// Digest of a node's template but for its revision and its group: they change with the spec, and restart it or mean nothing to it. Pods
/// carry it, so that one of an older template can be told whatever admission has added to it.
#[must_use]
pub fn template_digest(wanted: &Wanted, seat: &NodeSeat, drain_seconds: u32) -> String {
    let seat = NodeSeat {
        group: String::new(),
        ..seat.clone()
    };
    let labels = node_labels(wanted, &seat);
    let template = bare_template(wanted, &seat, "", drain_seconds, labels);
    // Maps and strings: it always becomes JSON.
    let json = serde_json::to_value(template).unwrap_or_default();
    Token::of(json.to_string().as_bytes()).to_string()
}

fn bare_template(
    wanted: &Wanted,
    seat: &NodeSeat,
    revision: &str,
    drain_seconds: u32,
    labels: BTreeMap<String, String>,
) -> PodTemplateSpec {
    let mut all = wanted.pod.labels.clone().unwrap_or_default();
    all.extend(labels);
    let mut annotations = wanted.pod.annotations.clone().unwrap_or_default();
    annotations.insert(names::REVISION.to_owned(), revision.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            affinity: Some(affinity(wanted, seat)),
            automount_service_account_token: Some(false),
            containers: vec![container(wanted, seat)],
            enable_service_links: Some(false),
            node_selector: wanted.pod.node_selector.clone(),
            priority_class_name: wanted.pod.priority_class_name.clone(),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                // Else each start walks through all files.
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            service_account_name: wanted.pod.service_account_name.clone(),
            termination_grace_period_seconds: Some(i64::from(drain_seconds) + FORCE_AFTER_SECONDS),
            tolerations: wanted.pod.tolerations.clone(),
            volumes: Some(vec![
                Volume {
                    name: "data".to_owned(),
                    persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                        claim_name: names::volume(&seat.name),
                        ..PersistentVolumeClaimVolumeSource::default()
                    }),
                    ..Volume::default()
                },
                Volume {
                    name: "config".to_owned(),
                    secret: Some(SecretVolumeSource {
                        secret_name: Some(seat.name.clone()),
                        default_mode: Some(0o440),
                        ..SecretVolumeSource::default()
                    }),
                    ..Volume::default()
                },
            ]),
            ..PodSpec::default()
        }),
    }
}

fn container(wanted: &Wanted, seat: &NodeSeat) -> Container {
    let mut args = vec![
        "run".to_owned(),
        "--config".to_owned(),
        format!("{CONFIG_DIR}/node.json"),
    ];
    if wanted.auth == Auth::Open {
        args.push("--allow-unauthenticated".to_owned());
    }
    let ports = [
        ("dynamo", port::DYNAMO),
        ("kv", port::KV),
        ("peer", port::PEER),
        ("metrics", port::METRICS),
    ];
    let ports = ports.map(|(name, number)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    });
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "node".to_owned(),
        image: Some(wanted.image.clone()),
        args: Some(args),
        ports: Some(ports.into()),
        resources: wanted.resources(&seat.group).cloned(),
        // What a node depends on must not get it restarted: alive is the process alone.
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        startup_probe: Some(probe("/healthz", 1, STARTUP_SECONDS)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            mount("data", DATA_DIR, false),
            mount("config", CONFIG_DIR, true),
        ]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{KvCluster, KvClusterSpec};

    fn wanted(spec: &str) -> Wanted {
        let spec: KvClusterSpec = serde_yaml::from_str(spec).expect("a spec");
        let mut object = KvCluster::new("rides", spec);
        object.metadata.namespace = Some("there".into());
        object.metadata.uid = Some("uid-1".into());
        Wanted::of(&object, "ringkv/kv-node:1")
    }

    fn seat() -> NodeSeat {
        NodeSeat {
            id: 7,
            name: "rides-7".into(),
            zone: "zone-a".into(),
            group: "default".into(),
        }
    }

    fn pod(set: &StatefulSet) -> PodSpec {
        set.spec.template.spec.clone().expect("a pod")
    }

    #[test]
    fn a_node_is_one_pod_that_nobody_replaces_but_the_operator() {
        let set = stateful_set(&wanted("nodes: 3"), &seat(), "r1", 10, 1);
        assert_eq!(set.spec.replicas, Some(1));
        let strategy = set.spec.update_strategy.clone().expect("a strategy");
        assert_eq!(strategy.type_.as_deref(), Some("OnDelete"));
        assert!(set.spec.volume_claim_templates.is_none());
        let pod = pod(&set);
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.termination_grace_period_seconds, Some(40));
        let security = pod.security_context.expect("a context");
        assert_eq!(security.run_as_non_root, Some(true));
        let container = &pod.containers[0];
        let security = container.security_context.clone().expect("a context");
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(
            container
                .args
                .clone()
                .expect("arguments")
                .last()
                .map(String::as_str),
            Some("/etc/ringkv/node.json"),
            "without keys of its own a node would have to be told so"
        );
    }

    #[test]
    fn zones_bind_pods_only_where_a_spec_names_them() {
        for (spec, binds) in [("nodes: 3", false), ("{nodes: 3, zones: [zone-a]}", true)] {
            let set = stateful_set(&wanted(spec), &seat(), "r1", 10, 1);
            let affinity = pod(&set).affinity.expect("affinity");
            assert_eq!(affinity.node_affinity.is_some(), binds, "{spec}");
            let apart = affinity.pod_anti_affinity.expect("apart");
            let required = apart.required_during_scheduling_ignored_during_execution;
            assert!(required.is_none(), "apart is a wish");
        }
    }

    #[test]
    fn what_holds_data_goes_with_the_cluster_only_if_the_policy_says_so() {
        for (policy, owners) in [("Retain", 0), ("Delete", 1)] {
            let wanted = wanted(&format!("{{nodes: 3, storage: {{policy: {policy}}}}}"));
            let volume = volume(&wanted, &seat(), "c-1", None, "1Gi".into());
            let found = volume.metadata.owner_references.unwrap_or_default();
            assert_eq!(found.len(), owners, "{policy}");
            let set = stateful_set(&wanted, &seat(), "r1", 10, 1);
            assert_eq!(set.metadata.owner_references.unwrap_or_default().len(), 1);
        }
    }

    #[test]
    fn the_operators_labels_win() {
        let spec =
            "{nodes: 3, pod: {labels: {ringkv.dev/cluster: other, team: a}}, auth: {mode: None}}";
        let set = stateful_set(&wanted(spec), &seat(), "r1", 10, 1);
        let meta = set.spec.template.metadata.clone().expect("metadata");
        assert_eq!(names::label(&meta, names::CLUSTER), Some("rides"));
        assert_eq!(names::label(&meta, "team"), Some("a"));
        assert_eq!(names::annotation(&meta, names::REVISION), Some("r1"));
        let args = pod(&set).containers[0].args.clone().expect("arguments");
        assert!(args.contains(&"--allow-unauthenticated".to_owned()));
    }

    #[test]
    fn a_pod_tells_whether_it_is_of_an_older_template_and_not_of_another_revision() {
        let digest = |set: &StatefulSet| {
            let meta = set.spec.template.metadata.clone().expect("metadata");
            names::annotation(&meta, names::TEMPLATE).map(str::to_owned)
        };
        let plain = wanted("nodes: 3");
        let made = digest(&stateful_set(&plain, &seat(), "r1", 10, 1));
        assert_eq!(made, Some(template_digest(&plain, &seat(), 10)));
        let other_group = NodeSeat {
            group: "big".into(),
            ..seat()
        };
        assert_eq!(
            digest(&stateful_set(&plain, &other_group, "r2", 10, 0)),
            made
        );
        assert_ne!(digest(&stateful_set(&plain, &seat(), "r1", 20, 1)), made);
        let mut newer = plain;
        newer.image = "ringkv/kv-node:2".into();
        assert_ne!(digest(&stateful_set(&newer, &seat(), "r1", 10, 1)), made);
    }

    #[test]
    fn prometheus_is_told_of_the_nodes_where_the_spec_says_so() {
        let annotations = |spec| nodes_service(&wanted(spec)).metadata.annotations;
        assert_eq!(annotations("nodes: 3"), None);
        let told = annotations("{nodes: 3, monitoring: {annotations: true}}").expect("told");
        assert_eq!(told["prometheus.io/port"], "9090");
    }

    #[test]
    fn the_budget_is_an_integer() {
        let budget = budget(&wanted("nodes: 3"), 2);
        let spec = budget.spec.expect("a spec");
        assert_eq!(spec.min_available, Some(IntOrString::Int(2)));
        assert!(spec.max_unavailable.is_none());
    }
}
