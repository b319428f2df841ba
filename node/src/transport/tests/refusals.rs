//! Each reason to refuse a peer, by a hand-made Hello; and what a refused node learns.

use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use kv_core::ids::NodeId;
use kv_proto::identity::Identity;
use kv_proto::peer::peer_client::PeerClient;
use kv_proto::peer::{Frame, Hello, Link, Messages, frame};
use rustls::ClientConfig;
use tokio_stream::{StreamExt, iter, pending};
use tonic::Status;

use crate::transport::connect::dial;
use crate::transport::link::channel_over;
use crate::transport::refusal::Reason;
use crate::transport::testing::{
    Authority, CLUSTER, TestNode, WIRE_VERSION, eventually, introduce,
};
use crate::transport::tls::Tls;
use crate::transport::{Admission, Lane, LinkEvent};

fn hello() -> Hello {
    Hello {
        cluster_id: CLUSTER.to_owned(),
        node_id: 2,
        incarnation: 10,
        wire_version: WIRE_VERSION,
        link: Link::Small.into(),
        to_node: 1,
        cluster_version_max: WIRE_VERSION,
    }
}

fn client_of(authority: &Authority, identity: Identity) -> Arc<ClientConfig> {
    let dir = tempfile::tempdir().expect("a directory");
    let files = authority.write(dir.path(), &identity);
    Tls::load(files, identity)
        .expect("loads")
        .current()
        .client
        .clone()
}

/// Sends the frames and returns the first answer, then what comes after it.
async fn open(
    server: &TestNode,
    client: Arc<ClientConfig>,
    frames: Vec<Frame>,
) -> Result<(Frame, tonic::Streaming<Frame>), Status> {
    let stream = dial(
        &server.address(),
        client,
        &Identity::node(CLUSTER, server.id.0),
    )
    .await
    .expect("dials");
    let channel = channel_over(TokioIo::new(stream)).await.expect("HTTP/2");
    let mut answers = PeerClient::new(channel)
        .open(iter(frames).chain(pending()))
        .await?
        .into_inner();
    let first = answers.message().await?.expect("an answer");
    Ok((first, answers))
}

fn hello_frame(hello: Hello) -> Frame {
    Frame {
        kind: Some(frame::Kind::Hello(hello)),
    }
}

fn messages(lane: i32) -> Frame {
    Frame {
        kind: Some(frame::Kind::Messages(Messages {
            payload: vec![Bytes::from_static(b"m")],
            lane,
        })),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reason_is_told() {
    let authority = Authority::new();
    let server = TestNode::start(&authority, 1).await;
    server.recorder.states.lock().extend([
        (NodeId(7), Admission::Removed),
        (NodeId(8), Admission::LowerIncarnation { known: 11 }),
    ]);
    let node = |id| client_of(&authority, Identity::node(CLUSTER, id));
    let two = node(2);

    let cases = [
        (
            Reason::OtherCluster,
            two.clone(),
            Hello {
                cluster_id: "elsewhere".to_owned(),
                ..hello()
            },
            "belongs to cluster test-cluster, not to elsewhere",
        ),
        (
            Reason::OtherCluster,
            client_of(&authority, Identity::node("elsewhere", 2)),
            hello(),
            "not to elsewhere",
        ),
        (
            Reason::WrongNode,
            two.clone(),
            Hello {
                to_node: 3,
                ..hello()
            },
            "this is node 1, not node 3",
        ),
        (
            Reason::ForeignIdentity,
            two.clone(),
            Hello {
                node_id: 3,
                ..hello()
            },
            "does not speak for node 3",
        ),
        (
            Reason::ForeignIdentity,
            client_of(&authority, Identity::operator(CLUSTER)),
            hello(),
            "ringkv://test-cluster/operator",
        ),
        (
            Reason::NewerWireVersion,
            two.clone(),
            Hello {
                wire_version: WIRE_VERSION + 1,
                ..hello()
            },
            "upgrade this node",
        ),
        (
            Reason::OldBuild,
            two.clone(),
            Hello {
                wire_version: WIRE_VERSION - 1,
                cluster_version_max: WIRE_VERSION - 1,
                ..hello()
            },
            "the build of node 2 can write version 2 at most",
        ),
        (
            Reason::Removed,
            node(7),
            Hello {
                node_id: 7,
                ..hello()
            },
            "node 7 was removed",
        ),
        (
            Reason::LowerIncarnation,
            node(8),
            Hello {
                node_id: 8,
                ..hello()
            },
            "incarnation 10 of node 8 is older than 11",
        ),
        (
            Reason::Malformed,
            two.clone(),
            Hello { link: 9, ..hello() },
            "unknown link",
        ),
        (
            Reason::Malformed,
            node(1),
            Hello {
                node_id: 1,
                ..hello()
            },
            "to itself",
        ),
    ];
    for (reason, client, hello, sentence) in cases {
        let before = server.metrics.refused(reason);
        let status = open(&server, client, vec![hello_frame(hello)])
            .await
            .expect_err("refused");
        assert_eq!(Reason::of(&status), Some(reason), "{status}");
        assert!(status.message().contains(sentence), "{status}");
        assert_eq!(server.metrics.refused(reason), before + 1);
    }
    open(&server, two.clone(), vec![hello_frame(hello())])
        .await
        .expect("the plain one is welcome");
    let older = Hello {
        incarnation: 9,
        ..hello()
    };
    let (_, _kept) = open(&server, two.clone(), vec![hello_frame(hello())])
        .await
        .expect("welcome");
    let status = open(&server, two, vec![hello_frame(older)])
        .await
        .expect_err("an older life of a peer that is connected");
    assert_eq!(
        Reason::of(&status),
        Some(Reason::LowerIncarnation),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_out_of_place_end_the_stream() {
    let authority = Authority::new();
    let server = TestNode::start(&authority, 1).await;
    let two = client_of(&authority, Identity::node(CLUSTER, 2));
    let status = open(&server, two.clone(), vec![messages(0)])
        .await
        .expect_err("no Hello");
    assert_eq!(Reason::of(&status), Some(Reason::Malformed), "{status}");
    for bad in [
        messages(1),
        messages(77),
        hello_frame(hello()),
        Frame { kind: None },
    ] {
        let (_, mut answers) = open(&server, two.clone(), vec![hello_frame(hello()), bad])
            .await
            .expect("welcome");
        let status = answers.message().await.expect_err("ended");
        assert_eq!(Reason::of(&status), Some(Reason::Malformed), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_ca_gets_no_connection() {
    let authority = Authority::new();
    let server = TestNode::start(&authority, 1).await;
    let foreign = client_of(&Authority::new(), Identity::node(CLUSTER, 2));
    let expected = Identity::node(CLUSTER, 1);
    assert!(
        dial(&server.address(), foreign, &expected).await.is_err(),
        "the server is not trusted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_removed_loses_its_streams_and_learns_why() {
    let authority = Authority::new();
    let (a, mut b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    a.transport
        .send(b.id, Lane::Small, Bytes::from_static(b"before"))
        .expect("room");
    b.next().await;

    b.recorder.states.lock().insert(a.id, Admission::Removed);
    b.transport.recheck_peers();
    eventually("node 1 learns that it was removed", || {
        a.saw(LinkEvent::Refused(Reason::Removed))
    })
    .await;
    // Whatever it says from now on, it is not heard.
    let refused = b.metrics.refused(Reason::Removed);
    eventually("it is refused again", || {
        a.transport
            .send(b.id, Lane::Small, Bytes::from_static(b"after"))
            .expect("room");
        b.metrics.refused(Reason::Removed) > refused + 2
    })
    .await;
    assert!(b.received.try_recv().is_err());
}
