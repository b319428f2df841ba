//! Prints the figures of `DESIGN.md`: `cargo run --release -p kv-ring --example figures`.

use std::time::Instant;

use kv_ring::balance::{self, Partition};
use kv_ring::diff::moved_fraction;
use kv_ring::{Error, MemberState, NodeId, NodeSpec, Ring, Token, best_loads, loads, plan, shares};
use rand::{Rng, SeedableRng};

const REPLICAS: usize = 3;

fn main() -> Result<(), Error> {
    for zones in [3, 2, 1, 5] {
        out_and_back(zones)?;
    }
    random_tokens()?;
    for count in [1_000, 10_000] {
        large(count)?;
    }
    Ok(())
}

/// From 3 to 12 nodes and, oldest first, back.
fn out_and_back(zones: u64) -> Result<(), Error> {
    println!(
        "{zones} zones        load / best  share / weight  moved / ideal  tokens a node  tokens in delta"
    );
    let mut ring = ring_of(1..=3, zones)?;
    for id in 4..=12 {
        let ring_before = with_member(&ring, &node(id, zones))?;
        let delta = plan::join(&ring_before, &[node(id, zones)], REPLICAS)?;
        let next = ring_before.apply(&delta)?;
        print_row(
            &format!("+{id}"),
            &ring,
            &next,
            delta.add.len() + delta.remove.len(),
        )?;
        ring = next;
    }
    for id in 1..=9 {
        let delta = plan::leave(&ring, &[NodeId(id)], REPLICAS)?;
        let next = ring.apply(&delta)?;
        print_row(
            &format!("-{id}"),
            &ring,
            &next,
            delta.add.len() + delta.remove.len(),
        )?;
        ring = next;
    }
    Ok(())
}

/// What 256 random tokens a node come to.
fn random_tokens() -> Result<(), Error> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for count in [5, 12, 1_000] {
        let members = (1..=count).map(|id| {
            let tokens = (0..256).map(|_| Token(random.random())).collect();
            node(id, 3).member(MemberState::Up, tokens)
        });
        let ring = Ring::new(1, members.collect())?;
        print_row(&format!("random, {count}"), &ring, &ring, 0)?;
    }
    Ok(())
}

fn large(count: u64) -> Result<(), Error> {
    let zones = 3;
    let started = Instant::now();
    let ring = ring_of(1..=count, zones)?;
    println!("{count} nodes planned in {:.2?}", started.elapsed());
    let started = Instant::now();
    let placed: usize = Token::evenly_spaced(1_000_000)
        .iter()
        .map(|&at| ring.placement(at, REPLICAS).len())
        .sum();
    println!("  {placed} replicas placed in {:.2?}", started.elapsed());
    let partitions: Vec<Partition<u64>> = (0..100 * count)
        .map(|key| Partition {
            key,
            position: Token::of(&key.to_be_bytes()),
            bytes: 1 << 30,
        })
        .collect();
    let started = Instant::now();
    let moved = balance::positions(&ring, &partitions, REPLICAS)?.len();
    println!(
        "  {moved} of {} partitions balanced in {:.2?}",
        partitions.len(),
        started.elapsed()
    );
    let before = with_member(&ring, &node(count + 1, zones))?;
    let started = Instant::now();
    let delta = plan::join(&before, &[node(count + 1, zones)], REPLICAS)?;
    println!("  a join planned in {:.2?}", started.elapsed());
    let joined = before.apply(&delta)?;
    print_row("  +1", &ring, &joined, delta.add.len() + delta.remove.len())?;
    let started = Instant::now();
    let delta = plan::leave(&joined, &[NodeId(7)], REPLICAS)?;
    println!("  a leave planned in {:.2?}", started.elapsed());
    print_row(
        "  -1",
        &joined,
        &joined.apply(&delta)?,
        delta.add.len() + delta.remove.len(),
    )
}

fn print_row(what: &str, old: &Ring, new: &Ring, delta: usize) -> Result<(), Error> {
    let (before, after) = (
        best_loads(&specs(old), REPLICAS)?,
        best_loads(&specs(new), REPLICAS)?,
    );
    let ideal: f64 = after
        .iter()
        .map(|(id, load)| (load - before.get(id).unwrap_or(&0.0)).max(0.0))
        .sum();
    let load = loads(new, REPLICAS)
        .iter()
        .map(|(id, load)| load / after[id])
        .fold(0.0, f64::max);
    let nodes = f64::from(u32::try_from(after.len()).unwrap_or(u32::MAX));
    let share = shares(new).values().copied().fold(0.0, f64::max) * nodes;
    let moved = moved_fraction(old, new, REPLICAS) / ideal;
    let most = new
        .members()
        .iter()
        .map(|member| member.tokens.len())
        .max()
        .unwrap_or(0);
    println!("{what:>14} {load:12.4} {share:15.4} {moved:14.4} {most:14} {delta:16}");
    Ok(())
}

fn node(id: u64, zones: u64) -> NodeSpec {
    NodeSpec {
        id: NodeId(id),
        zone: format!("z{}", id % zones).into(),
        host: format!("h{id}").into(),
        weight: 1,
    }
}

fn ring_of(ids: impl Iterator<Item = u64>, zones: u64) -> Result<Ring, Error> {
    let nodes: Vec<NodeSpec> = ids.map(|id| node(id, zones)).collect();
    let mut tokens = plan::initial(&nodes, REPLICAS)?;
    let members = nodes
        .iter()
        .map(|node| node.member(MemberState::Up, tokens.remove(&node.id).unwrap_or_default()));
    Ring::new(1, members.collect())
}

fn with_member(ring: &Ring, new: &NodeSpec) -> Result<Ring, Error> {
    ring.with_member(new.member(MemberState::Joining, Vec::new()))
}

fn specs(ring: &Ring) -> Vec<NodeSpec> {
    ring.members()
        .iter()
        .filter(|member| member.is_placeable())
        .map(NodeSpec::from)
        .collect()
}
