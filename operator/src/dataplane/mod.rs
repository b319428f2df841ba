//! What the nodes say of themselves and of their cluster.

mod client;
pub mod dial;
pub mod tables;

use std::collections::BTreeMap;
use std::future::Future;

use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapRequest, ChangeRingRequest, ConfigureRequest,
    DescribeNodeRequest, DrainNodeRequest, GetClusterReply, GetIdentityReply, GetNodeStatusReply,
    GetProgressReply, RaiseVersionRequest, RemoveNodeRequest, ReserveNodeRequest,
    ReturnPermitRequest,
};
use kv_ring::NodeId;

pub use client::{AdminClients, Error, TlsPaths, TlsSource};

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
    /// What is wanted and not yet so, where a node knows.
    pub progress: Option<GetProgressReply>,
}

/// A call that the metadata leader carries out, whichever node takes it, and whose answer says no more than that it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Reserves an id.
    Reserve(ReserveNodeRequest),
    /// Says where a node is.
    Describe(DescribeNodeRequest),
    /// Changes tokens.
    ChangeRing(ChangeRingRequest),
    /// Drains a node, or takes that back.
    Drain(DrainNodeRequest),
    /// Marks a node as removed.
    Remove(RemoveNodeRequest),
    /// Sets what holds for the whole cluster.
    Configure(ConfigureRequest),
    /// Gives the permit back.
    ReturnPermit(ReturnPermitRequest),
    /// Raises the cluster's version.
    RaiseVersion(RaiseVersionRequest),
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

    /// Calls one of these nodes, the next one if it can't be reached.
    fn call(
        &mut self,
        addresses: &[String],
        call: Call,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Asks for the permit to restart a node.
    fn ask_permit(
        &mut self,
        addresses: &[String],
        request: AskPermitRequest,
    ) -> impl Future<Output = Result<AskPermitReply, Error>> + Send;
}
