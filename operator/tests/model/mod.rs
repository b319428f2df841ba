//! A data plane in memory: nodes, a ring, partitions that move one replica at a time, one permit. It refuses what a real one refuses and
//! asserts what must never be asked of it.

use std::collections::{BTreeMap, BTreeSet};

use kv_operator::dataplane::Call;
use kv_operator::plan::tokens;
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapRequest, GetClusterReply, Node, Permit, Settings,
};
use kv_ring::{NodeId, Ring, Token};
use serde::{Deserialize, Serialize};

/// A node as the metadata have it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    pub zone: String,
    pub host: String,
    pub weight: u32,
    pub state: String,
    pub tokens: Vec<String>,
    pub incarnation: u64,
    pub lost: bool,
    pub down_since_ms: u64,
    pub addresses: [String; 3],
}

/// A partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub position: String,
    pub members: Vec<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Model {
    pub cluster_id: String,
    pub epoch: u64,
    pub revision: u64,
    pub replication_factor: u32,
    /// All settings but the replication factor, as they came.
    pub settings: (u64, u64, u32, u64, Vec<String>, bool, bool),
    pub nodes: BTreeMap<u64, Peer>,
    pub parts: Vec<Part>,
    /// Node, incarnation, expiry.
    pub permit: Option<(u64, u64, u64)>,
    pub bootstraps: usize,
    pub version: u32,
}

fn refused(why: impl Into<String>) -> tonic::Status {
    tonic::Status::failed_precondition(why.into())
}

impl Model {
    pub fn is_made(&self) -> bool {
        !self.nodes.is_empty()
    }

    pub fn bootstrap(&mut self, request: &BootstrapRequest) {
        self.bootstraps += 1;
        if self.is_made() {
            return;
        }
        self.cluster_id.clone_from(&request.cluster_id);
        (self.epoch, self.revision, self.version) = (1, 1, 1);
        self.replication_factor = request.replication_factor;
        for node in &request.nodes {
            let peer = Peer {
                name: node.name.clone(),
                zone: node.zone.clone(),
                host: node.host.clone(),
                weight: node.weight,
                state: "Up".into(),
                tokens: node.tokens.clone(),
                incarnation: 1,
                addresses: [
                    node.peer_address.clone(),
                    node.dynamo_address.clone(),
                    node.kv_address.clone(),
                ],
                ..Peer::default()
            };
            self.nodes.insert(node.id, peer);
        }
        let ring = self.ring();
        let parts = Token::evenly_spaced(24).into_iter().map(|position| Part {
            position: position.to_string(),
            members: self.placement(&ring, position),
        });
        self.parts = parts.collect();
    }

    fn placement(&self, ring: &Ring, position: Token) -> Vec<u64> {
        let copies = usize::try_from(self.replication_factor).expect("small");
        ring.placement(position, copies)
            .into_iter()
            .map(|id| id.0)
            .collect()
    }

    pub fn ring(&self) -> Ring {
        tokens::ring(&self.reply()).expect("a ring")
    }

    pub fn reply(&self) -> GetClusterReply {
        let (
            repair_after_ms,
            move_bytes_per_second,
            moves_per_node,
            partition_bytes_max,
            leader_zones,
            rebalance_paused,
            split_paused,
        ) = self.settings.clone();
        let nodes = self.nodes.iter().map(|(&id, peer)| {
            let [peer_address, dynamo_address, kv_address] = peer.addresses.clone();
            let replicas = self
                .parts
                .iter()
                .filter(|part| part.members.contains(&id))
                .count() as u64;
            Node {
                id,
                name: peer.name.clone(),
                zone: peer.zone.clone(),
                host: peer.host.clone(),
                weight: peer.weight,
                state: peer.state.clone(),
                tokens: peer.tokens.clone(),
                incarnation: peer.incarnation,
                lost: peer.lost,
                down_since_ms: peer.down_since_ms,
                peer_address,
                dynamo_address,
                kv_address,
                replicas,
                share: 1.0 / self.nodes.len() as f64,
                bytes: replicas << 20,
                ..Node::default()
            }
        });
        GetClusterReply {
            cluster_id: self.cluster_id.clone(),
            cluster_version: self.version,
            revision: self.revision,
            ring_epoch: self.epoch,
            replication_factor: self.replication_factor,
            nodes: nodes.collect(),
            meta_leader: 1,
            settings: Some(Settings {
                replication_factor: self.replication_factor,
                repair_after_ms,
                move_bytes_per_second,
                moves_per_node,
                partition_bytes_max,
                leader_zones,
                rebalance_paused,
                split_paused,
            }),
            permit: self
                .permit
                .map(|(node_id, incarnation, expires_ms)| Permit {
                    node_id,
                    incarnation,
                    expires_ms,
                    ..Permit::default()
                }),
            moves_left: self.moves_left(),
            is_informed: true,
            ..GetClusterReply::default()
        }
    }

    fn moves_left(&self) -> u64 {
        if !self.is_made() || self.parts.is_empty() {
            return 0;
        }
        let members = self.nodes.iter().filter(|(_, peer)| !peer.zone.is_empty());
        let ring = Ring::new(
            self.epoch,
            members.map(|(&id, peer)| member(id, peer)).collect(),
        )
        .expect("a ring");
        let is_off = |part: &&Part| {
            let wanted: BTreeSet<u64> = self
                .placement(&ring, part.position.parse().expect("a token"))
                .into_iter()
                .collect();
            wanted != part.members.iter().copied().collect()
        };
        self.parts.iter().filter(is_off).count() as u64
    }

    pub fn call(&mut self, call: Call) -> Result<(), tonic::Status> {
        self.revision += 1;
        match call {
            Call::Reserve(request) => {
                if self
                    .nodes
                    .values()
                    .all(|peer| peer.name != request.object_name)
                {
                    let id = self.nodes.keys().max().map_or(1, |id| id + 1);
                    let peer = Peer {
                        name: request.object_name,
                        weight: 1,
                        state: "Joining".into(),
                        ..Peer::default()
                    };
                    self.nodes.insert(id, peer);
                }
            }
            Call::Describe(request) => {
                let node = request.node.expect("a node");
                let peer = self
                    .nodes
                    .get_mut(&node.id)
                    .ok_or_else(|| refused("no such node"))?;
                if peer.state == "Removed" {
                    return Err(refused("it is removed"));
                }
                (peer.zone, peer.host, peer.weight) = (node.zone, node.host, node.weight);
                peer.addresses = [node.peer_address, node.dynamo_address, node.kv_address];
                self.epoch += 1;
            }
            Call::ChangeRing(request) => {
                if request.expected_epoch != self.epoch {
                    return Err(refused("the ring has moved on"));
                }
                for change in request.nodes {
                    let peer = self.nodes.get_mut(&change.node_id).expect("a member");
                    assert!(
                        change.tokens.is_empty() || peer.incarnation > 0,
                        "tokens for one that never was there"
                    );
                    peer.tokens = change.tokens;
                    if change.weight > 0 {
                        peer.weight = change.weight;
                    }
                }
                self.epoch += 1;
                self.ring();
            }
            Call::Drain(request) => return self.drain(request.node_id, request.undo, request.lost),
            Call::Remove(request) => {
                let id = request.node_id;
                if self.parts.iter().any(|part| part.members.contains(&id)) {
                    return Err(refused("it still has replicas"));
                }
                let peer = self.nodes.get_mut(&id).expect("a member");
                assert!(
                    peer.state == "Draining" || peer.state == "Removed",
                    "removed without a drain"
                );
                peer.state = "Removed".into();
                self.epoch += 1;
            }
            Call::Configure(request) => {
                let settings = request.settings.expect("settings");
                let bearers = self.nodes.values().filter(|peer| bears(peer)).count();
                if settings.replication_factor as usize
                    > bearers.max(self.replication_factor as usize)
                {
                    return Err(refused("more copies than nodes"));
                }
                self.replication_factor = settings.replication_factor;
                self.settings = (
                    settings.repair_after_ms,
                    settings.move_bytes_per_second,
                    settings.moves_per_node,
                    settings.partition_bytes_max,
                    settings.leader_zones,
                    settings.rebalance_paused,
                    settings.split_paused,
                );
            }
            Call::ReturnPermit(request) => {
                if self.permit.is_some_and(|(node, incarnation, _)| {
                    (node, incarnation) == (request.node_id, request.incarnation)
                }) {
                    self.permit = None;
                }
            }
            Call::RaiseVersion(request) => self.version = self.version.max(request.version),
        }
        Ok(())
    }

    fn drain(&mut self, id: u64, undo: bool, lost: bool) -> Result<(), tonic::Status> {
        let others = self
            .nodes
            .iter()
            .filter(|&(&other, peer)| other != id && bears(peer))
            .count();
        let copies = self.replication_factor as usize;
        let peer = self.nodes.get_mut(&id).expect("a member");
        if peer.state == "Removed" || (undo && peer.lost) {
            return Err(refused("it is removed, or given up"));
        }
        if undo {
            if peer.state == "Draining" {
                peer.state = "Up".into();
            }
        } else {
            if bears(peer) && others < copies {
                return Err(refused(format!("{copies} copies need as many nodes")));
            }
            peer.state = "Draining".into();
            peer.lost |= lost;
        }
        self.epoch += 1;
        Ok(())
    }

    /// Given if every partition keeps a majority of replicas on nodes that are up, without this one.
    pub fn ask_permit(
        &mut self,
        request: &AskPermitRequest,
        up: &BTreeSet<u64>,
        now_ms: u64,
    ) -> AskPermitReply {
        let out = self
            .permit
            .filter(|&(_, _, expires_ms)| expires_ms > now_ms);
        let is_same = out.is_none_or(|(node, incarnation, _)| {
            (node, incarnation) == (request.node_id, request.incarnation)
        });
        let keeps_quorum = self.parts.iter().all(|part| {
            let left = part
                .members
                .iter()
                .filter(|&&id| id != request.node_id && up.contains(&id))
                .count();
            !part.members.contains(&request.node_id) || left > part.members.len() / 2
        });
        let given = is_same && (keeps_quorum || request.allow_unavailable);
        if given {
            self.permit = Some((
                request.node_id,
                request.incarnation,
                now_ms + request.ttl_ms,
            ));
        }
        let why_not = if is_same {
            "a partition would lose its quorum"
        } else {
            "another node has the permit"
        };
        AskPermitReply {
            given,
            why_not: why_not.into(),
            permit: None,
        }
    }

    /// A process of a node says that it is there. One that is removed or given up is refused.
    pub fn register(&mut self, id: u64) {
        let peer = self.nodes.get_mut(&id);
        if let Some(peer) = peer.filter(|peer| peer.state != "Removed" && !peer.lost) {
            peer.incarnation += 1;
            self.alive(id);
        }
    }

    pub fn alive(&mut self, id: u64) {
        if let Some(peer) = self.nodes.get_mut(&id).filter(|peer| !peer.lost) {
            peer.down_since_ms = 0;
            // A process that waited for a cluster registers as soon as others know where it is.
            if peer.incarnation == 0 && !peer.addresses[0].is_empty() {
                peer.incarnation = 1;
            }
            if peer.incarnation > 0 && (peer.state == "Down" || peer.state == "Joining") {
                peer.state = "Up".into();
            }
        }
    }

    /// Moves one replica a partition, where a majority is up and the newcomer too.
    pub fn tick(&mut self, up: &BTreeSet<u64>) {
        if !self.is_made() {
            return;
        }
        let ring = self.ring();
        let mut parts = std::mem::take(&mut self.parts);
        for part in &mut parts {
            let wanted = self.placement(&ring, part.position.parse().expect("a token"));
            let alive = part.members.iter().filter(|id| up.contains(id)).count();
            if alive * 2 <= part.members.len() {
                continue;
            }
            let new = wanted
                .iter()
                .copied()
                .find(|id| !part.members.contains(id) && up.contains(id));
            let surplus = part.members.iter().copied().find(|id| !wanted.contains(id));
            match (new, surplus) {
                (Some(new), Some(old)) if part.members.len() >= wanted.len() => {
                    part.members.retain(|&id| id != old);
                    part.members.push(new);
                }
                (Some(new), _) => part.members.push(new),
                (None, Some(old)) if part.members.len() > wanted.len() => {
                    part.members.retain(|&id| id != old)
                }
                _ => {}
            }
        }
        self.parts = parts;
        self.revision += 1;
    }
}

fn bears(peer: &Peer) -> bool {
    !peer.tokens.is_empty() && peer.state != "Draining" && peer.state != "Removed"
}

fn member(id: u64, peer: &Peer) -> kv_ring::Member {
    use kv_ring::MemberState::{Down, Draining, Joining, Removed, Up};
    let state = match peer.state.as_str() {
        "Joining" => Joining,
        "Draining" => Draining,
        "Down" => Down,
        "Removed" => Removed,
        _ => Up,
    };
    kv_ring::Member {
        id: NodeId(id),
        zone: peer.zone.as_str().into(),
        host: peer.host.as_str().into(),
        weight: peer.weight.max(1),
        state,
        tokens: peer
            .tokens
            .iter()
            .map(|token| token.parse().expect("a token"))
            .collect(),
    }
}
