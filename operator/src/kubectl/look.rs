//! A look at a running cluster from outside: its objects by the API server, its nodes through it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use kv_ring::NodeId;
use serde::de::DeserializeOwned;

use super::Error;
use super::forward::Forward;
use super::reach::Server;
use crate::command::Seen;
use crate::crd::KvCluster;
use crate::dataplane::dial::Way;
use crate::dataplane::{AdminClients, DataPlane, Targets};
use crate::metrics::Metrics;
use crate::platform::kubernetes::api::Writer;
use crate::platform::kubernetes::identity::Kept;
use crate::platform::kubernetes::wanted::Wanted;
use crate::platform::kubernetes::{Caches, KubernetesPlatform, names, presence};
use crate::platform::{Inventory, NodeObject, Platform, Presence};
use crate::reconcile::apply::chain;

/// How many nodes are asked, besides the leader of the metadata: any of them knows the cluster.
const ASKED_MAX: usize = 3;

/// Looks at a cluster.
pub async fn look(server: &Server, object: &KvCluster) -> Result<Seen, Error> {
    let name = object.name_any();
    let kept = identity(server, object).await?;
    let certificates = kept.operator();
    let (stateful_sets, pods, volumes) = tokio::try_join!(
        stored(server, "statefulsets.apps", &name),
        stored::<Pod>(server, "pods", &name),
        stored(server, "persistentvolumeclaims", &name),
    )?;
    let ready: BTreeSet<String> = pods
        .state_filter(presence::is_ready)
        .iter()
        .map(|pod| pod.name_any())
        .collect();
    let caches = Caches {
        stateful_sets,
        pods,
        volumes,
        // Nobody asks for those who only looks.
        services: reflector::store().0,
        budgets: reflector::store().0,
    };
    let writer = Writer::new(server.client.clone(), &server.namespace, Metrics::default());
    let wanted = Wanted::of(object, "");
    let inventory = KubernetesPlatform::reader(caches, writer, wanted, kept)
        .observe()
        .await?;
    let forward = Forward::new(server.api());
    let mut clients = AdminClients::forwarded(certificates, Way::Over(Arc::new(forward.clone())));
    let mut targets = targets(&inventory, &ready);
    let mut view = clients.observe(&targets).await;
    // It alone knows how the groups are.
    let leader = view.cluster.as_ref().map(|known| NodeId(known.meta_leader));
    let leader = leader.and_then(|id| inventory.nodes.get(&id));
    if let Some(leader) = leader.filter(|node| is_running(node))
        && !targets.addresses.contains_key(&leader.id)
    {
        let address = leader.addresses.peer.clone();
        targets.addresses.insert(leader.id, address);
        view = clients.observe(&targets).await;
    }
    let mut advice = "see `kubectl ringkv status`, and whether its pods are Ready".to_owned();
    if let Some(failure) = forward.failure().filter(|_| view.nodes.is_empty()) {
        // Older API servers ask for the one, newer ones for both.
        match server.refused("get and create", "pods/portforward", failure) {
            error @ Error::Forbidden { .. } => return Err(error),
            error => advice = format!("{advice}; {}", chain(&error)),
        }
    }
    Ok(Seen {
        place: format!("{name} in namespace {}", server.namespace),
        advice,
        inventory,
        view,
        clients,
    })
}

/// The identity of the cluster, with the operator's certificate.
async fn identity(server: &Server, object: &KvCluster) -> Result<Kept, Error> {
    let (name, secret) = (object.name_any(), names::identity(&object.name_any()));
    let api = server.api::<Secret>();
    let resource = format!("secrets/{secret}");
    let found = server.call("get", resource, api.get_opt(&secret)).await?;
    let Some(found) = found else {
        return Err(Error::NotMade { name, secret });
    };
    let kept = Kept::read(found)?;
    if Some(&kept.owner_uid) != object.metadata.uid.as_ref() {
        return Err(Error::Orphaned {
            name,
            secret,
            found: kept.file.cluster_id,
        });
    }
    Ok(kept)
}

/// All objects of a kind that belong to the cluster, as if a watch had shown them.
async fn stored<K>(server: &Server, resource: &str, cluster: &str) -> Result<Store<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Lookup<DynamicType: Default + Eq + Hash + Clone>
        + Clone
        + Debug
        + DeserializeOwned
        + 'static,
{
    let api = server.api::<K>();
    let ours = ListParams::default().labels(&format!("{}={cluster}", names::CLUSTER));
    let list = server.call("list", resource, api.list(&ours)).await?;
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&watcher::Event::Init);
    for object in list.items {
        writer.apply_watcher_event(&watcher::Event::InitApply(object));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
    Ok(store)
}

/// Whom to ask: nodes that run, at most [`ASKED_MAX`], those whose pods are ready first.
fn targets(inventory: &Inventory, ready: &BTreeSet<String>) -> Targets {
    let running = inventory.nodes.values().filter(|node| is_running(node));
    let mut nodes: Vec<&NodeObject> = running.collect();
    nodes.sort_by_key(|node| (!ready.contains(&names::pod(&node.name)), node.id));
    let identity = inventory.identity.as_ref();
    Targets {
        cluster_id: identity
            .map(|identity| identity.cluster_id.clone())
            .unwrap_or_default(),
        addresses: nodes
            .into_iter()
            .take(ASKED_MAX)
            .map(|node| (node.id, node.addresses.peer.clone()))
            .collect(),
    }
}

fn is_running(node: &NodeObject) -> bool {
    node.presence == Presence::Running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Addresses, Disk};

    fn node(id: u64, presence: Presence) -> (NodeId, NodeObject) {
        let name = format!("rides-{id}");
        let object = NodeObject {
            id: NodeId(id),
            addresses: names::addresses("there", "rides", &name),
            name,
            zone: "a".into(),
            group: "default".into(),
            started_revision: None,
            host: String::new(),
            presence,
            disk: Disk::Used,
            pid: None,
            trouble: None,
        };
        (NodeId(id), object)
    }

    #[test]
    fn few_are_asked_and_who_is_ready_first() {
        let nodes = (1..=7).map(|id| node(id, Presence::Running));
        let mut inventory = Inventory {
            nodes: nodes.collect(),
            ..Inventory::default()
        };
        inventory.nodes.extend([node(6, Presence::Absent)]);
        let ready = ["rides-5-0", "rides-6-0", "rides-7-0"].map(String::from);
        let asked = targets(&inventory, &ready.into()).addresses;
        let ids: Vec<u64> = asked.keys().map(|id| id.0).collect();
        assert_eq!(ids, [1, 5, 7]);
        assert_eq!(
            asked[&NodeId(5)],
            Addresses::clone(&inventory.nodes[&NodeId(5)].addresses).peer
        );
    }
}
