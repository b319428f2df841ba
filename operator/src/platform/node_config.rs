//! What a node is told, on every platform: its `node.json`. The node has its own reader of the same names.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// Its id.
    pub node_id: u64,
    /// `<cluster>-<id>`.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// The machine that it runs on.
    pub host: String,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// `ip:port` that it listens on.
    pub listen: Listen,
    /// `host:port` that others reach it at.
    pub advertise: Advertise,
    /// PEM files.
    pub tls: Tls,
    /// The nodes of the cluster, itself included.
    pub seeds: Vec<Seed>,
    /// Who may use the DynamoDB API.
    pub auth: AuthConfig,
    /// Seconds for which it serves on when it is told to stop.
    #[serde(default)]
    pub drain_seconds: u64,
}

/// `ip:port` of each service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// The DynamoDB API.
    pub dynamo: String,
    /// Client gRPC.
    pub kv: String,
    /// Peers and admin.
    pub peer: String,
    /// Metrics and health.
    pub metrics: String,
}

/// `host:port` of each service that others use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Advertise {
    /// The DynamoDB API.
    pub dynamo: String,
    /// Client gRPC.
    pub kv: String,
    /// Peers and admin.
    pub peer: String,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The cluster's CA.
    pub ca: PathBuf,
    /// The node's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    /// Its id.
    pub id: u64,
    /// Its peer service.
    pub address: String,
}

/// Who may use the DynamoDB API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys that requests are signed with; without any, every signature passes.
    pub access_keys: Vec<AccessKey>,
}

/// A key that requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// Its public part.
    pub id: String,
    /// Its secret part.
    pub secret: String,
    /// The account whose tables it opens.
    pub account: String,
}
