//! What the operator asks of a running node.

mod splits;
mod tables;
mod top;
mod topology;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kv_core::ids::NodeId;
use kv_core::meta::records::{Address, Node as NodeRecord, NodeState};
use kv_core::meta::wire::{Change, MetaRefusal, Outcome, ReserveNode, ReturnPermit};
use kv_core::meta::{MetaState, View};
use kv_core::shard::Input;
use kv_core::store::Store;
use kv_proto::admin::{
    self, AskPermitReply, AskPermitRequest, BootstrapReply, BootstrapRequest, ChangeRingReply,
    ChangeRingRequest, ConfigureReply, ConfigureRequest, ControlTableReply, ControlTableRequest,
    DescribeNodeReply, DescribeNodeRequest, DrainNodeReply, DrainNodeRequest, GetClusterReply,
    GetIdentityReply, GetNodeStatusReply, GetProgressReply, GetTopReply, GetTopRequest,
    RaiseVersionReply, RaiseVersionRequest, RemoveNodeReply, RemoveNodeRequest, ReserveNodeReply,
    ReserveNodeRequest, ReturnPermitReply, ReturnPermitRequest, SplitReply, SplitRequest,
};
use tokio::sync::oneshot;

use crate::admin::{Control, ControlError};
use crate::client::Client;
use crate::runtime::mailbox::{Event, Mailboxes};
use crate::storage::SpaceMonitor;
use crate::transport::{Gossip, Hint, Transport};

/// How long a bootstrap may take until the cluster is known here.
const BOOTSTRAP: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(5);

/// The operator's handle on a node.
#[derive(Debug)]
pub struct NodeControl {
    pub cluster_id: String,
    pub node: NodeId,
    pub incarnation: u64,
    pub mailboxes: Arc<Mailboxes>,
    pub store: Arc<dyn Store>,
    pub space: Arc<SpaceMonitor>,
    /// Set once the transport runs; a cluster of one has none.
    pub transport: OnceLock<Arc<Transport>>,
    /// Set once gossip runs; a node works without.
    pub gossip: OnceLock<Gossip>,
    /// Set before the node serves clients.
    pub database: OnceLock<Arc<Client>>,
}

impl NodeControl {
    /// Has the metadata leader carry out a change.
    async fn change(&self, change: Change) -> Result<Outcome, ControlError> {
        let (reply, answer) = oneshot::channel();
        let deadline_us = self.mailboxes.clock.now().mono_us + ANSWER.as_micros() as u64;
        let event = Event::Meta {
            change,
            deadline_us,
            reply,
        };
        self.mailboxes
            .to_shard(0, event)
            .map_err(|_| ControlError::Timeout)?;
        answer
            .await
            .map_err(|_| ControlError::ShuttingDown)?
            .map_err(|_| ControlError::Timeout)
    }

    /// The value of a change that was made, or why it was not.
    async fn decide(&self, change: Change) -> Result<u64, ControlError> {
        self.joined()?;
        let outcome = self.change(change).await?;
        match outcome.refusal() {
            MetaRefusal::None => Ok(outcome.value),
            _ => Err(ControlError::Refused(outcome.message)),
        }
    }

    fn joined(&self) -> Result<Arc<View>, ControlError> {
        let view = self.mailboxes.view();
        if view.state.is_known() {
            Ok(view)
        } else {
            Err(ControlError::NotJoined)
        }
    }

    /// What gossip tells of a node.
    fn with_hints(&self, mut node: admin::Node) -> admin::Node {
        if let Some(gossip) = self.gossip.get() {
            let id = NodeId(node.id);
            node.suspect = gossip.is_suspect(id);
            let load = gossip.hint(id, Hint::Load);
            // Anything may stand there.
            node.load = load.and_then(|load| load.parse().ok()).unwrap_or(0);
        }
        node
    }

    /// Why the node is not ready, if it isn't.
    pub fn not_ready(&self) -> Option<&'static str> {
        let view = self.mailboxes.view.load();
        if !view.state.is_known() {
            return Some("the cluster's metadata are not known here yet");
        }
        match view.node(self.node) {
            Some(node) if node.incarnation == self.incarnation => None,
            _ => Some("the cluster does not know this start of the node yet"),
        }
    }
}

/// The state of a cluster that begins, from what the operator planned.
fn first_state(request: BootstrapRequest) -> Result<MetaState, ControlError> {
    let invalid = |field, problem| Err(ControlError::Invalid { field, problem });
    if request.nodes.is_empty() {
        return invalid("nodes", "a cluster has at least one");
    }
    let replicas = request.replication_factor as usize;
    if replicas == 0 || replicas > request.nodes.len() {
        return invalid(
            "replication_factor",
            "must be from 1 to the number of nodes",
        );
    }
    let mut nodes = Vec::with_capacity(request.nodes.len());
    for node in request.nodes {
        let mut tokens = Vec::with_capacity(node.tokens.len());
        for token in &node.tokens {
            let Ok(token) = token.parse::<kv_ring::Token>() else {
                return invalid("nodes.tokens", "a token is 32 hex digits");
            };
            tokens.push(bytes::Bytes::copy_from_slice(&token.0.to_be_bytes()));
        }
        let address = |network: &str, address: String| Address {
            network: network.to_owned(),
            address,
        };
        nodes.push(NodeRecord {
            id: node.id,
            name: node.name,
            zone: node.zone,
            host: node.host,
            weight: node.weight.max(1),
            state: NodeState::Joining as i32,
            addresses: vec![
                address("peer", node.peer_address),
                address("dynamo", node.dynamo_address),
                address("kv", node.kv_address),
            ],
            tokens,
            ..Default::default()
        });
    }
    let state = MetaState::bootstrap(
        request.cluster_id,
        nodes,
        request.replication_factor,
        request.partitions_per_table,
    );
    match state.ring() {
        Ok(ring) if !ring.placement(kv_ring::Token(0), replicas).is_empty() => Ok(state),
        Ok(_) => invalid("nodes.tokens", "no node has a token"),
        Err(_) => invalid("nodes", "ids, zones, weights and tokens don't make a ring"),
    }
}

fn node_of(record: &NodeRecord, share: f64) -> admin::Node {
    let address = |network: &str| {
        record
            .addresses
            .iter()
            .find(|a| a.network == network)
            .map(|a| a.address.clone())
            .unwrap_or_default()
    };
    let state = match record.state() {
        NodeState::Joining => "Joining",
        NodeState::Up => "Up",
        NodeState::Draining => "Draining",
        NodeState::Down => "Down",
        NodeState::Removed => "Removed",
    };
    admin::Node {
        id: record.id,
        name: record.name.clone(),
        zone: record.zone.clone(),
        host: record.host.clone(),
        weight: record.weight,
        state: state.to_owned(),
        peer_address: address("peer"),
        dynamo_address: address("dynamo"),
        kv_address: address("kv"),
        tokens: record.tokens.iter().map(hex::encode).collect(),
        incarnation: record.incarnation,
        share,
        down_since_ms: record.down_since_ms,
        lost: record.lost,
        ..Default::default()
    }
}

impl Control for NodeControl {
    async fn identity(&self) -> Result<GetIdentityReply, ControlError> {
        let view = self.mailboxes.view();
        Ok(GetIdentityReply {
            cluster_id: self.cluster_id.clone(),
            node_id: self.node.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            joined: view.state.is_known(),
            bootstrapped: view.state.is_known(),
            incarnation: self.incarnation,
            cluster_version_max: kv_core::version::NEWEST,
        })
    }

    async fn bootstrap(&self, request: BootstrapRequest) -> Result<BootstrapReply, ControlError> {
        if request.cluster_id != self.cluster_id {
            return Err(ControlError::Conflict {
                what: "the cluster id",
            });
        }
        if self.mailboxes.view().state.is_known() {
            // The same call again: the cluster is there.
            return Ok(BootstrapReply {});
        }
        let first = request.nodes.iter().map(|n| n.id).min();
        if first != Some(self.node.0) {
            return Err(ControlError::Invalid {
                field: "nodes",
                problem: "bootstrap is called on the node with the lowest id",
            });
        }
        let state = first_state(request)?;
        let event = Event::Input(Input::Bootstrap(Box::new(state)));
        self.mailboxes
            .to_shard(0, event)
            .map_err(|_| ControlError::Timeout)?;
        if self.mailboxes.wait_for(1, Instant::now() + BOOTSTRAP).await {
            Ok(BootstrapReply {})
        } else {
            Err(ControlError::Timeout)
        }
    }

    async fn cluster(&self) -> Result<GetClusterReply, ControlError> {
        let view = self.joined()?;
        let state = &view.state;
        let shares = state
            .ring()
            .map(|ring| kv_ring::shares(&ring))
            .unwrap_or_default();
        let share = |id: u64| shares.get(&NodeId(id)).copied().unwrap_or(0.0);
        let mut reply = GetClusterReply {
            cluster_id: state.cluster.cluster_id.clone(),
            cluster_version: state.cluster.cluster_version,
            revision: state.revision(),
            ring_epoch: state.cluster.ring_epoch,
            replication_factor: state.cluster.replication_factor,
            nodes: state
                .nodes
                .values()
                .map(|n| self.with_hints(node_of(n, share(n.id))))
                .collect(),
            meta_leader: view.meta_leader.map_or(0, |n| n.0),
            tables: state.tables.len() as u64,
            partitions: view.routes().count() as u64,
            meta_voters: view.meta_voters().iter().map(|n| n.0).collect(),
            ..Default::default()
        };
        let governed = self.mailboxes.inspect(|shard| shard.governed()).await;
        let governed = governed.into_iter().flatten().next();
        topology::tell_groups(&mut reply, &view, governed.as_ref());
        reply.hot_keys = governed.map_or_else(Vec::new, |governed| top::hot_keys(&view, &governed));
        Ok(reply)
    }

    async fn node_status(&self) -> Result<GetNodeStatusReply, ControlError> {
        let censuses = self.mailboxes.inspect(|shard| shard.census()).await;
        let sum = |pick: fn(&(u64, u64, u64)) -> u64| censuses.iter().map(pick).sum();
        let space = self.space.space().ok();
        let reason = self.not_ready();
        let fingerprint = self.transport.get().map(|t| t.fingerprint());
        Ok(GetNodeStatusReply {
            node_id: self.node.0,
            ready: reason.is_none(),
            not_ready_reason: reason.unwrap_or_default().to_owned(),
            partitions: sum(|c| c.0),
            leaders: sum(|c| c.1),
            leaderless: sum(|c| c.2),
            disk_free_bytes: space.map_or(0, |s| s.free),
            disk_total_bytes: space.map_or(0, |s| s.total),
            writes_refused: self.mailboxes.refuses_writes(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            certificate_fingerprint: fingerprint
                .as_ref()
                .map(|f| f.certificate.clone())
                .unwrap_or_default(),
            ca_fingerprint: fingerprint
                .as_ref()
                .map(|f| f.ca.clone())
                .unwrap_or_default(),
            certificate_expires_unix_seconds: fingerprint
                .as_ref()
                .map_or(0, |f| f.expires_unix_seconds),
            certificate_issuer: fingerprint
                .as_ref()
                .map(|f| f.issuer.clone())
                .unwrap_or_default(),
            ca_fingerprints: fingerprint.map(|f| f.cas).unwrap_or_default(),
        })
    }

    async fn reserve_node(
        &self,
        request: ReserveNodeRequest,
    ) -> Result<ReserveNodeReply, ControlError> {
        self.joined()?;
        if request.object_name.is_empty() || request.object_name.len() > 253 {
            return Err(ControlError::Invalid {
                field: "object_name",
                problem: "is 1 to 253 bytes long",
            });
        }
        let outcome = self
            .change(Change::ReserveNode(ReserveNode {
                name: request.object_name,
            }))
            .await?;
        match outcome.refusal() {
            MetaRefusal::None => Ok(ReserveNodeReply {
                node_id: outcome.value,
            }),
            _ => Err(ControlError::Invalid {
                field: "object_name",
                problem: "the cluster has as many nodes as it can",
            }),
        }
    }

    async fn describe_node(
        &self,
        request: DescribeNodeRequest,
    ) -> Result<DescribeNodeReply, ControlError> {
        let node = request.node.ok_or(ControlError::Invalid {
            field: "node",
            problem: "is missing",
        })?;
        self.decide(topology::describe(node)).await?;
        Ok(DescribeNodeReply {})
    }

    async fn change_ring(
        &self,
        request: ChangeRingRequest,
    ) -> Result<ChangeRingReply, ControlError> {
        let epoch = self.decide(topology::change_ring(request)?).await?;
        Ok(ChangeRingReply { epoch })
    }

    async fn drain_node(&self, request: DrainNodeRequest) -> Result<DrainNodeReply, ControlError> {
        let now_ms = self.mailboxes.clock.now().wall_ms;
        self.decide(topology::drain(&request, now_ms)).await?;
        Ok(DrainNodeReply {})
    }

    async fn remove_node(
        &self,
        request: RemoveNodeRequest,
    ) -> Result<RemoveNodeReply, ControlError> {
        let now_ms = self.mailboxes.clock.now().wall_ms;
        self.decide(topology::remove(&request, now_ms)).await?;
        Ok(RemoveNodeReply {})
    }

    async fn configure(&self, request: ConfigureRequest) -> Result<ConfigureReply, ControlError> {
        self.decide(topology::configure(request)).await?;
        Ok(ConfigureReply {})
    }

    async fn ask_permit(&self, request: AskPermitRequest) -> Result<AskPermitReply, ControlError> {
        let now_ms = self.mailboxes.clock.now().wall_ms;
        let asked = self.decide(topology::ask_permit(request, now_ms)).await;
        let out = self.mailboxes.view().state.cluster.permit.clone();
        let (given, why_not) = match asked {
            Ok(_) => (true, String::new()),
            Err(ControlError::Refused(why)) => (false, why),
            Err(error) => return Err(error),
        };
        Ok(AskPermitReply {
            given,
            why_not,
            permit: out.map(topology::permit_of),
        })
    }

    async fn return_permit(
        &self,
        request: ReturnPermitRequest,
    ) -> Result<ReturnPermitReply, ControlError> {
        let back = Change::ReturnPermit(ReturnPermit {
            node: request.node_id,
            incarnation: request.incarnation,
        });
        self.decide(back).await?;
        Ok(ReturnPermitReply {})
    }

    async fn raise_version(
        &self,
        request: RaiseVersionRequest,
    ) -> Result<RaiseVersionReply, ControlError> {
        self.decide(Change::RaiseVersion(request.version)).await?;
        Ok(RaiseVersionReply {})
    }

    async fn split(&self, request: SplitRequest) -> Result<SplitReply, ControlError> {
        let view = self.joined()?;
        let (store, node) = (self.store.clone(), self.node.0);
        // A sample reads a part of the partition.
        let planned =
            tokio::task::spawn_blocking(move || splits::plan(&view, &*store, node, &request));
        let split = planned.await.map_err(|_| ControlError::ShuttingDown)??;
        let group = split.group;
        let child = self.decide(Change::BeginSplit(split)).await?;
        Ok(SplitReply { group, child })
    }

    async fn top(&self, request: GetTopRequest) -> Result<GetTopReply, ControlError> {
        let view = self.joined()?;
        let governed = self.mailboxes.inspect(|shard| shard.governed()).await;
        let governed = governed.into_iter().flatten().next();
        let governed = governed.ok_or(ControlError::NotLeader {
            leader: view.meta_leader,
        })?;
        top::answer(&view, &governed, &request)
    }

    async fn control_table(
        &self,
        request: ControlTableRequest,
    ) -> Result<ControlTableReply, ControlError> {
        self.joined()?;
        let database = self.database.get().ok_or(ControlError::NotJoined)?;
        tables::run(database, request).await
    }

    async fn progress(&self) -> Result<GetProgressReply, ControlError> {
        let view = self.joined()?;
        let censuses = self.mailboxes.inspect(|shard| shard.governed()).await;
        let governed = censuses.into_iter().flatten().next().unwrap_or_default();
        Ok(topology::progress(&view, &governed))
    }
}
