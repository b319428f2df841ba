//! The receiving half: who may open a stream, and what becomes of its frames.
//!
//! No task of its own: the HTTP/2 server's task that would write the answer reads the frames and hands them to
//! [`Inbound`](super::Inbound).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kv_core::ids::NodeId;
use kv_proto::identity::{Identity, Role};
use kv_proto::peer::peer_server::Peer;
use kv_proto::peer::{self, Frame, Hello, Welcome, frame};
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::listen::Caller;
use super::refusal::Refusal;
use super::sessions::Session;
use super::{Admission, Lane, LinkKind, Shared};

/// From the stream's opening to its Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames read before other streams of the connection get a turn.
const FRAMES_A_POLL: usize = 32;

pub(super) struct PeerService {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Peer for PeerService {
    type OpenStream = Incoming;

    async fn open(&self, request: Request<Streaming<Frame>>) -> Result<Response<Incoming>, Status> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Status::internal("the connection has no caller"))?;
        let mut frames = request.into_inner();
        let hello = match timeout(HELLO_TIMEOUT, frames.message()).await {
            Ok(frame) => frame?.and_then(|frame| frame.kind),
            Err(_) => return Err(Status::deadline_exceeded("no Hello came")),
        };
        let session = match hello {
            Some(frame::Kind::Hello(hello)) => self.admit(&caller, &hello),
            _ => Err(Refusal::Malformed("the first frame is not a Hello")),
        };
        match session {
            Ok(session) => {
                tracing::debug!(peer = session.from.0, link = session.kind.as_str(), address = %caller.address, "peer opened a stream");
                Ok(Response::new(Incoming::new(
                    self.shared.clone(),
                    session,
                    frames,
                )))
            }
            Err(refusal) => {
                self.shared.metrics.count_refusal(refusal.reason());
                tracing::warn!(address = %caller.address, reason = refusal.reason().as_str(), %refusal, "refused a peer");
                Err(refusal.into())
            }
        }
    }
}

impl PeerService {
    fn admit(&self, caller: &Caller, hello: &Hello) -> Result<Arc<Session>, Refusal> {
        let shared = &self.shared;
        let claimed = NodeId(hello.node_id);
        if hello.cluster_id != shared.cluster_id {
            return Err(Refusal::OtherCluster {
                ours: shared.cluster_id.clone(),
                theirs: printable(&hello.cluster_id),
            });
        }
        if hello.to_node != shared.node_id.0 {
            return Err(Refusal::WrongNode {
                meant: NodeId(hello.to_node),
                here: shared.node_id,
            });
        }
        speaks_for(caller, &shared.cluster_id, claimed)?;
        if claimed == shared.node_id {
            return Err(Refusal::Malformed("a node opens no stream to itself"));
        }
        if hello.wire_version > shared.wire_version {
            return Err(Refusal::NewerWireVersion {
                presented: hello.wire_version,
                readable: shared.wire_version,
            });
        }
        let (presented, written) = (
            hello.cluster_version_max.max(1),
            shared.written_wire_version(),
        );
        if presented < written {
            return Err(Refusal::OldBuild {
                node: claimed,
                presented,
                written,
            });
        }
        let kind = LinkKind::from_wire(hello.link).ok_or(Refusal::Malformed("unknown link"))?;
        if let Some(refusal) = refusal_of(
            claimed,
            hello.incarnation,
            shared.inbound.peer_state(claimed, hello.incarnation),
        ) {
            return Err(refusal);
        }
        shared.sessions.begin(claimed, kind, hello.incarnation)
    }
}

/// What the metadata's word on a peer means for its streams.
pub(super) fn refusal_of(node: NodeId, presented: u64, admission: Admission) -> Option<Refusal> {
    match admission {
        Admission::Ok => None,
        Admission::Removed => Some(Refusal::Removed { node }),
        Admission::LowerIncarnation { known } => Some(Refusal::LowerIncarnation {
            node,
            presented,
            known,
        }),
    }
}

/// A peer may speak only for the cluster and id in its certificate.
fn speaks_for(caller: &Caller, cluster_id: &str, claimed: NodeId) -> Result<(), Refusal> {
    let certificate = match &caller.identity {
        Ok(identity) if **identity == Identity::node(cluster_id, claimed.0) => return Ok(()),
        Ok(identity)
            if identity.cluster_id != cluster_id && matches!(identity.role, Role::Node(_)) =>
        {
            return Err(Refusal::OtherCluster {
                ours: cluster_id.to_owned(),
                theirs: identity.cluster_id.clone(),
            });
        }
        Ok(identity) => identity.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Refusal::ForeignIdentity {
        claimed,
        certificate,
    })
}

/// Foreign text on its way into a log line or a status.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic())
        .take(64)
        .collect()
}

/// A peer's stream: polled for an answer, it reads what the peer sends.
pub(super) struct Incoming {
    shared: Arc<Shared>,
    session: Arc<Session>,
    frames: Streaming<Frame>,
    welcome: Option<Frame>,
    done: bool,
}

impl Incoming {
    fn new(shared: Arc<Shared>, session: Arc<Session>, frames: Streaming<Frame>) -> Self {
        shared.metrics.sessions.inc();
        let welcome = Welcome {
            node_id: shared.node_id.0,
            wire_version: shared.wire_version,
        };
        Incoming {
            shared,
            session,
            frames,
            welcome: Some(Frame {
                kind: Some(frame::Kind::Welcome(welcome)),
            }),
            done: false,
        }
    }

    fn finish(&mut self, refusal: Option<Refusal>) -> Poll<Option<Result<Frame, Status>>> {
        self.done = true;
        Poll::Ready(refusal.map(|refusal| {
            self.shared.metrics.count_refusal(refusal.reason());
            tracing::warn!(peer = self.session.from.0, reason = refusal.reason().as_str(), %refusal, "ended a peer's stream");
            Err(refusal.into())
        }))
    }

    fn deliver(&self, frame: Frame) -> Result<(), Refusal> {
        let Some(frame::Kind::Messages(messages)) = frame.kind else {
            return Err(Refusal::Malformed("only messages follow the Welcome"));
        };
        let lane = Lane::from_wire(messages.lane).filter(|lane| lane.link() == self.session.kind);
        let lane = lane.ok_or(Refusal::Malformed("the lane is not of this link"))?;
        let counters = self.shared.lane(lane);
        counters
            .received_messages
            .inc_by(messages.payload.len() as u64);
        counters.received_bytes.inc_by(
            messages
                .payload
                .iter()
                .map(|payload| payload.len() as u64)
                .sum(),
        );
        if lane == Lane::Gossip {
            self.shared.deliver_gossip(self.session.from, messages);
        } else {
            self.shared
                .inbound
                .deliver(self.session.from, lane, messages.payload);
        }
        Ok(())
    }
}

impl Stream for Incoming {
    type Item = Result<Frame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        if let Some(welcome) = self.welcome.take() {
            return Poll::Ready(Some(Ok(welcome)));
        }
        for _ in 0..FRAMES_A_POLL {
            if let Poll::Ready(refusal) = self.session.poll_ended(context) {
                return self.finish(refusal);
            }
            match Pin::new(&mut self.frames).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    if let Err(refusal) = self.deliver(frame) {
                        return self.finish(Some(refusal));
                    }
                }
                Poll::Ready(Some(Err(status))) => {
                    tracing::debug!(peer = self.session.from.0, %status, "a peer's stream broke");
                    return self.finish(None);
                }
                Poll::Ready(None) => return self.finish(None),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.shared.sessions.forget(&self.session);
        self.shared.metrics.sessions.dec();
    }
}

impl Lane {
    fn from_wire(lane: i32) -> Option<Lane> {
        Some(match peer::Lane::try_from(lane).ok()? {
            peer::Lane::Small => Lane::Small,
            peer::Lane::Bulk => Lane::Bulk,
            peer::Lane::Gossip => Lane::Gossip,
        })
    }

    pub(super) fn to_wire(self) -> peer::Lane {
        match self {
            Lane::Small => peer::Lane::Small,
            Lane::Bulk => peer::Lane::Bulk,
            Lane::Gossip => peer::Lane::Gossip,
        }
    }
}

impl LinkKind {
    fn from_wire(link: i32) -> Option<LinkKind> {
        Some(match peer::Link::try_from(link).ok()? {
            peer::Link::Small => LinkKind::Small,
            peer::Link::Bulk => LinkKind::Bulk,
        })
    }

    pub(super) fn to_wire(self) -> peer::Link {
        match self {
            LinkKind::Small => peer::Link::Small,
            LinkKind::Bulk => peer::Link::Bulk,
        }
    }
}
