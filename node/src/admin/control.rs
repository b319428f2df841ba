//! What stands behind the admin service.

use std::future::Future;

use kv_core::ids::NodeId;
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapReply, BootstrapRequest, ChangeRingReply,
    ChangeRingRequest, ConfigureReply, ConfigureRequest, ControlTableReply, ControlTableRequest,
    DescribeNodeReply, DescribeNodeRequest, DrainNodeReply, DrainNodeRequest, GetClusterReply,
    GetIdentityReply, GetNodeStatusReply, GetProgressReply, GetTopReply, GetTopRequest,
    RaiseVersionReply, RaiseVersionRequest, RemoveNodeReply, RemoveNodeRequest, ReserveNodeReply,
    ReserveNodeRequest, ReturnPermitReply, ReturnPermitRequest, SplitReply, SplitRequest,
};
use tonic::Status;

/// A node as the operator steers it; one method a call. All are idempotent: the operator repeats what it got no answer to.
pub trait Control: Send + Sync + 'static {
    /// At once, also before the node belongs to a cluster.
    fn identity(&self) -> impl Future<Output = Result<GetIdentityReply, ControlError>> + Send;

    /// Makes the cluster, once in its life; the same request again is answered as the first, another one is a conflict.
    fn bootstrap(
        &self,
        request: BootstrapRequest,
    ) -> impl Future<Output = Result<BootstrapReply, ControlError>> + Send;

    /// The cluster's metadata as this node knows them.
    fn cluster(&self) -> impl Future<Output = Result<GetClusterReply, ControlError>> + Send;

    /// This node's own load and health.
    fn node_status(&self) -> impl Future<Output = Result<GetNodeStatusReply, ControlError>> + Send;

    /// A node id for an object's name; the same name gets the same id.
    fn reserve_node(
        &self,
        request: ReserveNodeRequest,
    ) -> impl Future<Output = Result<ReserveNodeReply, ControlError>> + Send;

    /// Where a reserved node is and how much it bears.
    fn describe_node(
        &self,
        request: DescribeNodeRequest,
    ) -> impl Future<Output = Result<DescribeNodeReply, ControlError>> + Send;

    /// Other tokens and positions, planned at an epoch of the ring.
    fn change_ring(
        &self,
        request: ChangeRingRequest,
    ) -> impl Future<Output = Result<ChangeRingReply, ControlError>> + Send;

    /// Empties a node, or takes that back.
    fn drain_node(
        &self,
        request: DrainNodeRequest,
    ) -> impl Future<Output = Result<DrainNodeReply, ControlError>> + Send;

    /// Marks an empty node as removed for ever.
    fn remove_node(
        &self,
        request: RemoveNodeRequest,
    ) -> impl Future<Output = Result<RemoveNodeReply, ControlError>> + Send;

    /// Settings of the whole cluster.
    fn configure(
        &self,
        request: ConfigureRequest,
    ) -> impl Future<Output = Result<ConfigureReply, ControlError>> + Send;

    /// The one leave to restart a node; a refusal is an answer, no error.
    fn ask_permit(
        &self,
        request: AskPermitRequest,
    ) -> impl Future<Output = Result<AskPermitReply, ControlError>> + Send;

    /// Gives the leave back.
    fn return_permit(
        &self,
        request: ReturnPermitRequest,
    ) -> impl Future<Output = Result<ReturnPermitReply, ControlError>> + Send;

    /// Lets nodes write the formats of the next version.
    fn raise_version(
        &self,
        request: RaiseVersionRequest,
    ) -> impl Future<Output = Result<RaiseVersionReply, ControlError>> + Send;

    /// Splits a partition; the answer names the one that it makes, which is there a moment later.
    fn split(
        &self,
        request: SplitRequest,
    ) -> impl Future<Output = Result<SplitReply, ControlError>> + Send;

    /// The busiest partitions, keys or nodes; known to the metadata's leader alone.
    fn top(
        &self,
        request: GetTopRequest,
    ) -> impl Future<Output = Result<GetTopReply, ControlError>> + Send;

    /// An operation of the DynamoDB API on a table as a whole; what the API refuses is an answer, no error.
    fn control_table(
        &self,
        request: ControlTableRequest,
    ) -> impl Future<Output = Result<ControlTableReply, ControlError>> + Send;

    /// What is wanted and not yet so, as far as this node knows.
    fn progress(&self) -> impl Future<Output = Result<GetProgressReply, ControlError>> + Send;
}

/// Why a node can't do what it was asked; each maps to one gRPC code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// `FAILED_PRECONDITION`.
    #[error(
        "this node belongs to no cluster yet: bootstrap the cluster, or wait until the node has joined"
    )]
    NotJoined,
    /// `UNAVAILABLE`: ask again, if known there.
    #[error("the metadata group's leader is needed, {}", leader_text(*leader))]
    NotLeader { leader: Option<NodeId> },
    /// `UNAVAILABLE`: ask a node that has the partition.
    #[error("the partition has no replica on this node; ask its leader, {}", leader_text(*node))]
    Elsewhere { node: Option<NodeId> },
    /// `DEADLINE_EXCEEDED`: the outcome is unknown.
    #[error("the metadata group did not answer in time")]
    Timeout,
    /// `ALREADY_EXISTS`.
    #[error("the cluster was bootstrapped with other values: {what} differs")]
    Conflict { what: &'static str },
    /// `INVALID_ARGUMENT`.
    #[error("{field}: {problem}")]
    Invalid {
        field: &'static str,
        problem: &'static str,
    },
    /// `FAILED_PRECONDITION`: as things are it can't be done, or it was planned for things as they were.
    #[error("{0}")]
    Refused(String),
    /// `UNAVAILABLE`.
    #[error("this node is shutting down")]
    ShuttingDown,
}

fn leader_text(leader: Option<NodeId>) -> String {
    match leader {
        Some(NodeId(id)) => format!("which is node {id}"),
        None => "but none is known".to_owned(),
    }
}

impl From<ControlError> for Status {
    fn from(error: ControlError) -> Status {
        let message = error.to_string();
        match error {
            ControlError::NotJoined | ControlError::Refused(_) => {
                Status::failed_precondition(message)
            }
            ControlError::NotLeader { .. }
            | ControlError::Elsewhere { .. }
            | ControlError::ShuttingDown => Status::unavailable(message),
            ControlError::Timeout => Status::deadline_exceeded(message),
            ControlError::Conflict { .. } => Status::already_exists(message),
            ControlError::Invalid { .. } => Status::invalid_argument(message),
        }
    }
}
