//! Names, labels and annotations of all objects of a cluster. They are a format: objects of earlier releases carry them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::platform::Addresses;

/// The cluster that an object belongs to.
pub const CLUSTER: &str = "ringkv.dev/cluster";
/// The node that an object belongs to.
pub const NODE_ID: &str = "ringkv.dev/node-id";
/// The node's zone.
pub const ZONE: &str = "ringkv.dev/zone";
/// The node's group.
pub const GROUP: &str = "ringkv.dev/group";
/// On a volume whose node has left: the cluster id that it held data of.
pub const RETIRED: &str = "ringkv.dev/retired";
/// Tells nodes' objects from others of the cluster.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of specs.
pub const OPERATOR: &str = "ringkv-operator";
/// The field manager of the status.
pub const STATUS_MANAGER: &str = "ringkv-operator-status";

/// Annotation: the cluster id, the same as in the identity.
pub const CLUSTER_ID: &str = "ringkv.dev/cluster-id";
/// Annotation of the identity: UID of the `KvCluster` that it belongs to.
pub const CLUSTER_UID: &str = "ringkv.dev/cluster-uid";
/// Annotation of a pod: as what it was started ([`crate::platform::NodeObject::started_revision`]).
pub const REVISION: &str = "ringkv.dev/revision";
/// Annotation of a pod: digest of the template that it was made from ([`super::objects::template_digest`]).
pub const TEMPLATE: &str = "ringkv.dev/template";
/// Annotation of a volume: a node was started on it.
pub const USED: &str = "ringkv.dev/used";
/// Annotation of a pod: the size that its volume is to be grown to, so that the kubelet looks at once.
pub const VOLUME_BYTES: &str = "ringkv.dev/volume-bytes";
/// Annotation of all that is applied: digest of what was asked for, so that what is asked for no more is noticed too.
pub const APPLIED: &str = "ringkv.dev/applied";
/// Annotation of a `KvCluster`: what a person ordered beside the spec.
pub const ORDERS: &str = "ringkv.dev/orders";
/// Annotation of a pod: which certificates were put before its node last, so that the kubelet looks at them soon.
pub const CERTIFICATES: &str = "ringkv.dev/certificates";
/// Finalizer of a `KvTable` whose table goes with it.
pub const TABLE_FINALIZER: &str = "ringkv.dev/table";
/// Where the scheduler put a volume.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The zone of a worker.
pub const TOPOLOGY_ZONE: &str = "topology.kubernetes.io/zone";
/// The name of a worker.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Ports of every node.
pub mod port {
    /// The DynamoDB API.
    pub const DYNAMO: i32 = 8000;
    /// Client gRPC.
    pub const KV: i32 = 7000;
    /// Peers and admin.
    pub const PEER: i32 = 7001;
    /// Metrics and health.
    pub const METRICS: i32 = 9090;
}

/// The Secret with identity and CA.
#[must_use]
pub fn identity(cluster: &str) -> String {
    format!("{cluster}-identity")
}

/// The Secret with the access keys that the operator makes.
#[must_use]
pub fn credentials(cluster: &str) -> String {
    format!("{cluster}-credentials")
}

/// The headless Service of the nodes.
#[must_use]
pub fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// The volume of a node.
#[must_use]
pub fn volume(node: &str) -> String {
    format!("data-{node}")
}

/// The one pod of a node's `StatefulSet`.
#[must_use]
pub fn pod(node: &str) -> String {
    format!("{node}-0")
}

/// Where a node is reached: a name that outlives its pods.
#[must_use]
pub fn addresses(namespace: &str, cluster: &str, node: &str) -> Addresses {
    let host = format!("{}.{}.{namespace}.svc", pod(node), nodes_service(cluster));
    Addresses {
        dynamo: format!("{host}:{}", port::DYNAMO),
        kv: format!("{host}:{}", port::KV),
        peer: format!("{host}:{}", port::PEER),
    }
}

/// Labels of all objects of a cluster.
#[must_use]
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "ringkv"),
        ("app.kubernetes.io/instance", cluster),
        (MANAGED_BY, OPERATOR),
        (CLUSTER, cluster),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// What selects the pods of all nodes of a cluster.
#[must_use]
pub fn pod_selector(cluster: &str) -> BTreeMap<String, String> {
    [(CLUSTER, cluster), (COMPONENT, "node")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The same as text.
#[must_use]
pub fn pod_selector_text(cluster: &str) -> String {
    format!("{CLUSTER}={cluster},{COMPONENT}=node")
}

/// A label of an object.
#[must_use]
pub fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// An annotation of an object.
#[must_use]
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}
