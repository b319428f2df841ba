//! Certificates and nodes for tests of whatever stands on the transport.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_core::ids::NodeId;
use kv_proto::identity::{Identity, TLS_SERVER_NAME};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tonic::service::Routes;

use super::{
    Admission, Config, Inbound, Lane, Limits, LinkEvent, LinkKind, Metrics, TlsFiles, Transport,
};

pub(crate) const CLUSTER: &str = "test-cluster";
pub(crate) const WIRE_VERSION: u32 = 3;
/// Far more than anything here takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A CA.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a CA"),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, in PEM.
    pub(crate) fn issue(&self, identity: &Identity) -> (String, String) {
        let mut params = CertificateParams::new([TLS_SERVER_NAME, "localhost"].map(String::from))
            .expect("names");
        params.subject_alt_names.push(SanType::URI(
            identity.to_string().try_into().expect("ASCII"),
        ));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem` into `dir`, trusting this CA alone.
    pub(crate) fn write(&self, dir: &Path, identity: &Identity) -> TlsFiles {
        let files = TlsFiles {
            ca: dir.join("ca.pem"),
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        };
        let (certificate, key) = self.issue(identity);
        fs::write(&files.ca, self.pem()).expect("writes");
        fs::write(&files.cert, certificate).expect("writes");
        fs::write(&files.key, key).expect("writes");
        files
    }
}

/// Remembers what a node was told.
pub(crate) struct Recorder {
    sender: mpsc::UnboundedSender<(NodeId, Lane, Bytes)>,
    pub(crate) states: Mutex<HashMap<NodeId, Admission>>,
    pub(crate) events: Mutex<Vec<(NodeId, LinkKind, LinkEvent)>>,
}

impl Inbound for Recorder {
    fn deliver(&self, from: NodeId, lane: Lane, payloads: Vec<Bytes>) {
        for payload in payloads {
            // The test may be over.
            let _ = self.sender.send((from, lane, payload));
        }
    }

    fn peer_state(&self, from: NodeId, _incarnation: u64) -> Admission {
        self.states
            .lock()
            .get(&from)
            .copied()
            .unwrap_or(Admission::Ok)
    }

    fn link_event(&self, peer: NodeId, kind: LinkKind, event: LinkEvent) {
        self.events.lock().push((peer, kind, event));
    }
}

/// A transport with its files.
pub(crate) struct TestNode {
    pub(crate) id: NodeId,
    pub(crate) transport: Arc<Transport>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) received: mpsc::UnboundedReceiver<(NodeId, Lane, Bytes)>,
    pub(crate) metrics: Metrics,
    pub(crate) dir: TempDir,
}

impl TestNode {
    pub(crate) async fn start(authority: &Authority, id: u64) -> Self {
        Self::start_with(
            authority,
            id,
            ([127, 0, 0, 1], 0).into(),
            Limits::default(),
            Routes::default(),
        )
        .await
    }

    pub(crate) async fn start_with(
        authority: &Authority,
        id: u64,
        listen: SocketAddr,
        limits: Limits,
        services: Routes,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tls = authority.write(dir.path(), &Identity::node(CLUSTER, id));
        let (sender, received) = mpsc::unbounded_channel();
        let recorder = Arc::new(Recorder {
            sender,
            states: Mutex::default(),
            events: Mutex::default(),
        });
        let metrics = Metrics::default();
        let config = Config {
            cluster_id: CLUSTER.to_owned(),
            node_id: NodeId(id),
            incarnation: 10,
            wire_version: WIRE_VERSION,
            listen,
            tls,
            limits,
            metrics: metrics.clone(),
        };
        let transport = Transport::start(config, recorder.clone(), services)
            .await
            .expect("starts");
        TestNode {
            id: NodeId(id),
            transport: Arc::new(transport),
            recorder,
            received,
            metrics,
            dir,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.transport.local_addr().to_string()
    }

    /// The next message, or a failed test.
    pub(crate) async fn next(&mut self) -> (NodeId, Lane, Bytes) {
        timeout(DEADLINE, self.received.recv())
            .await
            .expect("a message in time")
            .expect("the recorder lives")
    }

    pub(crate) fn saw(&self, event: LinkEvent) -> bool {
        self.recorder
            .events
            .lock()
            .iter()
            .any(|(_, _, seen)| *seen == event)
    }
}

/// Tells each node the others' addresses.
pub(crate) fn introduce(nodes: &[&TestNode]) {
    for node in nodes {
        node.transport
            .set_peers(nodes.iter().map(|peer| (peer.id, peer.address())).collect());
    }
}

/// Waits for a condition; fails the test with `what` at the deadline.
pub(crate) async fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(DEADLINE, what, condition).await;
}

/// Waits for a condition that may take its time; fails the test with `what` after `patience`.
pub(crate) async fn within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    let mut poll = interval(Duration::from_millis(5));
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        poll.tick().await;
    }
}
