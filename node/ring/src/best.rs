//! The best that zones, hosts, weights and the replica count allow: the yardstick of every bound.
//!
//! Placement fixes how many replicas of a position each zone and each host hold, up to one ([`crate::placement`]). Within
//! these quotas, and with at most one replica of a position on a node, loads can be any point of a polytope whose
//! constraints form a tree: cluster, zones, hosts, nodes. The fairest of its points fills all nodes like water, at a
//! common level of load per weight, wherever no quota stops it (Fujishige, *Lexicographically optimal base of a polymatroid
//! with respect to a weight vector*, 1980). On a tree it is found from the top down by bisection on the level.

use std::collections::BTreeMap;

use crate::placement::{Quota, Topology};
use crate::{Error, MAX_REPLICAS, NodeId, NodeSpec};

/// Halvings of a level: to the last bit of a float, and a few to find the exponent.
const BISECTIONS: usize = 120;

/// The best load of each node: the fraction of all positions of which it should hold a replica. Loads are at most 1 and
/// add up to `replicas`, or to the number of nodes if that is less.
///
/// # Errors
/// [`Error::BadReplicas`]; bad or duplicate nodes.
pub fn best_loads(nodes: &[NodeSpec], replicas: usize) -> Result<BTreeMap<NodeId, f64>, Error> {
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        return Err(Error::BadReplicas { replicas });
    }
    nodes.iter().try_for_each(NodeSpec::validate)?;
    let topology = Topology::new(nodes.iter().map(|node| (&node.zone, &node.host)));
    let weights: Vec<f64> = nodes.iter().map(|node| f64::from(node.weight)).collect();
    let mut loads = BTreeMap::new();
    for (node, load) in nodes.iter().zip(fill(&topology, &weights, replicas)) {
        if loads.insert(node.id, load).is_some() {
            return Err(Error::DuplicateNode { node: node.id });
        }
    }
    Ok(loads)
}

struct HostGroup {
    nodes: Vec<usize>,
    quota: Quota,
}

struct ZoneGroup {
    hosts: Vec<HostGroup>,
    quota: Quota,
}

/// The best loads by node index.
pub(crate) fn fill(topology: &Topology, weights: &[f64], replicas: usize) -> Vec<f64> {
    let groups = groups(topology, replicas);
    let lightest = weights.iter().copied().fold(f64::INFINITY, f64::min);
    let on_node = |node: usize, level: f64| (level * weights[node] / lightest).min(1.0);
    let on_host = |host: &HostGroup, level: f64| {
        clamp(
            host.nodes.iter().map(|&node| on_node(node, level)).sum(),
            host.quota,
        )
    };
    let in_zone = |zone: &ZoneGroup, level: f64| {
        clamp(
            zone.hosts.iter().map(|host| on_host(host, level)).sum(),
            zone.quota,
        )
    };

    let mut loads = vec![0.0; weights.len()];
    let total = as_f64(replicas.min(weights.len()));
    let level = level_of(total, |level| {
        groups.iter().map(|zone| in_zone(zone, level)).sum()
    });
    for zone in &groups {
        let total = in_zone(zone, level);
        let level = level_of(total, |level| {
            zone.hosts.iter().map(|host| on_host(host, level)).sum()
        });
        for host in &zone.hosts {
            let total = on_host(host, level);
            let level = level_of(total, |level| {
                host.nodes.iter().map(|&node| on_node(node, level)).sum()
            });
            for &node in &host.nodes {
                loads[node] = on_node(node, level);
            }
        }
    }
    loads
}

fn groups(topology: &Topology, replicas: usize) -> Vec<ZoneGroup> {
    let mut hosts: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (node, index) in (0..).zip(0..topology.nodes()) {
        hosts
            .entry((topology.zone_of(node), topology.host_of(node)))
            .or_default()
            .push(index);
    }
    let quotas = topology.quotas(replicas).into_iter();
    let mut groups: Vec<ZoneGroup> = quotas
        .map(|quota| ZoneGroup {
            hosts: Vec::new(),
            quota,
        })
        .collect();
    for ((zone, _), nodes) in hosts {
        let zone = zone as usize;
        let level = topology.host_level(zone, groups[zone].quota.lo);
        let quota = Quota {
            lo: nodes.len().min(level),
            hi: nodes.len().min(level + 1),
        };
        groups[zone].hosts.push(HostGroup { nodes, quota });
    }
    groups
}

/// The least level at which `amount`, which grows with it, reaches `total`; 1, where all nodes are full, if it never does.
fn level_of(total: f64, amount: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let middle = (low + high) / 2.0;
        if amount(middle) < total {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

fn clamp(amount: f64, quota: Quota) -> f64 {
    amount.clamp(as_f64(quota.lo), as_f64(quota.hi))
}

#[expect(clippy::cast_precision_loss, reason = "at most MAX_MEMBERS")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
