//! `KvTable`s: a queue of their own, beside that of clusters.
//!
//! ```text
//! watch: KvTable ──► queue ──► is its cluster Ready? ── no ──► a reason, again in 2 s
//!                                   │ yes
//!                                   ▼
//!                    DescribeTable ──► plan::table ──► CreateTable, UpdateTable … ──► status, events ──► again in 30 s
//! ```
//!
//! A table of one cluster that is asked for something waits for no other cluster's nodes: connections are used by one table at a time, and who
//! finds them in use comes back.

mod look;
mod status;

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::controller::{Action, Config as ControllerConfig, Controller};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::Mutex;

use super::Never;
use super::ways::Ways;
use crate::crd::{KvCluster, KvTable};
use crate::metrics::Metrics;
use look::Tended;

/// How many tables are worked on at a time.
const CONCURRENCY: u16 = 32;

/// What all tables share.
pub struct Means {
    /// The API server.
    pub client: Client,
    /// Counters.
    pub metrics: Metrics,
    /// For events.
    pub recorder: Recorder,
    /// To the nodes.
    pub ways: Ways,
    /// What the watch of clusters has shown.
    pub clusters: Store<KvCluster>,
}

struct Context {
    means: Means,
    all: Store<KvTable>,
    tended: Mutex<HashMap<ObjectRef<KvTable>, Arc<Mutex<Tended>>>>,
}

/// Looks after the tables of a namespace, or of all.
pub async fn tend(api: Api<KvTable>, means: Means) {
    let controller = Controller::new(api, watcher::Config::default())
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY));
    let context = Arc::new(Context {
        means,
        all: controller.store(),
        tended: Mutex::default(),
    });
    controller
        .run(reconcile, |_, error, _| match *error {}, context)
        .for_each(|result| {
            if let Err(error) = result {
                // Watches that break are taken up again; objects that are gone need nothing.
                tracing::debug!(error = &error as &dyn std::error::Error, "the queue says");
            }
            std::future::ready(())
        })
        .await;
}

async fn reconcile(object: Arc<KvTable>, context: Arc<Context>) -> Result<Action, Never> {
    let means = &context.means;
    // Before the watch of clusters has shown what is there, what is missing may be there. Its writer lives as long as the queue.
    let _ = means.clusters.wait_until_ready().await;
    let tended = {
        let mut all = context.tended.lock().await;
        if all.len() > context.all.len() {
            all.retain(|key, _| context.all.get(key).is_some());
        }
        let key = ObjectRef::from_obj(&*object);
        let tended = all.entry(key).or_default();
        let tended = Arc::clone(tended);
        means.metrics.set_tables(all.len());
        tended
    };
    let mut tended = tended.lock().await;
    let elder = elder(&context.all, &object);
    let pause = match tended.look(means, &object, elder.as_deref()).await {
        Ok(pause) => {
            means.metrics.table_reconciled("done");
            pause
        }
        Err(error) => {
            means.metrics.table_reconciled("failed");
            tracing::warn!(
                table = object.name_any(),
                namespace = object.namespace().unwrap_or_default(),
                error = &error as &dyn std::error::Error,
                "a look at a table failed; it is tried again"
            );
            tended.failed(&error)
        }
    };
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
}

/// An older `KvTable` that declares the same table. The older one counts; of one second, the one whose name comes first.
fn elder(all: &Store<KvTable>, object: &KvTable) -> Option<Arc<KvTable>> {
    let age = |one: &KvTable| (one.creation_timestamp().map(|time| time.0), one.name_any());
    let table = |one: &KvTable| {
        (
            one.namespace(),
            one.spec.cluster_name.clone(),
            one.table_name(),
        )
    };
    let (age_here, table_here) = (age(object), table(object));
    let before = |other: &Arc<KvTable>| table(other) == table_here && age(other) < age_here;
    all.state_filter(|other| other.spec.cluster_name == object.spec.cluster_name)
        .into_iter()
        .filter(before)
        .min_by_key(|other| age(other))
}
