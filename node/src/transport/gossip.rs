//! Who seems alive, and small hints about each node, spread by `chitchat` (scuttlebutt reconciliation, phi-accrual failure
//! detection) over the transport's authenticated channel.
//!
//! A hint, never truth: it orders whom to try first and marks `Suspect` in status. With gossip silent nobody is
//! suspected who was never heard; with gossip lying the worst is a detour.
//!
//! Two things bend `chitchat` to this transport:
//! - It knows peers by `SocketAddr`: each node gets a made-up one from its id ([`address_of`]), and what comes in
//!   bears the address of the *authenticated* sender.
//! - Its messages can be encoded only by its own UDP socket ([`Codec`]).
//!
//! Bounds: one datagram (64 KiB) a message, the lane's queue, a bounded inbox, short values; nodes that `chitchat`
//! knows beyond twice the address book make it start afresh.

mod codec;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chitchat::transport::{RecvOutcome, SendOutcome, Socket};
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatEnvelope, ChitchatHandle, ChitchatId, FailureDetectorConfig,
    ProtocolVersion, spawn_chitchat,
};
use kv_core::ids::NodeId;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Lane, Transport};
use codec::{Codec, PATIENCE};

/// Messages that wait for the gossip task.
const INBOX: usize = 64;
/// Peers that gossip hasn't told of yet, met a few at a time.
const GREETINGS_A_ROUND: usize = 16;
/// A value that is longer is cut off.
pub const HINT_BYTES_MAX: usize = 128;
/// Nodes known beyond twice the address book before all is forgotten.
const STRANGERS_MAX: usize = 64;
/// A node that is silent this long is forgotten, and no longer suspected.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// The high half of made-up addresses: a unique local prefix (RFC 4193) that is never routed or bound.
const PREFIX: u64 = 0xfd72_696e_676b_7600;
const PORT: u16 = 7001;

/// How to gossip.
#[derive(Clone, Debug)]
pub struct GossipConfig {
    pub cluster_id: String,
    pub node_id: NodeId,
    pub incarnation: u64,
    /// Between rounds; a peer is suspected after about eight silent ones.
    pub interval: Duration,
}

/// Why gossip can't start; a node works without it.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    #[error("no loopback datagram sockets for the gossip codec")]
    Codec(#[source] std::io::Error),
    #[error("the gossip library did not start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What nodes tell of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hint {
    /// Work in hand, a decimal number: compare, don't add.
    Load,
    /// The build's version.
    Version,
}

impl Hint {
    const ALL: [Hint; 2] = [Hint::Load, Hint::Version];

    fn key(self) -> &'static str {
        match self {
            Hint::Load => "load",
            Hint::Version => "version",
        }
    }
}

/// A node's hints, as it last told them; anything a peer writes may stand there.
pub type PeerHints = BTreeMap<Hint, String>;

/// What is known at the moment; replaced as a whole each round.
#[derive(Debug, Default)]
struct View {
    suspects: HashSet<NodeId>,
    hints: HashMap<NodeId, PeerHints>,
}

/// Gossip with the transport's peers; stops when dropped.
#[derive(Debug)]
pub struct Gossip {
    view: Arc<ArcSwap<View>>,
    own: Arc<Mutex<PeerHints>>,
    task: tokio::task::JoinHandle<()>,
}

impl Gossip {
    /// Takes over the lane [`Lane::Gossip`].
    pub async fn start(
        config: GossipConfig,
        transport: Arc<Transport>,
    ) -> Result<Gossip, GossipError> {
        let view = Arc::new(ArcSwap::<View>::default());
        let own = Arc::new(Mutex::new(PeerHints::new()));
        let chitchat = spawn(&config, &transport).await?;
        let task = tokio::spawn(run(config, transport, chitchat, view.clone(), own.clone()));
        Ok(Gossip { view, own, task })
    }

    /// Peers that were heard and have fallen silent.
    pub fn suspects(&self) -> HashSet<NodeId> {
        self.view.load().suspects.clone()
    }

    pub fn is_suspect(&self, node: NodeId) -> bool {
        self.view.load().suspects.contains(&node)
    }

    /// What a peer last told.
    pub fn hint(&self, node: NodeId, hint: Hint) -> Option<String> {
        self.view.load().hints.get(&node)?.get(&hint).cloned()
    }

    /// Tells peers with the next round.
    pub fn publish(&self, hint: Hint, value: &str) {
        self.own.lock().insert(hint, shortened(value));
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn shortened(value: &str) -> String {
    value[..value.floor_char_boundary(HINT_BYTES_MAX)].to_owned()
}

/// The library's task; stops when its keeper is dropped or replaced.
struct Spawned {
    handle: ChitchatHandle,
    /// Ready once the task has ended by itself, which it should not.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn spawn(config: &GossipConfig, transport: &Arc<Transport>) -> Result<Spawned, GossipError> {
    let own = address_of(config.node_id);
    let wire = Wire {
        transport: transport.clone(),
        own,
    };
    let chitchat = ChitchatConfig {
        chitchat_id: ChitchatId::new(config.node_id.0.to_string(), config.incarnation, own),
        cluster_id: config.cluster_id.clone(),
        gossip_interval: config.interval,
        listen_addr: own,
        seed_nodes: transport
            .peers()
            .into_iter()
            .map(|id| address_of(id).to_string())
            .collect(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: 8.0,
            sampling_window_size: 100,
            max_interval: config.interval * 10,
            initial_interval: config.interval,
            dead_node_grace_period: FORGET_AFTER,
        },
        marked_for_deletion_grace_period: FORGET_AFTER,
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V0,
    };
    let handle = spawn_chitchat(chitchat, Vec::new(), &wire)
        .await
        .map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => GossipError::Codec(error),
            Err(error) => GossipError::Start(error.into()),
        })?;
    let ended = handle.termination_watcher();
    let over = Box::pin(async move {
        if let Err(error) = ended.await {
            tracing::warn!(%error, "gossip failed");
        }
    });
    Ok(Spawned { handle, over })
}

/// Each round: greets peers that the library doesn't know, hands it our hints, and publishes what it thinks.
async fn run(
    config: GossipConfig,
    transport: Arc<Transport>,
    mut spawned: Spawned,
    view: Arc<ArcSwap<View>>,
    own: Arc<Mutex<PeerHints>>,
) {
    let mut rounds = interval(config.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut lived = HashMap::new();
    let mut over = false;
    loop {
        tokio::select! {
            () = transport.shared.stop.cancelled() => return,
            () = &mut spawned.over, if !over => over = true,
            _ = rounds.tick() => {}
        }
        let peers: HashSet<NodeId> = transport.peers().into_iter().collect();
        let chitchat = spawned.handle.chitchat();
        let mut chitchat = chitchat.lock().await;
        let known = known_nodes(&chitchat);
        let crowded = chitchat.node_states().len() > 2 * peers.len() + STRANGERS_MAX;
        for (hint, value) in own.lock().iter() {
            chitchat.self_node_state().set(hint.key(), value);
        }
        view.store(Arc::new(view_of(&chitchat, &peers, &mut lived)));
        drop(chitchat);

        for stranger in peers.difference(&known).take(GREETINGS_A_ROUND) {
            // Fails only if the library's task is over, and then it is replaced.
            let _ = spawned.handle.gossip(address_of(*stranger));
        }
        if crowded || over {
            tracing::warn!(crowded, "gossip starts afresh");
            match spawn(&config, &transport).await {
                Ok(fresh) => (spawned, over) = (fresh, false),
                Err(error) => tracing::warn!(%error, "gossip can't start"),
            }
        }
    }
}

fn known_nodes(chitchat: &Chitchat) -> HashSet<NodeId> {
    chitchat
        .node_states()
        .keys()
        .filter_map(|id| node_of(id.gossip_advertise_addr))
        .collect()
}

/// Of each peer's lives that gossip tells of, the youngest counts. `lived` keeps the life in which a peer was last heard:
/// the library also calls those dead that it has only been told of.
fn view_of(chitchat: &Chitchat, peers: &HashSet<NodeId>, lived: &mut HashMap<NodeId, u64>) -> View {
    let mut youngest: HashMap<NodeId, &ChitchatId> = HashMap::new();
    for id in chitchat.node_states().keys() {
        let Some(node) = node_of(id.gossip_advertise_addr).filter(|node| peers.contains(node))
        else {
            continue;
        };
        let current = youngest.entry(node).or_insert(id);
        if current.generation_id < id.generation_id {
            *current = id;
        }
    }
    lived.retain(|node, _| peers.contains(node));
    let live: HashSet<&ChitchatId> = chitchat.live_nodes().collect();
    let mut view = View::default();
    for (node, id) in youngest {
        if live.contains(id) {
            lived.insert(node, id.generation_id);
        } else if lived.get(&node) == Some(&id.generation_id) {
            view.suspects.insert(node);
        }
        if let Some(state) = chitchat.node_state(id) {
            let told = Hint::ALL
                .into_iter()
                .filter_map(|hint| Some((hint, shortened(state.get(hint.key())?))));
            view.hints.insert(node, told.collect());
        }
    }
    view
}

/// The made-up address by which `chitchat` knows a node.
fn address_of(node: NodeId) -> SocketAddr {
    let ip = Ipv6Addr::from((u128::from(PREFIX) << 64) | u128::from(node.0));
    SocketAddrV6::new(ip, PORT, 0, 0).into()
}

fn node_of(address: SocketAddr) -> Option<NodeId> {
    let IpAddr::V6(ip) = address.ip() else {
        return None;
    };
    let bits = ip.to_bits();
    ((bits >> 64) as u64 == PREFIX).then_some(NodeId(bits as u64))
}

/// `chitchat`'s way onto the transport.
struct Wire {
    transport: Arc<Transport>,
    own: SocketAddr,
}

#[tonic::async_trait]
impl chitchat::transport::Transport for Wire {
    async fn open(&self, _listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let codec = Codec::open().await?;
        let inbox = self.transport.subscribe_gossip(INBOX);
        Ok(Box::new(WireSocket {
            transport: self.transport.clone(),
            own: self.own,
            codec,
            inbox,
            decoding: None,
        }))
    }
}

struct WireSocket {
    transport: Arc<Transport>,
    own: SocketAddr,
    codec: Codec,
    inbox: mpsc::Receiver<(NodeId, Bytes)>,
    /// Whose message the codec has, and until when it may take; survives a `recv` that was cancelled, as each round
    /// cancels one.
    decoding: Option<(NodeId, Instant)>,
}

#[tonic::async_trait]
impl Socket for WireSocket {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.own)
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        let payload = self.codec.encode(envelope).await?;
        let num_bytes_sent = payload.len();
        if let Some(node) = node_of(to).filter(|_| to != self.own) {
            // A peer that can't take it now hears the next round.
            let _ = self.transport.send(node, Lane::Gossip, payload);
        }
        Ok(SendOutcome { num_bytes_sent })
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        loop {
            let (from, deadline) = match self.decoding {
                Some(decoding) => decoding,
                None => {
                    let Some((from, payload)) = self.inbox.recv().await else {
                        // Another gossip took over, or the transport is gone: fall silent, don't spin.
                        return std::future::pending().await;
                    };
                    self.codec.begin_decode(&payload)?;
                    *self.decoding.insert((from, Instant::now() + PATIENCE))
                }
            };
            let decoded = self.codec.finish_decode(deadline).await?;
            self.decoding = None;
            if let Some((envelope, num_bytes_received)) = decoded {
                return Ok(RecvOutcome {
                    from_addr: address_of(from),
                    envelope,
                    num_bytes_received,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_addresses_give_the_node_back() {
        for id in [1, 7, u64::MAX] {
            assert_eq!(node_of(address_of(NodeId(id))), Some(NodeId(id)));
        }
        assert_eq!(node_of(([127, 0, 0, 1], 7001).into()), None);
        assert_eq!(node_of("[::1]:7001".parse().expect("an address")), None);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shortened(&"é".repeat(HINT_BYTES_MAX)).len(), HINT_BYTES_MAX);
        assert_eq!(
            shortened(&format!("x{}", "é".repeat(HINT_BYTES_MAX))).len(),
            HINT_BYTES_MAX - 1
        );
    }
}
