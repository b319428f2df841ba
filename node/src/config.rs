//! `node.json`: what a node of a cluster is told. The operator writes the same names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    pub cluster_id: uuid::Uuid,
    /// From 1.
    pub node_id: u64,
    pub name: String,
    pub zone: String,
    pub host: String,
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub advertise: Advertise,
    pub tls: Tls,
    /// The nodes of the cluster, itself included.
    pub seeds: Vec<Seed>,
    #[serde(default)]
    pub auth: Auth,
    /// Seconds for which a node that was told to stop serves on, so that clients find other nodes.
    #[serde(default)]
    pub drain_seconds: u64,
}

/// Where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    pub dynamo: SocketAddr,
    pub kv: SocketAddr,
    pub peer: SocketAddr,
    pub metrics: SocketAddr,
}

/// `host:port` at which others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Advertise {
    pub dynamo: String,
    pub kv: String,
    pub peer: String,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    pub id: u64,
    pub address: String,
}

/// Who may use the APIs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// With none, any signature passes.
    #[serde(default)]
    pub access_keys: Vec<AccessKey>,
}

/// A key pair.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    #[serde(default = "default_account")]
    pub account: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// The account of those who name none: 12 digits.
pub fn default_account() -> String {
    "000000000000".to_owned()
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}:{}: {source}", path.display(), source.line())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: {problem}", path.display())]
    Invalid {
        path: PathBuf,
        problem: &'static str,
    },
}

impl NodeConfig {
    pub fn read(path: &Path) -> Result<NodeConfig, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        let config: NodeConfig = serde_json::from_slice(&text).map_err(|source| Error::Parse {
            path: path.into(),
            source,
        })?;
        let invalid = |problem| {
            Err(Error::Invalid {
                path: path.into(),
                problem,
            })
        };
        if config.node_id == 0 {
            return invalid("nodeId: ids count from 1");
        }
        if !config.seeds.iter().any(|seed| seed.id != config.node_id) && config.seeds.len() > 1 {
            return invalid("seeds: every node of the cluster is named once");
        }
        Ok(config)
    }
}
