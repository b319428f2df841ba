//! One cluster under the operator's care: a round, and what is written of it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use kv_proto::client::ClientTls;

use crate::crd::condition::{self, ConditionType, Reason, Verdict};
use crate::crd::{AuthMode, Endpoint, KvCluster, KvClusterStatus};
use crate::dataplane::{AdminClients, TlsSource};
use crate::metrics::Metrics;
use crate::plan::orders::Orders;
use crate::platform::kubernetes::api::Writer;
use crate::platform::kubernetes::wanted::Wanted;
use crate::platform::kubernetes::{self, Caches, KubernetesPlatform, names};
use crate::reconcile::observe::Observed;
use crate::reconcile::{self, Outcome};

/// How soon a cluster is looked at again that is on its way.
const BUSY: Duration = Duration::from_millis(250);
/// The same once that has taken longer than [`EAGER_FOR`].
const PATIENT: Duration = Duration::from_secs(1);
const EAGER_FOR: Duration = Duration::from_secs(120);
/// How soon one is looked at again that is as it should be. What happens to its pods is heard at once.
const CALM: Duration = Duration::from_secs(10);
/// Numbers that only tell how far something got are written no more often.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);
/// Where a person must do something first, or the API server is in trouble.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a round failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// On the platform's side.
    #[error(transparent)]
    Platform(#[from] kubernetes::Error),
    /// The status can't be written.
    #[error("can't write the status of {name}")]
    Status {
        /// The cluster.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server took too long.
    #[error("the API server took more than 10 s to take the status of {name}")]
    SlowStatus {
        /// The cluster.
        name: String,
    },
}

impl Error {
    fn class(&self) -> kubernetes::error::Class {
        match self {
            Self::Platform(error) => error.class(),
            Self::Status { source, .. } => kubernetes::error::class(source),
            Self::SlowStatus { .. } => kubernetes::error::Class::Passing,
        }
    }
}

/// What all clusters share.
#[derive(Clone)]
pub struct Means {
    /// The API server.
    pub client: Client,
    /// What watches have shown.
    pub caches: Caches,
    /// Counters.
    pub metrics: Metrics,
    /// For events.
    pub recorder: Recorder,
    /// The image of nodes where the spec names none.
    pub node_image: String,
}

/// One cluster, with what is remembered between rounds.
pub struct Tended {
    platform: KubernetesPlatform,
    dataplane: AdminClients,
    /// What was written last; nobody else writes it.
    written: Option<(Instant, KvClusterStatus)>,
    busy_since: Option<Instant>,
    failures: u32,
}

impl Tended {
    /// A cluster that was not looked at yet.
    #[must_use]
    pub fn new(means: &Means, object: &KvCluster) -> Self {
        let wanted = Wanted::of(object, &means.node_image);
        let writer = Writer::new(
            means.client.clone(),
            &wanted.namespace,
            means.metrics.clone(),
        );
        Self {
            platform: KubernetesPlatform::new(means.caches.clone(), writer, wanted),
            dataplane: AdminClients::with(TlsSource::Nothing),
            written: None,
            busy_since: None,
            failures: 0,
        }
    }

    /// The operator's certificates, once there are any.
    #[must_use]
    pub fn certificates(&self) -> Option<ClientTls> {
        self.platform.operator()
    }

    /// The conditions as they were written last.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        let written = self.written.as_ref();
        written.map_or(&[], |(_, status)| &status.conditions)
    }

    /// How soon it is to be looked at again after a failure.
    pub fn failed(&mut self, error: &Error) -> Duration {
        use kubernetes::error::Class;
        self.failures = self.failures.saturating_add(1);
        match error.class() {
            Class::Refused => BACKOFF_MAX,
            Class::Conflict | Class::NotFound | Class::Disruption | Class::Passing => (BUSY
                * 2_u32.saturating_pow(self.failures.saturating_sub(1).min(10)))
            .min(BACKOFF_MAX),
        }
    }

    /// One round; answers how soon the next one is due.
    ///
    /// # Errors
    /// The API server does not answer, or something is so wrong that nothing can be said of the cluster.
    pub async fn round(&mut self, means: &Means, object: &KvCluster) -> Result<Duration, Error> {
        let wanted = Wanted::of(object, &means.node_image);
        self.platform.refresh(wanted).await?;
        if let Some(certificates) = self.platform.operator() {
            self.dataplane.set_certificates(certificates);
        }
        let before = match &self.written {
            Some((_, status)) => Some(status.clone()),
            None => object.status.clone(),
        };
        let mut seen = object.clone();
        seen.status.clone_from(&before);
        let orders = orders(object);
        let request = reconcile::Request {
            object: &seen,
            orders: &orders,
            refused: None,
            now: seconds(Timestamp::now()),
        };
        let before = before.unwrap_or_default();
        let Outcome {
            mut status,
            is_busy,
            observed,
            cluster,
            moves: _,
        } = match reconcile::round(&mut self.platform, &mut self.dataplane, &request).await {
            Ok(outcome) => outcome,
            Err(reconcile::Error::Observe(error)) => return Err(error.into()),
            // Admission let something through that it should not have: the cluster stays as it is.
            Err(reconcile::Error::Validate(error)) => {
                let status = refused(object, before.clone(), &error.to_string());
                self.write(means, object, &before, status).await?;
                return Ok(BACKOFF_MAX);
            }
        };
        self.platform.note_fills(observed.view());
        let budget = Budget::of(&observed, object);
        self.platform.set_budget(budget.min_available).await?;
        // Who waited for Ready uses the Service next, which goes by probes of its own. Later on those make nothing unready.
        let was_ready = condition::holds(&before.conditions, ConditionType::Ready);
        let (ready_pods, pods) = self.platform.ready_pods();
        if !was_ready
            && ready_pods < pods
            && condition::holds(&status.conditions, ConditionType::Ready)
        {
            let why = format!("{ready_pods} of {pods} pods are ready");
            let verdict = Verdict::no(ConditionType::Ready, Reason::NodesNotUp, why);
            replace(&mut status, verdict, &before, object);
        }
        status.endpoints = endpoints(object);
        if let Some(trouble) = self.platform.volume_trouble()
            && let Some(verdict) = with_volumes(&status.conditions, trouble)
        {
            replace(&mut status, verdict, &before, object);
        }
        let pending = self
            .platform
            .restart_pending(&cluster, observed.inventory());
        replace(&mut status, pending, &before, object);
        status.selector = Some(names::pod_selector_text(&object.name_any()));
        let is_ready = condition::holds(&status.conditions, ConditionType::Ready);
        self.write(means, object, &before, status).await?;
        self.failures = 0;
        Ok(self.pace(is_ready && !is_busy && !budget.is_tight))
    }

    fn pace(&mut self, is_calm: bool) -> Duration {
        if is_calm {
            self.busy_since = None;
            return CALM;
        }
        let since = *self.busy_since.get_or_insert_with(Instant::now);
        if since.elapsed() < EAGER_FOR {
            BUSY
        } else {
            PATIENT
        }
    }

    async fn write(
        &mut self,
        means: &Means,
        object: &KvCluster,
        before: &KvClusterStatus,
        status: KvClusterStatus,
    ) -> Result<(), Error> {
        if status == *before && self.written.is_some() {
            return Ok(());
        }
        let are_only_numbers = status.conditions == before.conditions
            && status.observed_generation == before.observed_generation;
        if are_only_numbers
            && let Some((at, _)) = &self.written
            && at.elapsed() < NUMBERS_EVERY
        {
            return Ok(());
        }
        if status != *before {
            let name = object.name_any();
            let api: Api<KvCluster> = Api::namespaced(
                means.client.clone(),
                &object.namespace().unwrap_or_default(),
            );
            // The uid: one of the same name that came meanwhile is another.
            let patch = serde_json::json!({
                "apiVersion": KvCluster::api_version(&()),
                "kind": KvCluster::kind(&()),
                "metadata": {"name": name, "uid": object.uid()},
                "status": status,
            });
            let params = PatchParams::apply(names::STATUS_MANAGER).force();
            let patch = Patch::Apply(&patch);
            let request = api.patch_status(&name, &params, &patch);
            match tokio::time::timeout(WRITE_TIMEOUT, request).await {
                Ok(Ok(_)) => means.metrics.status_written(),
                Ok(Err(source)) => {
                    return Err(Error::Status {
                        name,
                        source: Box::new(source),
                    });
                }
                Err(_) => return Err(Error::SlowStatus { name }),
            }
        }
        self.tell(means, object, before, &status).await;
        self.written = Some((Instant::now(), status));
        Ok(())
    }

    /// Events for what has changed. One that can't be written is no reason to stop.
    async fn tell(
        &self,
        means: &Means,
        object: &KvCluster,
        before: &KvClusterStatus,
        status: &KvClusterStatus,
    ) {
        let mut events: Vec<Event> = status
            .conditions
            .iter()
            .filter_map(|condition| event(&before.conditions, condition))
            .collect();
        if before.observed_generation != status.observed_generation {
            events.extend(warnings(object));
        }
        let reference = object.object_ref(&());
        for event in events {
            let published = means.recorder.publish(&event, &reference);
            match tokio::time::timeout(WRITE_TIMEOUT, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an event can't be written"
                ),
                Err(_) => tracing::warn!("an event took more than 10 s to write"),
            }
        }
    }
}

/// What a person ordered. What can't be read is told and left out.
fn orders(object: &KvCluster) -> Orders {
    let Some(text) = names::annotation(&object.metadata, names::ORDERS) else {
        return Orders::default();
    };
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::warn!(
            cluster = object.name_any(),
            %error,
            "the annotation {} can't be read",
            names::ORDERS
        );
        Orders::default()
    })
}

/// Conditions are of whole seconds.
fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn refused(object: &KvCluster, before: KvClusterStatus, message: &str) -> KvClusterStatus {
    let mut status = before.clone();
    let verdict = Verdict::no(ConditionType::Progressing, Reason::InvalidSpec, message);
    replace(&mut status, verdict, &before, object);
    status.observed_generation = object.metadata.generation;
    status
}

/// What is wrong with volumes, where nothing worse is: why a full disk does not become larger belongs to what is said of it.
fn with_volumes(conditions: &[Condition], trouble: Verdict) -> Option<Verdict> {
    let there =
        condition::find(conditions, ConditionType::Degraded).filter(|there| there.status == "True");
    match there {
        None => Some(trouble),
        Some(there) if there.reason == Reason::WritesRefused.to_string() => {
            let message = format!("{}; {}", there.message, trouble.message);
            Some(Verdict::yes(
                ConditionType::Degraded,
                Reason::WritesRefused,
                message,
            ))
        }
        Some(_) => None,
    }
}

/// Puts a verdict in the place of the one of its type.
fn replace(
    status: &mut KvClusterStatus,
    verdict: Verdict,
    before: &KvClusterStatus,
    object: &KvCluster,
) {
    let generation = object.metadata.generation.unwrap_or(1);
    let condition =
        verdict.into_condition(&before.conditions, generation, seconds(Timestamp::now()));
    match status
        .conditions
        .iter_mut()
        .find(|other| other.type_ == condition.type_)
    {
        Some(there) => *there = condition,
        None => status.conditions.push(condition),
    }
}

/// What evictions must leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    /// Pods: all but one while every group can spare one, else all.
    min_available: i32,
    /// Whether it will be less before long.
    is_tight: bool,
}

impl Budget {
    fn of(observed: &Observed, object: &KvCluster) -> Self {
        let known = observed.view().cluster.as_ref();
        let is_removed = |id: u64| {
            known.is_some_and(|known| {
                known
                    .nodes
                    .iter()
                    .any(|node| node.id == id && node.state == "Removed")
            })
        };
        let nodes = observed.inventory().nodes.keys();
        let there = i32::try_from(nodes.filter(|id| !is_removed(id.0)).count()).unwrap_or(i32::MAX);
        let can_spare = known.is_some_and(|known| {
            known.is_informed
                && known.weakened == 0
                && known.without_quorum == 0
                && known.replication_factor >= 3
        });
        // Nodes to come count once they are there: a budget above all pods would hold every drain.
        let there = if there == 0 { object.spec.nodes } else { there };
        let copies = known.map_or(0, |known| known.replication_factor);
        Self {
            min_available: if can_spare { there - 1 } else { there },
            is_tight: !can_spare && copies >= 3,
        }
    }
}

fn endpoints(object: &KvCluster) -> Vec<Endpoint> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let endpoint = |protocol: &str, port: i32| Endpoint {
        name: protocol.to_owned(),
        node: String::new(),
        url: format!("http://{name}.{namespace}.svc:{port}"),
    };
    vec![
        endpoint("dynamodb", names::port::DYNAMO),
        endpoint("grpc", names::port::KV),
    ]
}

/// An event for a condition that has turned, or has another reason.
fn event(before: &[Condition], condition: &Condition) -> Option<Event> {
    let was = before.iter().find(|was| was.type_ == condition.type_);
    let is_new =
        was.is_none_or(|was| (&was.status, &was.reason) != (&condition.status, &condition.reason));
    let is_bad = ["Degraded", "DataLost", "HotKey"].contains(&condition.type_.as_str());
    // That nothing is wrong, or due, is news only after something was.
    let is_quiet = is_bad || condition.type_ == "RestartPending";
    if !is_new || (was.is_none() && is_quiet && condition.status == "False") {
        return None;
    }
    let is_warning = (is_bad && condition.status == "True")
        || (condition.type_ == "Ready"
            && condition.status == "False"
            && was.is_some_and(|was| was.status == "True"));
    let note = if condition.message.is_empty() {
        format!("{} is {}", condition.type_, condition.status)
    } else {
        condition.message.clone()
    };
    Some(Event {
        type_: if is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: condition.reason.clone(),
        note: Some(note),
        action: condition.type_.clone(),
        secondary: None,
    })
}

/// What a spec leaves out or open that a person should know of.
fn warnings(object: &KvCluster) -> Vec<Event> {
    let warning = |reason: &str, note: &str| Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note.to_owned()),
        action: "Validate".to_owned(),
        secondary: None,
    };
    let spec = &object.spec;
    let mut warnings = Vec::new();
    if spec
        .auth
        .as_ref()
        .is_some_and(|auth| auth.mode == AuthMode::None)
    {
        warnings.push(warning(
            "OpenToAll",
            "spec.auth.mode is None: whoever reaches the Service may read and write everything",
        ));
    }
    if spec.zones.is_none() && spec.nodes > 1 {
        warnings.push(warning(
            "OneZone",
            "spec.zones names no zones: copies may all lie in one; name the zones of the workers (topology.kubernetes.io/zone)",
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: ConditionType, holds: bool, reason: Reason) -> Condition {
        let verdict = if holds {
            Verdict::yes(type_, reason, "why")
        } else {
            Verdict::no(type_, reason, "why")
        };
        verdict.into_condition(&[], 1, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn volumes_that_can_not_grow_are_told_beside_full_disks_and_after_all_else() {
        let trouble = || Verdict::yes(ConditionType::Degraded, Reason::VolumesAtLimit, "limit");
        let told = |holds, reason| {
            let conditions = [condition(ConditionType::Degraded, holds, reason)];
            with_volumes(&conditions, trouble()).map(|verdict| (verdict.reason, verdict.message))
        };
        assert_eq!(
            told(false, Reason::AsExpected),
            Some((Reason::VolumesAtLimit, "limit".into()))
        );
        assert_eq!(
            told(true, Reason::WritesRefused),
            Some((Reason::WritesRefused, "why; limit".into()))
        );
        assert_eq!(told(true, Reason::NodesDown), None);
    }

    #[test]
    fn only_what_turned_is_an_event() {
        let good = condition(ConditionType::Degraded, false, Reason::AsExpected);
        let bad = condition(ConditionType::Degraded, true, Reason::NodesDown);
        assert!(event(&[], &good).is_none(), "nothing was wrong before");
        assert!(
            event(std::slice::from_ref(&bad), &bad).is_none(),
            "nothing has turned"
        );
        let warning = event(std::slice::from_ref(&good), &bad).expect("news");
        assert_eq!(
            (warning.type_, warning.reason.as_str()),
            (EventType::Warning, "NodesDown")
        );
        assert_eq!(event(&[bad], &good).expect("news").type_, EventType::Normal);
    }
}
