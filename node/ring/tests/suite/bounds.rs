//! The bounds of the design, against the best that zones, hosts, weights and the replica count allow, and against a rival.

use std::collections::BTreeMap;

use crate::common::*;
use kv_ring::balance::{self, Partition};
use kv_ring::diff::moved_fraction;
use kv_ring::{Member, NodeId, NodeSpec, Ring, Token, best_loads, loads, partition_position, plan};
use proptest::prelude::*;

/// What a plan may be above the best.
const LOAD_MAX: f64 = 1.10;
const SHARE_MAX: f64 = 1.10;
const MOVED_MAX: f64 = 1.10;

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn best_loads_are_loads(nodes in clusters(), replicas in 1..6_usize) {
        let best = best_loads(&nodes, replicas).unwrap();
        let total: f64 = best.values().sum();
        prop_assert!((total - replicas.min(nodes.len()) as f64).abs() < 1e-6, "{total}");
        prop_assert!(best.values().all(|load| (0.0..=1.0 + 1e-9).contains(load)));
    }

    /// No ring, whatever its tokens, has a lower worst load per weight: the water level is a bound.
    #[test]
    fn no_ring_is_better_than_best(nodes in clusters(), replicas in 1..6_usize, seed in any::<u64>()) {
        let best = best_loads(&nodes, replicas).unwrap();
        let loads = kv_ring::loads(&naive_ring(&nodes, seed), replicas);
        let worst = |loads: &BTreeMap<NodeId, f64>| {
            nodes.iter().map(|node| loads[&node.id] / f64::from(node.weight)).fold(0.0, f64::max)
        };
        prop_assert!(worst(&best) <= worst(&loads) + 1e-9);
    }

    /// Some clusters have zones or weights that no order of tokens fits well; balance does the rest.
    #[test]
    fn any_cluster_is_within_bounds_when_planned_and_balanced(
        nodes in clusters(), replicas in 1..=4_usize, seed in any::<u64>(),
    ) {
        let ring = ring_of(&nodes, replicas);
        prop_assert_eq!(&ring_of(&nodes, replicas), &ring, "deterministic");
        prop_assert!(worst_load(&ring, replicas) <= LOAD_MAX, "load {}", worst_load(&ring, replicas));
        let partitions = partitions(100 * nodes.len(), seed);
        let moved = balance::positions(&ring, &partitions, replicas).unwrap();
        prop_assert_eq!(&balance::positions(&ring, &partitions, replicas).unwrap(), &moved, "deterministic");
        let after = repositioned(&partitions, &moved);
        prop_assert!(balance::positions(&ring, &after, replicas).unwrap().is_empty(), "what is balanced stays");
        let over = over_bounds(&ring, &after, replicas);
        prop_assert!(over.is_empty(), "{over:?} {nodes:?}");
    }

    #[test]
    fn joins_and_leaves_of_any_cluster_move_little_and_balance_out(
        nodes in clusters(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..5_usize, 1..=4_u32, any::<bool>()), 1..5),
        replicas in 1..=3_usize,
    ) {
        let mut ring = ring_of(&nodes, replicas);
        let has_weights = nodes.iter().any(|node| node.weight > 1);
        for ((index, zone, weight, is_join), id) in steps.into_iter().zip(100..) {
            let (next, had) = if is_join || specs(&ring).len() == 1 {
                let new = node(id, zone, id as usize, if has_weights { weight } else { 1 });
                (join(&ring, &new, replicas), 0.0)
            } else {
                let id = index.get(&specs(&ring)).id;
                (leave(&ring, id, replicas), loads(&ring, replicas)[&id])
            };
            // A node that held more than its best has more to move.
            let (moved, ideal) = (moved_fraction(&ring, &next, replicas), ideal_move(&ring, &next, replicas).max(had));
            prop_assert!(moved <= MOVED_MAX * ideal + 1e-3, "{moved} {ideal} {nodes:?}");
            let partitions = partitions(100 * specs(&next).len(), id);
            let moved = balance::positions(&next, &partitions, replicas).unwrap();
            let over = over_bounds(&next, &repositioned(&partitions, &moved), replicas);
            prop_assert!(over.is_empty(), "{over:?} {:?}", specs(&next));
            ring = next;
        }
    }
}

/// At least so many partitions: tables of 4 to 64, evenly split, with sizes from 1 to 10 GiB.
fn partitions(count: usize, seed: u64) -> Vec<Partition<(u64, usize)>> {
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut partitions = Vec::new();
    for table in 1.. {
        if partitions.len() >= count {
            break;
        }
        for (index, start) in Token::evenly_spaced(1 << random.random_range(2..=6))
            .into_iter()
            .enumerate()
        {
            let (position, bytes) = (
                partition_position(start, seed ^ table),
                random.random_range(1 << 30..10 << 30),
            );
            partitions.push(Partition {
                key: (table, index),
                position,
                bytes,
            });
        }
    }
    partitions
}

fn repositioned<K: Clone + Ord>(
    partitions: &[Partition<K>],
    moved: &[(K, Token)],
) -> Vec<Partition<K>> {
    let moved: BTreeMap<&K, Token> = moved
        .iter()
        .map(|(key, position)| (key, *position))
        .collect();
    let at = |partition: &Partition<K>| {
        moved
            .get(&partition.key)
            .copied()
            .unwrap_or(partition.position)
    };
    partitions
        .iter()
        .map(|partition| Partition {
            position: at(partition),
            ..partition.clone()
        })
        .collect()
}

/// The nodes above 1.10 × their best, and more than one replica above it, in replicas or in bytes: with what and out of what.
fn over_bounds<K>(
    ring: &Ring,
    partitions: &[Partition<K>],
    replicas: usize,
) -> Vec<(NodeId, f64, f64)> {
    let best = best_loads(&specs(ring), replicas).unwrap();
    let mut over = Vec::new();
    for weigh in [|_: u64| 1.0, |bytes: u64| bytes as f64] {
        let mut held: BTreeMap<NodeId, f64> = BTreeMap::new();
        for partition in partitions {
            for id in ring.placement(partition.position, replicas) {
                *held.entry(id).or_default() += weigh(partition.bytes);
            }
        }
        let total: f64 = partitions
            .iter()
            .map(|partition| weigh(partition.bytes))
            .sum();
        let largest = partitions
            .iter()
            .map(|partition| weigh(partition.bytes))
            .fold(0.0, f64::max);
        over.extend(
            held.into_iter()
                .map(|(id, held)| (id, held, best[&id] * total))
                .filter(|(_, held, best)| {
                    *held > (best * LOAD_MAX).max(best + largest) * (1.0 + 1e-9)
                }),
        );
    }
    over
}

/// The clusters that people run.
fn examples() -> Vec<(Vec<NodeSpec>, &'static str)> {
    let weighted = |counts: &[usize], weights: &[u32]| {
        let specs = zones(counts).into_iter().zip(weights.iter().cycle());
        specs
            .map(|(node, &weight)| NodeSpec { weight, ..node })
            .collect::<Vec<_>>()
    };
    vec![
        (zones(&[1]), "1"),
        (zones(&[1, 1, 1]), "1+1+1"),
        (zones(&[2, 1, 1]), "2+1+1"),
        (zones(&[2, 2, 1]), "2+2+1"),
        (zones(&[3, 2]), "3+2"),
        (zones(&[5]), "5"),
        (zones(&[2, 2, 2]), "2+2+2"),
        (zones(&[3, 3, 3]), "3+3+3"),
        (zones(&[4, 4, 4]), "4+4+4"),
        (zones(&[12]), "12"),
        (weighted(&[3, 3, 3], &[1, 2, 3, 4]), "3+3+3, weights 1 to 4"),
        (weighted(&[12], &[1, 2, 3, 4]), "12, weights 1 to 4"),
        (weighted(&[4, 2, 3], &[1, 4]), "4+2+3, weights 1 and 4"),
    ]
}

#[test]
fn example_clusters_are_at_their_best_by_tokens_alone() {
    for (nodes, name) in examples() {
        for replicas in [1, 3] {
            let ring = ring_of(&nodes, replicas);
            let (load, share) = (worst_load(&ring, replicas), worst_share(&ring));
            assert!(
                load <= 1.01 && share <= 1.01,
                "{name}: load {load}, share {share}"
            );
        }
    }
}

/// Every node joins and leaves each example cluster.
#[test]
fn example_clusters_stay_near_their_best_by_tokens_alone() {
    let replicas = 3;
    for (nodes, name) in examples() {
        let ring = ring_of(&nodes, replicas);
        let check = |old: &Ring, new: &Ring, what: &str| {
            let (moved, ideal) = (
                moved_fraction(old, new, replicas),
                ideal_move(old, new, replicas),
            );
            assert!(
                moved <= MOVED_MAX * ideal + 1e-9,
                "{name} {what}: moved {moved}, ideal {ideal}"
            );
            let (load, share) = (worst_load(new, replicas), worst_share(new));
            assert!(
                load <= LOAD_MAX && share <= SHARE_MAX,
                "{name} {what}: load {load}, share {share}"
            );
        };
        let zones = nodes
            .iter()
            .map(|node| node.zone.clone())
            .collect::<std::collections::BTreeSet<_>>();
        for zone in 0..zones.len() {
            let bigger = join(&ring, &node(50, zone, 50, 1), replicas);
            check(&ring, &bigger, &format!("joined by one in zone {zone}"));
            for leaver in specs(&bigger) {
                check(
                    &bigger,
                    &leave(&bigger, leaver.id, replicas),
                    &format!("joined in zone {zone}, left by {}", leaver.id),
                );
            }
        }
    }
}

/// Out from 3 to 12 and back to 3, oldest first, over one to three zones: errors do not add up.
#[test]
fn a_long_way_out_and_back_stays_near_the_best() {
    let replicas = 3;
    for zone_count in 1..=3 {
        let spec = |id: u64| node(id, id as usize % zone_count, id as usize, 1);
        let mut ring = ring_of(&(1..=3).map(spec).collect::<Vec<_>>(), replicas);
        let check = |old: &Ring, new: &Ring, what: &str| {
            let (moved, ideal) = (
                moved_fraction(old, new, replicas),
                ideal_move(old, new, replicas),
            );
            assert!(
                moved <= MOVED_MAX * ideal,
                "{zone_count} zones, {what}: moved {moved}, ideal {ideal}"
            );
            let (load, share) = (worst_load(new, replicas), worst_share(new));
            assert!(
                load <= 1.05 && share <= 1.05,
                "{zone_count} zones, {what}: load {load}, share {share}"
            );
        };
        for id in 4..=12 {
            let next = join(&ring, &spec(id), replicas);
            check(&ring, &next, &format!("+{id}"));
            ring = next;
        }
        for id in 1..=9 {
            let next = leave(&ring, NodeId(id), replicas);
            check(&ring, &next, &format!("-{id}"));
            ring = next;
        }
        let tokens = ring
            .members()
            .iter()
            .map(|member| member.tokens.len())
            .max()
            .unwrap();
        assert!(
            tokens <= 2 * plan::TOKENS_PER_NODE,
            "tokens do not pile up: {tokens}"
        );
    }
}

/// Up and down again, planned before the member's weight changes or after.
#[test]
fn a_new_weight_moves_little() {
    let replicas = 3;
    let reweighted = |ring: &Ring, weight: u32, is_planned_first: bool| {
        let id = NodeId(5);
        let with_weight = |ring: &Ring| {
            ring.with_member(Member {
                weight,
                ..ring.member(id).unwrap().clone()
            })
            .unwrap()
        };
        if is_planned_first {
            return with_weight(
                &ring
                    .apply(&plan::reweight(ring, id, weight, replicas).unwrap())
                    .unwrap(),
            );
        }
        let ring = with_weight(ring);
        ring.apply(&plan::reweight(&ring, id, weight, replicas).unwrap())
            .unwrap()
    };
    let check = |old: &Ring, new: &Ring, what: &str| {
        let (moved, ideal) = (
            moved_fraction(old, new, replicas),
            ideal_move(old, new, replicas),
        );
        assert!(
            moved <= MOVED_MAX * ideal + 1e-9,
            "{what}: moved {moved}, ideal {ideal}"
        );
        assert!(
            worst_load(new, replicas) <= 1.05,
            "{what}: load {}",
            worst_load(new, replicas)
        );
    };
    for is_planned_first in [true, false] {
        let ring = ring_of(&zones(&[3, 3, 3]), replicas);
        for weight in [2, 4] {
            let up = reweighted(&ring, weight, is_planned_first);
            check(&ring, &up, &format!("to {weight}"));
            check(
                &up,
                &reweighted(&up, 1, is_planned_first),
                &format!("back from {weight}"),
            );
        }
        assert_eq!(
            ring.members(),
            reweighted(&ring, 1, is_planned_first).members(),
            "no change, no plan"
        );
    }
}

/// Random tokens, four times as many, are several times farther from the best.
#[test]
fn planned_tokens_beat_random_ones() {
    for (nodes, name) in examples().into_iter().filter(|(nodes, _)| nodes.len() > 3) {
        let excess = |ring: &Ring| worst_load(ring, 3) - 1.0;
        let naive = (0..5)
            .map(|seed| excess(&naive_ring(&nodes, seed)))
            .fold(f64::INFINITY, f64::min);
        let planned = excess(&ring_of(&nodes, 3));
        assert!(
            planned * 4.0 < naive,
            "{name}: planned {planned}, the luckiest of five random rings {naive}"
        );
    }
}

#[test]
fn large_clusters_are_planned_and_placed() {
    let nodes: Vec<NodeSpec> = zones(&[334, 333, 333]);
    let ring = ring_of(&nodes, 3);
    assert!(worst_load(&ring, 3) <= 1.01 && worst_share(&ring) <= 1.01);
    let next = join(&ring, &node(5_000, 1, 5_000, 1), 3);
    assert!(moved_fraction(&ring, &next, 3) <= MOVED_MAX * ideal_move(&ring, &next, 3));
    assert!(worst_load(&next, 3) <= 1.05);
    let next = leave(&next, NodeId(77), 3);
    assert!(worst_load(&next, 3) <= 1.05 && worst_share(&next) <= 1.10);
}
