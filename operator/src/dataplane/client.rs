//! The admin service of each node, over mutual TLS.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kv_proto::admin::admin_client::AdminClient;
use kv_proto::admin::{
    BootstrapRequest, GetClusterReply, GetClusterRequest, GetIdentityRequest, GetNodeStatusRequest,
};
use kv_ring::NodeId;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{ClusterView, DataPlane, NodeView, Targets};

/// The DNS name in every node's certificate.
pub const TLS_SERVER_NAME: &str = "ringkv-node";
/// How long one look at a node may take: a node that hangs must not hold up the others.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(1_500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(10);
/// `GetCluster` of a thousand nodes with their tokens stays below this.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// How many nodes are asked at a time.
const IN_FLIGHT_MAX: usize = 64;

/// The operator's PEM files.
#[derive(Clone, Debug)]
pub struct TlsPaths {
    /// The cluster's CA.
    pub ca: PathBuf,
    /// The operator's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address or the PEM texts are malformed.
    #[error("no connection to {address} can be set up")]
    Configuration {
        /// The address.
        address: String,
        /// What the transport says.
        source: tonic::transport::Error,
    },
    /// The node refused or did not answer.
    #[error("the node at {address} refused or did not answer: {}", source.message())]
    Call {
        /// The address.
        address: String,
        /// What it said.
        source: Box<tonic::Status>,
    },
}

/// Clients of all nodes; each keeps its connection and dials again by itself.
#[derive(Debug)]
pub struct AdminClients {
    tls: TlsPaths,
    clients: BTreeMap<String, AdminClient<Channel>>,
}

impl AdminClients {
    /// Certificates are read when the first connection is made: they need not exist yet.
    #[must_use]
    pub const fn new(tls: TlsPaths) -> Self {
        Self { tls, clients: BTreeMap::new() }
    }

    fn client(&mut self, address: &str) -> Result<AdminClient<Channel>, Error> {
        if let Some(client) = self.clients.get(address) {
            return Ok(client.clone());
        }
        let client = self.connect(address)?;
        self.clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    fn connect(&self, address: &str) -> Result<AdminClient<Channel>, Error> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source });
        let config = ClientTlsConfig::new()
            .domain_name(TLS_SERVER_NAME)
            .ca_certificate(Certificate::from_pem(read(&self.tls.ca)?))
            .identity(Identity::from_pem(read(&self.tls.cert)?, read(&self.tls.key)?));
        let channel = Endpoint::from_shared(format!("https://{address}"))
            .and_then(|endpoint| endpoint.tls_config(config))
            .map_err(|source| Error::Configuration { address: address.to_owned(), source })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(AdminClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX))
    }
}

impl DataPlane for AdminClients {
    async fn observe(&mut self, targets: &Targets) -> ClusterView {
        self.clients.retain(|address, _| targets.addresses.values().any(|known| known == address));
        let mut view = ClusterView::default();
        let mut calls = JoinSet::new();
        let mut rest = targets.addresses.iter();
        loop {
            while calls.len() < IN_FLIGHT_MAX {
                let Some((&id, address)) = rest.next() else { break };
                match self.client(address) {
                    Ok(client) => {
                        calls.spawn(tokio::time::timeout(OBSERVE_TIMEOUT, look(id, client)));
                    }
                    Err(error) => tracing::debug!(node = id.0, error = &error as &dyn std::error::Error, "no client"),
                }
            }
            let Some(done) = calls.join_next().await else { break };
            if let Ok(Ok(Ok((id, node, cluster)))) = done {
                let is_it = node.identity.node_id == id.0 && node.identity.cluster_id == targets.cluster_id;
                if is_it {
                    view.nodes.insert(id, node);
                    view.cluster = newer(view.cluster.take(), cluster);
                }
            }
        }
        view
    }

    async fn bootstrap(&mut self, address: &str, request: BootstrapRequest) -> Result<(), Error> {
        let mut client = self.client(address)?;
        let mut request = tonic::Request::new(request);
        request.set_timeout(BOOTSTRAP_TIMEOUT);
        let call = tokio::time::timeout(BOOTSTRAP_TIMEOUT, client.bootstrap(request));
        let status = match call.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(status)) => status,
            Err(_) => tonic::Status::deadline_exceeded("no answer in 10 s"),
        };
        Err(Error::Call { address: address.to_owned(), source: Box::new(status) })
    }
}

type Look = (NodeId, NodeView, Option<GetClusterReply>);

async fn look(id: NodeId, mut client: AdminClient<Channel>) -> Result<Look, tonic::Status> {
    let identity = client.get_identity(GetIdentityRequest {}).await?.into_inner();
    if !identity.joined {
        return Ok((id, NodeView { identity, status: None }, None));
    }
    // A node that can say who it is but no more is there all the same.
    let status = client.get_node_status(GetNodeStatusRequest {}).await.ok().map(tonic::Response::into_inner);
    let cluster = client.get_cluster(GetClusterRequest {}).await.ok().map(tonic::Response::into_inner);
    Ok((id, NodeView { identity, status }, cluster))
}

fn newer(one: Option<GetClusterReply>, other: Option<GetClusterReply>) -> Option<GetClusterReply> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.revision > one.revision { other } else { one }),
        (one, other) => one.or(other),
    }
}
