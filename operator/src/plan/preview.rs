//! What a spec would do, without doing it.

use std::collections::BTreeMap;

use kv_proto::admin::{Arc, GetClusterReply, GetProgressReply};
use kv_ring::{MemberState, NodeId, NodeSpec, Ring, Token};

use super::roster::Place;
use super::seats::{self, Seat};
use super::tokens::{self, Wishes};
use super::{World, life::Scene};

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Nodes that come.
    pub join: Vec<Come>,
    /// Names of nodes that go.
    pub leave: Vec<String>,
    /// Nodes that restart, one by one.
    pub restart: Vec<String>,
    /// Tokens that change their owner, come or go.
    pub tokens: usize,
    /// Copies of each item, before and after.
    pub copies: (u32, u32),
    /// Replicas of partitions that move.
    pub partitions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds that moving them takes, if that can be told.
    pub eta_seconds: Option<u64>,
    /// What forbids it, or what it has to wait for.
    pub forbidden: Vec<String>,
}

/// A node that comes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Come {
    /// Its name, if nobody else takes it.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its group.
    pub group: String,
}

/// Bytes a second and node that are assumed where nothing is known.
const RATE_ASSUMED: f64 = 50e6;

/// Compares what the world is with what its `cluster` asks for.
#[must_use]
pub fn preview(
    world: &World<'_>,
    known: &GetClusterReply,
    progress: Option<&GetProgressReply>,
) -> Preview {
    let scene = Scene::of(world, known);
    let copies = (known.replication_factor, world.cluster.replication_factor());
    let mut preview = Preview {
        copies,
        ..Preview::default()
    };
    let highest = known.nodes.iter().map(|node| node.id).max().unwrap_or(0);
    let mut seats: Vec<Seat> = Vec::new();
    for (id, Place { group, zone }) in (highest + 1..).zip(&scene.roster.join) {
        let name = seats::name(world.cluster, id);
        preview.join.push(Come {
            name: name.clone(),
            zone: zone.clone(),
            group: group.clone(),
        });
        seats.push(Seat {
            id: NodeId(id),
            name,
            zone: zone.clone(),
            group: group.clone(),
        });
    }
    preview.leave = scene
        .roster
        .leave
        .iter()
        .map(|&id| scene.name(id))
        .collect();
    preview.restart = super::restart::outdated(&scene)
        .into_iter()
        .map(|id| scene.name(id))
        .collect();
    match rings(&scene, &seats) {
        Ok((before, after)) => {
            weigh(&mut preview, &before, &after, known, progress);
            // Who comes has a disk that nobody has measured.
            if seats.is_empty() && !scene.roster.leave.is_empty() {
                preview.forbidden.extend(scene.lack_of_space(&before));
            }
        }
        Err(error) => preview
            .forbidden
            .push(format!("tokens can't be planned: {error}")),
    }
    preview
}

/// The ring now and the ring that the spec leads to.
fn rings(scene: &Scene<'_>, seats: &[Seat]) -> Result<(Ring, Ring), kv_ring::Error> {
    let before = tokens::ring(scene.known)?;
    let weight = |group: &str| {
        scene
            .world
            .cluster
            .group(group)
            .map_or(seats::WEIGHT_DEFAULT, |group| group.weight)
    };
    let mut ring = before.clone();
    for seat in seats {
        let spec = NodeSpec {
            id: seat.id,
            zone: seat.zone.as_str().into(),
            host: format!("host-{}", seat.id).into(),
            weight: weight(&seat.group),
        };
        ring = ring.with_member(spec.member(MemberState::Up, Vec::new()))?;
    }
    // Who is on its way and not described yet.
    for (&id, group) in &scene.roster.keep {
        if ring.member(id).is_none() {
            let spec = NodeSpec {
                id,
                zone: scene.nodes[&id].zone().into(),
                host: format!("host-{id}").into(),
                weight: weight(group),
            };
            ring = ring.with_member(spec.member(MemberState::Up, Vec::new()))?;
        }
    }
    let bears = |id: &NodeId| {
        ring.member(*id)
            .is_some_and(|member| !member.tokens.is_empty())
    };
    let empty = scene
        .roster
        .keep
        .iter()
        .filter(|(id, _)| !bears(id))
        .map(|(&id, group)| (id, weight(group)));
    let new = seats.iter().map(|seat| (seat.id, weight(&seat.group)));
    let changed = scene.roster.keep.iter().filter(|(id, group)| {
        ring.member(**id)
            .is_some_and(|member| bears(id) && member.weight != weight(group))
    });
    let wishes = Wishes {
        join: empty.chain(new).collect(),
        leave: scene
            .roster
            .leave
            .iter()
            .filter(|id| bears(id))
            .copied()
            .collect(),
        replace: Vec::new(),
        reweight: changed.map(|(&id, group)| (id, weight(group))).collect(),
    };
    let after = match tokens::change(&ring, &wishes, scene.world.cluster.replication_factor())? {
        Some(change) => tokens::after(&ring, &change)?,
        None => ring,
    };
    Ok((before, after))
}

fn weigh(
    preview: &mut Preview,
    before: &Ring,
    after: &Ring,
    known: &GetClusterReply,
    progress: Option<&GetProgressReply>,
) {
    let owners = |ring: &Ring| -> BTreeMap<Token, NodeId> {
        let members = ring.members().iter();
        members
            .flat_map(|member| member.tokens.iter().map(|&token| (token, member.id)))
            .collect()
    };
    let (old, new) = (owners(before), owners(after));
    let changed = new
        .iter()
        .filter(|(token, owner)| old.get(token) != Some(owner))
        .count();
    preview.tokens = changed + old.keys().filter(|token| !new.contains_key(token)).count();
    let (from, to) = preview.copies;
    let count = |copies: u32| usize::try_from(copies).unwrap_or(1);
    let arcs: Vec<(Token, &Arc)> = progress
        .iter()
        .flat_map(|progress| &progress.arcs)
        .filter_map(|arc| Some((arc.token.parse().ok()?, arc)))
        .collect();
    let arrivals = |at: Token| {
        let holders = before.placement(at, count(from));
        let wanted = after.placement(at, count(to));
        u64::try_from(wanted.iter().filter(|id| !holders.contains(id)).count()).unwrap_or(0)
    };
    if arcs.is_empty() {
        // Nobody says what lies where: as if data were spread evenly.
        let all: u64 = known.nodes.iter().map(|node| node.bytes).sum();
        let replicas: u64 = known.nodes.iter().map(|node| node.replicas).sum();
        let grown = (f64::from(to) - f64::from(from)).max(0.0);
        let fraction = kv_ring::diff::moved_fraction(before, after, count(from.min(to))) + grown;
        let part = |sum: u64| scale(sum, fraction / f64::from(from.max(1)));
        (preview.partitions, preview.bytes) = (part(replicas), part(all));
    } else {
        preview.partitions = arcs
            .iter()
            .map(|(at, arc)| arc.partitions * arrivals(*at))
            .sum();
        preview.bytes = arcs.iter().map(|(at, arc)| arc.bytes * arrivals(*at)).sum();
    }
    let limit = known
        .settings
        .as_ref()
        .map_or(0, |settings| settings.move_bytes_per_second);
    let nodes = after
        .members()
        .iter()
        .filter(|member| member.is_placeable())
        .count()
        .max(1);
    let rate = if limit > 0 {
        lossy(limit)
    } else {
        RATE_ASSUMED
    };
    preview.eta_seconds = Some(scale(
        preview.bytes,
        1.0 / (rate * lossy(u64::try_from(nodes).unwrap_or(1))),
    ));
    let left = u64::try_from(nodes).unwrap_or(0);
    if u64::from(to) > left {
        preview.forbidden.push(format!(
            "{to} copies need as many nodes, {left} would bear data"
        ));
    }
    if known.without_quorum > 0 {
        preview.forbidden.push(format!(
            "{} groups have no quorum: what they hold can't move until that is mended",
            known.without_quorum
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn lossy(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, never negative"
)]
fn scale(number: u64, factor: f64) -> u64 {
    (lossy(number) * factor).round() as u64
}
