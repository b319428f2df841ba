//! Writes to the API server: server-side apply under our own field manager, deletes with preconditions. What is as it should be is not sent.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use kv_ring::Token;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Class, Error, class};
use super::names;
use crate::metrics::Metrics;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For so long what was sent counts as there though no watch has shown it yet.
const SENT_KEPT: Duration = Duration::from_secs(10);

/// One namespace of the API server, as one cluster's objects are written to it.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    namespace: String,
    metrics: Metrics,
    /// By kind and name: digest and when.
    sent: HashMap<(&'static str, String), (String, Instant)>,
}

impl Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What all our kinds have in common.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + k8s_openapi::Resource
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + k8s_openapi::Resource
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

impl Writer {
    /// For one cluster's objects.
    #[must_use]
    pub fn new(client: Client, namespace: &str, metrics: Metrics) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            metrics,
            sent: HashMap::new(),
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        kind: &'static str,
        name: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        let result = match tokio::time::timeout(TIMEOUT, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::Api {
                verb,
                kind,
                name: name.to_owned(),
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Slow {
                verb,
                kind,
                name: name.to_owned(),
                seconds: TIMEOUT.as_secs(),
            }),
        };
        let outcome = result.as_ref().err().map(Error::class);
        self.metrics
            .api_call(verb, kind, outcome.map_or("ok", Class::label));
        result
    }

    /// A Secret by its name. Secrets are never listed or watched.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let api = self.api::<Secret>();
        self.call("get", "Secret", name, api.get_opt(name)).await
    }

    /// Makes an object so, unless `there` is so already; whether it was sent.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn apply<K: Kind>(&mut self, wanted: &K, there: Option<&K>) -> Result<bool, Error> {
        self.apply_at(wanted, there, None).await
    }

    /// The same, only while the object is as it was seen.
    ///
    /// # Errors
    /// What the API server says; [`Class::Conflict`] if it has changed since.
    pub async fn apply_unchanged<K: Kind>(&mut self, wanted: &K, seen: &K) -> Result<bool, Error> {
        self.apply_at(wanted, Some(seen), seen.resource_version())
            .await
    }

    async fn apply_at<K: Kind>(
        &mut self,
        wanted: &K,
        there: Option<&K>,
        resource_version: Option<String>,
    ) -> Result<bool, Error> {
        let kind = <K as k8s_openapi::Resource>::KIND;
        let name = wanted.name_any();
        let mut value =
            serde_json::to_value(wanted).map_err(|source| Error::Json { kind, source })?;
        let digest = Token::of(value.to_string().as_bytes()).to_string();
        if let Some(there) = there
            && names::annotation(there.meta(), names::APPLIED) == Some(&digest)
            && serde_json::to_value(there).is_ok_and(|there| is_within(&value, &there))
        {
            return Ok(false);
        }
        let key = (kind, name.clone());
        if let Some((sent, at)) = self.sent.get(&key)
            && *sent == digest
            && at.elapsed() < SENT_KEPT
        {
            return Ok(false);
        }
        value["metadata"]["annotations"][names::APPLIED] = Value::from(digest.clone());
        if let Some(version) = resource_version {
            value["metadata"]["resourceVersion"] = Value::from(version);
        }
        let params = PatchParams::apply(names::OPERATOR).force();
        let patch = Patch::Apply(&value);
        let api = self.api::<K>();
        self.call("apply", kind, &name, api.patch(&name, &params, &patch))
            .await?;
        self.sent.retain(|_, (_, at)| at.elapsed() < SENT_KEPT);
        self.sent.insert(key, (digest, Instant::now()));
        Ok(true)
    }

    /// Sets annotations of an object that are not applied with the rest.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn annotate<K: Kind>(
        &self,
        name: &str,
        annotations: &[(&str, &str)],
    ) -> Result<(), Error> {
        let kind = <K as k8s_openapi::Resource>::KIND;
        let pairs = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), Value::from(value)));
        let annotations: serde_json::Map<String, Value> = pairs.collect();
        let patch = serde_json::json!({"metadata": {"annotations": annotations}});
        let params = PatchParams {
            field_manager: Some(names::OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<K>();
        let patch = Patch::Merge(&patch);
        let request = api.patch_metadata(name, &params, &patch);
        self.call("annotate", kind, name, request).await.map(|_| ())
    }

    /// Makes an object that is not there; `false` if it is.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create<K: Kind>(&self, object: &K) -> Result<bool, Error> {
        let kind = <K as k8s_openapi::Resource>::KIND;
        let name = object.name_any();
        let params = PostParams {
            field_manager: Some(names::OPERATOR.to_owned()),
            ..PostParams::default()
        };
        let api = self.api::<K>();
        match self
            .call("create", kind, &name, api.create(&params, object))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.class() == Class::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts an object in the place of the one with the same `resourceVersion`.
    ///
    /// # Errors
    /// What the API server says; [`Class::Conflict`] if it has changed since.
    pub async fn replace<K: Kind>(&self, object: &K) -> Result<K, Error> {
        let kind = <K as k8s_openapi::Resource>::KIND;
        let name = object.name_any();
        let params = PostParams {
            field_manager: Some(names::OPERATOR.to_owned()),
            ..PostParams::default()
        };
        let api = self.api::<K>();
        self.call("replace", kind, &name, api.replace(&name, &params, object))
            .await
    }

    /// Deletes just the object that was seen; one that is gone is no error.
    ///
    /// # Errors
    /// What the API server says; [`Class::Conflict`] if it has changed since.
    pub async fn delete<K: Kind>(&mut self, seen: &K) -> Result<(), Error> {
        let kind = <K as k8s_openapi::Resource>::KIND;
        let name = seen.name_any();
        if seen.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        let params = DeleteParams::background().preconditions(preconditions(seen));
        let api = self.api::<K>();
        self.sent.remove(&(kind, name.clone()));
        match self
            .call("delete", kind, &name, api.delete(&name, &params))
            .await
        {
            Err(error) if error.class() == Class::NotFound => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Asks a pod to leave, if its budget allows.
    ///
    /// # Errors
    /// [`Error::Held`] if the budget does not, else what the API server says.
    pub async fn evict(&self, seen: &Pod) -> Result<(), Error> {
        let name = seen.name_any();
        if seen.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let params = EvictParams {
            delete_options: Some(DeleteParams::default().preconditions(preconditions(seen))),
            ..EvictParams::default()
        };
        let api = self.api::<Pod>();
        match self
            .call("evict", "Pod", &name, api.evict(&name, &params))
            .await
        {
            Err(Error::Api { source, .. }) if is_held(&source) => Err(Error::Held {
                pod: name,
                why: source.to_string(),
            }),
            Err(error) if error.class() == Class::NotFound => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

fn is_held(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 429)
        && class(error) == Class::Passing
}

/// Just this object, unchanged.
fn preconditions<K: Kind>(seen: &K) -> Preconditions {
    Preconditions {
        uid: seen.uid(),
        resource_version: seen.resource_version(),
    }
}

/// Whether all that `wanted` says stands in `there`, which may say more. Lists must be as long, their elements within each other.
fn is_within(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => wanted.iter().all(|(key, value)| {
            there
                .get(key)
                .is_some_and(|there| is_within(value, there))
                // What is empty is left out.
                || (!there.contains_key(key) && is_empty(value))
        }),
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len()
                && wanted
                    .iter()
                    .zip(there)
                    .all(|(wanted, there)| is_within(wanted, there))
        }
        _ => wanted == there,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_makes_no_difference() {
        let wanted = json!({"spec": {"ports": [{"port": 1}], "selector": {"a": "b"}}, "metadata": {"labels": {}}});
        let there = json!({
            "spec": {"ports": [{"port": 1, "protocol": "TCP"}], "selector": {"a": "b"}, "clusterIP": "10.0.0.1"},
            "metadata": {"uid": "1"}
        });
        assert!(is_within(&wanted, &there));
        for (pointer, value) in [
            ("/spec/selector/a", json!("c")),
            ("/spec/ports", json!([])),
            ("/spec/ports/0/port", json!(2)),
        ] {
            let mut other = there.clone();
            *other.pointer_mut(pointer).expect("there") = value;
            assert!(!is_within(&wanted, &other), "{pointer}");
        }
    }
}
