//! Messages between nodes: gRPC streams over HTTP/2 and mutual TLS (DESIGN §5, §12).
//!
//! ```text
//! send(to, lane, bytes) ─► Outbox ─► Link (one connection a peer and kind) ═══► Incoming ─► Inbound::deliver
//!      never blocks        bounded   Hello/Welcome, back-off, keep-alive         admits or refuses
//! ```
//! - Each node dials those it has something to say to: one connection for small messages (lanes `Small`, `Gossip`),
//!   another for `Bulk`, so that a snapshot never delays a heartbeat.
//! - Delivery is at most once. Within a lane messages arrive in the order sent; those in flight when a connection
//!   breaks are lost, and what waits for a peer that can't be reached is dropped.
//! - A peer speaks only for the cluster and node id in its certificate; a removed id, an older incarnation or a newer
//!   wire version is refused with a [`Reason`].
//! - Every queue is bounded ([`Limits`]); at the bound `send` says [`SendError::Full`].

mod connect;
mod gossip;
mod guests;
mod link;
mod listen;
mod metrics;
mod outbox;
mod refusal;
mod serve;
mod sessions;
mod tls;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, io};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use kv_core::ids::NodeId;
use kv_proto::identity::Identity;
use kv_proto::peer::Messages;
use kv_proto::peer::peer_server::PeerServer;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

pub use gossip::{Gossip, GossipConfig, GossipError, Hint, PeerHints};
pub use listen::Caller;
pub use metrics::{DropReason, Metrics};
pub use refusal::{Reason, Refusal};
pub use tls::{Fingerprint, IdentityError, TlsError, TlsFiles, identity_of};

use guests::Guests;
use link::Link;
use metrics::LaneMetrics;
use serve::PeerService;
use sessions::Sessions;
use tls::Tls;

/// The largest message.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// The largest frame: one largest message with its envelope.
const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;
/// HTTP/2 flow control, for a stream and for a connection: more than bandwidth times delay between regions' zones.
const WINDOW_BYTES: u32 = 8 << 20;
/// HTTP/2 frames of this size carry a small lane's batch whole.
const HTTP2_FRAME_BYTES: u32 = 256 << 10;
/// The dialling side pings each second; this one needs only to forget half-open connections.
const SERVER_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const SERVER_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
const STREAMS_A_CONNECTION_MAX: u32 = 256;
/// How often the certificates' files are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(5);
/// How long [`Transport::shutdown`] waits for requests in flight.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Messages of different lanes don't wait for each other's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Consensus and forwarded requests.
    Small,
    /// Snapshots; on a connection of their own.
    Bulk,
    /// [`Gossip`]'s own.
    Gossip,
}

impl Lane {
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Small => "small",
            Lane::Bulk => "bulk",
            Lane::Gossip => "gossip",
        }
    }

    /// The connection that carries the lane.
    pub fn link(self) -> LinkKind {
        match self {
            Lane::Small | Lane::Gossip => LinkKind::Small,
            Lane::Bulk => LinkKind::Bulk,
        }
    }
}

/// One of the two connections to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    Small,
    Bulk,
}

impl LinkKind {
    pub fn as_str(self) -> &'static str {
        match self {
            LinkKind::Small => "small",
            LinkKind::Bulk => "bulk",
        }
    }
}

/// What may wait for one peer on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    pub messages: usize,
    pub bytes: usize,
    /// Messages that wait are sent together up to this many bytes.
    pub frame_bytes: usize,
}

/// Bounds of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub small: LaneLimits,
    pub bulk: LaneLimits,
    pub gossip: LaneLimits,
    /// Connections accepted at a time, of peers and operators together.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            small: LaneLimits {
                messages: 16 << 10,
                bytes: 32 << 20,
                frame_bytes: 256 << 10,
            },
            bulk: LaneLimits {
                messages: 256,
                bytes: 32 << 20,
                frame_bytes: 1 << 20,
            },
            gossip: LaneLimits {
                messages: 32,
                bytes: 2 << 20,
                frame_bytes: 256 << 10,
            },
            connections: 16 << 10,
        }
    }
}

/// Who this node is and where it listens.
#[derive(Clone, Debug)]
pub struct Config {
    pub cluster_id: String,
    pub node_id: NodeId,
    /// Grows with every start of the node (DESIGN §5).
    pub incarnation: u64,
    /// The newest wire version that this build reads; also written until [`Transport::set_wire_version`].
    pub wire_version: u32,
    pub listen: SocketAddr,
    pub tls: TlsFiles,
    pub limits: Limits,
    pub metrics: Metrics,
}

/// What the metadata say about a peer that wants to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Known and welcome, or not known yet: its certificate vouches for it.
    Ok,
    Removed,
    /// A younger life of the node has registered.
    LowerIncarnation {
        known: u64,
    },
}

/// What happens to a connection that this node has dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    Up,
    Down,
    /// The peer won't talk to us.
    Refused(Reason),
}

/// Who receives. Called from the network's threads: must return quickly, and bound or drop what it can't take.
pub trait Inbound: Send + Sync + 'static {
    /// Messages of one lane, in the order `from` sent them; not empty ones of [`Lane::Gossip`]. They share the memory of
    /// the frame they came in: copy what is kept for long.
    fn deliver(&self, from: NodeId, lane: Lane, payloads: Vec<Bytes>);

    /// Whether a peer may talk; asked when it connects and at [`Transport::recheck_peers`].
    fn peer_state(&self, from: NodeId, incarnation: u64) -> Admission;

    /// A connection came, went or was refused: a hint for those who wait for an answer over it.
    fn link_event(&self, peer: NodeId, kind: LinkKind, event: LinkEvent) {
        let _ = (peer, kind, event);
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("too much waits for that peer already")]
    Full,
    #[error("no address of that peer is known")]
    NoAddress,
    #[error("the message is larger than {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the transport is shut down")]
    Closed,
}

/// Why the transport can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("can't listen for peers on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
}

/// What all links and sessions have in common.
pub(crate) struct Shared {
    cluster_id: String,
    node_id: NodeId,
    incarnation: u64,
    /// Newest that is read.
    wire_version: u32,
    written_wire_version: AtomicU32,
    limits: Limits,
    tls: Tls,
    inbound: Arc<dyn Inbound>,
    metrics: Metrics,
    lanes: [LaneMetrics; 3],
    sessions: Sessions,
    guests: Arc<Guests>,
    gossip: ArcSwapOption<mpsc::Sender<(NodeId, Bytes)>>,
    stop: CancellationToken,
    runtime: Handle,
}

impl Shared {
    fn written_wire_version(&self) -> u32 {
        self.written_wire_version.load(Ordering::Relaxed)
    }

    fn lane(&self, lane: Lane) -> &LaneMetrics {
        &self.lanes[lane as usize]
    }

    /// Gossip is a hint: what finds no room is dropped.
    fn deliver_gossip(&self, from: NodeId, messages: Messages) {
        if let Some(gossip) = &*self.gossip.load() {
            for payload in messages.payload {
                let _ = gossip.try_send((from, payload));
            }
        }
    }
}

/// Both connections to one peer.
struct Peer {
    small: Arc<Link>,
    bulk: Arc<Link>,
}

impl Peer {
    fn links(&self) -> [&Arc<Link>; 2] {
        [&self.small, &self.bulk]
    }
}

/// The node's voice and ear. Dropping it shuts it down without waiting.
pub struct Transport {
    shared: Arc<Shared>,
    peers: ArcSwap<HashMap<NodeId, Arc<Peer>>>,
    /// Held while `peers` is replaced.
    changing: Mutex<()>,
    local_addr: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("node_id", &self.shared.node_id)
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Loads the certificates, listens, and serves peers and `services` (such as [`crate::admin::service`]) on one port.
    /// Must be called within a tokio runtime, which then runs all of the transport's tasks.
    pub async fn start(
        config: Config,
        inbound: Arc<dyn Inbound>,
        services: Routes,
    ) -> Result<Transport, StartError> {
        let identity = Identity::node(config.cluster_id.clone(), config.node_id.0);
        let tls = Tls::load(config.tls, identity)?;
        config.metrics.set_certificate(&tls.current().fingerprint);
        let listen_error = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(listen_error)?;
        let local_addr = listener.local_addr().map_err(listen_error)?;

        let shared = Arc::new(Shared {
            cluster_id: config.cluster_id,
            node_id: config.node_id,
            incarnation: config.incarnation,
            wire_version: config.wire_version,
            written_wire_version: AtomicU32::new(config.wire_version),
            limits: config.limits,
            tls,
            inbound,
            lanes: [Lane::Small, Lane::Bulk, Lane::Gossip].map(|lane| config.metrics.lane(lane)),
            metrics: config.metrics,
            sessions: Sessions::default(),
            guests: Arc::default(),
            gossip: ArcSwapOption::empty(),
            stop: CancellationToken::new(),
            runtime: Handle::current(),
        });
        let server = tokio::spawn(serve(shared.clone(), listener, services));
        tokio::spawn(watch_certificates(shared.clone()));
        Ok(Transport {
            shared,
            peers: ArcSwap::default(),
            changing: Mutex::new(()),
            local_addr,
            server: Mutex::new(Some(server)),
        })
    }

    /// Where the node listens; tells the port when the configured one was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Queues a message for a peer and returns at once. `Ok` promises nothing about its arrival.
    pub fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        let sent = self.try_send(to, lane, payload);
        let reason = match sent {
            Err(SendError::Full) => DropReason::Full,
            Err(SendError::NoAddress) => DropReason::NoAddress,
            Err(SendError::TooLarge) => DropReason::TooLarge,
            Ok(()) | Err(SendError::Closed) => return sent,
        };
        self.shared.metrics.count_dropped(lane, reason, 1);
        sent
    }

    fn try_send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        if self.shared.stop.is_cancelled() {
            return Err(SendError::Closed);
        }
        let peers = self.peers.load();
        let peer = peers.get(&to).ok_or(SendError::NoAddress)?;
        match lane.link() {
            LinkKind::Small => peer.small.send(lane, payload),
            LinkKind::Bulk => peer.bulk.send(lane, payload),
        }
    }

    /// Replaces the address book: `host:port` a peer; names are resolved at each connect. Links to peers that are gone
    /// close, those to peers that moved connect anew and keep what waits. This node's own entry is ignored.
    pub fn set_peers(&self, addresses: HashMap<NodeId, String>) {
        let _changing = self.changing.lock();
        let former = self.peers.load_full();
        let mut peers = HashMap::with_capacity(addresses.len());
        for (id, address) in addresses {
            if id == self.shared.node_id || self.shared.stop.is_cancelled() {
                continue;
            }
            let peer = match former.get(&id) {
                Some(peer) => {
                    for link in peer.links() {
                        link.set_address(&address);
                    }
                    peer.clone()
                }
                None => {
                    let link =
                        |kind| Arc::new(Link::new(self.shared.clone(), id, kind, address.clone()));
                    Arc::new(Peer {
                        small: link(LinkKind::Small),
                        bulk: link(LinkKind::Bulk),
                    })
                }
            };
            peers.insert(id, peer);
        }
        let peers = Arc::new(peers);
        self.peers.store(peers.clone());
        for (_, gone) in former.iter().filter(|(id, _)| !peers.contains_key(id)) {
            for link in gone.links() {
                link.close();
            }
        }
    }

    /// The peers in the address book.
    pub fn peers(&self) -> Vec<NodeId> {
        self.peers.load().keys().copied().collect()
    }

    /// Asks [`Inbound::peer_state`] again about all peers that are connected and ends the streams of those that are
    /// refused now: to be called when a node was removed or a younger incarnation registered.
    pub fn recheck_peers(&self) {
        let shared = &self.shared;
        shared.sessions.recheck(|from, incarnation| {
            serve::refusal_of(
                from,
                incarnation,
                shared.inbound.peer_state(from, incarnation),
            )
        });
    }

    /// The wire version that messages are written in from now on (that of `cluster_version`); new connections say so.
    pub fn set_wire_version(&self, version: u32) {
        self.shared
            .written_wire_version
            .store(version.min(self.shared.wire_version), Ordering::Relaxed);
    }

    /// The certificates in force.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.tls.current().fingerprint.clone()
    }

    /// Reads the certificates' files now, as otherwise happens every few seconds; true if they had changed.
    pub async fn reload(&self) -> Result<bool, TlsError> {
        reload(self.shared.clone()).await
    }

    /// Where gossip of peers goes from now on; one receiver at a time, which drops what it has no room for.
    fn subscribe_gossip(&self, room: usize) -> mpsc::Receiver<(NodeId, Bytes)> {
        let (sender, receiver) = mpsc::channel(room);
        self.shared.gossip.store(Some(Arc::new(sender)));
        receiver
    }

    /// Stops listening, ends all streams, and waits a little for calls in flight.
    pub async fn shutdown(&self) {
        self.stop();
        let server = self.server.lock().take();
        if let Some(mut server) = server
            && timeout(SHUTDOWN_TIMEOUT, &mut server).await.is_err()
        {
            server.abort();
        }
    }

    fn stop(&self) {
        self.shared.stop.cancel();
        self.set_peers(HashMap::new());
        self.shared.sessions.end_all();
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(shared: Arc<Shared>, listener: TcpListener, services: Routes) {
    let incoming = listen::accept(listener, shared.clone(), shared.limits.connections);
    let peers = PeerServer::new(PeerService {
        shared: shared.clone(),
    })
    .max_decoding_message_size(FRAME_BYTES_MAX);
    let served = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(STREAMS_A_CONNECTION_MAX)
        .http2_keepalive_interval(Some(SERVER_KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(SERVER_KEEP_ALIVE_TIMEOUT))
        .add_routes(services.add_service(peers))
        .serve_with_incoming_shutdown(incoming, shared.stop.cancelled())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the server for peers ended");
    }
}

/// Follows the certificates' files. Links connect anew by themselves; when a CA is dropped, connections end that were let in
/// by a certificate of it.
async fn watch_certificates(shared: Arc<Shared>) {
    let mut poll = tokio::time::interval(CERTIFICATE_POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = poll.tick() => {}
        }
        if let Err(error) = reload(shared.clone()).await {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            tracing::warn!(%error, cause, "the changed certificates can't be used; those loaded before stay in force");
        }
    }
}

async fn reload(shared: Arc<Shared>) -> Result<bool, TlsError> {
    let before = shared.tls.current().fingerprint.clone();
    let work = shared.clone();
    // The closure doesn't panic and isn't aborted; at the runtime's end nobody asks any more.
    let changed = tokio::task::spawn_blocking(move || work.tls.reload())
        .await
        .unwrap_or(Ok(false));
    match &changed {
        Ok(true) => {
            let now = shared.tls.current().fingerprint.clone();
            tracing::info!(
                certificate = now.certificate,
                ca = now.ca,
                "loaded changed certificates"
            );
            shared.metrics.set_certificate(&now);
            // A CA that is trusted besides changes nothing for who is connected.
            if before.cas.iter().any(|ca| !now.cas.contains(ca)) {
                let current = shared.tls.current();
                let ended = shared.guests.recheck(|chain| current.accepts(chain));
                tracing::info!(
                    ended,
                    "a CA was dropped, and with it the connections that it alone vouched for"
                );
            }
        }
        Ok(false) => {}
        Err(_) => {
            shared.metrics.certificate_reload_failures.inc();
        }
    }
    changed
}
