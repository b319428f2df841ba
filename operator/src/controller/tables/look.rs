//! One `KvTable` under the operator's care: a look at its table, what is done about it, and what is written of it.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

use super::Means;
use super::status::{self, Difference, Seen};
use crate::controller::ways::Way;
use crate::crd::condition::{self, ConditionType, Reason};
use crate::crd::{KvCluster, KvTable, KvTableStatus, NodeState, table_rules};
use crate::dataplane::tables::{self, Tables};
use crate::plan::table::{Change, Declared, End, Found, Step};
use crate::platform::kubernetes::error::{Class, class};
use crate::platform::kubernetes::{self, ACCOUNT, names};

/// How soon a table is looked at again that is on its way.
const BUSY: Duration = Duration::from_millis(500);
/// The same where its cluster has to be ready first, or its connections are in use.
const WAITING: Duration = Duration::from_secs(2);
/// How soon one is looked at again that is as it should be: what the other API does to it is seen then.
const CALM: Duration = Duration::from_secs(30);
/// Where a person must do something first, or nodes are in trouble.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How long one request to the API server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long another table of the cluster is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// Settings are few: who changes more in one look is in a circle.
const CHANGES_MAX: usize = 8;
/// What was said of a table stands for as many failures: nodes that restart are no news about it.
const FAILURES_FORGIVEN: u32 = 5;

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// On the nodes' side.
    #[error(transparent)]
    Table(#[from] tables::Error),
    /// On the API server's side.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
}

/// One table, with what is remembered between looks.
#[derive(Debug, Default)]
pub struct Tended {
    uid: Option<String>,
    /// What was written last; nobody else writes it.
    written: Option<KvTableStatus>,
    failures: u32,
}

/// Whom a look asks.
struct Reach {
    way: Way,
    addresses: Vec<String>,
}

/// Why nodes can't be asked.
struct Shut {
    reason: Reason,
    why: String,
    /// Whether it is over by itself before long, and says nothing of tables that were ready.
    is_brief: bool,
}

impl Tended {
    /// How soon the table is to be looked at again after a failure.
    pub fn failed(&mut self, error: &Error) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let is_lasting = match error {
            Error::Table(error) => error.is_refusal(),
            Error::Kubernetes(error) => error.class() == Class::Refused,
        };
        if is_lasting {
            return Some(BACKOFF_MAX);
        }
        let factor = 2_u32.saturating_pow(self.failures.saturating_sub(1).min(10));
        Some((BUSY * factor).min(BACKOFF_MAX))
    }

    /// One look; answers how soon the next one is due, if one is.
    ///
    /// # Errors
    /// The API server or the nodes do not answer, or refuse.
    pub async fn look(
        &mut self,
        means: &Means,
        object: &KvTable,
        elder: Option<&KvTable>,
    ) -> Result<Option<Duration>, Error> {
        if self.uid != object.uid() {
            *self = Self {
                uid: object.uid(),
                ..Self::default()
            };
        }
        if object.metadata.deletion_timestamp.is_some() {
            return self.end(means, object).await;
        }
        // Before there is a table: one that is made for this KvTable must not outlive it.
        set_finalizer(means, object, object.is_deleting_table()).await?;
        if let Some((reason, why)) = unfit(object, elder) {
            self.write(means, object, Seen::Nothing(reason, why), &[])
                .await?;
            return Ok(Some(BACKOFF_MAX));
        }
        let cluster = means.clusters.get(&cluster_of(object));
        let reach = match reach(means, object, cluster.as_deref()).await {
            Ok(reach) => reach,
            Err(Shut { is_brief: true, .. }) if self.was_judged(object) => {
                return Ok(Some(WAITING));
            }
            Err(Shut { reason, why, .. }) => {
                self.write(means, object, Seen::Nothing(reason, why), &[])
                    .await?;
                return Ok(Some(WAITING));
            }
        };
        let mut changes = Vec::new();
        let result = bring_about(object, &reach, &mut changes).await;
        match result {
            Ok(None) => Ok(Some(WAITING)),
            Ok(Some((seen, pause))) => {
                self.write(means, object, seen, &changes).await?;
                self.failures = 0;
                Ok(Some(pause))
            }
            Err(error) => {
                self.tell_failure(means, object, &error, &changes).await?;
                Err(error.into())
            }
        }
    }

    /// Whether a look has shown, for this very spec, that its table is ready or another one.
    fn was_judged(&self, object: &KvTable) -> bool {
        let before = self.written.as_ref().or(object.status.as_ref());
        let Some(before) = before else {
            return false;
        };
        let ready = condition::find(&before.conditions, ConditionType::Ready);
        before.observed_generation == object.metadata.generation
            && ready.is_some_and(|ready| {
                ready.status == "True" || ready.reason == Reason::KeysDiffer.to_string()
            })
    }

    async fn tell_failure(
        &mut self,
        means: &Means,
        object: &KvTable,
        error: &tables::Error,
        changes: &[Change],
    ) -> Result<(), Error> {
        let reason = if error.is_refusal() {
            Reason::Refused
        } else if self.failures < FAILURES_FORGIVEN && self.was_judged(object) {
            return Ok(());
        } else {
            Reason::NodesNotAnswering
        };
        let seen = Seen::Nothing(reason, error.to_string());
        self.write(means, object, seen, changes).await
    }

    /// The `KvTable` goes: its table too if the policy says so, and it is its own.
    async fn end(&mut self, means: &Means, object: &KvTable) -> Result<Option<Duration>, Error> {
        if !has_finalizer(object) {
            return Ok(None);
        }
        // What is deleted is not to be had again: the API server's word, not the cache's.
        let api = api::<KvTable>(means, object);
        let name = object.name_any();
        let request = api.get_opt(&name);
        let Some(object) = call(means, "get", "KvTable", &name, request).await? else {
            return Ok(None);
        };
        if object.uid() != self.uid || object.metadata.deletion_timestamp.is_none() {
            return Ok(Some(BUSY));
        }
        let object = &object;
        let clusters = api_of_clusters(means, object);
        let name = object.spec.cluster_name.clone();
        let request = clusters.get_opt(&name);
        let cluster = call(means, "get", "KvCluster", &name, request).await?;
        let is_gone = cluster
            .as_ref()
            .is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some());
        if is_gone || !object.is_deleting_table() {
            set_finalizer(means, object, false).await?;
            return Ok(None);
        }
        let reach = match reach(means, object, cluster.as_ref()).await {
            Ok(reach) => reach,
            Err(Shut { reason, why, .. }) => {
                self.write(means, object, Seen::Nothing(reason, why), &[])
                    .await?;
                return Ok(Some(WAITING));
            }
        };
        match delete(object, &reach).await {
            Ok(None) => Ok(Some(WAITING)),
            Ok(Some(End::Release)) => {
                set_finalizer(means, object, false).await?;
                Ok(None)
            }
            Ok(Some(step)) => {
                let table = object.table_name();
                if step == End::Delete {
                    let note = format!("deleted table {table}, as spec.deletionPolicy says");
                    let told = status::event(EventType::Normal, "TableDeleted", note);
                    publish(means, object, vec![told]).await;
                }
                let why = format!("table {table} is being deleted");
                let seen = Seen::Nothing(Reason::TableDeleting, why);
                self.write(means, object, seen, &[]).await?;
                self.failures = 0;
                Ok(Some(BUSY))
            }
            Err(error) => {
                self.tell_failure(means, object, &error, &[]).await?;
                Err(error.into())
            }
        }
    }

    /// Writes the status, if it has changed, and tells what is new.
    async fn write(
        &mut self,
        means: &Means,
        object: &KvTable,
        seen: Seen,
        changes: &[Change],
    ) -> Result<(), Error> {
        let before = self.written.clone().or_else(|| object.status.clone());
        let before = before.unwrap_or_default();
        let now = Timestamp::now();
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let after = status::status(object, &before, seen, now);
        if after != before {
            let name = object.name_any();
            // The uid: one of the same name that came meanwhile is another.
            let patch = json!({
                "apiVersion": KvTable::api_version(&()),
                "kind": KvTable::kind(&()),
                "metadata": {"name": name, "uid": object.uid()},
                "status": after,
            });
            let params = PatchParams::apply(names::STATUS_MANAGER).force();
            let patch = Patch::Apply(&patch);
            let api = api::<KvTable>(means, object);
            let request = api.patch_status(&name, &params, &patch);
            call(means, "apply", "KvTable", &name, request).await?;
            means.metrics.status_written();
        }
        publish(means, object, status::events(&before, &after, changes)).await;
        self.written = Some(after);
        Ok(())
    }
}

/// Why nothing may be done for a `KvTable`.
fn unfit(object: &KvTable, elder: Option<&KvTable>) -> Option<(Reason, String)> {
    // The API server refuses such specs, unless its definition is an older one.
    let broken = table_rules::violations(&object.spec, None);
    let name = table_rules::name_violation(&object.name_any(), &object.spec);
    if let Some(broken) = broken.into_iter().chain(name).next() {
        let why = format!("{} {}", broken.path, broken.message);
        return Some((Reason::InvalidSpec, why));
    }
    let elder = elder?;
    let why = format!(
        "KvTable {} declares table {} too and is older: delete one of them",
        elder.name_any(),
        object.table_name()
    );
    Some((Reason::DeclaredTwice, why))
}

fn cluster_of(object: &KvTable) -> ObjectRef<KvCluster> {
    ObjectRef::new(&object.spec.cluster_name).within(&object.namespace().unwrap_or_default())
}

/// The nodes to ask.
async fn reach(
    means: &Means,
    object: &KvTable,
    cluster: Option<&KvCluster>,
) -> Result<Reach, Shut> {
    let name = &object.spec.cluster_name;
    let cluster = cluster.ok_or_else(|| Shut {
        reason: Reason::ClusterMissing,
        why: format!("there is no KvCluster {name} in this namespace"),
        is_brief: false,
    })?;
    if cluster.metadata.deletion_timestamp.is_some() {
        return Err(Shut {
            reason: Reason::ClusterMissing,
            why: format!("KvCluster {name} is being deleted"),
            is_brief: false,
        });
    }
    let not_ready = |why: &str, is_brief| Shut {
        reason: Reason::ClusterNotReady,
        why: format!("KvCluster {name} is not Ready: {why}"),
        is_brief,
    };
    let status = cluster
        .status
        .as_ref()
        .ok_or_else(|| not_ready("it was not looked at yet", false))?;
    match condition::find(&status.conditions, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            let is_brief = ready.reason == Reason::NodesNotUp.to_string();
            return Err(not_ready(&ready.message, is_brief));
        }
        None => return Err(not_ready("it was not looked at yet", false)),
    }
    let namespace = object.namespace().unwrap_or_default();
    let up = status
        .nodes
        .iter()
        .filter(|node| matches!(node.state, NodeState::Up | NodeState::Draining));
    let addresses: Vec<String> = up
        .map(|node| names::addresses(&namespace, name, &node.name).peer)
        .collect();
    if addresses.is_empty() {
        return Err(not_ready("no node is up", true));
    }
    let way = means.ways.to(&cluster_of(object)).await;
    // After a start of the operator: the first round brings them.
    let way = way.ok_or_else(|| not_ready("its certificates are not known yet", true))?;
    Ok(Reach { way, addresses })
}

/// Looks, and does what is missing, until all is done or takes time; nothing if the connections are in use.
async fn bring_about(
    object: &KvTable,
    reach: &Reach,
    changes: &mut Vec<Change>,
) -> Result<Option<(Seen, Duration)>, tables::Error> {
    let Ok(mut clients) = timeout(PATIENCE, reach.way.clients.lock()).await else {
        return Ok(None);
    };
    clients.set_certificates(reach.way.certificates.clone());
    clients.keep_only(&reach.addresses);
    let mut tables = Tables {
        clients: &mut clients,
        addresses: &reach.addresses,
        account: ACCOUNT,
    };
    let declared = Declared::of(object);
    loop {
        let found = tables.look(&declared).await?;
        match (declared.step(found.as_ref()), found) {
            (Step::Create, _) => {
                tables.create(&declared).await?;
                return Ok(Some((Seen::Absent, BUSY)));
            }
            (Step::Change(change), Some(found)) if changes.len() < CHANGES_MAX => {
                match tables.change(&declared.name, &change).await {
                    Ok(()) => changes.push(change),
                    Err(error) if error.is_refusal() => {
                        let why = format!("can't set {change}: {error}");
                        let seen = Seen::Table(found, Some(Difference::Setting(why)));
                        return Ok(Some((seen, BACKOFF_MAX)));
                    }
                    Err(error) => return Err(error),
                }
            }
            (step, Some(found)) => return Ok(Some(settled(step, found))),
            (_, None) => return Ok(Some((Seen::Absent, BUSY))),
        }
    }
}

fn settled(step: Step, found: Found) -> (Seen, Duration) {
    match step {
        Step::Drifted(why) => (Seen::Table(found, Some(Difference::Keys(why))), CALM),
        Step::Done => (Seen::Table(found, None), CALM),
        Step::Create | Step::Change(_) | Step::Wait => {
            (Seen::Table(found, Some(Difference::Pending)), BUSY)
        }
    }
}

/// Deletes the table, if it is the `KvTable`'s own; nothing if the connections are in use.
async fn delete(object: &KvTable, reach: &Reach) -> Result<Option<End>, tables::Error> {
    let Ok(mut clients) = timeout(PATIENCE, reach.way.clients.lock()).await else {
        return Ok(None);
    };
    clients.set_certificates(reach.way.certificates.clone());
    clients.keep_only(&reach.addresses);
    let mut tables = Tables {
        clients: &mut clients,
        addresses: &reach.addresses,
        account: ACCOUNT,
    };
    let declared = Declared::of(object);
    let found = tables.look(&declared).await?;
    let end = declared.end(found.as_ref());
    match end {
        End::Delete => tables.delete(&declared.name).await?,
        End::Unprotect => {
            let change = Change::Protection(false);
            tables.change(&declared.name, &change).await?;
        }
        End::Wait | End::Release => {}
    }
    Ok(Some(end))
}

fn has_finalizer(object: &KvTable) -> bool {
    let mut all = object.finalizers().iter();
    all.any(|one| one == names::TABLE_FINALIZER)
}

/// Sets our finalizer or takes it away, on just the object that was seen.
async fn set_finalizer(means: &Means, object: &KvTable, is_wanted: bool) -> Result<(), Error> {
    if has_finalizer(object) == is_wanted {
        return Ok(());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|one| one != names::TABLE_FINALIZER);
    if is_wanted {
        finalizers.push(names::TABLE_FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "uid": object.uid(),
        "resourceVersion": object.resource_version(),
    }});
    let params = PatchParams {
        field_manager: Some(names::OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    let (name, patch) = (object.name_any(), Patch::Merge(&patch));
    let api = api::<KvTable>(means, object);
    let request = api.patch_metadata(&name, &params, &patch);
    match call(means, "patch", "KvTable", &name, request).await {
        Err(error) if error.class() == Class::NotFound => Ok(()),
        result => Ok(result.map(|_| ())?),
    }
}

fn api<K>(means: &Means, object: &KvTable) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(
        means.client.clone(),
        &object.namespace().unwrap_or_default(),
    )
}

fn api_of_clusters(means: &Means, object: &KvTable) -> Api<KvCluster> {
    api(means, object)
}

/// A request to the API server, counted and with an end.
async fn call<T>(
    means: &Means,
    verb: &'static str,
    kind: &'static str,
    name: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kubernetes::Error> {
    let result = match timeout(TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(kubernetes::Error::Api {
            verb,
            kind,
            name: name.to_owned(),
            source: Box::new(source),
        }),
        Err(_) => Err(kubernetes::Error::Slow {
            verb,
            kind,
            name: name.to_owned(),
            seconds: TIMEOUT.as_secs(),
        }),
    };
    let outcome = result
        .as_ref()
        .err()
        .map_or("ok", |error| error.class().label());
    means.metrics.api_call(verb, kind, outcome);
    result
}

/// Events. One that can't be written is no reason to stop.
async fn publish(means: &Means, object: &KvTable, events: Vec<Event>) {
    let reference = object.object_ref(&());
    for event in events {
        let published = means.recorder.publish(&event, &reference);
        match timeout(TIMEOUT, published).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                class = class(&error).label(),
                "an event can't be written"
            ),
            Err(_) => tracing::warn!("an event took more than 10 s to write"),
        }
    }
}
