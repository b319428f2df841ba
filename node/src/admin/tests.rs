//! The service over a real connection: who may call, and what errors become.

use std::sync::Arc;

use kv_proto::admin::admin_client::AdminClient;
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapReply, BootstrapRequest, ChangeRingReply,
    ChangeRingRequest, ConfigureReply, ConfigureRequest, ControlTableReply, ControlTableRequest,
    DescribeNodeReply, DescribeNodeRequest, DrainNodeReply, DrainNodeRequest, GetClusterReply,
    GetClusterRequest, GetIdentityReply, GetIdentityRequest, GetNodeStatusReply,
    GetNodeStatusRequest, GetProgressReply, GetTopReply, GetTopRequest, RaiseVersionReply,
    RaiseVersionRequest, RemoveNodeReply, RemoveNodeRequest, ReserveNodeReply, ReserveNodeRequest,
    ReturnPermitReply, ReturnPermitRequest, SplitReply, SplitRequest,
};
use kv_proto::client::{ClientTls, connect_admin};
use kv_proto::identity::Identity;
use tonic::Code;
use tonic::transport::Channel;

use super::{Control, ControlError, service};
use crate::transport::Limits;
use crate::transport::testing::{Authority, CLUSTER, TestNode};
use kv_core::ids::NodeId;

/// A node that has not joined yet, and whose metadata leader is node 2.
struct Lonely;

impl Control for Lonely {
    async fn identity(&self) -> Result<GetIdentityReply, ControlError> {
        Ok(GetIdentityReply {
            cluster_id: CLUSTER.to_owned(),
            node_id: 1,
            ..GetIdentityReply::default()
        })
    }

    async fn bootstrap(&self, request: BootstrapRequest) -> Result<BootstrapReply, ControlError> {
        if request.cluster_id == CLUSTER {
            Ok(BootstrapReply {})
        } else {
            Err(ControlError::Conflict { what: "cluster_id" })
        }
    }

    async fn cluster(&self) -> Result<GetClusterReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn node_status(&self) -> Result<GetNodeStatusReply, ControlError> {
        Err(ControlError::Timeout)
    }

    async fn reserve_node(&self, _: ReserveNodeRequest) -> Result<ReserveNodeReply, ControlError> {
        Err(ControlError::NotLeader {
            leader: Some(NodeId(2)),
        })
    }

    async fn describe_node(
        &self,
        _: DescribeNodeRequest,
    ) -> Result<DescribeNodeReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn change_ring(&self, _: ChangeRingRequest) -> Result<ChangeRingReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn drain_node(&self, _: DrainNodeRequest) -> Result<DrainNodeReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn remove_node(&self, _: RemoveNodeRequest) -> Result<RemoveNodeReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn configure(&self, _: ConfigureRequest) -> Result<ConfigureReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn ask_permit(&self, _: AskPermitRequest) -> Result<AskPermitReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn return_permit(
        &self,
        _: ReturnPermitRequest,
    ) -> Result<ReturnPermitReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn raise_version(
        &self,
        _: RaiseVersionRequest,
    ) -> Result<RaiseVersionReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn split(&self, _: SplitRequest) -> Result<SplitReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn top(&self, _: GetTopRequest) -> Result<GetTopReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn control_table(
        &self,
        _: ControlTableRequest,
    ) -> Result<ControlTableReply, ControlError> {
        Err(ControlError::NotJoined)
    }

    async fn progress(&self) -> Result<GetProgressReply, ControlError> {
        Err(ControlError::NotJoined)
    }
}

async fn serve(authority: &Authority) -> TestNode {
    TestNode::start_with(
        authority,
        1,
        ([127, 0, 0, 1], 0).into(),
        Limits::default(),
        service(CLUSTER, Arc::new(Lonely)),
    )
    .await
}

async fn client(
    authority: &Authority,
    node: &TestNode,
    identity: &Identity,
) -> AdminClient<Channel> {
    let (certificate, key) = authority.issue(identity);
    let tls = ClientTls {
        ca: authority.pem().into(),
        certificate: certificate.into(),
        key: key.into(),
    };
    connect_admin(&node.address(), &tls)
        .await
        .expect("connects")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_and_nodes_of_the_cluster_may_call_and_nobody_else() {
    let authority = Authority::new();
    let node = serve(&authority).await;
    for identity in [Identity::operator(CLUSTER), Identity::node(CLUSTER, 5)] {
        let reply = client(&authority, &node, &identity)
            .await
            .get_identity(GetIdentityRequest {})
            .await
            .expect("answers")
            .into_inner();
        assert_eq!((reply.cluster_id.as_str(), reply.node_id), (CLUSTER, 1));
    }
    for identity in [
        Identity::operator("elsewhere"),
        Identity::node("elsewhere", 1),
    ] {
        let status = client(&authority, &node, &identity)
            .await
            .get_identity(GetIdentityRequest {})
            .await
            .expect_err("refused");
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    // Without a certificate of the cluster's CA there is no call at all.
    let (certificate, key) = Authority::new().issue(&Identity::operator(CLUSTER));
    let tls = ClientTls {
        ca: authority.pem().into(),
        certificate: certificate.into(),
        key: key.into(),
    };
    let stranger = match connect_admin(&node.address(), &tls).await {
        Ok(mut client) => client
            .get_identity(GetIdentityRequest {})
            .await
            .map(|_| ())
            .map_err(|_| ()),
        Err(_) => Err(()),
    };
    assert!(stranger.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_become_codes_with_a_sentence() {
    let authority = Authority::new();
    let node = serve(&authority).await;
    let mut client = client(&authority, &node, &Identity::operator(CLUSTER)).await;

    client
        .bootstrap(BootstrapRequest {
            cluster_id: CLUSTER.to_owned(),
            ..BootstrapRequest::default()
        })
        .await
        .expect("bootstraps");
    let status = client
        .bootstrap(BootstrapRequest::default())
        .await
        .expect_err("another cluster");
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    let status = client
        .get_cluster(GetClusterRequest {})
        .await
        .expect_err("not joined");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let status = client
        .get_node_status(GetNodeStatusRequest {})
        .await
        .expect_err("timeout");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let reserve = |object_name: String| ReserveNodeRequest { object_name };
    let status = client
        .reserve_node(reserve("node-1".to_owned()))
        .await
        .expect_err("no leader");
    assert_eq!(
        (status.code(), status.message().contains("node 2")),
        (Code::Unavailable, true),
        "{status}"
    );
    for name in [String::new(), "x".repeat(254)] {
        let status = client
            .reserve_node(reserve(name))
            .await
            .expect_err("no name");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}
