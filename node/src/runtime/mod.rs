//! The rim: threads that feed the shards of kv-core and execute what they say.
//!
//! ```text
//!   HTTP, gRPC ─► Client ──────────────┐                              ┌─► log thread ─── one append and fsync for all that wait ──┐
//!   peers ──────► Transport ─► deliver ─┼─► mailbox ─► shard thread ───┼─► engine thread ─ flush, install ─────────────────────────┤
//!   own shards ────────────────────────┘       ▲      (step, outputs   ├─► transport, other mailboxes, clients                     │
//!                                              │       in their order) └─► engine: writes and point reads at once                  │
//!                                              └──────────────────────────────── Appended, Flushed, Installed ────────────────────┘
//! ```
//! Invariant (shard/io.rs): the outputs of a shard are executed in their order. What ends later comes back as an input.

pub mod clock;
mod engine_thread;
mod full;
mod log_thread;
pub mod mailbox;
mod shard_thread;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossbeam_channel::bounded;
use kv_core::ids::NodeId;
use kv_core::meta::View;
use kv_core::shard::{self, Fatal, Input, Lane, Shard};
use kv_core::store::{LogStore, Store};
use kv_core::wire;
use tokio::sync::watch;

use self::clock::Clock;
pub use self::full::OnFull;
use self::full::Patience;
use self::mailbox::{Event, Mailboxes};
use crate::telemetry::{latency_seconds, trace};

/// Events that may wait for a shard.
const MAILBOX_EVENTS: usize = 64 << 10;
/// Appends that may wait for the log.
const LOG_JOBS: usize = 1024;

/// How frames leave the node; without one (a cluster of one) there is nobody to talk to.
pub trait Network: Send + Sync + 'static {
    /// Never blocks; what can't be sent is dropped.
    fn send(&self, to: NodeId, lane: Lane, frame: Bytes);

    /// Where the nodes are.
    fn set_peers(&self, addresses: HashMap<NodeId, String>);
}

/// A cluster of one has nobody to talk to.
#[derive(Debug)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn send(&self, _: NodeId, _: Lane, _: Bytes) {}

    fn set_peers(&self, _: HashMap<NodeId, String>) {}
}

/// What ends the node: called once, from any thread.
pub type OnFatal = Arc<dyn Fn(FatalError) + Send + Sync>;

/// Marks the disk with a version of the cluster, durably, and has frames say so; called from any thread, again for the same version.
pub type OnVersion = Arc<dyn Fn(u32) -> Result<(), FatalError> + Send + Sync>;

/// What the threads call when something concerns the whole node.
#[derive(Clone)]
pub struct Hooks {
    pub fatal: OnFatal,
    pub full: OnFull,
    pub version: OnVersion,
}

/// Why the node can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FatalError {
    #[error(transparent)]
    Core(#[from] Fatal),
    /// The engine or the log failed: the state of what was being written is unknown.
    #[error("{0}")]
    Storage(String),
    /// The disk is full, and what recovery needs could not be written either.
    #[error("{0}")]
    Full(String),
    /// Bytes on the disk are not what was written.
    #[error("{0}")]
    Corrupt(String),
}

impl From<kv_core::store::Error> for FatalError {
    fn from(error: kv_core::store::Error) -> Self {
        use kv_core::store::Error;
        let text = error.to_string();
        match error {
            Error::Full(_) => FatalError::Full(text),
            Error::Corrupt { .. } => FatalError::Corrupt(text),
            Error::Failed(_) => FatalError::Storage(text),
        }
    }
}

/// What a runtime is told.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    pub shards: u32,
    pub seed: u64,
    pub incarnation: u64,
    pub nonce: u64,
    /// The version that the disk is marked with.
    pub version: u32,
    pub seeds: Vec<NodeId>,
    /// Pause between two looks for expired items; zero: the default.
    pub expire: std::time::Duration,
}

/// The running threads of a node.
pub struct Runtime {
    pub mailboxes: Arc<Mailboxes>,
    pub store: Arc<dyn Store>,
    threads: Vec<JoinHandle<()>>,
    patience: Patience,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

/// Mailboxes of a runtime that is about to start, so that the transport can deliver into them.
pub struct Prepared {
    mailboxes: Arc<Mailboxes>,
    receivers: Vec<crossbeam_channel::Receiver<Event>>,
    log_sender: crossbeam_channel::Sender<log_thread::Job>,
    log_receiver: crossbeam_channel::Receiver<log_thread::Job>,
}

impl Prepared {
    pub fn new(config: &Config) -> Prepared {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..config.shards).map(|_| bounded(MAILBOX_EVENTS)).unzip();
        let (log_sender, log_receiver) = bounded(LOG_JOBS);
        let (revision, _) = watch::channel(0);
        let mailboxes = Arc::new(Mailboxes {
            node: config.node,
            senders,
            view: ArcSwap::from_pointee(View::default()),
            revision,
            clock: Clock,
            refuse_writes: AtomicBool::new(false),
            suspects: Default::default(),
            log_append: latency_seconds(),
            refuse_entries: AtomicBool::new(false),
        });
        Prepared {
            mailboxes,
            receivers,
            log_sender,
            log_receiver,
        }
    }

    pub fn mailboxes(&self) -> Arc<Mailboxes> {
        self.mailboxes.clone()
    }

    /// Recovers the shards from the disk and starts all threads.
    pub fn start(
        self,
        config: &Config,
        store: Arc<dyn Store>,
        log: Arc<dyn LogStore>,
        network: Arc<dyn Network>,
        hooks: Hooks,
    ) -> Result<Runtime, StartError> {
        let Prepared {
            mailboxes,
            receivers,
            log_sender,
            log_receiver,
        } = self;
        let Hooks {
            fatal,
            full,
            version,
        } = hooks;
        let patience = Patience::new(full);
        let logs = log.recover().map_err(StartError::Log)?;
        let territory = shard::Territory::recovered(&*store, &logs).map_err(StartError::Recover)?;
        let territory = Arc::new(territory);
        let now = mailboxes.clock.now();
        // Long reads go to the runtime's blocking threads, where there is one.
        let runtime = tokio::runtime::Handle::try_current().ok();
        let mut threads = Vec::new();
        let (engine_sender, engine_receiver) = bounded(LOG_JOBS);
        for (number, receiver) in receivers.into_iter().enumerate() {
            let shard_config = shard::Config {
                node: config.node,
                shard: number as u32,
                shards: config.shards,
                seed: config.seed,
                incarnation: config.incarnation,
                nonce: config.nonce,
                version: config.version,
                seeds: config.seeds.clone(),
                flush_log_bytes: 0,
                expire_us: config.expire.as_micros() as u64,
                tombstone_ms: 0,
                hot_requests: 0,
                territory: territory.clone(),
            };
            let shard =
                Shard::start(shard_config, &*store, &logs, now).map_err(StartError::Recover)?;
            let thread = shard_thread::ShardThread {
                shard,
                number: number as u32,
                receiver,
                mailboxes: mailboxes.clone(),
                store: store.clone(),
                log: log_sender.clone(),
                engine: engine_sender.clone(),
                network: network.clone(),
                fatal: fatal.clone(),
                version: version.clone(),
                patience: patience.clone(),
                waiting: HashMap::new(),
                snapshots: HashMap::new(),
                next_token: 0,
            };
            let handle = runtime.clone();
            threads.push(spawn(format!("shard-{number}"), move || {
                let _entered = handle.as_ref().map(|h| h.enter());
                thread.run();
            })?);
        }
        let (boxes, stop, waits) = (mailboxes.clone(), fatal.clone(), patience.clone());
        threads.push(spawn("log".into(), move || {
            log_thread::run(&*log, &log_receiver, &boxes, &waits, &stop)
        })?);
        let (boxes, engine, waits) = (mailboxes.clone(), store.clone(), patience.clone());
        threads.push(spawn("engine".into(), move || {
            engine_thread::run(&*engine, &engine_receiver, &boxes, &waits, &fatal)
        })?);
        Ok(Runtime {
            mailboxes,
            store,
            threads,
            patience,
        })
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(StartError::Thread)
}

/// Why a runtime can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the log can't be read: {0}")]
    Log(#[source] kv_core::store::Error),
    #[error("the node's state can't be recovered: {0}")]
    Recover(#[source] shard::RecoverError),
    #[error("the system gives no thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Runtime {
    /// Ends all threads once they have done what they were told before, and makes the engine durable so that the next start is quick.
    pub fn stop(self) {
        self.patience.end();
        for sender in &self.mailboxes.senders {
            // A shard that can't be told any more has ended already.
            let _ = sender.send(Event::Stop);
        }
        for thread in self.threads {
            let _ = thread.join();
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the engine could not be flushed at the end; the next start replays more of the log");
        }
    }
}

/// Hands a frame to the shards that it is for; a shard with a full mailbox loses it, as a network would.
pub fn deliver(mailboxes: &Mailboxes, from: NodeId, frame: Bytes) {
    let shards = mailboxes.senders.len() as u32;
    if from != mailboxes.node {
        trace::hop(from, &frame);
    }
    let target = match wire::target(&frame) {
        Ok(target) => target,
        Err(error) => {
            tracing::warn!(%error, node = from.0, "a frame can't be read");
            return;
        }
    };
    for (number, sender) in mailboxes.senders.iter().enumerate() {
        if target.is_for(number as u32, shards) {
            let _ = sender.try_send(Event::Input(Input::Frame(from, frame.clone())));
        }
    }
}
