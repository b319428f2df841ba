//! Prints the figures of `DESIGN.md`: `cargo run --release -p kv-ring --example figures`.

use std::collections::BTreeMap;
use std::time::Instant;

use kv_ring::{Member, MemberState, NodeId, NodeSpec, Ring, best_loads, loads, plan, shares};

fn node(id: u64, zone: usize, weight: u32) -> NodeSpec {
    NodeSpec {
        id: NodeId(id),
        zone: format!("z{zone}").into(),
        host: format!("h{id}").into(),
        weight,
    }
}

fn ring_of(nodes: &[NodeSpec], replicas: usize) -> Ring {
    let mut tokens = plan::initial(nodes, replicas).unwrap();
    let member = |node: &NodeSpec| node.member(MemberState::Up, tokens.remove(&node.id).unwrap());
    Ring::new(1, nodes.iter().map(member).collect()).unwrap()
}

fn specs(ring: &Ring) -> Vec<NodeSpec> {
    ring.members()
        .iter()
        .filter(|member| member.is_placeable())
        .map(NodeSpec::from)
        .collect()
}

/// The worst ratio of load to best load, and of share to weight.
fn worst(ring: &Ring, replicas: usize) -> (f64, f64) {
    let nodes = specs(ring);
    let total: f64 = nodes.iter().map(|node| f64::from(node.weight)).sum();
    let best = best_loads(&nodes, replicas).unwrap();
    let (loads, shares) = (loads(ring, replicas), shares(ring));
    let load = nodes
        .iter()
        .map(|node| loads[&node.id] / best[&node.id])
        .fold(0.0, f64::max);
    let share = nodes
        .iter()
        .map(|node| shares[&node.id] * total / f64::from(node.weight))
        .fold(0.0, f64::max);
    (load, share)
}

fn moved(old: &Ring, new: &Ring, replicas: usize) -> f64 {
    let mut edges: Vec<_> = old
        .tokens()
        .chain(new.tokens())
        .map(|(token, _)| token)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let previous = edges.last().into_iter().chain(&edges);
    previous
        .zip(&edges)
        .map(|(from, to)| {
            let (was, is) = (old.placement(*to, replicas), new.placement(*to, replicas));
            to.fraction_since(*from) * is.iter().filter(|id| !was.contains(id)).count() as f64
        })
        .sum()
}

fn add(ring: &Ring, new: NodeSpec, replicas: usize) -> Ring {
    let with = ring
        .with_member(new.member(MemberState::Joining, Vec::new()))
        .unwrap();
    let delta = plan::join(&with, &[new], replicas).unwrap();
    with.apply(&delta).unwrap()
}

fn main() {
    let n = 3;
    println!("initial: nodes by zone, weights: worst load/best, worst share/weight");
    for (zones, weights) in [
        (vec![1], vec![1]),
        (vec![1, 1, 1], vec![1]),
        (vec![2, 2, 1], vec![1]),
        (vec![3, 2], vec![1]),
        (vec![2, 1, 1], vec![1]),
        (vec![5], vec![1]),
        (vec![2, 2, 2], vec![1]),
        (vec![3, 3, 3], vec![1]),
        (vec![4, 4, 4], vec![1]),
        (vec![3, 3, 3], vec![1, 2, 3, 4]),
        (vec![12], vec![1, 2, 3, 4]),
        (vec![4, 2, 3], vec![1, 4]),
        (vec![2, 2, 2, 2, 2], vec![1]),
        (vec![34, 33, 33], vec![1]),
    ] {
        let mut nodes = Vec::new();
        for (zone, &count) in zones.iter().enumerate() {
            for _ in 0..count {
                let id = nodes.len() as u64 + 1;
                nodes.push(node(id, zone, weights[nodes.len() % weights.len()]));
            }
        }
        let started = Instant::now();
        let ring = ring_of(&nodes, n);
        let took = started.elapsed();
        let (load, share) = worst(&ring, n);
        println!("{zones:?} {weights:?}: {load:.4} {share:.4} ({took:?})");
    }
    for zones in [3, 1, 5, 2] {
        println!(
            "grow 3 -> 12 -> 3 over {zones} zones: worst load, worst share, moved/ideal, tokens in delta"
        );
        let mut ring = ring_of(
            &(1..=3)
                .map(|id| node(id, id as usize % zones, 1))
                .collect::<Vec<_>>(),
            n,
        );
        for id in 4..=12 {
            let started = Instant::now();
            let next = add(&ring, node(id, id as usize % zones, 1), n);
            let took = started.elapsed();
            let best = best_loads(&specs(&next), n).unwrap()[&NodeId(id)];
            let (load, share) = worst(&next, n);
            println!(
                "+{id}: {load:.4} {share:.4} moved {:.4} ({took:?})",
                moved(&ring, &next, n) / best
            );
            ring = next;
        }
        for id in (4..=12)
            .rev()
            .map(|id| if id > 6 { id - 3 } else { id + 6 })
        {
            let delta = plan::leave(&ring, &[NodeId(id)], n).unwrap();
            let next = ring.apply(&delta).unwrap();
            let ideal = best_loads(&specs(&ring), n).unwrap()[&NodeId(id)];
            let had: BTreeMap<_, _> = loads(&ring, n);
            let (load, share) = worst(&next, n);
            println!(
                "-{id}: {load:.4} {share:.4} moved {:.4} of ideal {:.4} of had, {} added",
                moved(&ring, &next, n) / ideal,
                moved(&ring, &next, n) / had[&NodeId(id)],
                delta.add.len()
            );
            ring = next;
        }
    }
    let _: Option<Member> = None;
    for count in [1000, 10_000] {
        let started = Instant::now();
        let ring = ring_of(
            &(1..=count)
                .map(|id| node(id, id as usize % 3, 1))
                .collect::<Vec<_>>(),
            n,
        );
        let (load, share) = worst(&ring, n);
        println!(
            "{count} nodes planned in {:?}: {load:.4} {share:.4}",
            started.elapsed()
        );
        let started = Instant::now();
        let positions = kv_ring::Token::evenly_spaced(1_000_000);
        let sum: usize = positions
            .iter()
            .map(|&position| ring.placement(position, n).len())
            .sum();
        println!("{sum} replicas placed in {:?}", started.elapsed());
        let started = Instant::now();
        let next = add(&ring, node(count + 1, 1, 1), n);
        println!("joined in {:?} {:?}", started.elapsed(), worst(&next, n));
        let started = Instant::now();
        let next = next
            .apply(&plan::leave(&next, &[NodeId(7)], n).unwrap())
            .unwrap();
        println!("left in {:?} {:?}", started.elapsed(), worst(&next, n));
    }
}
