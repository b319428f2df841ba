//! Certificates change under a running node, as in DESIGN §9: trust both, reissue, drop the old.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use kv_proto::identity::Identity;

use crate::transport::testing::{Authority, CLUSTER, TestNode, eventually, introduce};
use crate::transport::tls::{Tls, TlsError};
use crate::transport::{DropReason, Lane, LinkEvent};

/// Sends until one more message has come through.
async fn talk(from: &TestNode, to: &mut TestNode) {
    while to.received.try_recv().is_ok() {}
    eventually("a message comes through", || {
        from.transport
            .send(to.id, Lane::Small, Bytes::from_static(b"still there?"))
            .expect("room");
        to.received.try_recv().is_ok()
    })
    .await;
}

fn trust(node: &TestNode, authorities: &[&Authority]) {
    let bundle: String = authorities
        .iter()
        .map(|authority| authority.pem())
        .collect();
    fs::write(node.dir.path().join("ca.pem"), bundle).expect("writes");
}

fn reissue(node: &TestNode, authority: &Authority) {
    let (certificate, key) = authority.issue(&Identity::node(CLUSTER, node.id.0));
    fs::write(node.dir.path().join("cert.pem"), certificate).expect("writes");
    fs::write(node.dir.path().join("key.pem"), key).expect("writes");
}

async fn reload(node: &TestNode) -> bool {
    node.transport.reload().await.expect("loads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_is_replaced_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (mut a, mut b) = (
        TestNode::start(&old, 1).await,
        TestNode::start(&old, 2).await,
    );
    introduce(&[&a, &b]);
    talk(&a, &mut b).await;
    let first = a.transport.fingerprint();
    assert!(!reload(&a).await, "nothing changed");

    for node in [&a, &b] {
        trust(node, &[&old, &new]);
        assert!(reload(node).await);
    }
    assert_eq!(a.transport.fingerprint().cas.len(), 2);
    let second = a.transport.fingerprint();
    assert_ne!(second.ca, first.ca);
    assert_eq!(second.certificate, first.certificate);
    talk(&a, &mut b).await;

    // Half way through: one has a new certificate, the other not.
    reissue(&a, &new);
    assert!(reload(&a).await);
    let third = a.transport.fingerprint();
    assert_ne!(third.certificate, first.certificate);
    assert_eq!(second.issuer, first.cas[0]);
    assert_eq!(
        third.issuer, third.cas[1],
        "the CA that is new vouches for it"
    );
    talk(&a, &mut b).await;
    talk(&b, &mut a).await;

    reissue(&b, &new);
    assert!(reload(&b).await);
    for node in [&a, &b] {
        trust(node, &[&new]);
        assert!(reload(node).await);
    }
    talk(&a, &mut b).await;
    talk(&b, &mut a).await;

    // Who missed it all is out.
    let late = TestNode::start(&old, 3).await;
    late.transport.set_peers([(a.id, a.address())].into());
    late.transport
        .send(a.id, Lane::Small, Bytes::from_static(b"hello?"))
        .expect("room");
    eventually("the late node fails", || {
        late.metrics.dropped(Lane::Small, DropReason::Unreachable) == 1
    })
    .await;
}

#[tokio::test]
async fn certificates_that_do_not_fit_leave_the_former_in_force() {
    let authority = Authority::new();
    let node = TestNode::start(&authority, 1).await;
    let before = node.transport.fingerprint();

    // Half of a rotation is on the disk: the new certificate with the old key.
    let (certificate, key) = authority.issue(&Identity::node(CLUSTER, 1));
    fs::write(node.dir.path().join("cert.pem"), certificate).expect("writes");
    assert!(matches!(
        node.transport.reload().await,
        Err(TlsError::Configuration(_))
    ));
    assert_eq!(node.transport.fingerprint(), before);
    fs::write(node.dir.path().join("key.pem"), key).expect("writes");
    assert!(reload(&node).await);
    assert_ne!(node.transport.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_dropped_ca_vouched_for_ends() {
    let (old, new) = (Authority::new(), Authority::new());
    let (a, mut b) = (
        TestNode::start(&old, 1).await,
        TestNode::start(&old, 2).await,
    );
    introduce(&[&a, &b]);
    talk(&a, &mut b).await;
    let before = b.transport.fingerprint();

    trust(&b, &[&old, &new]);
    reissue(&b, &new);
    assert!(reload(&b).await);
    assert!(!a.saw(LinkEvent::Down), "one more CA ends nothing");

    // The peer has missed the change: its connection is ended, and it can't come back.
    trust(&b, &[&new]);
    assert!(reload(&b).await);
    assert_ne!(b.transport.fingerprint(), before);
    eventually("the link ends", || a.saw(LinkEvent::Down)).await;
    while b.received.try_recv().is_ok() {}
    a.transport
        .send(b.id, Lane::Small, Bytes::from_static(b"hello?"))
        .expect("room");
    eventually("it is kept out", || {
        a.metrics.dropped(Lane::Small, DropReason::Unreachable) >= 1
    })
    .await;
    assert!(b.received.try_recv().is_err());
}

#[tokio::test]
async fn a_certificate_that_no_trusted_ca_vouches_for_is_not_taken() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = TestNode::start(&authority, 1).await;
    let before = node.transport.fingerprint();
    assert_eq!(before.issuer, before.cas[0]);
    reissue(&node, &other);
    assert!(matches!(
        node.transport.reload().await,
        Err(TlsError::NotTrusted { .. })
    ));
    fs::write(node.dir.path().join("cert.pem"), "garbage").expect("writes");
    assert!(node.transport.reload().await.is_err());
    assert_eq!(node.transport.fingerprint(), before);
    trust(&node, &[&authority, &other]);
    reissue(&node, &other);
    assert!(reload(&node).await);
}

#[test]
fn each_mistake_in_the_files_has_its_own_error() {
    let authority = Authority::new();
    let own = Identity::node(CLUSTER, 1);
    let load = |spoil: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().expect("a directory");
        let files = authority.write(dir.path(), &own);
        spoil(dir.path());
        Tls::load(files, own.clone()).map(|_| ())
    };
    assert!(load(&|_| ()).is_ok());
    assert!(matches!(
        load(&|dir| fs::remove_file(dir.join("key.pem")).expect("removes")),
        Err(TlsError::Read { .. })
    ));
    assert!(matches!(
        load(&|dir| fs::write(dir.join("ca.pem"), "no PEM").expect("writes")),
        Err(TlsError::Empty { .. })
    ));
    assert!(matches!(
        load(&|dir| fs::write(dir.join("key.pem"), "no PEM").expect("writes")),
        Err(TlsError::Pem { .. })
    ));
    assert!(matches!(
        load(&|dir| fs::write(dir.join("ca.pem"), vec![b'x'; 2 << 20]).expect("writes")),
        Err(TlsError::TooLarge { .. })
    ));
    // The CA's own certificate names no node.
    assert!(matches!(
        load(&|dir| fs::write(dir.join("cert.pem"), authority.pem()).expect("writes")),
        Err(TlsError::Identity { .. })
    ));
    let other = |dir: &Path| {
        authority.write(dir, &Identity::node(CLUSTER, 2));
    };
    let error = load(&other).expect_err("another node's certificate");
    assert!(
        error.to_string().contains(
            "speaks for ringkv://test-cluster/node/2, but this is ringkv://test-cluster/node/1"
        ),
        "{error}"
    );
}
