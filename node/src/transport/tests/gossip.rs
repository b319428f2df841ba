//! Gossip spreads hints and suspicion over the transport, survives nonsense, and does nothing when it is off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::transport::testing::{Authority, CLUSTER, TestNode, introduce, within};
use crate::transport::{Gossip, GossipConfig, Hint, Lane};

/// A failure detector learns what a slow beat is: on a busy machine that takes its time.
const SLOW: Duration = Duration::from_secs(120);

async fn gossip(node: &TestNode) -> Gossip {
    let config = GossipConfig {
        cluster_id: CLUSTER.to_owned(),
        node_id: node.id,
        incarnation: 10,
        interval: Duration::from_millis(50),
    };
    Gossip::start(config, Arc::clone(&node.transport))
        .await
        .expect("starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_spread_and_a_silent_node_is_suspected_until_it_speaks_again() {
    let authority = Authority::new();
    let (a, b, c) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
        TestNode::start(&authority, 3).await,
    );
    introduce(&[&a, &b, &c]);
    let (at_a, at_b) = (gossip(&a).await, gossip(&b).await);
    let at_c = gossip(&c).await;
    at_c.publish(Hint::Load, "17");
    within(SLOW, "node 3's load is known", || {
        [&at_a, &at_b]
            .iter()
            .all(|gossip| gossip.hint(c.id, Hint::Load).as_deref() == Some("17"))
    })
    .await;
    within(SLOW, "nobody is suspected", || {
        at_a.suspects().is_empty() && at_b.suspects().is_empty()
    })
    .await;

    drop(at_c);
    within(SLOW, "node 3 is suspected", || {
        at_a.is_suspect(c.id) && at_b.is_suspect(c.id)
    })
    .await;
    assert!(!at_a.is_suspect(b.id));
    let _at_c = gossip(&c).await;
    within(SLOW, "node 3 is cleared", || {
        !at_a.is_suspect(c.id) && !at_b.is_suspect(c.id)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_on_the_lane_is_dropped() {
    let authority = Authority::new();
    let (a, b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    let at_a = gossip(&a).await;
    for nonsense in [
        &b""[..],
        b"\0",
        b"nonsense",
        &[0x51, 0xb0, 0, 2, 255, 255, 255],
    ] {
        b.transport
            .send(a.id, Lane::Gossip, Bytes::copy_from_slice(nonsense))
            .expect("room");
    }
    b.transport
        .send(a.id, Lane::Gossip, vec![1; 100_000].into())
        .expect("room");
    let at_b = gossip(&b).await;
    at_b.publish(Hint::Version, "0.1.0");
    within(SLOW, "gossip goes on", || {
        at_a.hint(b.id, Hint::Version).as_deref() == Some("0.1.0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_never_heard_is_not_suspected() {
    let authority = Authority::new();
    let (a, b) = (
        TestNode::start(&authority, 1).await,
        TestNode::start(&authority, 2).await,
    );
    introduce(&[&a, &b]);
    let at_a = gossip(&a).await;
    at_a.publish(Hint::Load, "1");
    // Node 2 hears node 1's greetings, but has no gossip of its own.
    within(SLOW, "node 1 greets", || a.metrics.sent(Lane::Gossip) > 5).await;
    assert!(at_a.suspects().is_empty());
    assert_eq!(at_a.hint(b.id, Hint::Load), None);
}
