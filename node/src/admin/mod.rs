//! What the operator asks of a node, served on the peers' port (DESIGN §1, §5; `node/proto/proto/admin.proto`).
//!
//! Who may call: the operator of this cluster and its nodes, by the identity in their certificates; everyone else
//! gets `PERMISSION_DENIED`. What is answered comes from [`Control`].

mod control;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kv_proto::admin::admin_server::{Admin, AdminServer};
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapReply, BootstrapRequest, ChangeRingReply,
    ChangeRingRequest, ConfigureReply, ConfigureRequest, ControlTableReply, ControlTableRequest,
    DescribeNodeReply, DescribeNodeRequest, DrainNodeReply, DrainNodeRequest, GetClusterReply,
    GetClusterRequest, GetIdentityReply, GetIdentityRequest, GetNodeStatusReply,
    GetNodeStatusRequest, GetProgressReply, GetProgressRequest, GetTopReply, GetTopRequest,
    RaiseVersionReply, RaiseVersionRequest, RemoveNodeReply, RemoveNodeRequest, ReserveNodeReply,
    ReserveNodeRequest, ReturnPermitReply, ReturnPermitRequest, SplitReply, SplitRequest,
};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

pub use control::{Control, ControlError};

use crate::transport::Caller;

/// A `Bootstrap` of 10,000 nodes with their tokens stays below this.
const REQUEST_BYTES_MAX: usize = 128 << 20;
/// Names of Kubernetes objects are no longer.
const OBJECT_NAME_LEN_MAX: usize = 253;

/// The service for [`crate::transport::Transport::start`].
pub fn service<C: Control>(cluster_id: &str, control: Arc<C>) -> Routes {
    let cluster_id: Arc<str> = cluster_id.into();
    let server = AdminServer::new(Service { control }).max_decoding_message_size(REQUEST_BYTES_MAX);
    Routes::new(InterceptedService::new(
        server,
        move |request: Request<()>| authorize(&cluster_id, request),
    ))
}

/// Lets through who has a certificate of this cluster, whatever its role.
fn authorize(cluster_id: &str, request: Request<()>) -> Result<Request<()>, Status> {
    let caller = request
        .extensions()
        .get::<Caller>()
        .ok_or_else(|| Status::internal("the connection has no caller"))?;
    match &caller.identity {
        Ok(identity) if identity.cluster_id == cluster_id => Ok(request),
        Ok(identity) => Err(Status::permission_denied(format!(
            "{identity} is of another cluster than {cluster_id}"
        ))),
        Err(error) => Err(Status::permission_denied(error.to_string())),
    }
}

struct Service<C> {
    control: Arc<C>,
}

#[tonic::async_trait]
impl<C: Control> Admin for Service<C> {
    async fn get_identity(
        &self,
        _: Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityReply>, Status> {
        answer(self.control.identity().await)
    }

    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapReply>, Status> {
        answer(self.control.bootstrap(request.into_inner()).await)
    }

    async fn get_cluster(
        &self,
        _: Request<GetClusterRequest>,
    ) -> Result<Response<GetClusterReply>, Status> {
        answer(self.control.cluster().await)
    }

    async fn get_node_status(
        &self,
        _: Request<GetNodeStatusRequest>,
    ) -> Result<Response<GetNodeStatusReply>, Status> {
        answer(self.control.node_status().await)
    }

    async fn reserve_node(
        &self,
        request: Request<ReserveNodeRequest>,
    ) -> Result<Response<ReserveNodeReply>, Status> {
        let request = request.into_inner();
        if request.object_name.is_empty() || request.object_name.len() > OBJECT_NAME_LEN_MAX {
            return Err(Status::invalid_argument(format!(
                "object_name must have 1 to {OBJECT_NAME_LEN_MAX} bytes"
            )));
        }
        answer(self.control.reserve_node(request).await)
    }

    async fn describe_node(
        &self,
        request: Request<DescribeNodeRequest>,
    ) -> Result<Response<DescribeNodeReply>, Status> {
        answer(self.control.describe_node(request.into_inner()).await)
    }

    async fn change_ring(
        &self,
        request: Request<ChangeRingRequest>,
    ) -> Result<Response<ChangeRingReply>, Status> {
        answer(self.control.change_ring(request.into_inner()).await)
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeReply>, Status> {
        answer(self.control.drain_node(request.into_inner()).await)
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeReply>, Status> {
        answer(self.control.remove_node(request.into_inner()).await)
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ConfigureReply>, Status> {
        answer(self.control.configure(request.into_inner()).await)
    }

    async fn ask_permit(
        &self,
        request: Request<AskPermitRequest>,
    ) -> Result<Response<AskPermitReply>, Status> {
        answer(self.control.ask_permit(request.into_inner()).await)
    }

    async fn return_permit(
        &self,
        request: Request<ReturnPermitRequest>,
    ) -> Result<Response<ReturnPermitReply>, Status> {
        answer(self.control.return_permit(request.into_inner()).await)
    }

    async fn raise_version(
        &self,
        request: Request<RaiseVersionRequest>,
    ) -> Result<Response<RaiseVersionReply>, Status> {
        answer(self.control.raise_version(request.into_inner()).await)
    }

    async fn split(&self, request: Request<SplitRequest>) -> Result<Response<SplitReply>, Status> {
        answer(self.control.split(request.into_inner()).await)
    }

    async fn get_top(
        &self,
        request: Request<GetTopRequest>,
    ) -> Result<Response<GetTopReply>, Status> {
        answer(self.control.top(request.into_inner()).await)
    }

    async fn control_table(
        &self,
        request: Request<ControlTableRequest>,
    ) -> Result<Response<ControlTableReply>, Status> {
        answer(self.control.control_table(request.into_inner()).await)
    }

    async fn get_progress(
        &self,
        _: Request<GetProgressRequest>,
    ) -> Result<Response<GetProgressReply>, Status> {
        answer(self.control.progress().await)
    }
}

fn answer<T>(result: Result<T, ControlError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}
