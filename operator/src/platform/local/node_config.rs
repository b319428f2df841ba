//! `node.json`: all that a node is told. The node has its own reader of the same names.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::dir::{read_file, write_file};

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

/// A node's configuration, or `None` if it has none yet.
///
/// # Errors
/// The file is damaged.
pub fn read(path: &Path) -> Result<Option<NodeConfig>, Error> {
    let Some(text) = read_file(path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| Error::Damaged {
            path: path.to_owned(),
            source,
        })
}

/// Writes a node's configuration, unless it says so already.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, config: &NodeConfig) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(config).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let is_there = read_file(path).is_ok_and(|old| old.is_some_and(|old| old.as_bytes() == text));
    if is_there {
        Ok(())
    } else {
        write_file(path, &text)
    }
}
