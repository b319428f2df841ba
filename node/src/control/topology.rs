//! The operator's calls about nodes, the ring and moves, as commands of the metadata, and what it is told of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::ids::GroupId;
use kv_core::meta::View;
use kv_core::meta::records::{Address, Group, Node, Permit, Role, Settings};
use kv_core::meta::wire::{
    Change, ChangeRing, Configure, NodeChange, NodeEvent, NodeTokens, Reposition, TakePermit,
};
use kv_core::moves::plan;
use kv_core::shard::Governed;
use kv_proto::admin::{self, GetClusterReply, GetProgressReply};

use crate::admin::ControlError;

/// Moves that are told of one by one.
const MOVES_TOLD: usize = 100;
/// A permit lasts no longer than this, ms.
const PERMIT_MS_MAX: u64 = 3_600_000;

pub fn describe(node: admin::Node) -> Change {
    let address = |network: &str, address: String| Address {
        network: network.to_owned(),
        address,
    };
    Change::DescribeNode(Node {
        id: node.id,
        zone: node.zone,
        host: node.host,
        weight: node.weight,
        addresses: vec![
            address("peer", node.peer_address),
            address("dynamo", node.dynamo_address),
            address("kv", node.kv_address),
        ],
        ..Default::default()
    })
}

fn token(text: &str, field: &'static str) -> Result<Bytes, ControlError> {
    let token: kv_ring::Token = text.parse().map_err(|_| ControlError::Invalid {
        field,
        problem: "a token is 32 hex digits",
    })?;
    Ok(Bytes::copy_from_slice(&token.0.to_be_bytes()))
}

pub fn change_ring(request: admin::ChangeRingRequest) -> Result<Change, ControlError> {
    let nodes = request.nodes.into_iter().map(|node| {
        let tokens = node.tokens.iter().map(|t| token(t, "nodes.tokens"));
        Ok(NodeTokens {
            node: node.node_id,
            tokens: tokens.collect::<Result<_, _>>()?,
            weight: node.weight,
        })
    });
    let positions = request.positions.into_iter().map(|new| {
        Ok(Reposition {
            group: new.group,
            position: token(&new.position, "positions.position")?,
        })
    });
    Ok(Change::ChangeRing(ChangeRing {
        expected_epoch: request.expected_epoch,
        nodes: nodes.collect::<Result<_, ControlError>>()?,
        positions: positions.collect::<Result<_, ControlError>>()?,
    }))
}

fn node_event(node: u64, event: NodeEvent, at_ms: u64) -> Change {
    Change::NodeChange(NodeChange {
        node,
        event: event as i32,
        at_ms,
    })
}

pub fn drain(request: &admin::DrainNodeRequest, now_ms: u64) -> Change {
    let event = match (request.undo, request.lost) {
        (true, _) => NodeEvent::UndoDrain,
        (false, true) => NodeEvent::Lose,
        (false, false) => NodeEvent::Drain,
    };
    node_event(request.node_id, event, now_ms)
}

pub fn remove(request: &admin::RemoveNodeRequest, now_ms: u64) -> Change {
    node_event(request.node_id, NodeEvent::Remove, now_ms)
}

pub fn configure(request: admin::ConfigureRequest) -> Change {
    let admin::Settings {
        replication_factor,
        repair_after_ms,
        move_bytes_per_second,
        moves_per_node,
        partition_bytes_max,
        leader_zones,
        rebalance_paused,
        split_paused,
    } = request.settings.unwrap_or_default();
    Change::Configure(Configure {
        replication_factor,
        settings: Some(Settings {
            repair_after_ms,
            move_bytes_per_second,
            moves_per_node,
            partition_bytes_max,
            leader_zones,
            rebalance_paused,
            split_paused,
        }),
    })
}

pub fn settings_of(replication_factor: u32, settings: Settings) -> admin::Settings {
    let Settings {
        repair_after_ms,
        move_bytes_per_second,
        moves_per_node,
        partition_bytes_max,
        leader_zones,
        rebalance_paused,
        split_paused,
    } = settings;
    admin::Settings {
        replication_factor,
        repair_after_ms,
        move_bytes_per_second,
        moves_per_node,
        partition_bytes_max,
        leader_zones,
        rebalance_paused,
        split_paused,
    }
}

pub fn ask_permit(request: admin::AskPermitRequest, now_ms: u64) -> Change {
    Change::TakePermit(TakePermit {
        permit: Permit {
            node: request.node_id,
            incarnation: request.incarnation,
            expires_ms: now_ms + request.ttl_ms.min(PERMIT_MS_MAX),
            reason: request.reason,
        },
        allow_unavailable: request.allow_unavailable,
        now_ms,
    })
}

pub fn permit_of(permit: Permit) -> admin::Permit {
    admin::Permit {
        node_id: permit.node,
        incarnation: permit.incarnation,
        expires_ms: permit.expires_ms,
        reason: permit.reason,
    }
}

/// Adds what the metadata leader knows of groups, and what the records say of replicas.
pub fn tell_groups(reply: &mut GetClusterReply, view: &View, governed: Option<&Governed>) {
    let state = &view.state;
    let mut replicas: BTreeMap<u64, u64> = BTreeMap::new();
    let mut bytes: BTreeMap<u64, u64> = BTreeMap::new();
    let size = |group: u64| governed.and_then(|governed| governed.heats.get(&group));
    for group in state.groups.values() {
        for member in group.members.iter().chain(&group.target) {
            *replicas.entry(member.node).or_default() += 1;
        }
        for member in &group.members {
            *bytes.entry(member.node).or_default() += size(group.id).map_or(0, |told| told.2);
        }
    }
    let of = |counts: &BTreeMap<u64, u64>, node: u64| counts.get(&node).copied().unwrap_or(0);
    for node in &mut reply.nodes {
        node.replicas = of(&replicas, node.id);
        node.bytes = of(&bytes, node.id);
        if let Some(governed) = governed {
            node.leaders = governed.leaders.get(&node.id).copied().unwrap_or(0);
            node.is_needed = governed.needed.contains(&node.id);
        }
    }
    reply.moves_left = state.ring().map_or(0, |ring| plan::left(state, &ring));
    reply.splits_left = state.groups.values().filter(|g| g.split.is_some()).count() as u64;
    reply.settings = Some(settings_of(
        state.cluster.replication_factor,
        state.cluster.settings.clone().unwrap_or_default(),
    ));
    reply.permit = state.cluster.permit.clone().map(permit_of);
    if let Some(governed) = governed {
        reply.weakened = governed.health.weakened;
        reply.without_quorum = governed.health.without_quorum;
        reply.is_informed = governed.health.is_informed;
    }
}

pub fn progress(view: &View, governed: &Governed) -> GetProgressReply {
    let state = &view.state;
    let moving = state.groups.values().filter(|g| !g.target.is_empty());
    let moves = moving
        .take(MOVES_TOLD)
        .map(|group| admin::Move {
            group: group.id,
            table: state
                .tables
                .get(&group.table)
                .map_or_else(|| "metadata".to_owned(), |t| t.name.clone()),
            from: leaving(group),
            to: coming(group),
            step: step(group, governed).to_owned(),
            bytes_done: governed.moving.get(&group.id).map_or(0, |bytes| bytes.0),
            bytes: governed.moving.get(&group.id).map_or(0, |bytes| bytes.1),
        })
        .collect();
    let ring = state.ring().ok();
    let off: Vec<u64> = ring.as_ref().map_or_else(Vec::new, |ring| {
        plan::off(state, ring).map(|group| group.id).collect()
    });
    let left = off.iter().filter_map(|group| governed.moving.get(group));
    GetProgressReply {
        moves,
        moves_left: off.len() as u64,
        bytes_done: governed.moved_bytes,
        bytes_left: left.map(|(moving, all)| all.saturating_sub(*moving)).sum(),
        bytes_per_second: governed.moved_rate,
        ..Default::default()
    }
}

fn leaving(group: &Group) -> u64 {
    let stays = |replica: u64| group.target.iter().any(|m| m.replica == replica);
    let out = group.members.iter().find(|m| !stays(m.replica));
    out.map_or(0, |m| m.node)
}

fn coming(group: &Group) -> u64 {
    let votes = |replica: u64| {
        let mut members = group.members.iter();
        members.any(|m| m.replica == replica && m.role() == Role::Voter)
    };
    let new = group.target.iter().find(|m| !votes(m.replica));
    new.map_or(0, |m| m.node)
}

fn step(group: &Group, governed: &Governed) -> &'static str {
    let new = coming(group);
    let learns = group
        .members
        .iter()
        .find(|m| m.node == new && m.role() == Role::Learner);
    match learns {
        _ if new == 0 && group.id != GroupId::META.0 => "Removing",
        None => "Waiting",
        Some(m) if governed.close.contains(&m.replica) => "Switching",
        Some(_) => "Copying",
    }
}
