//! Tokens, planned by `kv-ring`: of a new cluster, and the deltas of a cluster that changes.

use std::collections::{BTreeMap, BTreeSet};

use kv_proto::admin::{GetClusterReply, Node};
use kv_ring::{Member, MemberState, NodeId, NodeSpec, Ring, RingDelta, Token};

use super::seats::Seat;

/// Tokens by node. Deterministic: a second `Bootstrap` call says the same as the first.
///
/// # Errors
/// What `kv-ring` refuses; never for a validated cluster.
pub fn initial(
    seats: &[Seat],
    host: impl Fn(NodeId) -> String,
    weight: impl Fn(&Seat) -> u32,
    replicas: u32,
) -> Result<BTreeMap<NodeId, Vec<String>>, kv_ring::Error> {
    let specs: Vec<NodeSpec> = seats
        .iter()
        .map(|seat| NodeSpec {
            id: seat.id,
            zone: seat.zone.as_str().into(),
            host: host(seat.id).into(),
            weight: weight(seat),
        })
        .collect();
    let tokens = kv_ring::plan::initial(&specs, usize::try_from(replicas).unwrap_or(usize::MAX))?;
    let hex = |tokens: Vec<Token>| tokens.iter().map(Token::to_string).collect();
    Ok(tokens
        .into_iter()
        .map(|(id, tokens)| (id, hex(tokens)))
        .collect())
}

/// What a node has from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTokens {
    /// Who.
    pub id: NodeId,
    /// All its tokens, ascending.
    pub tokens: Vec<Token>,
    /// Its weight.
    pub weight: u32,
}

/// A change of the ring that was planned at an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingChange {
    /// The epoch.
    pub expected_epoch: u64,
    /// The nodes that change, by id.
    pub nodes: Vec<NodeTokens>,
}

/// What the ring should change for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Nodes without tokens that should bear data, with their weights.
    pub join: Vec<(NodeId, u32)>,
    /// Nodes that should bear none.
    pub leave: Vec<NodeId>,
    /// Nodes that are to be replaced as soon as another can take their tokens over.
    pub replace: Vec<NodeId>,
    /// Nodes with tokens whose weight changes.
    pub reweight: Vec<(NodeId, u32)>,
}

/// The ring as the metadata have it; reserved nodes that are not described yet have no place on it.
///
/// # Errors
/// What `kv-ring` refuses; never of metadata that a data plane holds.
pub fn ring(known: &GetClusterReply) -> Result<Ring, kv_ring::Error> {
    let members = known
        .nodes
        .iter()
        .filter(|node| !node.zone.is_empty())
        .map(member);
    Ring::new(known.ring_epoch, members.collect())
}

fn member(node: &Node) -> Member {
    let state = match node.state.as_str() {
        "Joining" => MemberState::Joining,
        "Draining" => MemberState::Draining,
        "Down" => MemberState::Down,
        "Removed" => MemberState::Removed,
        _ => MemberState::Up,
    };
    Member {
        id: NodeId(node.id),
        zone: node.zone.as_str().into(),
        host: node.host.as_str().into(),
        weight: node.weight.max(1),
        state,
        tokens: node
            .tokens
            .iter()
            .filter_map(|token| token.parse().ok())
            .collect(),
    }
}

/// Plans one change for all wishes, or `None` if there is nothing to change. A node that comes in the place of one that goes, of the same
/// zone and weight, takes its tokens over as they are: what moves then is what must.
///
/// # Errors
/// What `kv-ring` refuses.
pub fn change(
    ring: &Ring,
    wishes: &Wishes,
    replicas: u32,
) -> Result<Option<RingChange>, kv_ring::Error> {
    let replicas = usize::try_from(replicas.max(1)).unwrap_or(usize::MAX);
    let Wishes {
        join,
        leave,
        replace,
        reweight,
    } = wishes;
    let mut next = ring.clone();
    let mut joining: Vec<(NodeId, u32)> = join.clone();
    let mut leaving: Vec<NodeId> = Vec::new();
    for &id in replace.iter().chain(leave) {
        let Some(old) = next
            .member(id)
            .filter(|member| !member.tokens.is_empty())
            .cloned()
        else {
            continue;
        };
        let is_heir = |&(heir, weight): &(NodeId, u32)| {
            next.member(heir)
                .is_some_and(|member| member.zone == old.zone && weight == old.weight)
        };
        match joining.iter().position(is_heir) {
            Some(index) => next = hand_over(&next, &old, joining.remove(index))?,
            None if leave.contains(&id) => leaving.push(id),
            None => {}
        }
    }
    if !leaving.is_empty() {
        next = applied(&next, |ring| {
            match kv_ring::plan::leave(ring, &leaving, replicas) {
                // The last ones keep theirs until others have some.
                Err(kv_ring::Error::NoNodes) => Ok(RingDelta {
                    base_epoch: ring.epoch(),
                    ..RingDelta::default()
                }),
                planned => planned,
            }
        })?;
    }
    for &(id, weight) in reweight {
        let is_bearing = next.member(id).is_some_and(Member::is_placeable);
        if is_bearing {
            next = applied(&next, |ring| {
                kv_ring::plan::reweight(ring, id, weight, replicas)
            })?;
            next = with_weight(&next, id, weight)?;
        }
    }
    let specs: Vec<NodeSpec> = joining
        .iter()
        .filter_map(|&(id, weight)| {
            Some(NodeSpec {
                weight,
                ..NodeSpec::from(next.member(id)?)
            })
        })
        .collect();
    if !specs.is_empty() {
        for spec in &specs {
            next = with_weight(&next, spec.id, spec.weight)?;
        }
        next = applied(&next, |ring| kv_ring::plan::join(ring, &specs, replicas))?;
    }
    Ok(difference(ring, &next))
}

fn applied(
    ring: &Ring,
    plan: impl Fn(&Ring) -> Result<RingDelta, kv_ring::Error>,
) -> Result<Ring, kv_ring::Error> {
    ring.apply(&plan(ring)?)
}

fn hand_over(
    ring: &Ring,
    old: &Member,
    (heir, weight): (NodeId, u32),
) -> Result<Ring, kv_ring::Error> {
    let members = ring.members().iter().cloned().map(|mut member| {
        if member.id == old.id {
            member.tokens.clear();
        } else if member.id == heir {
            member.tokens.clone_from(&old.tokens);
            member.weight = weight;
        }
        member
    });
    Ring::new(ring.epoch(), members.collect())
}

fn with_weight(ring: &Ring, id: NodeId, weight: u32) -> Result<Ring, kv_ring::Error> {
    let members = ring.members().iter().cloned().map(|mut member| {
        if member.id == id {
            member.weight = weight;
        }
        member
    });
    Ring::new(ring.epoch(), members.collect())
}

fn difference(old: &Ring, new: &Ring) -> Option<RingChange> {
    let before: BTreeMap<NodeId, (&[Token], u32)> = old
        .members()
        .iter()
        .map(|member| (member.id, (member.tokens.as_slice(), member.weight)))
        .collect();
    let changed = new.members().iter().filter(|member| {
        before.get(&member.id) != Some(&(member.tokens.as_slice(), member.weight))
    });
    let nodes: Vec<NodeTokens> = changed
        .map(|member| NodeTokens {
            id: member.id,
            tokens: member.tokens.clone(),
            weight: member.weight,
        })
        .collect();
    (!nodes.is_empty()).then_some(RingChange {
        expected_epoch: old.epoch(),
        nodes,
    })
}

/// The ring after a change.
///
/// # Errors
/// What `kv-ring` refuses.
pub fn after(ring: &Ring, change: &RingChange) -> Result<Ring, kv_ring::Error> {
    let changed: BTreeMap<NodeId, &NodeTokens> =
        change.nodes.iter().map(|node| (node.id, node)).collect();
    let members = ring.members().iter().cloned().map(|mut member| {
        if let Some(node) = changed.get(&member.id) {
            member.tokens.clone_from(&node.tokens);
            member.weight = node.weight;
        }
        member
    });
    Ring::new(ring.epoch() + 1, members.collect())
}

/// Who bears data by the ring, leaving some out.
#[must_use]
pub fn bearers(ring: &Ring, without: &BTreeSet<NodeId>) -> usize {
    let bears = |member: &&Member| member.is_placeable() && !without.contains(&member.id);
    ring.members().iter().filter(bears).count()
}
