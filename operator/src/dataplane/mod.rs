//! What the nodes say of themselves and of their cluster.

mod client;

use std::collections::BTreeMap;
use std::future::Future;

use kv_proto::admin::{BootstrapRequest, GetClusterReply, GetIdentityReply, GetNodeStatusReply};
use kv_ring::NodeId;

pub use client::{AdminClients, Error, TlsPaths};

/// A node that answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Who it is.
    pub identity: GetIdentityReply,
    /// Its load and health.
    pub status: Option<GetNodeStatusReply>,
    /// Whether this is an earlier answer, kept since the next one is late. Good enough to show, never to act on.
    pub is_late: bool,
}

/// All that nodes answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// Those that answered as the node and cluster that they should be.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// The cluster's metadata, of the highest revision that any of them knows.
    pub cluster: Option<GetClusterReply>,
}

/// Whom to ask: addresses of admin services by node, and the cluster they must belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Nodes of other clusters do not count.
    pub cluster_id: String,
    /// `host:port` by node.
    pub addresses: BTreeMap<NodeId, String>,
}

/// The calls to nodes.
pub trait DataPlane: Send {
    /// Asks all nodes at once. A node that does not answer in time is left out: that is no error.
    fn observe(&mut self, targets: &Targets) -> impl Future<Output = ClusterView> + Send;

    /// Makes the cluster.
    fn bootstrap(
        &mut self,
        address: &str,
        request: BootstrapRequest,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
