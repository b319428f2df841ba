//! What a user writes. Every field says its unit and default: these sentences are `kubectl explain`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::KvClusterStatus;

/// `spec.replicationFactor` where the spec has none and there are nodes enough.
pub const REPLICATION_FACTOR_DEFAULT: i32 = 3;

/// What a cluster should be. Everything but `nodes` has a default.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "ringkv.dev",
    version = "v1alpha1",
    kind = "KvCluster",
    plural = "kvclusters",
    namespaced,
    shortname = "kvc",
    category = "ringkv",
    status = "KvClusterStatus",
    scale(
        spec_replicas_path = ".spec.nodes",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "A cluster of nodes that hold DynamoDB-compatible tables, replicated over zones.",
    printcolumn = r#"{"name":"Nodes", "type":"integer", "jsonPath":".spec.nodes", "description":"Nodes wanted"}"#,
    printcolumn = r#"{"name":"Up", "type":"integer", "jsonPath":".status.nodesUp", "description":"Nodes that serve"}"#,
    printcolumn = r#"{"name":"Ready", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Ready\")].status", "description":"Every node serves and every partition has a leader"}"#,
    printcolumn = r#"{"name":"Reason", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Ready\")].reason", "description":"Why it is ready or not"}"#,
    printcolumn = r#"{"name":"Version", "type":"integer", "priority":1, "jsonPath":".status.clusterVersion", "description":"Version of the formats that nodes write"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp", "description":"Time since the cluster was made"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KvClusterSpec {
    /// Number of nodes, 1 to 1000. Three survive the loss of one. Has no default. Changing it scales the cluster while it serves;
    /// not below `replicationFactor`, whose default follows `nodes` up but not down.
    pub nodes: i32,

    /// Number of copies of every item, each on another node and in another zone while zones suffice; 1 to 7, at most `nodes`.
    /// A write is acknowledged when most of them have it on disk. Default: 3, or `nodes` where there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,

    /// Names of the zones that nodes are dealt to evenly; 1 to 20, each a DNS label, none twice. Default: a, b and c on the
    /// local platform. Nodes in a zone that is taken out are replaced by nodes in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), inner(length(max = 63)))]
    pub zones: Option<Vec<String>>,

    /// Kinds of nodes, at most 20. Default: one group, `default`, of all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub node_groups: Option<Vec<NodeGroup>>,

    /// Zones that partitions' leaders are kept in while a replica there is healthy; at most 20, of `zones`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), inner(length(max = 63)))]
    pub leader_zones: Option<Vec<String>>,

    /// Seconds for which a node that is told to stop serves on, so that clients find the others; 0 to 3600. A node
    /// takes it from its start. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<i32>,

    /// When nodes that are gone are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,

    /// How fast data moves between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,

    /// When partitions split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Partitions>,

    /// What planned restarts may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,

    /// When planned work that disrupts may begin. Default: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,

    /// What becomes of disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// How a newer version of the data plane is taken into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,

    /// Any text of at most 64 characters, such as a time: changing it restarts all nodes, one by one. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub restarted_at: Option<String>,

    /// Whom the DynamoDB API serves. Default: on the local platform everyone on this machine; on Kubernetes who has the keys of the
    /// Secret `<cluster>-credentials`, which the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// The certificates by which nodes and the operator know each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// CPU and memory of each node, as a container has them, where its group says nothing. Default: none asked for, no limit. The local
    /// platform gives no heed to them but restarts nodes when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// The image that nodes run, at most 512 characters; on Kubernetes only. Default: the one that the operator came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// The Service that clients use, named like the cluster; on Kubernetes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,

    /// What pods have beside what the operator gives them; on Kubernetes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,

    /// How monitoring finds the nodes; on Kubernetes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
}

/// How monitoring finds the nodes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Monitoring {
    /// Whether the Service `<cluster>-nodes` has the annotations `prometheus.io/scrape`, `port` and `path`, by which many installations
    /// of Prometheus find what they scrape, each node by itself. A change restarts nothing. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<bool>,
}

/// The Service that clients use.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// How it can be reached: `ClusterIP` from within, `NodePort`, or `LoadBalancer`. Default: ClusterIP.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Annotations that it gets, as load balancers want them. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// How a Service can be reached.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ServiceType {
    /// From within the Kubernetes cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// On a port of every worker.
    NodePort,
    /// By a load balancer.
    LoadBalancer,
}

/// What pods have beside what the operator gives them. A change restarts nodes one by one.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pod {
    /// Labels that each pod gets; those of the operator win. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations that each pod gets. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels that a worker must have. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of workers that pods put up with. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Where pods should run, as a pod has it, beside the zone and the wish for different workers, which the operator says: all of it
    /// must hold. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Name of the PriorityClass. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Name of the ServiceAccount, whose token pods don't get. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
}

/// Nodes of one kind.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// Its name, a DNS label of at most 40 characters, none twice. Has no default.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Number of its nodes, from 0; all counts add up to `nodes`. One group may leave it out and takes what `nodes` leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// How much data each of its nodes bears, relative to other nodes; 1 to 1000. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// The zone of all its nodes, one of `zones`. Default: they are spread over all zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// CPU and memory of each node, as a container has them; the local platform gives no heed to them but restarts nodes when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// When nodes that are gone are replaced.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repair {
    /// How long a node must be gone until a new one takes its place, as `30s`, `10m` or `2h`. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub after: Option<String>,
}

/// How fast data moves between nodes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rebalance {
    /// The most bytes a second that a node sends to others, from 1. Default: what the data plane holds fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<i64>,
    /// The most replicas that a node takes in at a time, 1 to 64. Default: what the data plane holds fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_per_node: Option<i32>,
    /// Whether nothing moves for balance's sake for now. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// When partitions split.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partitions {
    /// The size at which a partition splits: bytes, or a quantity as `10Gi`; at least 100k. Default: 10Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Bytes>,
}

/// A number of bytes, plain or with a unit.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum Bytes {
    /// Bytes.
    Number(i64),
    /// With one of the units Ki, Mi, Gi, Ti, k, M, G and T, or without.
    Text(String),
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

impl Bytes {
    /// The number, if it is one.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        let text = match self {
            Self::Number(number) => return u64::try_from(*number).ok(),
            Self::Text(text) => text,
        };
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" => 1,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1_u64 << 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    }
}

/// What planned restarts may do.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disruption {
    /// Whether a planned restart may leave partitions without a quorum meanwhile: the only way to restart a cluster of one node,
    /// or of one copy. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unavailable: Option<bool>,
}

/// When planned work that disrupts may begin: restarts since the spec has changed, and the use of a newer version. Nothing else waits, nor do
/// restarts that a person orders; a node whose restart has begun is finished.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Maintenance {
    /// The stretches of time, 1 to 20; it may begin while any of them is open. Has no default.
    #[schemars(length(max = 20))]
    pub windows: Vec<MaintenanceWindow>,
}

/// A stretch of time that comes again each week.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// The days on which it opens, in UTC, of Mon, Tue, Wed, Thu, Fri, Sat and Sun; 1 to 7. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7))]
    pub days: Option<Vec<Day>>,
    /// When it opens, as `22:30`, in UTC. Has no default.
    #[schemars(length(max = 16))]
    pub start: String,
    /// How long it stays open, over midnight too, 1m to 24h, as `90m` or `2h`. Has no default.
    #[schemars(length(max = 16))]
    pub duration: String,
}

/// A day of the week.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// The week, from Monday on.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];
}

/// What becomes of disks.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// `Retain`: the disk of a node that left is kept. `Delete`: it is deleted once the node is removed. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<StoragePolicy>,
    /// How large each node's volume is, as a quantity such as `10Gi`; it may grow but not shrink. A node refuses writes while less than
    /// 256Mi of it, or 2 %, is free, and keeps as much for its log: below 1Gi next to nothing is left for data. On Kubernetes only. Default: 10Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// When and how far a node's volume grows by itself; the StorageClass must allow expansion. On Kubernetes only. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// Name of the StorageClass of volumes that are made from now on, which can't be changed; at most 253 characters. On Kubernetes
    /// only. Default: the default class there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,
    /// The id of an earlier cluster of this name whose volumes were kept: they are taken over with all their data. At most 64
    /// characters. On Kubernetes only. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub adopt: Option<String>,
}

/// When and how far a node's volume grows by itself. One that has grown stays as it is, whatever becomes of `size`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Growth {
    /// How large a volume may become by itself, as a quantity such as `100Gi`; at least `size`. Has no default.
    pub limit: Bytes,
    /// How full a disk must be for its volume to grow, in percent, 50 to 95; one that refuses writes grows in any case. Default: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i32>,
    /// By how much it grows each time: a part of what it is as `25%`, 1 to 100, or a quantity as `10Gi`. Default: 25%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub step: Option<String>,
}

/// What becomes of the disk of a node that left.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum StoragePolicy {
    /// It is kept for a person to judge.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// How a newer version of the data plane is taken into use.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upgrade {
    /// How long all nodes must have run the newer version until its formats are used, from when on the older can't come back; as
    /// `30s`, `10m` or `2h`. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub soak: Option<String>,
}

/// A time as `30s`, `10m` or `2h`.
#[must_use]
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let unit = text.chars().next_back()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    let is_number =
        (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok())??;
    Some(std::time::Duration::from_secs(number * factor))
}

/// Seconds of the day of a time as `22:30`.
#[must_use]
pub fn time_of_day(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = is_number.then(|| text.parse().ok())??;
        (number < below).then_some(number)
    };
    Some(number(hours, 24)? * 3_600 + number(minutes, 60)? * 60)
}

/// Whom the DynamoDB API serves.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// `None`: any signature passes. `Secret`: requests are signed with keys of the Secret named in `secretName`, which the
    /// local platform does not have. Has no default.
    pub mode: AuthMode,
    /// Name of the Secret with the access keys, in the cluster's namespace; at most 253 characters. Needed with mode
    /// `Secret`, refused with `None`. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
}

/// The certificates by which nodes and the operator know each other. All are renewed in the last third of their life, without a
/// restart.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Any text of at most 64 characters, such as a time: changing it replaces the CA and all certificates while everything
    /// serves. Has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rotated_at: Option<String>,
    /// Name of a Secret in the cluster's namespace with the CA to use, in `ca.crt` and `ca.key`; at most 253 characters. Another CA
    /// there takes the place of the one before while everything serves; one that can't be used is refused, and the one before
    /// stays. `rotatedAt` and `caLife` then mean nothing. On Kubernetes only. Default: a CA that the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// How long a certificate is good for, at least 1m, as `90m` or `2160h`; below an hour Kubernetes may take too long to bring the
    /// next one to a node. Default: 8760h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub certificate_life: Option<String>,
    /// How long a CA is good for, at least 1m, as `2160h`. Default: 87600h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ca_life: Option<String>,
}

/// How requests are authenticated.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AuthMode {
    /// Any signature passes.
    None,
    /// Keys come from a Secret.
    Secret,
}

impl KvClusterSpec {
    /// The number of copies, default included.
    #[must_use]
    pub fn replication_factor(&self) -> i32 {
        self.replication_factor
            .unwrap_or_else(|| self.nodes.min(REPLICATION_FACTOR_DEFAULT))
    }
}
