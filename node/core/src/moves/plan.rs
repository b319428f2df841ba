//! Which group is to have which members next: pure, from the metadata and the time.
//!
//! A group's target differs from its members by one replica at a time. Who is gone or leaves is replaced first, then what only evens loads out.

use std::collections::{BTreeMap, BTreeSet};

use kv_ring::{Ring, Token};

use super::voters;
use crate::ids::{GroupId, NodeId};
use crate::meta::MetaState;
use crate::meta::records::{Group, Member, Node, NodeState, Role};

/// Moves that a node may be part of, unless set.
const MOVES_PER_NODE: u32 = 2;
/// Targets set in one round.
const AIMS_MAX: usize = 64;
/// A voter on metadata that is down for so long is replaced, ms.
const META_VOTER_DOWN_MS: u64 = 30_000;

/// Other members for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    pub group: u64,
    /// Nodes that keep or get a replica.
    pub nodes: Vec<u64>,
    /// Member version that this was planned at.
    pub member_version: u64,
}

/// The next aims. Empty in a cluster whose members are as desired.
pub fn aims(state: &MetaState, ring: &Ring, now_ms: u64) -> Vec<Aim> {
    let mut load: BTreeMap<u64, u32> = BTreeMap::new();
    for group in state.groups.values().filter(|g| !g.target.is_empty()) {
        for node in newcomers(group) {
            *load.entry(node).or_default() += 1;
        }
    }
    let per_node = match state
        .cluster
        .settings
        .as_ref()
        .map_or(0, |s| s.moves_per_node)
    {
        0 => MOVES_PER_NODE,
        set => set,
    };
    let mut wanted: Vec<(u32, Aim)> = Vec::new();
    wanted.extend(meta_aim(state, now_ms).map(|aim| (0, aim)));
    for group in state.groups.values().filter(|g| g.id != GroupId::META.0) {
        wanted.extend(partition_aim(state, ring, group));
    }
    wanted.sort_by_key(|(urgency, aim)| (*urgency, aim.group));
    let mut aims = Vec::new();
    for (_, aim) in wanted {
        let Some(group) = state.groups.get(&aim.group) else {
            continue;
        };
        let new = aim
            .nodes
            .iter()
            .find(|node| !group.members.iter().any(|m| m.node == **node));
        if let Some(node) = new {
            let load = load.entry(*node).or_default();
            if *load >= per_node {
                continue;
            }
            *load += 1;
        }
        aims.push(aim);
        if aims.len() == AIMS_MAX {
            break;
        }
    }
    aims
}

/// How many groups' members are not as desired, or are on their way.
pub fn left(state: &MetaState, ring: &Ring) -> u64 {
    off(state, ring).count() as u64
}

/// Groups whose members are not as desired, or are on their way.
pub fn off<'a>(state: &'a MetaState, ring: &'a Ring) -> impl Iterator<Item = &'a Group> {
    let rf = state.cluster.replication_factor as usize;
    let off = move |group: &&Group| {
        !group.target.is_empty() || {
            let desired = desired(ring, group, rf);
            partition_swap(state, group, &desired, rf).is_some()
        }
    };
    state
        .groups
        .values()
        .filter(|g| g.id != GroupId::META.0)
        .filter(off)
}

/// Nodes of a target that have no voter of the group yet.
fn newcomers(group: &Group) -> Vec<u64> {
    let votes = |m: &Member| {
        group
            .members
            .iter()
            .any(|have| have.replica == m.replica && have.role() == Role::Voter)
    };
    group
        .target
        .iter()
        .filter(|m| !votes(m))
        .map(|m| m.node)
        .collect()
}

fn voters_of(group: &Group) -> Vec<u64> {
    group
        .members
        .iter()
        .filter(|m| m.role() == Role::Voter)
        .map(|m| m.node)
        .collect()
}

/// The nodes that the ring wants for a group.
pub fn desired(ring: &Ring, group: &Group, rf: usize) -> Vec<u64> {
    let Ok(position) = <[u8; 16]>::try_from(&group.position[..]) else {
        return Vec::new();
    };
    ring.placement(Token(u128::from_be_bytes(position)), rf)
        .into_iter()
        .map(|NodeId(id)| id)
        .collect()
}

fn is_up(state: &MetaState, node: u64) -> bool {
    state
        .nodes
        .get(&node)
        .is_some_and(|n| n.state() == NodeState::Up)
}

/// How badly a node should be left: the less, the sooner.
fn urgency(node: Option<&Node>) -> u32 {
    match node {
        None => 1,
        Some(node) if node.lost || node.state() == NodeState::Removed => 1,
        Some(node) if node.state() == NodeState::Draining => 2,
        Some(_) => 3,
    }
}

fn partition_aim(state: &MetaState, ring: &Ring, group: &Group) -> Option<(u32, Aim)> {
    if group.valid_split().is_some() {
        return None;
    }
    let rf = state.cluster.replication_factor as usize;
    let desired = desired(ring, group, rf);
    let aim = |nodes: Vec<u64>| Aim {
        group: group.id,
        nodes,
        member_version: group.member_version,
    };
    let voters = voters_of(group);
    if !group.target.is_empty() {
        // Turn round when the newcomer is not wanted any more, or can't come.
        let pointless = newcomers(group)
            .into_iter()
            .any(|node| !desired.contains(&node) || !is_up(state, node));
        let target: BTreeSet<u64> = group.target.iter().map(|m| m.node).collect();
        let now: BTreeSet<u64> = voters.iter().copied().collect();
        return (pointless && target != now).then(|| (0, aim(voters)));
    }
    if group.members.iter().any(|m| m.role() == Role::Learner) {
        // Left over from a move that was called off while its first step was under way.
        return Some((0, aim(voters)));
    }
    let (out, new) = partition_swap(state, group, &desired, rf)?;
    let urgency = out.map_or(1, |node| urgency(state.nodes.get(&node)));
    let paused = state
        .cluster
        .settings
        .as_ref()
        .is_some_and(|s| s.rebalance_paused);
    if paused && urgency == 3 && voters.len() == rf {
        return None;
    }
    let mut nodes: Vec<u64> = voters
        .into_iter()
        .filter(|node| Some(*node) != out)
        .collect();
    nodes.extend(new);
    Some((urgency, aim(nodes)))
}

/// One replica out and one in, or only one of both where the number is not as wanted.
fn partition_swap(
    state: &MetaState,
    group: &Group,
    desired: &[u64],
    rf: usize,
) -> Option<(Option<u64>, Option<u64>)> {
    let have = voters_of(group);
    let new: Vec<u64> = desired
        .iter()
        .copied()
        .filter(|n| !have.contains(n) && is_up(state, *n))
        .collect();
    let out: Vec<u64> = have
        .iter()
        .copied()
        .filter(|n| !desired.contains(n))
        .collect();
    if have.len() < rf {
        return new.first().map(|new| (None, Some(*new)));
    }
    if have.len() > rf {
        let least = out
            .iter()
            .min_by_key(|n| (urgency(state.nodes.get(n)), is_up(state, **n), **n));
        return least.map(|out| (Some(*out), None));
    }
    let zone = |id: u64| state.nodes.get(&id).map(|n| n.zone.as_str());
    let zones = |out: u64, new: u64| {
        let after = have.iter().filter(|n| **n != out).chain([&new]);
        after
            .filter_map(|n| zone(*n))
            .collect::<BTreeSet<_>>()
            .len()
    };
    let pairs = out
        .iter()
        .flat_map(|out| new.iter().map(move |new| (*out, *new)));
    pairs
        .min_by_key(|&(out, new)| {
            (
                urgency(state.nodes.get(&out)),
                is_up(state, out),
                std::cmp::Reverse(zones(out, new)),
                out,
                new,
            )
        })
        .map(|(out, new)| (Some(out), Some(new)))
}

/// The next change of those who vote on the metadata.
fn meta_aim(state: &MetaState, now_ms: u64) -> Option<Aim> {
    let group = state.groups.get(&GroupId::META.0)?;
    let votes = voters_of(group);
    let fit = |node: &Node| match node.state() {
        NodeState::Up => true,
        // It may only be restarting.
        NodeState::Down => {
            votes.contains(&node.id) && now_ms < node.down_since_ms + META_VOTER_DOWN_MS
        }
        _ => false,
    };
    let aim = |nodes: Vec<u64>| {
        Some(Aim {
            group: group.id,
            nodes,
            member_version: group.member_version,
        })
    };
    if !group.target.is_empty() {
        let pointless = newcomers(group).into_iter().any(|n| !is_up(state, n));
        let target: BTreeSet<u64> = group.target.iter().map(|m| m.node).collect();
        let now: BTreeSet<u64> = votes.iter().copied().collect();
        return if pointless && target != now {
            aim(votes)
        } else {
            None
        };
    }
    let desired = voters::voters(state.nodes.values(), &votes, fit);
    let wanted = voters::wanted(
        state
            .nodes
            .values()
            .filter(|n| n.state() != NodeState::Removed && !n.lost)
            .count(),
    );
    let new = desired
        .iter()
        .copied()
        .find(|n| !votes.contains(n) && is_up(state, *n));
    let out = votes
        .iter()
        .copied()
        .filter(|n| !desired.contains(n))
        .min_by_key(|n| (urgency(state.nodes.get(n)), is_up(state, *n), *n));
    let mut nodes = votes.clone();
    match (out, new) {
        (Some(out), Some(new)) if votes.len() >= wanted => {
            nodes.retain(|n| *n != out);
            nodes.push(new);
        }
        (_, Some(new)) if votes.len() < wanted => nodes.push(new),
        // Fewer voters only for fewer nodes, not because some are away.
        (Some(out), _) if votes.len() > wanted => nodes.retain(|n| *n != out),
        _ => return None,
    }
    aim(nodes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kv_ring::{NodeSpec, plan};

    use super::*;
    use crate::meta::records::Settings;

    fn cluster(nodes: u64) -> MetaState {
        let specs: Vec<NodeSpec> = (1..=nodes)
            .map(|id| NodeSpec {
                id: NodeId(id),
                zone: zone(id).into(),
                host: format!("h{id}").as_str().into(),
                weight: 1,
            })
            .collect();
        let tokens = plan::initial(&specs, 3).unwrap();
        let nodes = (1..=nodes)
            .map(|id| Node {
                id,
                name: format!("n{id}"),
                zone: zone(id).into(),
                host: format!("h{id}"),
                weight: 1,
                state: NodeState::Up as i32,
                tokens: tokens[&NodeId(id)]
                    .iter()
                    .map(|t| Bytes::copy_from_slice(&t.0.to_be_bytes()))
                    .collect(),
                ..Default::default()
            })
            .collect();
        MetaState::bootstrap("c".into(), nodes, 3, 4)
    }

    fn zone(id: u64) -> &'static str {
        ["a", "b", "c"][(id as usize - 1) % 3]
    }

    fn with_partitions(mut state: MetaState, count: u64) -> MetaState {
        let ring = state.ring().unwrap();
        for i in 0..count {
            let position = Token(u128::MAX / u128::from(count) * u128::from(i));
            let members = ring
                .placement(position, 3)
                .into_iter()
                .enumerate()
                .map(|(r, node)| Member {
                    node: node.0,
                    replica: 100 + i * 3 + r as u64,
                    role: Role::Voter as i32,
                })
                .collect();
            state.groups.insert(
                10 + i,
                Group {
                    id: 10 + i,
                    table: 1,
                    range_version: 1,
                    member_version: 1,
                    members,
                    position: Bytes::copy_from_slice(&position.0.to_be_bytes()),
                    ..Default::default()
                },
            );
        }
        state
    }

    /// Sets an aim as if everybody had done what it takes.
    fn carry_out(state: &mut MetaState, aim: &Aim) {
        let mut next = state.cluster.next_replica;
        let group = state.groups.get_mut(&aim.group).unwrap();
        let members = aim
            .nodes
            .iter()
            .map(|&node| {
                let known = group.members.iter().find(|m| m.node == node);
                known.copied().unwrap_or_else(|| {
                    next += 1;
                    Member {
                        node,
                        replica: next,
                        role: Role::Voter as i32,
                    }
                })
            })
            .collect();
        group.members = members;
        group.member_version += 1;
        state.cluster.next_replica = next;
    }

    fn settle(state: &mut MetaState) -> usize {
        let mut moves = 0;
        for _ in 0..1000 {
            let ring = state.ring().unwrap();
            let aims = aims(state, &ring, 1_000_000);
            if aims.is_empty() {
                return moves;
            }
            for aim in aims {
                assert!(aim.nodes.len() >= 3 || aim.group == 1);
                moves += 1;
                carry_out(state, &aim);
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn a_balanced_cluster_moves_nothing() {
        assert_eq!(settle(&mut with_partitions(cluster(5), 50)), 0);
    }

    #[test]
    fn a_draining_node_is_emptied_and_zones_are_kept() {
        let mut state = with_partitions(cluster(6), 50);
        state
            .nodes
            .get_mut(&2)
            .unwrap()
            .set_state(NodeState::Draining);
        assert!(settle(&mut state) > 0);
        for group in state.groups.values() {
            assert!(group.members.iter().all(|m| m.node != 2));
            if group.id != 1 {
                let zones: BTreeSet<_> = group.members.iter().map(|m| zone(m.node)).collect();
                assert_eq!(zones.len(), 3);
            }
        }
    }

    #[test]
    fn nothing_leaves_a_node_that_nobody_can_replace() {
        let mut state = with_partitions(cluster(3), 10);
        let node = state.nodes.get_mut(&3).unwrap();
        node.set_state(NodeState::Draining);
        node.lost = true;
        let before = state.groups.clone();
        settle(&mut state);
        for (id, group) in before.iter().filter(|(id, _)| **id != 1) {
            assert_eq!(state.groups[id].members, group.members);
        }
    }

    #[test]
    fn moves_of_a_node_are_bounded_and_can_be_paused() {
        let mut state = with_partitions(cluster(6), 50);
        state
            .nodes
            .get_mut(&2)
            .unwrap()
            .set_state(NodeState::Draining);
        let ring = state.ring().unwrap();
        let mut per_node: BTreeMap<u64, u32> = BTreeMap::new();
        for aim in aims(&state, &ring, 0).iter().filter(|a| a.group != 1) {
            let members = &state.groups[&aim.group].members;
            for node in aim
                .nodes
                .iter()
                .filter(|n| !members.iter().any(|m| m.node == **n))
            {
                *per_node.entry(*node).or_default() += 1;
            }
        }
        assert!(!per_node.is_empty() && per_node.values().all(|n| *n <= MOVES_PER_NODE));
        state.cluster.settings = Some(Settings {
            rebalance_paused: true,
            ..Default::default()
        });
        assert!(
            !aims(&state, &ring, 0).is_empty(),
            "who drains is left all the same"
        );
    }

    #[test]
    fn a_move_to_a_node_that_died_is_turned_round() {
        let mut state = with_partitions(cluster(4), 1);
        let group = state.groups.get_mut(&10).unwrap();
        let new = (1..=4)
            .find(|n| !group.members.iter().any(|m| m.node == *n))
            .unwrap();
        let mut target = group.members.clone();
        target[0] = Member {
            node: new,
            replica: 999,
            role: Role::Voter as i32,
        };
        group.target = target;
        let members = voters_of(group);
        let ring = state.ring().unwrap();
        let turned = aims(&state, &ring, 0);
        assert_eq!(turned[0].nodes, members);
    }

    #[test]
    fn metadata_get_more_voters_with_more_nodes() {
        let mut state = cluster(2);
        assert_eq!(voters_of(&state.groups[&1]), [1]);
        let more = cluster(3);
        state.nodes = more.nodes;
        settle(&mut state);
        assert_eq!(voters_of(&state.groups[&1]).len(), 3);
    }
}
