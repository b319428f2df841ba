//! The Kubernetes platform: a node is a `StatefulSet` of one pod, a volume and a Secret, all named after it.
//!
//! ```text
//! Prepare   volume, Secret, StatefulSet with 0 replicas, each if it is missing
//! Start     Secret anew, volume marked as used, StatefulSet with 1 replica; a pod that doesn't run and is outdated is deleted
//! Restart   as Start, then the pod is evicted: the StatefulSet makes it anew from the newer template, whether the operator lives or not
//! Stop      StatefulSet with 0 replicas
//! Forget    volume deleted or marked as retired, Secret and StatefulSet deleted
//! ```
//!
//! What is observed comes from watches and may be old. So each of these is safe to do twice and late: applies say the whole of what is
//! wanted, deletes and evictions name the very object that was seen, the identity is replaced only as it was read. `observe` never
//! takes a pod for dead that it merely does not hear of.

mod affinity;
pub mod api;
mod certificates;
pub mod error;
pub mod growth;
pub mod identity;
pub mod names;
pub mod objects;
mod pending;
pub mod presence;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kv_proto::client::ClientTls;
use kv_ring::NodeId;

use super::authorities::Trust;
use super::node_config::{AccessKey, Advertise, AuthConfig, Listen, NodeConfig, Seed, Tls};
use super::{Action, ClusterIdentity, Defaults, Disk, Inventory, NodeObject, Platform, Presence};
use crate::crd::condition::{ConditionType, Reason, Verdict};
use crate::dataplane::ClusterView;
use crate::plan::seats::Seat;
use api::Writer;
pub use error::Error;
use growth::{Claim, Fill};
use identity::Kept;
use names::port;
use objects::NodeSeat;
use wanted::{Auth, Wanted};

/// The account of the keys of a Secret, and of everybody where there are none: whose tables a cluster's tables are.
pub const ACCOUNT: &str = "000000000000";
/// For how long the identity is taken from memory: only the operator changes it, a person may take it away.
const IDENTITY_KEPT: Duration = Duration::from_secs(30);

/// What watches have shown, for all clusters.
#[derive(Clone, Debug)]
pub struct Caches {
    /// Of nodes.
    pub stateful_sets: Store<StatefulSet>,
    /// Of nodes.
    pub pods: Store<Pod>,
    /// Of nodes.
    pub volumes: Store<PersistentVolumeClaim>,
    /// Of clusters.
    pub services: Store<Service>,
    /// Of clusters.
    pub budgets: Store<PodDisruptionBudget>,
}

/// One cluster.
#[derive(Debug)]
pub struct KubernetesPlatform {
    caches: Caches,
    writer: Writer,
    wanted: Wanted,
    identity: Option<(Instant, Option<Kept>)>,
    /// Where a node's pod ran last: while it is being moved nothing else is known.
    hosts: BTreeMap<NodeId, String>,
    /// Peer addresses of all nodes that were seen or prepared, for new ones to find the others.
    seeds: BTreeMap<u64, String>,
    /// Volumes as they were seen before the nodes were asked last, and what those said of their disks then.
    claims: BTreeMap<NodeId, Claim>,
    fills: BTreeMap<NodeId, (Claim, Fill)>,
    volume_trouble: Option<String>,
    /// Nodes whose volumes should grow by themselves and may not.
    at_limit: Vec<String>,
    given: certificates::Given,
    offer: Option<certificates::Offer>,
    /// Of templates that nodes would be made from now, for as long as what is wanted stays the same.
    digests: BTreeMap<NodeId, String>,
}

impl KubernetesPlatform {
    /// A cluster that was not looked at yet.
    #[must_use]
    pub const fn new(caches: Caches, writer: Writer, wanted: Wanted) -> Self {
        Self {
            caches,
            writer,
            wanted,
            identity: None,
            hosts: BTreeMap::new(),
            seeds: BTreeMap::new(),
            claims: BTreeMap::new(),
            fills: BTreeMap::new(),
            volume_trouble: None,
            at_limit: Vec::new(),
            given: certificates::Given::new(),
            offer: None,
            digests: BTreeMap::new(),
        }
    }

    /// A cluster for who only looks: nothing is made, the identity is as it was read.
    #[must_use]
    pub fn reader(caches: Caches, writer: Writer, wanted: Wanted, kept: Kept) -> Self {
        Self {
            identity: Some((Instant::now(), Some(kept))),
            ..Self::new(caches, writer, wanted)
        }
    }

    /// Takes what is wanted now, and makes what the cluster has as a whole. The identity is read if it is time.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn refresh(&mut self, wanted: Wanted) -> Result<(), Error> {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.identity = None;
            self.digests.clear();
        }
        let is_fresh = self.identity.as_ref().is_some_and(|(at, kept)| {
            kept.as_ref()
                .is_some_and(|kept| kept.file.is_formed && kept.owner_uid == self.wanted.uid)
                && at.elapsed() < IDENTITY_KEPT
        });
        if !is_fresh {
            self.read_identity().await?;
        }
        if self.kept().is_some() && self.own().is_err() {
            return Ok(());
        }
        self.read_offer().await?;
        let (headless, client) = (
            objects::nodes_service(&self.wanted),
            objects::client_service(&self.wanted),
        );
        for service in [headless, client] {
            let there = self.cached(&self.caches.services, &service.name_any());
            self.writer.apply(&service, there.as_deref()).await?;
        }
        self.refresh_volumes().await
    }

    /// Volumes that are there as they should be by now: as large, and gone with the `KvCluster` or not.
    async fn refresh_volumes(&mut self) -> Result<(), Error> {
        self.volume_trouble = None;
        self.at_limit.clear();
        self.claims.clear();
        let Ok(cluster_id) = self.own().map(|kept| kept.file.cluster_id.clone()) else {
            return Ok(());
        };
        for seat in self.seats().into_values() {
            let name = names::volume(&seat.name);
            let Some(there) = self.cached(&self.caches.volumes, &name) else {
                continue;
            };
            self.claims.insert(NodeId(seat.id), Claim::of(&there));
            if self.aim(seat.id, &there).is_at_limit {
                self.at_limit.push(seat.name.clone());
            }
            self.tell_kubelet(&there, &seat).await;
            match self.apply_volume(&cluster_id, &seat).await {
                // A class that does not let volumes grow keeps nothing else from being done.
                Err(error) if error.class() == error::Class::Refused => {
                    self.volume_trouble = Some(error.to_string());
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Why volumes are not as they should be.
    #[must_use]
    pub fn volume_trouble(&self) -> Option<Verdict> {
        use ConditionType::Degraded;
        if let Some(why) = &self.volume_trouble {
            return Some(Verdict::yes(Degraded, Reason::StepFailed, why));
        }
        if self.at_limit.is_empty() {
            return None;
        }
        let limit = self.wanted.growth.map_or(0, |growth| growth.limit);
        let message = format!(
            "the volume of {} is nearly full and as large as it may become by itself; raise spec.storage.growth.limit ({}) or \
             spec.storage.size, add nodes, or delete data",
            self.at_limit.join(", "),
            growth::quantity(limit)
        );
        Some(Verdict::yes(Degraded, Reason::VolumesAtLimit, message))
    }

    /// Takes what the nodes have just said of their disks. It counts for as long as their volumes are as they were before the question.
    pub fn note_fills(&mut self, view: &ClusterView) {
        let claims = &self.claims;
        self.fills.retain(|id, (of, _)| claims.get(id) == Some(of));
        let on_time = view.nodes.iter().filter(|(_, node)| !node.is_late);
        self.fills.extend(on_time.filter_map(|(&id, node)| {
            let fill = Fill::of(node.status.as_ref()?)?;
            Some((id, (*claims.get(&id)?, fill)))
        }));
    }

    /// What a volume that is there should be.
    fn aim(&self, id: u64, there: &PersistentVolumeClaim) -> growth::Aim {
        let claim = Claim::of(there);
        let said = self.fills.get(&NodeId(id)).filter(|(of, _)| *of == claim);
        let size = growth::bytes(&self.wanted.size);
        growth::aim(
            size,
            self.wanted.growth.as_ref(),
            claim,
            said.map(|(_, fill)| *fill),
        )
    }

    /// Has the kubelet look at a file system that is to grow. Without it that is done too, later.
    async fn tell_kubelet(&self, volume: &PersistentVolumeClaim, seat: &NodeSeat) {
        let name = seat.name_of_pod();
        let Some(pod) = self.cached(&self.caches.pods, &name) else {
            return;
        };
        let Some(size) = growth::news(volume, &pod) else {
            return;
        };
        let annotations = [(names::VOLUME_BYTES, size.as_str())];
        if let Err(error) = self.writer.annotate::<Pod>(&name, &annotations).await {
            tracing::debug!(
                node = seat.name,
                error = &error as &dyn std::error::Error,
                "the kubelet is not told of a volume's new size"
            );
        }
    }

    async fn read_identity(&mut self) -> Result<(), Error> {
        let name = names::identity(&self.wanted.name);
        let mut kept = match self.writer.secret(&name).await? {
            Some(secret) if secret.metadata.deletion_timestamp.is_none() => {
                Some(Kept::read(secret)?)
            }
            _ => None,
        };
        if let Some(found) = &kept {
            let is_ours = found.owner_uid == self.wanted.uid
                || self.wanted.adopt.as_ref() == Some(&found.file.cluster_id);
            if let Some(secret) = found.adopted(&self.wanted).filter(|_| is_ours) {
                kept = Some(Kept::read(self.writer.replace(&secret).await?)?);
            }
        }
        self.identity = Some((Instant::now(), kept));
        Ok(())
    }

    fn kept(&self) -> Option<&Kept> {
        self.identity.as_ref()?.1.as_ref()
    }

    /// The identity, if it is this very `KvCluster`'s.
    fn own(&self) -> Result<&Kept, Error> {
        self.kept()
            .filter(|kept| kept.owner_uid == self.wanted.uid)
            .ok_or_else(|| Error::IdentityMissing {
                name: names::identity(&self.wanted.name),
            })
    }

    /// The operator's certificates, once there are any.
    #[must_use]
    pub fn operator(&self) -> Option<ClientTls> {
        self.own().ok().map(Kept::operator)
    }

    /// Sets how many pods evictions must leave.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn set_budget(&mut self, min_available: i32) -> Result<(), Error> {
        let budget = objects::budget(&self.wanted, min_available);
        let there = self.cached(&self.caches.budgets, &budget.name_any());
        self.writer.apply(&budget, there.as_deref()).await?;
        Ok(())
    }

    /// How many of the cluster's pods the Service sends requests to, and how many there are.
    #[must_use]
    pub fn ready_pods(&self) -> (usize, usize) {
        let pods = self
            .caches
            .pods
            .state_filter(|pod| self.belongs(&pod.metadata));
        let ready = pods.iter().filter(|pod| presence::is_ready(pod)).count();
        (ready, pods.len())
    }

    fn cached<K>(&self, store: &Store<K>, name: &str) -> Option<std::sync::Arc<K>>
    where
        K: kube::runtime::reflector::Lookup<DynamicType = ()> + Clone + 'static,
    {
        store.get(&ObjectRef::new(name).within(&self.wanted.namespace))
    }

    fn belongs(&self, meta: &ObjectMeta) -> bool {
        meta.namespace.as_deref() == Some(&self.wanted.namespace)
            && names::label(meta, names::CLUSTER) == Some(&self.wanted.name)
    }

    /// Nodes by what is there of them: a `StatefulSet`, or at least a volume that was not put aside.
    fn seats(&self) -> BTreeMap<NodeId, NodeSeat> {
        let ours = self.kept().map(|kept| kept.file.cluster_id.as_str());
        let volumes = self.caches.volumes.state_filter(|volume| {
            let meta = &volume.metadata;
            self.belongs(meta)
                && names::label(meta, names::RETIRED).is_none()
                && (ours.is_none() || names::annotation(meta, names::CLUSTER_ID) == ours)
        });
        let sets = self.caches.stateful_sets.state_filter(|set| {
            self.belongs(&set.metadata)
                && set.metadata.deletion_timestamp.is_none()
                // One of a KvCluster of the same name that was deleted just now goes by itself.
                && set.owner_references().iter().any(|owner| owner.uid == self.wanted.uid)
        });
        let metas = volumes
            .iter()
            .map(|volume| (&volume.metadata, "data-"))
            .chain(sets.iter().map(|set| (&set.metadata, "")));
        metas
            .filter_map(|(meta, prefix)| Some((NodeId(id_of(meta)?), seat_of(meta, prefix)?)))
            .collect()
    }

    fn object(&self, id: NodeId, seat: NodeSeat) -> (NodeObject, Option<String>) {
        let pod = self.cached(&self.caches.pods, &names::pod(&seat.name));
        let volume = self.cached(&self.caches.volumes, &names::volume(&seat.name));
        let set = self.cached(&self.caches.stateful_sets, &seat.name);
        let template = set
            .as_ref()
            .and_then(|set| set.spec.template.metadata.as_ref());
        let noted = template.and_then(|meta| names::annotation(meta, names::REVISION));
        let (presence, trouble) = presence::presence(pod.as_deref());
        let worker = pod
            .as_ref()
            .and_then(|pod| pod.spec.as_ref())
            .and_then(|spec| spec.node_name.clone());
        let selected = volume
            .as_ref()
            .and_then(|volume| names::annotation(&volume.metadata, names::SELECTED_NODE));
        let host = worker
            .clone()
            .or_else(|| self.hosts.get(&id).cloned())
            .or_else(|| selected.map(str::to_owned))
            // Until it has a worker it counts as being on one of its own: a host without a name is none.
            .unwrap_or_else(|| names::pod(&seat.name));
        let is_used = volume
            .as_ref()
            .is_some_and(|volume| names::annotation(&volume.metadata, names::USED).is_some());
        let object = NodeObject {
            id,
            addresses: names::addresses(&self.wanted.namespace, &self.wanted.name, &seat.name),
            name: seat.name,
            zone: seat.zone,
            group: seat.group,
            started_revision: match &pod {
                Some(pod) => presence::revision(pod),
                None => noted.filter(|noted| !noted.is_empty()).map(str::to_owned),
            },
            host,
            presence,
            disk: if is_used { Disk::Used } else { Disk::Empty },
            pid: None,
            trouble,
        };
        (object, worker)
    }

    async fn keep_identity(&mut self, cluster_id: &str) -> Result<(), Error> {
        if let Some(kept) = self.kept() {
            return if kept.file.cluster_id == cluster_id {
                Ok(())
            } else {
                Err(Error::IdentityTaken {
                    name: names::identity(&self.wanted.name),
                })
            };
        }
        let secret = identity::make(&self.wanted, cluster_id, self.offered_pair())?;
        let is_made = self.writer.create(&secret).await?;
        // Who else made one first: its id counts, and the next round goes on with it.
        self.read_identity().await?;
        if is_made
            || self
                .kept()
                .is_some_and(|kept| kept.file.cluster_id == cluster_id)
        {
            Ok(())
        } else {
            Err(Error::IdentityTaken {
                name: secret.name_any(),
            })
        }
    }

    async fn mark_formed(&mut self, founders: &BTreeSet<NodeId>) -> Result<(), Error> {
        let kept = self.own()?;
        let mut file = kept.file.clone();
        file.is_formed = true;
        file.founders = founders.iter().map(|id| id.0).collect();
        let secret = kept.with(&file)?;
        let replaced = self.writer.replace(&secret).await;
        if replaced.is_err() {
            self.identity = None;
        }
        self.identity = Some((Instant::now(), Some(Kept::read(replaced?)?)));
        Ok(())
    }

    async fn prepare(&mut self, cluster_id: &str, seats: &[Seat]) -> Result<(), Error> {
        for seat in seats {
            let seat = NodeSeat {
                id: seat.id.0,
                name: seat.name.clone(),
                zone: seat.zone.clone(),
                group: seat.group.clone(),
            };
            let peer = names::addresses(&self.wanted.namespace, &self.wanted.name, &seat.name).peer;
            self.seeds.insert(seat.id, peer);
            self.apply_volume(cluster_id, &seat).await?;
            let there = self.cached(&self.caches.stateful_sets, &seat.name);
            // One that runs goes on as what it runs as.
            let (replicas, revision, drain) = running_as(there.as_deref());
            let drain = drain.unwrap_or(self.wanted.drain_seconds);
            let set = objects::stateful_set(&self.wanted, &seat, &revision, drain, replicas);
            self.writer.apply(&set, there.as_deref()).await?;
        }
        Ok(())
    }

    /// A volume that is there keeps its class and is never asked to shrink. It is changed only as it was seen: by an old claim it would be
    /// asked for a size that it has outgrown.
    async fn apply_volume(&mut self, cluster_id: &str, seat: &NodeSeat) -> Result<(), Error> {
        let there = self.cached(&self.caches.volumes, &names::volume(&seat.name));
        let spec = there.as_ref().and_then(|volume| volume.spec.as_ref());
        let class_name = match &there {
            // Named by admission where nobody else did: then it isn't ours to say.
            Some(volume) => names::annotation(&volume.metadata, CLASS_OURS)
                .is_some()
                .then(|| spec.and_then(|spec| spec.storage_class_name.clone()))
                .flatten(),
            None => self.wanted.class_name.clone(),
        };
        let aimed = there.as_ref().map(|there| self.aim(seat.id, there).bytes);
        let asked = spec
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
            .map(|size| size.0.clone());
        let same = |size: &String| aimed.is_none_or(|aimed| growth::bytes(size) == aimed);
        let size = asked
            .filter(same)
            .or_else(|| Some(self.wanted.size.clone()).filter(same))
            .unwrap_or_else(|| growth::quantity(aimed.unwrap_or_default()));
        let mut volume = objects::volume(&self.wanted, seat, cluster_id, class_name.clone(), size);
        if class_name.is_some() {
            volume
                .annotations_mut()
                .insert(CLASS_OURS.to_owned(), "true".to_owned());
        }
        let applied = match there.as_deref() {
            Some(there) => self.writer.apply_unchanged(&volume, there).await,
            None => self.writer.apply(&volume, None).await,
        };
        match applied {
            // What was seen is old: the next round sees better.
            Err(error) if error.class() == error::Class::Conflict => Ok(()),
            applied => applied.map(|_| ()),
        }
    }

    /// Apart from what is applied: an apply that goes by an old cache must not take the mark away.
    async fn mark_used(&mut self, seat: &NodeSeat) -> Result<(), Error> {
        let name = names::volume(&seat.name);
        let there = self.cached(&self.caches.volumes, &name);
        let is_used =
            there.is_some_and(|volume| names::annotation(&volume.metadata, names::USED).is_some());
        if is_used {
            return Ok(());
        }
        let annotations = [(names::USED, "true")];
        self.writer
            .annotate::<PersistentVolumeClaim>(&name, &annotations)
            .await
    }

    async fn apply_secret(&mut self, seat: &NodeSeat, drain_seconds: u32) -> Result<(), Error> {
        let there = self.writer.secret(&seat.name).await?;
        // A node must not start with what another operator has gone on from.
        self.read_identity().await?;
        let cluster_id = self.own()?.file.cluster_id.clone();
        let config = self.node_config(&cluster_id, seat, drain_seconds).await?;
        let config = serde_json::to_string_pretty(&config).map_err(|source| Error::Json {
            kind: "Secret",
            source,
        })?;
        let files = certificates::files(self.own()?, there.as_ref(), seat, &self.wanted, config)?;
        let secret = objects::node_secret(&self.wanted, seat, files);
        self.writer.apply(&secret, there.as_ref()).await?;
        Ok(())
    }

    async fn node_config(
        &self,
        cluster_id: &str,
        seat: &NodeSeat,
        drain_seconds: u32,
    ) -> Result<NodeConfig, Error> {
        let (namespace, name) = (&self.wanted.namespace, &self.wanted.name);
        let own = names::addresses(namespace, name, &seat.name);
        let mut seeds = self.seeds.clone();
        seeds.insert(seat.id, own.peer.clone());
        let listen = |port: i32| format!("0.0.0.0:{port}");
        let file = |name: &str| format!("{}/{name}", objects::CONFIG_DIR).into();
        Ok(NodeConfig {
            cluster_id: cluster_id.to_owned(),
            node_id: seat.id,
            name: seat.name.clone(),
            zone: seat.zone.clone(),
            host: names::pod(&seat.name),
            data_dir: format!("{}/node", objects::DATA_DIR).into(),
            listen: Listen {
                dynamo: listen(port::DYNAMO),
                kv: listen(port::KV),
                peer: listen(port::PEER),
                metrics: listen(port::METRICS),
            },
            advertise: Advertise {
                dynamo: own.dynamo,
                kv: own.kv,
                peer: own.peer,
            },
            tls: Tls {
                ca: file("ca.crt"),
                cert: file("tls.crt"),
                key: file("tls.key"),
            },
            seeds: seeds
                .into_iter()
                .map(|(id, address)| Seed { id, address })
                .collect(),
            auth: AuthConfig {
                access_keys: self.access_keys().await?,
            },
            drain_seconds: u64::from(drain_seconds),
        })
    }

    async fn access_keys(&self) -> Result<Vec<AccessKey>, Error> {
        let (name, is_ours) = match &self.wanted.auth {
            Auth::Open => return Ok(Vec::new()),
            Auth::Made => (names::credentials(&self.wanted.name), true),
            Auth::Named(name) => (name.clone(), false),
        };
        let secret = match self.writer.secret(&name).await? {
            Some(secret) => secret,
            None if is_ours => self.make_credentials(&name).await?,
            None => {
                return Err(Error::Credentials {
                    name,
                    what: "it does not exist",
                });
            }
        };
        let text = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            let text = String::from_utf8(bytes.0.clone()).ok()?;
            let text = text.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        match (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Ok(vec![AccessKey {
                id,
                secret,
                account: text("account").unwrap_or_else(|| ACCOUNT.to_owned()),
            }]),
            _ => Err(Error::Credentials {
                name,
                what: "one is missing or empty",
            }),
        }
    }

    /// Keys of the shape that SDKs know, named so that a pod can take the Secret as its environment.
    async fn make_credentials(&self, name: &str) -> Result<Secret, Error> {
        let random = |chars: usize| -> String {
            const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            (0..chars)
                .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
                .collect()
        };
        let data = [
            ("AWS_ACCESS_KEY_ID", format!("RKV{}", random(17))),
            ("AWS_SECRET_ACCESS_KEY", random(40)),
        ];
        let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
        let secret = Secret {
            metadata: objects::kept_meta(&self.wanted, name.to_owned()),
            data: Some(data.into()),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        if self.writer.create(&secret).await? {
            return Ok(secret);
        }
        self.writer
            .secret(name)
            .await?
            .ok_or_else(|| Error::IdentityMissing {
                name: name.to_owned(),
            })
    }

    /// All that a node takes to run, the pod itself left alone.
    async fn set_up(
        &mut self,
        id: NodeId,
        revision: &str,
        drain_seconds: u32,
    ) -> Result<Option<NodeSeat>, Error> {
        let Some(seat) = self.seats().remove(&id) else {
            return Ok(None);
        };
        let cluster_id = self.own()?.file.cluster_id.clone();
        self.apply_secret(&seat, drain_seconds).await?;
        // Before the pod: a node that was started may hold data, whatever becomes of the operator.
        self.apply_volume(&cluster_id, &seat).await?;
        self.mark_used(&seat).await?;
        let there = self.cached(&self.caches.stateful_sets, &seat.name);
        let set = objects::stateful_set(&self.wanted, &seat, revision, drain_seconds, 1);
        self.writer.apply(&set, there.as_deref()).await?;
        Ok(Some(seat))
    }

    async fn start(&mut self, id: NodeId, revision: &str, drain_seconds: u32) -> Result<(), Error> {
        let Some(seat) = self.set_up(id, revision, drain_seconds).await? else {
            return Ok(());
        };
        let Some(pod) = self.cached(&self.caches.pods, &seat.name_of_pod()) else {
            return Ok(());
        };
        let is_running = presence::presence(Some(&pod)).0 == Presence::Running;
        let is_outdated = presence::revision(&pod).as_deref() != Some(revision)
            || self
                .cached(&self.caches.stateful_sets, &seat.name)
                .is_some_and(|set| presence::is_of_an_older_template(&pod, &set));
        if !is_running && is_outdated {
            self.writer.delete(&*pod).await?;
        }
        Ok(())
    }

    async fn restart(
        &mut self,
        id: NodeId,
        revision: &str,
        drain_seconds: u32,
    ) -> Result<(), Error> {
        let Some(seat) = self.set_up(id, revision, drain_seconds).await? else {
            return Ok(());
        };
        match self.cached(&self.caches.pods, &seat.name_of_pod()) {
            Some(pod) => self.writer.evict(&pod).await,
            None => Ok(()),
        }
    }

    async fn stop(&mut self, id: NodeId) -> Result<(), Error> {
        let Some(seat) = self.seats().remove(&id) else {
            return Ok(());
        };
        let Some(there) = self.cached(&self.caches.stateful_sets, &seat.name) else {
            return Ok(());
        };
        let (_, revision, drain) = running_as(Some(&there));
        let drain = drain.unwrap_or(self.wanted.drain_seconds);
        let set = objects::stateful_set(&self.wanted, &seat, &revision, drain, 0);
        self.writer.apply(&set, Some(&there)).await?;
        Ok(())
    }

    /// The volume first: without it the rest is nobody's, and is not taken for a node.
    async fn forget(&mut self, id: NodeId, deletes_disk: bool) -> Result<(), Error> {
        let Some(seat) = self.seats().remove(&id) else {
            return Ok(());
        };
        if let Some(volume) = self.cached(&self.caches.volumes, &names::volume(&seat.name)) {
            if deletes_disk {
                self.writer.delete(&*volume).await?;
            } else {
                self.retire(&volume).await?;
            }
        }
        if let Some(secret) = self.writer.secret(&seat.name).await? {
            self.writer.delete(&secret).await?;
        }
        if let Some(set) = self.cached(&self.caches.stateful_sets, &seat.name) {
            self.writer.delete(&*set).await?;
        }
        self.hosts.remove(&id);
        self.seeds.remove(&id.0);
        Ok(())
    }

    /// Marks a volume as one that no node is started on any more.
    async fn retire(&mut self, volume: &PersistentVolumeClaim) -> Result<(), Error> {
        let cluster_id = names::annotation(&volume.metadata, names::CLUSTER_ID);
        let mut retired = volume.clone();
        let label = cluster_id.unwrap_or("unknown").to_owned();
        retired
            .labels_mut()
            .insert(names::RETIRED.to_owned(), label);
        self.writer.replace(&retired).await?;
        Ok(())
    }

    /// Puts aside what is left of a lost cluster. The identity goes last: until then all of this is done again.
    async fn renew(&mut self, old_id: &str, cluster_id: &str) -> Result<(), Error> {
        let kept = self.own()?;
        if kept.file.cluster_id != old_id {
            return Err(Error::IdentityTaken {
                name: names::identity(&self.wanted.name),
            });
        }
        let secret = kept.renewed(&self.wanted, cluster_id, self.offered_pair())?;
        let ids: Vec<NodeId> = self.seats().into_keys().collect();
        for id in ids {
            self.forget(id, false).await?;
        }
        let replaced = self.writer.replace(&secret).await?;
        self.identity = Some((Instant::now(), Some(Kept::read(replaced)?)));
        Ok(())
    }
}

/// Annotation of a volume: its class was named by the spec, not by admission.
const CLASS_OURS: &str = "ringkv.dev/class-named";

impl NodeSeat {
    fn name_of_pod(&self) -> String {
        names::pod(&self.name)
    }
}

fn id_of(meta: &ObjectMeta) -> Option<u64> {
    names::label(meta, names::NODE_ID)?.parse().ok()
}

fn seat_of(meta: &ObjectMeta, prefix: &str) -> Option<NodeSeat> {
    let label = |name| names::label(meta, name).map(str::to_owned);
    Some(NodeSeat {
        id: id_of(meta)?,
        name: meta.name.as_deref()?.strip_prefix(prefix)?.to_owned(),
        zone: label(names::ZONE)?,
        group: label(names::GROUP)?,
    })
}

/// Replicas, revision and seconds of draining of a `StatefulSet`; one that is not there yet has none.
fn running_as(set: Option<&StatefulSet>) -> (i32, String, Option<u32>) {
    let Some(spec) = set.map(|set| &set.spec) else {
        return (0, String::new(), None);
    };
    let meta = spec.template.metadata.as_ref();
    let revision = meta.and_then(|meta| names::annotation(meta, names::REVISION));
    let grace = spec
        .template
        .spec
        .as_ref()
        .and_then(|pod| pod.termination_grace_period_seconds);
    let drain = grace.and_then(|grace| u32::try_from(grace - objects::FORCE_AFTER_SECONDS).ok());
    (
        spec.replicas.unwrap_or(1),
        revision.unwrap_or_default().to_owned(),
        drain,
    )
}

impl Platform for KubernetesPlatform {
    type Error = Error;

    // Where workers' zones are not named, all nodes count as being in one.
    const DEFAULTS: Defaults = Defaults {
        zones: &["default"],
        is_open: false,
    };

    async fn observe(&mut self) -> Result<Inventory, Error> {
        let mut inventory = Inventory::default();
        if let Some(kept) = self.kept() {
            let file = &kept.file;
            if kept.owner_uid != self.wanted.uid {
                inventory.orphaned = Some(file.cluster_id.clone());
                return Ok(inventory);
            }
            inventory.identity = Some(ClusterIdentity {
                cluster_id: file.cluster_id.clone(),
                is_formed: file.is_formed,
                founders: file.founders.iter().copied().map(NodeId).collect(),
            });
            inventory.trust = Some(Trust {
                offered: self.offered(),
                ..kept.trust.clone()
            });
        }
        for (id, seat) in self.seats() {
            let (object, worker) = self.object(id, seat);
            if let Some(worker) = worker {
                self.hosts.insert(id, worker);
            }
            inventory.nodes.insert(id, object);
        }
        let peers = inventory.nodes.values();
        self.seeds
            .extend(peers.map(|node| (node.id.0, node.addresses.peer.clone())));
        Ok(inventory)
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Error> {
        let result = match action {
            Action::KeepIdentity { cluster_id } => self.keep_identity(cluster_id).await,
            Action::Prepare { cluster_id, seats } => self.prepare(cluster_id, seats).await,
            Action::Renew { old_id, cluster_id } => self.renew(old_id, cluster_id).await,
            Action::Start {
                id,
                revision,
                drain_seconds,
            } => self.start(*id, revision, *drain_seconds).await,
            Action::Restart {
                id,
                revision,
                drain_seconds,
            } => self.restart(*id, revision, *drain_seconds).await,
            Action::Stop(id) => self.stop(*id).await,
            Action::Forget { id, deletes_disk } => self.forget(*id, *deletes_disk).await,
            Action::MarkFormed { founders } => self.mark_formed(founders).await,
            Action::Certify(step) => self.certify(step).await,
        };
        match result {
            // What was seen is old: the next round sees better.
            Err(error) if error.class() == error::Class::Conflict && is_of_a_node(action) => Ok(()),
            result => result,
        }
    }
}

/// Steps on which nothing else in a round relies.
const fn is_of_a_node(action: &Action) -> bool {
    matches!(
        action,
        Action::Start { .. }
            | Action::Restart { .. }
            | Action::Stop(_)
            | Action::Forget { .. }
            | Action::Certify(_)
    )
}
