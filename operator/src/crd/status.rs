//! What the operator reports. Bounded: at most [`STATUS_NODES_MAX`] nodes, one row a condition type.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More nodes than this are counted, but not listed.
pub const STATUS_NODES_MAX: usize = 100;

/// What is known of a cluster, as of the last look at it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KvClusterStatus {
    /// The `metadata.generation` that this status was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The cluster's identity, chosen before its nodes were told of it; it never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Version of the formats and commands that all nodes write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<u32>,
    /// Number of nodes that exist, whatever their state.
    pub replicas: i32,
    /// Label selector of the nodes' pods, for `kubectl scale` and autoscalers; on Kubernetes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Number of nodes that serve.
    pub nodes_up: i32,
    /// What is being done now; left out while nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// A newer version that all nodes run and whose formats are not used yet; left out while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeStatus>,
    /// Where clients reach the cluster; any endpoint serves any request.
    pub endpoints: Vec<Endpoint>,
    /// The nodes by id, at most 100 of them.
    pub nodes: Vec<NodeStatus>,
    /// Ready, Progressing, Degraded, DataLost and HotKey, on Kubernetes RestartPending too, as the Kubernetes API conventions have them.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What is being done, rounded: a status is written on change only.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanStatus {
    /// The step under way, in words.
    pub step: String,
    /// Names of nodes that come, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joining: Vec<String>,
    /// Names of nodes that go, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<String>,
    /// Number of partitions whose replicas are not yet where they should be.
    pub moves_left: u64,
    /// Bytes of replicas moved so far.
    pub bytes_done: u64,
    /// Bytes of replicas that are still to be moved.
    pub bytes_left: u64,
    /// Bytes a second that move now.
    pub bytes_per_second: u64,
    /// Seconds until the moves are done at this rate; left out while nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// What the step waits for, if it can't go on; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

/// A version that is not in use yet.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStatus {
    /// The version that all nodes can write.
    pub version: u32,
    /// Since when all of them can; its formats are used `spec.upgrade.soak` later.
    pub since: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
}

/// One way in.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The protocol: `dynamodb`, the DynamoDB API over HTTP, or `grpc`, the native API.
    pub name: String,
    /// The node that listens there, where the endpoint is a node's own.
    pub node: String,
    /// The URL to give to a client, as `http://127.0.0.1:8000`.
    pub url: String,
}

/// One node.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Name of the object that runs the node, `<cluster>-<id>`.
    pub name: String,
    /// The node's id, which is never used for another node.
    pub id: u64,
    /// The zone that it counts for.
    pub zone: String,
    /// `Up`: it serves. `Starting`: its process runs but has not joined. `Unresponsive`: its process runs but does not answer.
    /// `Joining`: it serves but holds no data yet. `Draining`: it serves and gives its data away. `Removed`: it has left.
    /// `Stopping`: it was told to end. `Down`: no process runs. `Unknown`: can't be told.
    pub state: NodeState,
    /// URL of its DynamoDB API; left out until it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The fraction of the ring's positions whose first node it is, 0 to 1; shares add up to 1.
    pub share: f64,
    /// Number of partitions that it leads.
    pub leaders: u64,
    /// Number of partitions that it has a replica of.
    pub partitions: u64,
    /// How full the file system of its data is, in percent, in steps of five; left out until it has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_used_percent: Option<u32>,
    /// Process id, on the local platform while the process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// Where a node stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum NodeState {
    /// It serves.
    Up,
    /// Its process runs but has not joined the cluster.
    Starting,
    /// Its process runs and was up before, but does not answer.
    Unresponsive,
    /// It serves but has no place on the ring yet.
    Joining,
    /// It gives its data away.
    Draining,
    /// It has left the cluster for ever.
    Removed,
    /// It was told to end and has not yet.
    Stopping,
    /// No process runs.
    Down,
    /// The platform can't tell; never taken for dead.
    Unknown,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
