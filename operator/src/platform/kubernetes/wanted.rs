//! What a valid spec says about pods and volumes, with the operator's own defaults filled in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::growth::Growth;
use crate::crd::{AuthMode, Bytes, KvCluster, Pod, Service, StoragePolicy};
use crate::platform::authorities::Policy;

/// How large a volume is where the spec says nothing.
const SIZE_DEFAULT: &str = "10Gi";

/// Whom the API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everyone.
    Open,
    /// Who has the keys of a Secret that the operator makes.
    Made,
    /// Who has the keys of this Secret.
    Named(String),
}

/// A cluster as its objects show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// UID of the `KvCluster`.
    pub uid: String,
    /// For whatever goes with the `KvCluster`.
    pub owner: OwnerReference,
    /// The image that nodes run.
    pub image: String,
    /// Whom the API serves.
    pub auth: Auth,
    /// Resources by group; the group of none for the others.
    resources: BTreeMap<String, ResourceRequirements>,
    resources_default: Option<ResourceRequirements>,
    /// What pods have besides.
    pub pod: Pod,
    /// The client Service.
    pub service: Service,
    /// Whether Prometheus is told of the nodes by annotations.
    pub is_annotated: bool,
    /// How large volumes are, a quantity.
    pub size: String,
    /// When and how far they grow by themselves.
    pub growth: Option<Growth>,
    /// Their class.
    pub class_name: Option<String>,
    /// Whether volumes go with the `KvCluster`.
    pub deletes_volumes: bool,
    /// Whose volumes are taken over.
    pub adopt: Option<String>,
    /// Whether zones are those of workers, or only a word.
    pub has_zones: bool,
    /// For how long a node serves on that was told to stop, seconds.
    pub drain_seconds: u32,
    /// How long certificates last, and when they are turned.
    pub tls: Policy,
}

impl Wanted {
    /// Reads a spec that was validated.
    #[must_use]
    pub fn of(object: &KvCluster, image_default: &str) -> Self {
        let spec = &object.spec;
        let storage = spec.storage.clone().unwrap_or_default();
        let groups = spec.node_groups.iter().flatten();
        let resources = groups
            .filter_map(|group| Some((group.name.clone(), group.resources.clone()?)))
            .collect();
        let auth = match &spec.auth {
            None => Auth::Made,
            Some(auth) if auth.mode == AuthMode::None => Auth::Open,
            Some(auth) => Auth::Named(auth.secret_name.clone().unwrap_or_default()),
        };
        Self {
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            uid: object.uid().unwrap_or_default(),
            owner: object.controller_owner_ref(&()).unwrap_or_default(),
            image: spec
                .image
                .clone()
                .unwrap_or_else(|| image_default.to_owned()),
            auth,
            resources,
            resources_default: spec.resources.clone(),
            pod: spec.pod.clone().unwrap_or_default(),
            service: spec.service.clone().unwrap_or_default(),
            is_annotated: spec
                .monitoring
                .as_ref()
                .and_then(|monitoring| monitoring.annotations)
                .unwrap_or(false),
            size: storage
                .size
                .map_or_else(|| SIZE_DEFAULT.to_owned(), |size| quantity(&size)),
            growth: storage.growth.as_ref().map(Growth::of),
            class_name: storage.class_name,
            deletes_volumes: storage.policy == Some(StoragePolicy::Delete),
            adopt: storage.adopt,
            has_zones: spec.zones.is_some(),
            tls: Policy::of(spec),
            drain_seconds: spec
                .drain_seconds
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(crate::reconcile::validate::DRAIN_SECONDS_DEFAULT),
        }
    }

    /// Resources of a group's nodes.
    #[must_use]
    pub fn resources(&self, group: &str) -> Option<&ResourceRequirements> {
        self.resources
            .get(group)
            .or(self.resources_default.as_ref())
    }
}

fn quantity(bytes: &Bytes) -> String {
    match bytes {
        Bytes::Number(number) => number.to_string(),
        Bytes::Text(text) => text.clone(),
    }
}
