//! Clusters to plan, and the yardsticks that plans are held against.

use std::collections::BTreeMap;

use kv_ring::{MemberState, NodeId, NodeSpec, Ring, Token, best_loads, loads, plan, shares};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// The same cases in every run.
pub fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x72_69_6e_67),
        failure_persistence: None,
        ..Config::default()
    }
}

pub fn node(id: u64, zone: usize, host: usize, weight: u32) -> NodeSpec {
    NodeSpec {
        id: NodeId(id),
        zone: format!("z{zone}").into(),
        host: format!("h{host}").into(),
        weight,
    }
}

/// Zones with so many nodes each, every node on its own host.
pub fn zones(counts: &[usize]) -> Vec<NodeSpec> {
    let zones = counts
        .iter()
        .enumerate()
        .flat_map(|(zone, &count)| std::iter::repeat_n(zone, count));
    zones
        .zip(1..)
        .map(|(zone, id)| node(id, zone, id as usize, 1))
        .collect()
}

/// Clusters of 1 to 12 nodes in up to 5 zones, on hosts of their own or shared, with weights from 1 to 4.
pub fn clusters() -> impl Strategy<Value = Vec<NodeSpec>> {
    let node_parts = (0..5_usize, 0..12_usize, 1..=4_u32);
    (
        prop::collection::vec(node_parts, 1..=12),
        1..=5_usize,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(parts, zone_count, has_weights, has_shared_hosts)| {
            let specs = parts
                .into_iter()
                .zip(1..)
                .map(|((zone, host, weight), id)| {
                    let host = if has_shared_hosts {
                        host / 2
                    } else {
                        id as usize
                    };
                    node(
                        id,
                        zone % zone_count,
                        host,
                        if has_weights { weight } else { 1 },
                    )
                });
            specs.collect()
        })
}

pub fn ring_of(nodes: &[NodeSpec], replicas: usize) -> Ring {
    let mut tokens = plan::initial(nodes, replicas).unwrap();
    let members = nodes
        .iter()
        .map(|node| node.member(MemberState::Up, tokens.remove(&node.id).unwrap()));
    Ring::new(1, members.collect()).unwrap()
}

pub fn specs(ring: &Ring) -> Vec<NodeSpec> {
    ring.members()
        .iter()
        .filter(|member| member.is_placeable())
        .map(NodeSpec::from)
        .collect()
}

pub fn join(ring: &Ring, new: &NodeSpec, replicas: usize) -> Ring {
    let with = ring
        .with_member(new.member(MemberState::Joining, Vec::new()))
        .unwrap();
    with.apply(&plan::join(&with, std::slice::from_ref(new), replicas).unwrap())
        .unwrap()
}

pub fn leave(ring: &Ring, id: NodeId, replicas: usize) -> Ring {
    ring.apply(&plan::leave(ring, &[id], replicas).unwrap())
        .unwrap()
}

/// The worst load of any node against the best that there is for it.
pub fn worst_load(ring: &Ring, replicas: usize) -> f64 {
    let best = best_loads(&specs(ring), replicas).unwrap();
    loads(ring, replicas)
        .iter()
        .map(|(id, load)| load / best[id])
        .fold(0.0, f64::max)
}

/// The worst share of any node against what its weight stands for.
pub fn worst_share(ring: &Ring) -> f64 {
    let weights: BTreeMap<NodeId, f64> = specs(ring)
        .iter()
        .map(|node| (node.id, f64::from(node.weight)))
        .collect();
    let total: f64 = weights.values().sum();
    shares(ring)
        .iter()
        .map(|(id, share)| share * total / weights[id])
        .fold(0.0, f64::max)
}

/// What any plan has to move between two rings, if both are at their best.
pub fn ideal_move(old: &Ring, new: &Ring, replicas: usize) -> f64 {
    let before = best_loads(&specs(old), replicas).unwrap();
    let after = best_loads(&specs(new), replicas).unwrap();
    after
        .iter()
        .map(|(id, load)| (load - before.get(id).unwrap_or(&0.0)).max(0.0))
        .sum()
}

/// The rival: 256 random tokens a unit of weight.
pub fn naive_ring(nodes: &[NodeSpec], seed: u64) -> Ring {
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let members = nodes.iter().map(|node| {
        let tokens = (0..256 * node.weight).map(|_| Token(random.random()));
        node.member(MemberState::Up, tokens.collect())
    });
    Ring::new(1, members.collect()).unwrap()
}
