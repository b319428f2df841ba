//! `kv-operator run`: the reconcile core on Kubernetes.
//!
//! ```text
//! lease ──► watches: KvCluster, and by label StatefulSet, Pod, PersistentVolumeClaim, Service, PodDisruptionBudget
//!                │                      │
//!                │ changed              │ changed: its cluster
//!                ▼                      ▼
//!              queue, one round a cluster at a time ──► reconcile::round ──► status, events ──► again in 250 ms (busy) to 10 s (calm)
//! ```
//!
//! `KvTable`s have a watch and a queue of their own ([`tables`]).
//!
//! Clusters share watches, connections to the API server and the queue, nothing else: one that fails backs off by itself.

pub mod http;
pub mod lease;
pub mod tables;
pub mod tend;
pub mod ways;

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::controller::{
    Action, Config as ControllerConfig, Controller, Error as QueueError,
};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::crd::KvCluster;
use crate::exit::Exit;
use crate::metrics::Metrics;
use crate::platform::kubernetes::{Caches, names};
use http::Readiness;
use lease::Elector;
use tend::{Means, Tended};
use ways::Ways;

/// How many clusters are worked on at a time.
const CONCURRENCY: u16 = 64;
/// The name of the lease.
const LEASE: &str = "ringkv-operator";

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces to look after; none: all.
    pub namespaces: Vec<String>,
    /// The image of nodes where a spec names none.
    pub node_image: String,
    /// Where metrics and health are served.
    pub listen: SocketAddr,
    /// The namespace of the lease.
    pub lease_namespace: String,
    /// This process, among others.
    pub identity: String,
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no API server to be found.
    #[error("the API server can't be reached")]
    Client(#[source] Box<kube::Error>),
    /// The port is taken.
    #[error("can't listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Signals can't be caught.
    #[error("signals can't be caught")]
    Signals(#[source] std::io::Error),
    /// Another operator may be at work now.
    #[error("the lease was lost")]
    LeaseLost,
}

impl Error {
    /// The exit status that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Client(_) | Self::Listen { .. } => Exit::Unavailable,
            Self::Signals(_) => Exit::System,
            Self::LeaseLost => Exit::TemporaryFailure,
        }
    }
}

/// Runs until told to stop, or until the lease is lost: who starts it again stands by then.
///
/// # Errors
/// See [`Error`].
pub async fn run(options: Options) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let client = Client::try_default()
        .await
        .map_err(|source| Error::Client(Box::new(source)))?;
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    let address = options.listen;
    http::serve(address, metrics.clone(), readiness.clone())
        .await
        .map_err(|source| Error::Listen { address, source })?;
    let mut elector = Elector::new(
        client.clone(),
        &options.lease_namespace,
        LEASE,
        &options.identity,
    );
    let work = async {
        // Who stands by is ready too: that is its work.
        readiness.set();
        elector.acquire().await;
        tracing::info!(identity = options.identity, "leading");
        metrics.set_leader(true);
        tokio::select! {
            () = elector.hold() => Err(Error::LeaseLost),
            () = tend_all(&options, &client, &metrics) => Ok(()),
        }
    };
    let result = tokio::select! {
        biased;
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        result = work => result,
    };
    if result.is_ok() {
        tracing::info!("stopping");
        let mut elector = Elector::new(client, &options.lease_namespace, LEASE, &options.identity);
        let _ = tokio::time::timeout(Duration::from_secs(5), elector.release()).await;
    }
    result
}

async fn tend_all(options: &Options, client: &Client, metrics: &Metrics) {
    let scopes: Vec<Option<&str>> = if options.namespaces.is_empty() {
        vec![None]
    } else {
        options
            .namespaces
            .iter()
            .map(|name| Some(name.as_str()))
            .collect()
    };
    let reporter = Reporter {
        controller: names::OPERATOR.to_owned(),
        instance: Some(options.identity.clone()),
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let shards = scopes
        .into_iter()
        .map(|scope| tend_scope(options, client, metrics, recorder.clone(), scope));
    futures::future::join_all(shards).await;
}

/// What the queue shares.
struct Context {
    means: Means,
    clusters: Mutex<HashMap<ObjectRef<KvCluster>, Arc<Mutex<Tended>>>>,
    store: Store<KvCluster>,
    ways: Ways,
}

async fn tend_scope(
    options: &Options,
    client: &Client,
    metrics: &Metrics,
    recorder: Recorder,
    scope: Option<&str>,
) {
    let all: Api<KvCluster> = api(client, scope);
    let mut controller = Controller::new(all, watcher::Config::default())
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY));
    let (stateful_sets, pods, volumes, services, budgets);
    (controller, stateful_sets) = watched(controller, api(client, scope));
    (controller, pods) = watched(controller, api(client, scope));
    (controller, volumes) = watched(controller, api(client, scope));
    (controller, services) = watched(controller, api(client, scope));
    (controller, budgets) = watched(controller, api(client, scope));
    let ways = Ways::default();
    let tables = tables::tend(
        api(client, scope),
        tables::Means {
            client: client.clone(),
            metrics: metrics.clone(),
            recorder: recorder.clone(),
            ways: ways.clone(),
            clusters: controller.store(),
        },
    );
    let context = Arc::new(Context {
        means: Means {
            client: client.clone(),
            caches: Caches {
                stateful_sets,
                pods,
                volumes,
                services,
                budgets,
            },
            metrics: metrics.clone(),
            recorder,
            node_image: options.node_image.clone(),
        },
        clusters: Mutex::default(),
        store: controller.store(),
        ways,
    });
    let clusters = controller
        .run(reconcile, |_, error, _| match *error {}, context)
        .for_each(|result| {
            // Every cluster is looked at again after a while: so each that is gone comes by here.
            if let Err(QueueError::ObjectNotFound(gone)) = &result {
                metrics.forget_cluster(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
            }
            match &result {
                Ok(_) => {}
                // Without it nothing is seen any more: who wonders why nothing happens must find this.
                Err(error @ QueueError::QueueError(_)) => tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "a watch has failed; it is taken up again"
                ),
                // Objects that are gone need nothing.
                Err(error) => {
                    tracing::debug!(error = error as &dyn std::error::Error, "the queue says");
                }
            }
            std::future::ready(())
        });
    tokio::join!(clusters, tables);
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Keeps what there is of a kind, by our label only, and wakes the cluster that something belongs to.
fn watched<K>(controller: Controller<KvCluster>, api: Api<K>) -> (Controller<KvCluster>, Store<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store::<K>();
    let ours = format!("{}={}", names::MANAGED_BY, names::OPERATOR);
    let changes = watcher(api, watcher::Config::default().labels(&ours))
        .default_backoff()
        // More than half of an object, and nobody looks at it.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let controller = controller.watches_stream(changes, |object: K| {
        let cluster = names::label(object.meta(), names::CLUSTER)?;
        Some(ObjectRef::new(cluster).within(object.meta().namespace.as_deref()?))
    });
    (controller, store)
}

/// Nothing that goes wrong with one cluster reaches the queue.
#[derive(Debug, thiserror::Error)]
enum Never {}

async fn reconcile(object: Arc<KvCluster>, context: Arc<Context>) -> Result<Action, Never> {
    let key = ObjectRef::from_obj(&*object);
    if object.metadata.deletion_timestamp.is_some() {
        context.clusters.lock().await.remove(&key);
        context.ways.forget(&key).await;
        let namespace = object.namespace().unwrap_or_default();
        let metrics = &context.means.metrics;
        metrics.forget_cluster(&namespace, &object.name_any());
        return Ok(Action::await_change());
    }
    wait_for_caches(&context.means.caches).await;
    let tended = {
        let mut clusters = context.clusters.lock().await;
        if clusters.len() > context.store.len() {
            clusters.retain(|key, _| context.store.get(key).is_some());
            context.ways.keep(&context.store).await;
        }
        let tended = clusters
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Mutex::new(Tended::new(&context.means, &object))));
        let tended = Arc::clone(tended);
        context.means.metrics.set_clusters(clusters.len());
        tended
    };
    let mut tended = tended.lock().await;
    let begun = Instant::now();
    let result = tended.round(&context.means, &object).await;
    context.ways.note(key, tended.certificates()).await;
    let outcome = if result.is_ok() { "done" } else { "failed" };
    let metrics = &context.means.metrics;
    metrics.reconciled(outcome, begun.elapsed());
    let namespace = object.namespace().unwrap_or_default();
    metrics.set_conditions(&namespace, &object.name_any(), tended.conditions());
    let pause = match result {
        Ok(pause) => pause,
        Err(error) => {
            tracing::warn!(
                cluster = object.name_any(),
                namespace = object.namespace().unwrap_or_default(),
                error = &error as &dyn std::error::Error,
                "a round failed; it is tried again"
            );
            tended.failed(&error)
        }
    };
    Ok(Action::requeue(pause))
}

/// When it is told that the watches have not shown what is there.
const CACHES_WITHIN: Duration = Duration::from_secs(15);

/// Before every watch has shown what is there, what is missing may be there.
async fn wait_for_caches(caches: &Caches) {
    let Caches {
        stateful_sets,
        pods,
        volumes,
        services,
        budgets,
    } = caches;
    loop {
        // Their writers live as long as the queue.
        let filled = async {
            tokio::join!(
                stateful_sets.wait_until_ready(),
                pods.wait_until_ready(),
                volumes.wait_until_ready(),
                services.wait_until_ready(),
                budgets.wait_until_ready(),
            )
        };
        if tokio::time::timeout(CACHES_WITHIN, filled).await.is_ok() {
            return;
        }
        tracing::warn!(
            seconds = CACHES_WITHIN.as_secs(),
            "what there is was not listed yet, and nothing is done before: does the API server answer, and may this operator list \
             StatefulSets, Pods, PersistentVolumeClaims, Services and PodDisruptionBudgets?"
        );
    }
}
