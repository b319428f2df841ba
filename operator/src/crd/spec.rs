//! What a user writes. Every field says its unit and default: these sentences are `kubectl explain`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::KvClusterStatus;

/// `spec.replicationFactor` where the spec has none and there are nodes enough.
pub const REPLICATION_FACTOR_DEFAULT: i32 = 3;

/// What a cluster should be. Everything but `nodes` has a default.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[kube(
    group = "ringkv.dev",
    version = "v1alpha1",
    kind = "KvCluster",
    plural = "kvclusters",
    namespaced,
    shortname = "kvc",
    category = "ringkv",
    status = "KvClusterStatus",
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
    /// Number of nodes, 1 to 1000. Three survive the loss of one. Has no default. Can't change yet once the cluster is made.
    pub nodes: i32,

    /// Number of copies of every item, each on another node and in another zone while zones suffice; 1 to 7, at most `nodes`.
    /// A write is acknowledged when most of them have it on disk. Default: 3, or `nodes` where there are fewer. Can't change yet
    /// once the cluster is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,

    /// Names of the zones that nodes are dealt to in turn; 1 to 20, each a DNS label, none twice. Default: a, b and c on the
    /// local platform. Can't change yet once the cluster is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), inner(length(max = 63)))]
    pub zones: Option<Vec<String>>,

    /// Whom the DynamoDB API serves. Default: on the local platform everyone on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
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
