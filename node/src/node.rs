//! A node, put together: the directory, the threads, the front ends; and taken apart again in order.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_core::ids::NodeId;
use kv_core::meta::MetaState;
use kv_core::meta::records::{Node as NodeRecord, NodeState};
use kv_core::shard::{Input, Lane as CoreLane};
use kv_core::store::{LogStore, Store};
use kv_core::wire::WIRE_VERSION;
use prometheus_client::registry::Unit;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::Client;
use crate::config::{AccessKey, NodeConfig};
use crate::control::NodeControl;
use crate::dynamo;
use crate::exit::ExitStatus;
use crate::kv;
use crate::runtime::mailbox::{Event, Mailboxes};
use crate::runtime::{self, FatalError, Hooks, Network, NoNetwork, Prepared, Runtime, deliver};
use crate::storage::space::file_system_space;
use crate::storage::{
    DataDir, EngineLog, LogConfig, OpenError, RocksConfig, RocksStore, SpaceConfig, SpaceMonitor,
    WriteMode,
};
use crate::telemetry::{Metrics, NodeMetrics, Telemetry};
use crate::transport::{
    self, Admission, Gossip, GossipConfig, Hint, Inbound, Lane, LinkEvent, LinkKind, Reason,
    TlsFiles, Transport,
};

/// How long leaders may take to be handed over at a stop.
const HAND_OVER: Duration = Duration::from_secs(3);
const GOSSIP_INTERVAL: Duration = Duration::from_secs(1);
const SPACE_POLL: Duration = Duration::from_secs(1);
const FIRST_TOKEN: u64 = 0;

/// Why a node ends or can't start: a sentence, and the status of the process.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub status: ExitStatus,
    pub message: String,
}

impl Failure {
    fn new(status: ExitStatus, message: impl std::fmt::Display) -> Failure {
        Failure {
            status,
            message: message.to_string(),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let status = match &error {
            OpenError::Locked(_) => ExitStatus::InUse,
            OpenError::Permission(_) => ExitStatus::CantCreate,
            OpenError::OtherCluster { .. }
            | OpenError::OtherNode { .. }
            | OpenError::NewerFormat { .. } => ExitStatus::WrongIdentity,
            OpenError::DamagedIdentity(_)
            | OpenError::LostIdentity(_)
            | OpenError::Retired { .. } => ExitStatus::Corrupt,
            OpenError::Full(_) => ExitStatus::DiskFull,
            OpenError::Io { source, .. } => ExitStatus::of_io(source),
        };
        Failure::new(status, error)
    }
}

impl From<FatalError> for Failure {
    fn from(error: FatalError) -> Failure {
        let status = match &error {
            FatalError::Core(_) => ExitStatus::WrongIdentity,
            FatalError::Storage(_) => ExitStatus::Io,
            FatalError::Full(_) => ExitStatus::DiskFull,
            FatalError::Corrupt(_) => ExitStatus::Corrupt,
        };
        Failure::new(status, error)
    }
}

impl From<kv_core::store::Error> for Failure {
    fn from(error: kv_core::store::Error) -> Failure {
        FatalError::from(error).into()
    }
}

/// What `kv-node dev` is told.
#[derive(Clone, Debug)]
pub struct DevConfig {
    pub listen: SocketAddr,
    /// Where the gRPC API listens, if it is wanted.
    pub grpc: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    /// `None`: a directory in memory that goes with the process.
    pub data_dir: Option<PathBuf>,
    pub keys: Vec<AccessKey>,
    pub deadline: Duration,
    /// Pause between two looks for expired items; zero: the default.
    pub ttl_interval: Duration,
    /// One set of tables for all. Else, without keys, each access key and region has its own.
    pub shared: bool,
}

/// The disk of a node, open.
struct Disk {
    dir: DataDir,
    store: Arc<dyn Store>,
    log: Arc<dyn LogStore>,
    space: Arc<SpaceMonitor>,
}

impl Disk {
    fn open(dir: DataDir, space: SpaceMonitor) -> Result<Disk, Failure> {
        let log: Arc<dyn LogStore> = Arc::new(EngineLog::open(dir.log(), &LogConfig::default())?);
        let store: Arc<dyn Store> = Arc::new(RocksStore::open(
            dir.engine(),
            dir.staging(),
            &RocksConfig::default(),
        )?);
        Ok(Disk {
            dir,
            store,
            log,
            space: Arc::new(space),
        })
    }
}

/// A running node.
pub struct Node {
    runtime: Runtime,
    pub control: Arc<NodeControl>,
    transport: Option<Arc<Transport>>,
    telemetry: Option<Telemetry>,
    front: CancellationToken,
    fronts: Vec<tokio::task::JoinHandle<()>>,
    space_watch: tokio::task::JoinHandle<()>,
    /// Where the DynamoDB API listens.
    pub dynamo: SocketAddr,
    /// Where the gRPC API listens.
    pub kv: Option<SocketAddr>,
    /// Where metrics and health are served.
    pub metrics: Option<SocketAddr>,
    drain: Duration,
    is_stopping: Arc<AtomicBool>,
    _dir: DataDir,
    _memory_dir: Option<MemoryDir>,
}

/// Frames between the core and the transport.
struct Peers {
    transport: OnceLock<Arc<Transport>>,
    addresses: parking_lot::Mutex<HashMap<NodeId, String>>,
}

impl Network for Peers {
    fn send(&self, to: NodeId, lane: CoreLane, frame: Bytes) {
        let lane = match lane {
            CoreLane::Small => Lane::Small,
            CoreLane::Bulk => Lane::Bulk,
        };
        if let Some(transport) = self.transport.get() {
            // What can't be sent is as lost as on a bad network; the core sends again what matters.
            let _ = transport.send(to, lane, frame);
        }
    }

    fn set_peers(&self, addresses: HashMap<NodeId, String>) {
        let mut known = self.addresses.lock();
        if *known == addresses || addresses.is_empty() {
            return;
        }
        *known = addresses.clone();
        if let Some(transport) = self.transport.get() {
            transport.set_peers(addresses);
        }
    }
}

/// What peers send.
struct Ear {
    mailboxes: Arc<Mailboxes>,
}

impl Inbound for Ear {
    fn deliver(&self, from: NodeId, _: Lane, payloads: Vec<Bytes>) {
        for payload in payloads {
            deliver(&self.mailboxes, from, payload);
        }
    }

    fn peer_state(&self, from: NodeId, incarnation: u64) -> Admission {
        let view = self.mailboxes.view.load();
        match view.node(from) {
            Some(node) if node.state() == NodeState::Removed => Admission::Removed,
            Some(node) if incarnation < node.incarnation => Admission::LowerIncarnation {
                known: node.incarnation,
            },
            _ => Admission::Ok,
        }
    }

    fn link_event(&self, peer: NodeId, _: LinkKind, event: LinkEvent) {
        if event == LinkEvent::Refused(Reason::OldBuild) {
            // Versions only grow: nobody of this cluster will ever listen to this build again.
            die(&Failure::new(
                ExitStatus::WrongIdentity,
                format!(
                    "node {} says that the cluster writes a version that this build can't, which is {} at most: start the newer build again",
                    peer.0,
                    kv_core::version::NEWEST
                ),
            ));
        }
    }
}

/// Whether a file system in memory has room for more than the reserve: containers often get 64 MiB, where every write would be refused.
fn is_roomy(dir: &Path) -> bool {
    let config = SpaceConfig::default();
    file_system_space(dir)
        .is_ok_and(|space| space.free >= 2 * (config.reserve(space.total) + config.ballast_bytes))
}

/// A directory in memory that goes with the process.
#[derive(Debug)]
struct MemoryDir(PathBuf);

impl MemoryDir {
    fn new() -> std::io::Result<MemoryDir> {
        let base = ["/dev/shm"]
            .into_iter()
            .map(PathBuf::from)
            .find(|dir| is_roomy(dir))
            .unwrap_or_else(std::env::temp_dir);
        let dir = base.join(format!("ringkv-dev-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&dir)?;
        Ok(MemoryDir(dir))
    }
}

impl Drop for MemoryDir {
    fn drop(&mut self) {
        // What is left is in memory and goes with the machine.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A node works without gossip, a little slower where others are away.
async fn start_gossip(control: &NodeControl, transport: &Arc<Transport>) {
    let config = GossipConfig {
        cluster_id: control.cluster_id.clone(),
        node_id: control.node,
        incarnation: control.incarnation,
        interval: GOSSIP_INTERVAL,
    };
    match Gossip::start(config, transport.clone()).await {
        Ok(gossip) => {
            gossip.publish(Hint::Version, env!("CARGO_PKG_VERSION"));
            let _ = control.gossip.set(gossip);
        }
        Err(error) => tracing::warn!(error = chain(&error), "goes on without gossip"),
    }
}

/// What a corrupt disk says to whoever dies of it: its identity is retired, durably, before the process ends.
fn retire(dir: &Path, failure: &Failure) {
    if failure.status == ExitStatus::Corrupt
        && let Err(error) = DataDir::retire(dir, &failure.message)
    {
        tracing::error!(%error, "can't note on the disk that this node is retired");
    }
}

/// Ends the process: what was promised may no longer hold, and threads that go on could promise more.
fn die(failure: &Failure) -> ! {
    tracing::error!(status = failure.status.code(), "{failure}");
    eprintln!("kv-node: {failure}. {}", failure.status.advice());
    std::process::exit(i32::from(failure.status.code()))
}

fn on_fatal(dir: &Path) -> runtime::OnFatal {
    let dir = dir.to_owned();
    Arc::new(move |error| {
        let failure = Failure::from(error);
        retire(&dir, &failure);
        die(&failure)
    })
}

/// Measures at once: a full disk needs its ballast now, not within a second.
fn on_full(space: &Arc<SpaceMonitor>, mailboxes: &Arc<Mailboxes>) -> runtime::OnFull {
    let (space, mailboxes) = (space.clone(), mailboxes.clone());
    Arc::new(move || match space.check() {
        Ok(mode) => heed(&mailboxes, mode),
        Err(error) => tracing::warn!(%error, "free space can't be measured"),
    })
}

/// Marks the directory first; only then frames may say so.
fn on_version(dir: &Path, transport: Option<Arc<Transport>>) -> runtime::OnVersion {
    let dir = dir.to_owned();
    // Shards may learn of it at once.
    let marking = parking_lot::Mutex::new(());
    Arc::new(move |version| {
        let _alone = marking.lock();
        DataDir::mark(&dir, version).map_err(|error| match error {
            OpenError::Full(_) => FatalError::Full(error.to_string()),
            OpenError::DamagedIdentity(_) | OpenError::LostIdentity(_) => {
                FatalError::Corrupt(error.to_string())
            }
            _ => FatalError::Storage(error.to_string()),
        })?;
        tracing::info!(
            version,
            "the directory is marked with the cluster's version"
        );
        if let Some(transport) = &transport {
            transport.set_wire_version(version);
        }
        Ok(())
    })
}

fn heed(mailboxes: &Mailboxes, mode: WriteMode) {
    mailboxes.refuse_writes(mode.refuses_writes());
    mailboxes.refuse_entries(mode.refuses_entries());
}

fn shards() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(64)) as u32
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            ExitStatus::of_listen(&error),
            format!("can't listen on {address}: {error}"),
        )
    })
}

fn keys_of(keys: &[AccessKey]) -> Vec<dynamo::AccessKey> {
    keys.iter()
        .map(|k| dynamo::AccessKey {
            id: k.id.clone(),
            secret: k.secret.clone(),
            account: k.account.clone(),
        })
        .collect()
}

/// A directory that was opened under an identity, in a new incarnation.
struct Opened {
    dir: DataDir,
    space: SpaceMonitor,
    cluster: Uuid,
    node: u64,
    incarnation: u64,
    nonce: u64,
    version: u32,
}

fn open_dir(path: PathBuf, identity: Option<(Uuid, u64)>) -> Result<Opened, Failure> {
    let mut dir = DataDir::open(path, identity)?;
    // Before anything is written: on a full disk the ballast makes the room for it.
    let space = SpaceMonitor::open(dir.path(), SpaceConfig::default())?;
    let (cluster, node) = match (dir.identity(), identity) {
        (Some(found), _) => (found.cluster, found.node),
        (None, Some(expected)) => expected,
        (None, None) => (Uuid::new_v4(), 1),
    };
    dir.claim(cluster, node)?;
    let grown = dir.grow_incarnation()?;
    let (counter, nonce) = grown.map_or((1, 0), |g| (g.counter, g.nonce));
    Ok(Opened {
        version: dir.version(),
        dir,
        space,
        cluster,
        node,
        incarnation: counter,
        nonce,
    })
}

impl Node {
    /// A cluster of one: the same code, without peers.
    pub async fn dev(config: DevConfig) -> Result<Node, Failure> {
        let memory_dir = match &config.data_dir {
            Some(_) => None,
            None => Some(MemoryDir::new().map_err(|e| {
                Failure::new(
                    ExitStatus::of_io(&e),
                    format!("no directory in memory: {e}"),
                )
            })?),
        };
        let path = config
            .data_dir
            .clone()
            .or_else(|| memory_dir.as_ref().map(|d| d.0.clone()))
            .unwrap_or_default();
        let listener = listen(config.listen).await?;
        let metrics_listener = match config.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let kv_listener = match config.grpc {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let Opened {
            dir,
            space,
            cluster,
            node,
            incarnation,
            nonce,
            version,
        } = open_dir(path, None)?;
        let fresh = !dir.engine().exists();
        let disk = Disk::open(dir, space)?;
        let runtime_config = runtime::Config {
            node: NodeId(node),
            shards: 1,
            seed: nonce,
            incarnation,
            nonce,
            version,
            seeds: vec![NodeId(node)],
            expire: config.ttl_interval,
        };
        let prepared = Prepared::new(&runtime_config);
        let Disk {
            dir,
            store,
            log,
            space,
        } = disk;
        let hooks = Hooks {
            fatal: on_fatal(dir.path()),
            full: on_full(&space, &prepared.mailboxes()),
            version: on_version(dir.path(), None),
        };
        let known = !log.recover()?.is_empty();
        let runtime = prepared
            .start(&runtime_config, store, log, Arc::new(NoNetwork), hooks)
            .map_err(start_failure)?;
        if fresh || !known {
            let own = NodeRecord {
                id: node,
                name: "dev".into(),
                zone: "dev".into(),
                host: "localhost".into(),
                weight: 1,
                tokens: vec![Bytes::copy_from_slice(
                    &u128::from(FIRST_TOKEN).to_be_bytes(),
                )],
                ..Default::default()
            };
            let state = MetaState::bootstrap(cluster.to_string(), vec![own], 1, 1);
            let event = Event::Input(Input::Bootstrap(Box::new(state)));
            runtime
                .mailboxes
                .to_shard(0, event)
                .map_err(|e| Failure::new(ExitStatus::Internal, e))?;
        }
        let control = Arc::new(NodeControl {
            cluster_id: cluster.to_string(),
            node: NodeId(node),
            incarnation,
            mailboxes: runtime.mailboxes.clone(),
            store: runtime.store.clone(),
            space,
            transport: OnceLock::new(),
            gossip: OnceLock::new(),
            database: OnceLock::new(),
        });
        let parts = Parts {
            runtime,
            control,
            transport: None,
            dir,
            memory_dir,
            drain: Duration::ZERO,
        };
        parts
            .serve(
                listener,
                kv_listener,
                metrics_listener,
                keys_of(&config.keys),
                !config.shared,
                config.deadline,
            )
            .await
    }

    /// A node of a cluster.
    pub async fn cluster(config: NodeConfig, deadline: Duration) -> Result<Node, Failure> {
        let identity = (config.cluster_id, config.node_id);
        let Opened {
            dir,
            space,
            incarnation,
            nonce,
            version,
            ..
        } = open_dir(config.data_dir.clone(), Some(identity))?;
        let disk = Disk::open(dir, space)?;
        let listener = listen(config.listen.dynamo).await?;
        let kv_listener = listen(config.listen.kv).await?;
        let metrics_listener = listen(config.listen.metrics).await?;
        let node = NodeId(config.node_id);
        let seeds = config.seeds.iter().map(|s| NodeId(s.id)).collect();
        let runtime_config = runtime::Config {
            node,
            shards: shards(),
            seed: nonce,
            incarnation,
            nonce,
            version,
            seeds,
            expire: Duration::ZERO,
        };
        let prepared = Prepared::new(&runtime_config);
        let Disk {
            dir,
            store,
            log,
            space,
        } = disk;
        let cluster_id = config.cluster_id.to_string();
        let control = Arc::new(NodeControl {
            cluster_id: cluster_id.clone(),
            node,
            incarnation,
            mailboxes: prepared.mailboxes(),
            store: store.clone(),
            space,
            transport: OnceLock::new(),
            gossip: OnceLock::new(),
            database: OnceLock::new(),
        });
        let tls = TlsFiles {
            ca: config.tls.ca.clone(),
            cert: config.tls.cert.clone(),
            key: config.tls.key.clone(),
        };
        let transport_config = transport::Config {
            cluster_id: cluster_id.clone(),
            node_id: node,
            incarnation,
            wire_version: u32::from(WIRE_VERSION),
            listen: config.listen.peer,
            tls,
            limits: transport::Limits::default(),
            metrics: transport::Metrics::default(),
        };
        let transport_metrics = transport_config.metrics.clone();
        let ear = Arc::new(Ear {
            mailboxes: prepared.mailboxes(),
        });
        let services = crate::admin::service(&cluster_id, control.clone());
        let transport = Transport::start(transport_config, ear, services)
            .await
            .map_err(|error| {
                let status = match &error {
                    transport::StartError::Listen { source, .. } => ExitStatus::of_listen(source),
                    transport::StartError::Tls(_) => ExitStatus::Config,
                };
                Failure::new(status, chain(&error))
            })?;
        let transport = Arc::new(transport);
        // Before anybody is dialled: an older build would not listen to a newer one than the cluster's.
        transport.set_wire_version(version);
        let addresses: HashMap<NodeId, String> = config
            .seeds
            .iter()
            .filter(|s| s.id != node.0)
            .map(|s| (NodeId(s.id), s.address.clone()))
            .collect();
        transport.set_peers(addresses.clone());
        let peers = Peers {
            transport: OnceLock::new(),
            addresses: parking_lot::Mutex::new(addresses),
        };
        // Set once, right here.
        let _ = peers.transport.set(transport.clone());
        let _ = control.transport.set(transport.clone());
        start_gossip(&control, &transport).await;
        let hooks = Hooks {
            fatal: on_fatal(dir.path()),
            full: on_full(&control.space, &control.mailboxes),
            version: on_version(dir.path(), Some(transport.clone())),
        };
        let runtime = prepared
            .start(&runtime_config, store, log, Arc::new(peers), hooks)
            .map_err(start_failure)?;
        let drain = Duration::from_secs(config.drain_seconds);
        let parts = Parts {
            runtime,
            control,
            transport: Some((transport, transport_metrics)),
            dir,
            memory_dir: None,
            drain,
        };
        parts
            .serve(
                listener,
                Some(kv_listener),
                Some(metrics_listener),
                keys_of(&config.auth.access_keys),
                false,
                deadline,
            )
            .await
    }

    /// Lets [`Node::stop`] not serve on first: nobody needs time to find other nodes.
    pub fn hurry(&mut self) {
        self.drain = Duration::ZERO;
    }

    /// Stops in order: leaders go, open requests end, threads end, the engine is flushed.
    pub async fn stop(self) {
        let Node {
            runtime,
            transport,
            telemetry,
            front,
            fronts,
            space_watch,
            drain,
            is_stopping,
            ..
        } = self;
        // From now on not ready, and every answer sends its client elsewhere; whoever comes all the same is served.
        is_stopping.store(true, Ordering::Relaxed);
        let until = Instant::now() + HAND_OVER;
        for shard in 0..runtime.mailboxes.shards() {
            let _ = runtime
                .mailboxes
                .to_shard(shard, Event::Input(Input::HandOver));
        }
        if transport.is_some() {
            loop {
                let led: u64 = runtime
                    .mailboxes
                    .inspect(|shard| shard.led_with_others())
                    .await
                    .iter()
                    .sum();
                if led == 0 || Instant::now() >= until {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(drain).await;
        }
        front.cancel();
        for task in fronts {
            let _ = task.await;
        }
        space_watch.abort();
        if let Some(transport) = transport {
            transport.shutdown().await;
        }
        drop(telemetry);
        // Joining threads blocks.
        let _ = tokio::task::spawn_blocking(move || runtime.stop()).await;
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

fn start_failure(error: runtime::StartError) -> Failure {
    match error {
        runtime::StartError::Log(error) => error.into(),
        runtime::StartError::Recover(_) => Failure::new(ExitStatus::Corrupt, chain(&error)),
        runtime::StartError::Thread(_) => Failure::new(ExitStatus::System, chain(&error)),
    }
}

/// What both kinds of nodes have before they serve.
struct Parts {
    runtime: Runtime,
    control: Arc<NodeControl>,
    transport: Option<(Arc<Transport>, transport::Metrics)>,
    dir: DataDir,
    memory_dir: Option<MemoryDir>,
    drain: Duration,
}

impl Parts {
    async fn serve(
        self,
        listener: TcpListener,
        kv: Option<TcpListener>,
        metrics_listener: Option<TcpListener>,
        keys: Vec<dynamo::AccessKey>,
        apart: bool,
        deadline: Duration,
    ) -> Result<Node, Failure> {
        let Parts {
            runtime,
            control,
            transport,
            dir,
            memory_dir,
            drain,
        } = self;
        let metrics = Metrics::default();
        let dynamo_metrics = Arc::new(metrics.register(dynamo::Metrics::new));
        if let Some((_, transport_metrics)) = &transport {
            metrics.register(|registry| transport_metrics.register(registry));
        }
        let node_metrics = NodeMetrics::default();
        metrics.register(|registry| node_metrics.register(registry));
        let log_append = runtime.mailboxes.log_append.clone();
        metrics.register(|registry| {
            registry.register_with_unit(
                "raft_log_append_duration",
                "Time that an append to the log took, fsync included",
                Unit::Seconds,
                log_append,
            )
        });
        let client = Arc::new(Client::new(
            runtime.mailboxes.clone(),
            runtime.store.clone(),
            on_fatal(dir.path()),
        ));
        // Set once, right here.
        let _ = control.database.set(client.clone());
        let front = CancellationToken::new();
        let dynamo_at = listener
            .local_addr()
            .map_err(|e| Failure::new(ExitStatus::of_listen(&e), e))?;
        let kv_config = kv::Config {
            keys: keys.clone(),
            deadline,
            apart: apart.then(|| dynamo::Config::default().region),
            ..kv::Config::default()
        };
        let is_stopping: Arc<AtomicBool> = Arc::default();
        let config = dynamo::Config {
            keys,
            deadline,
            apart,
            is_stopping: is_stopping.clone(),
            ..dynamo::Config::default()
        };
        let mut fronts = Vec::new();
        let serving = dynamo::serve(
            listener,
            client.clone(),
            config,
            dynamo_metrics,
            front.clone(),
        );
        fronts.push(tokio::spawn(async move {
            if let Err(error) = serving.await {
                die(&Failure::new(
                    ExitStatus::System,
                    format!("the DynamoDB API can't go on: {error}"),
                ));
            }
        }));
        let kv_at = kv.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(listener) = kv {
            let kv_metrics = Arc::new(metrics.register(dynamo::Metrics::native));
            let serving = kv::serve(
                listener,
                client.clone(),
                kv_config,
                kv_metrics,
                front.clone(),
            );
            fronts.push(tokio::spawn(async move {
                if let Err(error) = serving.await {
                    die(&Failure::new(
                        ExitStatus::System,
                        format!("the gRPC API can't go on: {}", chain(&error)),
                    ));
                }
            }));
        }
        let telemetry = match metrics_listener {
            Some(listener) => {
                let address = listener
                    .local_addr()
                    .map_err(|e| Failure::new(ExitStatus::of_listen(&e), e))?;
                let ready = control.clone();
                let stopping = is_stopping.clone();
                let health = move || match ready.not_ready() {
                    _ if stopping.load(Ordering::Relaxed) => Err("stopping".to_owned()),
                    Some(why) => Err(why.to_owned()),
                    None => Ok(()),
                };
                let started = Telemetry::serve(listener, address, metrics, health);
                Some(started.map_err(|error| {
                    Failure::new(ExitStatus::of_listen(&error.source), chain(&error))
                })?)
            }
            None => None,
        };
        let space_watch = tokio::spawn(watch(
            control.clone(),
            runtime.mailboxes.clone(),
            node_metrics,
        ));
        wait_until_known(&control, transport.is_some()).await;
        let transport = transport.map(|(transport, _)| transport);
        Ok(Node {
            runtime,
            control,
            transport,
            metrics: telemetry.as_ref().map(Telemetry::local_addr),
            telemetry,
            front,
            fronts,
            space_watch,
            dynamo: dynamo_at,
            kv: kv_at,
            drain,
            is_stopping,
            _dir: dir,
            _memory_dir: memory_dir,
        })
    }
}

/// A node of one serves at once; one of many says so when it has joined.
async fn wait_until_known(control: &NodeControl, clustered: bool) {
    if clustered {
        return;
    }
    let mut revision = control.mailboxes.revision.subscribe();
    while control.not_ready().is_some() {
        if revision.changed().await.is_err() {
            return;
        }
    }
}

/// Looks after free space, and brings the core's counts into the metrics.
async fn watch(control: Arc<NodeControl>, mailboxes: Arc<Mailboxes>, metrics: NodeMetrics) {
    loop {
        match control.space.check() {
            Ok(mode) => heed(&mailboxes, mode),
            Err(error) => tracing::warn!(%error, "free space can't be measured"),
        }
        let counts = mailboxes
            .inspect(|shard| (shard.counts, shard.census(), shard.memory()))
            .await;
        metrics.update(&counts, control.space.space().ok());
        metrics.waiting(mailboxes.waiting());
        if let Some(gossip) = control.gossip.get() {
            let in_hand: usize = counts.iter().map(|(_, _, memory)| memory.2).sum();
            gossip.publish(Hint::Load, &in_hand.to_string());
            let suspects: BTreeSet<NodeId> = gossip.suspects().into_iter().collect();
            metrics.suspects(suspects.len());
            mailboxes.suspect(suspects);
        }
        tokio::time::sleep(SPACE_POLL).await;
    }
}
