//! What is sent arrives, in order, until it can't; and then nothing piles up.

use std::collections::HashMap;

use bytes::Bytes;
use kv_core::ids::NodeId;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::transport::testing::{Authority, TestNode, eventually, introduce};
use crate::transport::{
    DropReason, Lane, LaneLimits, Limits, LinkEvent, PAYLOAD_BYTES_MAX, SendError,
};

fn numbered(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn number(payload: &Bytes) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().expect("eight bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_both_ways_and_in_order_a_lane() {
    const COUNT: u64 = 5_000;
    let authority = Authority::new();
    let (mut a, mut b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    for i in 0..COUNT {
        a.transport
            .send(b.id, Lane::Small, numbered(i))
            .expect("room");
        b.transport
            .send(a.id, Lane::Small, numbered(i))
            .expect("room");
        if i % 50 == 0 {
            let mut chunk = vec![0; 100 << 10];
            chunk[..8].copy_from_slice(&i.to_be_bytes());
            a.transport
                .send(b.id, Lane::Bulk, chunk.into())
                .expect("room");
        }
    }
    for (node, from, total) in [
        (&mut b, a.id, COUNT + COUNT / 50),
        (&mut a, NodeId(2), COUNT),
    ] {
        let mut expected = HashMap::from([(Lane::Small, 0), (Lane::Bulk, 0)]);
        for _ in 0..total {
            let (sender, lane, payload) = node.next().await;
            let next = expected.get_mut(&lane).expect("small or bulk");
            assert_eq!((sender, number(&payload)), (from, *next), "{lane:?}");
            *next += if lane == Lane::Bulk { 50 } else { 1 };
        }
        assert!(node.received.try_recv().is_err(), "nothing twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_message_passes_and_a_larger_one_is_refused() {
    let authority = Authority::new();
    let (a, mut b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    let largest = Bytes::from(vec![5; PAYLOAD_BYTES_MAX]);
    a.transport
        .send(b.id, Lane::Small, largest.clone())
        .expect("room");
    assert!(b.next().await.2 == largest);
    assert_eq!(
        a.transport
            .send(b.id, Lane::Bulk, vec![0; PAYLOAD_BYTES_MAX + 1].into()),
        Err(SendError::TooLarge)
    );
    assert_eq!(
        a.transport.send(NodeId(9), Lane::Small, Bytes::new()),
        Err(SendError::NoAddress)
    );
}

#[tokio::test]
async fn what_waits_for_a_deaf_peer_is_bounded_and_then_dropped() {
    let authority = Authority::new();
    let small = LaneLimits {
        messages: 10,
        bytes: 1000,
        frame_bytes: 100,
    };
    let limits = Limits {
        small,
        ..Limits::default()
    };
    let a = TestNode::start_with(
        &authority,
        1,
        ([127, 0, 0, 1], 0).into(),
        limits,
        Routes::default(),
    )
    .await;
    // Connects, but says nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    a.transport.set_peers(HashMap::from([(
        NodeId(2),
        deaf.local_addr().expect("bound").to_string(),
    )]));

    for i in 0..10 {
        a.transport
            .send(NodeId(2), Lane::Small, numbered(i))
            .expect("room");
    }
    assert_eq!(
        a.transport.send(NodeId(2), Lane::Small, numbered(10)),
        Err(SendError::Full)
    );
    assert_eq!(a.metrics.dropped(Lane::Small, DropReason::Full), 1);
    eventually("the queue is dropped", || {
        a.metrics.dropped(Lane::Small, DropReason::Unreachable) == 10
    })
    .await;
    a.transport
        .send(NodeId(2), Lane::Small, numbered(11))
        .expect("room again");

    a.transport.shutdown().await;
    assert_eq!(
        a.transport.send(NodeId(2), Lane::Small, numbered(12)),
        Err(SendError::Closed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_is_found_again() {
    let authority = Authority::new();
    let (a, mut b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    a.transport
        .send(b.id, Lane::Small, numbered(1))
        .expect("room");
    assert_eq!(number(&b.next().await.2), 1);

    let listen = b.transport.local_addr();
    b.transport.shutdown().await;
    eventually("the break is noticed", || a.saw(LinkEvent::Down)).await;
    drop(b);
    let mut b =
        TestNode::start_with(&authority, 2, listen, Limits::default(), Routes::default()).await;
    let mut sent = 1;
    eventually("a message arrives", || {
        sent += 1;
        a.transport
            .send(b.id, Lane::Small, numbered(sent))
            .expect("room");
        b.received.try_recv().is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_moves_is_followed_and_a_stranger_at_its_address_gets_nothing() {
    let authority = Authority::new();
    let (a, mut b, mut c) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
        TestNode::start(&authority, 3).await,
    );
    a.transport.set_peers(HashMap::from([(b.id, c.address())]));
    a.transport
        .send(b.id, Lane::Small, numbered(1))
        .expect("room");
    eventually("node 3 is not taken for node 2", || {
        a.metrics.dropped(Lane::Small, DropReason::Unreachable) == 1
    })
    .await;
    assert!(c.received.try_recv().is_err());

    a.transport.set_peers(HashMap::from([(b.id, b.address())]));
    a.transport
        .send(b.id, Lane::Small, numbered(2))
        .expect("room");
    assert_eq!(number(&b.next().await.2), 2);

    a.transport.set_peers(HashMap::new());
    assert_eq!(
        a.transport.send(b.id, Lane::Small, numbered(3)),
        Err(SendError::NoAddress)
    );
    eventually("the link closes", || a.saw(LinkEvent::Down)).await;
}
