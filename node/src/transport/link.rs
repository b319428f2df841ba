//! One connection to one peer, for sending: kept while there is something to say, made anew when it breaks.
//!
//! ```text
//!            first message                 Welcome
//! (no task) ───────────────► connecting ───────────► open ──► (no task)   idle
//!                              ▲    │ fails:            │
//!                              │    ▼ drop the queue    │ breaks, or certificates or address change
//!                              └─ back off ◄────────────┘
//! ```
//! Messages go out in order a lane; those in flight when a connection breaks are lost, none is sent twice.

use std::error::Error as _;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use kv_core::ids::NodeId;
use kv_proto::identity::Identity;
use kv_proto::peer::peer_client::PeerClient;
use kv_proto::peer::{Frame, Hello, Messages, Welcome, frame};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};

use super::connect::{DialError, dial};
use super::metrics::DropReason;
use super::outbox::{Outbox, Pushed};
use super::refusal::Reason;
use super::{
    FRAME_BYTES_MAX, Fingerprint, Lane, LinkEvent, LinkKind, SendError, Shared, WINDOW_BYTES,
};

/// From the first packet to the peer's Welcome.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A broken link is noticed after at most the sum of these two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection over which nothing was said for one to two of these is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How long a peer may take to read the rest of a stream that was ended in order.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a link is not open.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("HTTP/2 with the peer failed")]
    Http(#[from] tonic::transport::Error),
    #[error("the peer refuses this node ({}): {message}", reason.as_str())]
    Refused { reason: Reason, message: String },
    #[error("the stream failed")]
    Status(#[source] Box<Status>),
    #[error("the peer closed the stream")]
    Closed,
    #[error("the peer does not follow the protocol")]
    Protocol,
    #[error("no answer within {CONNECT_TIMEOUT:?}")]
    Timeout,
}

impl From<Status> for LinkError {
    fn from(status: Status) -> Self {
        match Reason::of(&status) {
            Some(reason) => LinkError::Refused {
                reason,
                message: status.message().to_owned(),
            },
            None => LinkError::Status(Box::new(status)),
        }
    }
}

/// How a session that was open ended.
enum End {
    Idle,
    /// Connect again at once: certificates or address changed.
    Refresh,
    Broken(LinkError),
}

/// The sending half between this node and a peer.
pub(super) struct Link {
    shared: Arc<Shared>,
    peer: NodeId,
    kind: LinkKind,
    address: ArcSwap<String>,
    outbox: Outbox,
    /// The address changed or the link was closed.
    refresh: Notify,
    /// Failed attempts in a row.
    failures: Mutex<u32>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, peer: NodeId, kind: LinkKind, address: String) -> Self {
        let limits = shared.limits;
        let outbox = match kind {
            LinkKind::Small => {
                Outbox::new([(Lane::Gossip, limits.gossip), (Lane::Small, limits.small)])
            }
            LinkKind::Bulk => Outbox::new([(Lane::Bulk, limits.bulk)]),
        };
        Link {
            shared,
            peer,
            kind,
            address: ArcSwap::from_pointee(address),
            outbox,
            refresh: Notify::new(),
            failures: Mutex::new(0),
        }
    }

    pub(super) fn send(self: &Arc<Self>, lane: Lane, message: Bytes) -> Result<(), SendError> {
        if self.outbox.push(lane, message)? == Pushed::StartTask {
            self.shared.runtime.spawn(self.clone().run());
        }
        Ok(())
    }

    pub(super) fn set_address(&self, address: &str) {
        if self.address.load().as_str() != address {
            self.address.store(Arc::new(address.to_owned()));
            self.refresh.notify_one();
        }
    }

    /// Drops what waits and ends the connection.
    pub(super) fn close(&self) {
        self.outbox.close();
        self.refresh.notify_one();
    }

    async fn run(self: Arc<Self>) {
        while !self.outbox.is_closed() {
            match self.session().await {
                Ok(End::Refresh) => continue,
                Ok(End::Idle) => {}
                Ok(End::Broken(error)) => self.back_off(&error).await,
                Err(error) => {
                    for (lane, count) in self.outbox.clear() {
                        self.shared
                            .metrics
                            .count_dropped(lane, DropReason::Unreachable, count);
                    }
                    self.back_off(&error).await;
                }
            }
            if self.outbox.rest() {
                return;
            }
        }
    }

    /// Connects and stays until the connection ends; an error means that it was never open.
    async fn session(self: &Arc<Self>) -> Result<End, LinkError> {
        let session = self.outbox.begin();
        let mut certificates = self.shared.tls.subscribe();
        let mut answers = match timeout(CONNECT_TIMEOUT, self.connect(session)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(LinkError::Timeout),
        };
        let failures = std::mem::take(&mut *self.failures.lock());
        tracing::info!(
            peer = self.peer.0,
            link = self.kind.as_str(),
            failures,
            "connected to peer"
        );
        self.shared.metrics.links.inc();
        self.shared
            .inbound
            .link_event(self.peer, self.kind, LinkEvent::Up);
        self.outbox.open(session);

        let end = self.wait(&mut answers, &mut certificates).await;
        self.outbox.end();
        if !matches!(end, End::Broken(_)) {
            // What was taken is read by the peer before a newer stream may take its place.
            let _ = timeout(DRAIN_TIMEOUT, answers.message()).await;
        }
        self.shared.metrics.links.dec();
        self.shared
            .inbound
            .link_event(self.peer, self.kind, LinkEvent::Down);
        Ok(end)
    }

    async fn connect(self: &Arc<Self>, session: u64) -> Result<Streaming<Frame>, LinkError> {
        let shared = &self.shared;
        let expected = Identity::node(shared.cluster_id.clone(), self.peer.0);
        let address = self.address.load_full();
        let stream = dial(&address, shared.tls.current().client.clone(), &expected).await?;
        let channel = channel_over(TokioIo::new(stream)).await?;

        let outgoing = Outgoing {
            hello: Some(self.hello()),
            session,
            link: self.clone(),
        };
        let mut client = PeerClient::new(channel).max_encoding_message_size(FRAME_BYTES_MAX);
        let mut answers = client.open(outgoing).await?.into_inner();
        match answers.message().await?.and_then(|frame| frame.kind) {
            Some(frame::Kind::Welcome(Welcome { node_id, .. })) if node_id == self.peer.0 => {
                Ok(answers)
            }
            _ => Err(LinkError::Protocol),
        }
    }

    fn hello(&self) -> Frame {
        let shared = &self.shared;
        Frame {
            kind: Some(frame::Kind::Hello(Hello {
                cluster_id: shared.cluster_id.clone(),
                node_id: shared.node_id.0,
                incarnation: shared.incarnation,
                wire_version: shared.written_wire_version(),
                link: self.kind.to_wire().into(),
                to_node: self.peer.0,
                cluster_version_max: shared.wire_version,
            })),
        }
    }

    async fn wait(
        &self,
        answers: &mut Streaming<Frame>,
        certificates: &mut watch::Receiver<Fingerprint>,
    ) -> End {
        let mut taken = self.outbox.taken();
        let mut idle = interval_at(Instant::now() + IDLE, IDLE);
        loop {
            tokio::select! {
                answer = answers.message() => return End::Broken(match answer {
                    Ok(Some(_)) => LinkError::Protocol,
                    Ok(None) => LinkError::Closed,
                    Err(status) => status.into(),
                }),
                changed = certificates.changed() => {
                    if changed.is_ok() {
                        return End::Refresh;
                    }
                }
                () = self.refresh.notified() => return End::Refresh,
                _ = idle.tick() => {
                    let before = std::mem::replace(&mut taken, self.outbox.taken());
                    if before == taken {
                        return End::Idle;
                    }
                }
            }
        }
    }

    /// Waits: longer each time, never in step with other nodes.
    async fn back_off(&self, error: &LinkError) {
        let failures = self.note_failure(error);
        tokio::select! {
            () = sleep(delay(failures)) => {}
            () = self.refresh.notified() => {}
        }
    }

    /// Says what went wrong: loudly once, until the link has been open again.
    fn note_failure(&self, error: &LinkError) -> u32 {
        let failures = {
            let mut failures = self.failures.lock();
            *failures = failures.saturating_add(1);
            *failures
        };
        self.shared.metrics.connect_failures.inc();
        if let LinkError::Refused { reason, .. } = error {
            self.shared.metrics.count_refused_by_peer(*reason);
            self.shared
                .inbound
                .link_event(self.peer, self.kind, LinkEvent::Refused(*reason));
        }
        let cause = error.source().map(tracing::field::display);
        if failures == 1 {
            tracing::warn!(peer = self.peer.0, link = self.kind.as_str(), %error, cause, "no connection to peer");
        } else {
            tracing::debug!(peer = self.peer.0, link = self.kind.as_str(), %error, cause, failures, "no connection to peer");
        }
        failures
    }
}

/// HTTP/2 over a stream that is connected already, for one request: it never reconnects by itself.
pub(super) async fn channel_over<S>(stream: S) -> Result<Channel, tonic::transport::Error>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
        async move { stream.map_err(std::io::Error::from) }
    });
    Endpoint::from_static("http://ringkv-node")
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

/// What the HTTP/2 client sends: the Hello, then batches for as long as the session lasts.
struct Outgoing {
    hello: Option<Frame>,
    session: u64,
    link: Arc<Link>,
}

impl Stream for Outgoing {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        let Some(batch) = ready!(self.link.outbox.poll_batch(self.session, context)) else {
            return Poll::Ready(None);
        };
        let counters = self.link.shared.lane(batch.lane);
        counters.sent_frames.inc();
        counters.sent_messages.inc_by(batch.messages.len() as u64);
        counters.sent_bytes.inc_by(batch.bytes as u64);
        let messages = Messages {
            payload: batch.messages,
            lane: batch.lane.to_wire().into(),
        };
        Poll::Ready(Some(Frame {
            kind: Some(frame::Kind::Messages(messages)),
        }))
    }
}

/// Between half and all of a delay that doubles with every failure.
fn delay(failures: u32) -> Duration {
    let full = BACKOFF_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(BACKOFF_MAX);
    let random = RandomState::new().hash_one(failures) as u32;
    full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
