//! The bounds of the design, against the best that zones, hosts, weights and the replica count allow, and against a rival.

mod common;

use std::collections::BTreeMap;

use common::*;
use kv_ring::balance::{self, Partition};
use kv_ring::diff::moved_fraction;
use kv_ring::{NodeId, NodeSpec, Ring, Token, best_loads, partition_position, plan};
use proptest::prelude::*;

/// What a plan may be above the best.
const LOAD_MAX: f64 = 1.10;
const SHARE_MAX: f64 = 1.10;
const MOVED_MAX: f64 = 1.10;

proptest! {
    #![proptest_config(config(120))]

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

    #[test]
    fn initial_plans_are_near_the_best(nodes in clusters(), replicas in 1..=5_usize) {
        let ring = ring_of(&nodes, replicas);
        if std::env::var_os("TRACE").is_some() {
            println!("I {replicas} {} {:.3} {:.3} {}", nodes.len(), worst_load(&ring, replicas), worst_share(&ring), nodes.iter().map(|n| format!("{}{}w{}", n.zone, n.host, n.weight)).collect::<Vec<_>>().join(" "));
            return Ok(());
        }
        prop_assert!(worst_load(&ring, replicas) <= LOAD_MAX, "load {}", worst_load(&ring, replicas));
        prop_assert!(worst_share(&ring) <= SHARE_MAX, "share {}", worst_share(&ring));
        prop_assert_eq!(ring_of(&nodes, replicas), ring, "deterministic");
    }

    #[test]
    fn joins_and_leaves_move_little_and_stay_even(
        nodes in clusters(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..5_usize, 1..=4_u32, any::<bool>()), 1..6),
        replicas in 1..=4_usize,
    ) {
        let mut ring = ring_of(&nodes, replicas);
        let has_weights = nodes.iter().any(|node| node.weight > 1);
        let mut trace = Vec::new();
        for ((index, zone, weight, is_join), id) in steps.into_iter().zip(100..) {
            let next = if is_join || specs(&ring).len() == 1 {
                let new = node(id, zone, id as usize, if has_weights { weight } else { 1 });
                join(&ring, &new, replicas)
            } else {
                leave(&ring, index.get(&specs(&ring)).id, replicas)
            };
            let (moved, ideal) = (moved_fraction(&ring, &next, replicas), ideal_move(&ring, &next, replicas));
            trace.push((is_join, specs(&next).len(), moved, ideal, worst_load(&next, replicas), worst_share(&next)));
            if std::env::var_os("TRACE").is_some() {
                println!("T {replicas} {:?} {}", trace.last().unwrap(), specs(&next).iter().map(|n| format!("{}{}w{}", n.zone, n.host, n.weight)).collect::<Vec<_>>().join(" "));
            }
            if std::env::var_os("TRACE").is_none() {
            prop_assert!(moved <= MOVED_MAX * ideal + 0.001, "{trace:?} {nodes:?}");
            prop_assert!(worst_load(&next, replicas) <= LOAD_MAX, "{trace:?} {nodes:?}");
            }
            ring = next;
        }
    }
}
