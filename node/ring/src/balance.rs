//! What tokens can't even out: partitions are few and of unequal size, positions are many and alike.
//!
//! Where partitions as they lie break the bound, some of them get new positions. The bound is that of the design: no node
//! holds more than [`SLACK`] times its best load of replicas, or of bytes, or one replica more than that best.
//!
//! Greedy: while a node is over its bound, take the worst, and of its partitions and of the arcs of nodes that have room the
//! pair that takes most off all excess; of equals the one that moves least. Where no such pair helps, two partitions change places.
//! Each step takes off some excess, so it ends, and where all is within the bounds nothing is touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::layout::{Layout, NOBODY};
use crate::{Error, MAX_REPLICAS, NodeSpec, Ring, Token};

/// How far above its best load a node may be.
pub const SLACK: f64 = 1.10;

/// The most nodes with room that are considered as new homes in a step, in the cluster, and again in the zone of the node that
/// has too much.
const HEIRS_MAX: usize = 8;
/// The most arcs of each of these nodes that are weighed, and how many of all of them are tried.
const ARCS_WEIGHED: usize = 48;
const ARCS_TRIED: usize = 24;
/// The most partitions of a node that are tried in a move, and those of each side in a swap.
const PARTITIONS_TRIED: usize = 256;
const SWAPS_TRIED: usize = 192;
/// Steps and failed attempts after which balancing gives up.
const STEPS_PER_PARTITION: usize = 2;
const FAILURES_PER_NODE: usize = 8;
/// Excess, relative to a bound, that is not worth a step.
const GAIN_MIN: f64 = 1e-9;

/// A partition as it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition<K> {
    /// Names it.
    pub key: K,
    /// Its position now.
    pub position: Token,
    /// The size of one replica.
    pub bytes: u64,
}

/// New positions for as few partitions as it takes to bring all nodes within the bound, in the order of the keys. Empty if they
/// are, or if nothing helps.
///
/// # Errors
/// [`Error::BadReplicas`].
pub fn positions<K: Clone + Ord>(
    ring: &Ring,
    partitions: &[Partition<K>],
    n: usize,
) -> Result<Vec<(K, Token)>, Error> {
    if !(1..=MAX_REPLICAS).contains(&n) {
        return Err(Error::BadReplicas { replicas: n });
    }
    let nodes: Vec<NodeSpec> = ring
        .members()
        .iter()
        .filter(|member| member.is_placeable())
        .map(NodeSpec::from)
        .collect();
    if nodes.is_empty() || partitions.is_empty() {
        return Ok(Vec::new());
    }
    let tokens = ring.tokens();
    let index = |id| {
        nodes
            .binary_search_by_key(&id, |node: &NodeSpec| node.id)
            .ok()
    };
    let tokens = tokens
        .filter_map(|(token, id)| Some((token, u32::try_from(index(id)?).ok()?)))
        .collect();
    let layout = Layout::new(&nodes, n, tokens);
    let mut order: Vec<&Partition<K>> = partitions.iter().collect();
    order.sort_by(|a, b| a.key.cmp(&b.key));
    let sizes = order
        .iter()
        .map(|partition| (layout.arc(partition.position), partition.bytes))
        .collect();
    let mut balance = Balance::new(&layout, sizes);
    balance.run();
    let moved = order
        .iter()
        .zip(&balance.partitions)
        .filter(|(_, partition)| partition.is_moved);
    Ok(moved
        .map(|(old, partition)| (old.key.clone(), middle(&layout, partition.arc)))
        .collect())
}

/// The middle of an arc: it stays in it when its ends shift a little.
fn middle(layout: &Layout, arc: usize) -> Token {
    layout.tokens[layout.before(arc)].advanced_by(layout.length(arc) / 2.0)
}

struct Placed {
    arc: usize,
    bytes: f64,
    is_moved: bool,
}

/// What a node holds, or may hold.
#[derive(Clone, Copy, Default)]
struct Held {
    replicas: f64,
    bytes: f64,
}

impl Held {
    /// By how much it exceeds a bound, relative to it.
    fn excess(self, bound: Self) -> f64 {
        (self.replicas / bound.replicas - 1.0).max(0.0) + (self.bytes / bound.bytes - 1.0).max(0.0)
    }

    /// How full it is, relative to a bound.
    fn fill(self, bound: Self) -> f64 {
        (self.replicas / bound.replicas).max(self.bytes / bound.bytes)
    }

    fn plus(self, replicas: f64, bytes: f64) -> Self {
        Self {
            replicas: self.replicas + replicas,
            bytes: self.bytes + replicas * bytes,
        }
    }
}

struct Balance<'a> {
    layout: &'a Layout,
    partitions: Vec<Placed>,
    held: Vec<Held>,
    bounds: Vec<Held>,
    /// The partitions on each node, ascending.
    on_node: Vec<Vec<usize>>,
    /// The arcs that list each node.
    arcs_of: Vec<Vec<usize>>,
}

/// Partitions with the arcs that they go to.
type Step = Vec<(usize, usize)>;

/// What relocations add to nodes.
type Changes = Vec<(usize, Held)>;

impl<'a> Balance<'a> {
    fn new(layout: &'a Layout, sizes: Vec<(usize, u64)>) -> Self {
        let nodes = layout.topology.nodes();
        let mut arcs_of = vec![Vec::new(); nodes];
        for arc in 0..layout.tokens.len() {
            members(layout, arc).for_each(|node| arcs_of[node].push(arc));
        }
        let partitions: Vec<Placed> = sizes
            .into_iter()
            .map(|(arc, bytes)| Placed {
                arc,
                bytes: to_f64(bytes),
                is_moved: false,
            })
            .collect();
        let (mut held, mut on_node) = (vec![Held::default(); nodes], vec![Vec::new(); nodes]);
        for (
            index,
            Placed {
                arc,
                bytes,
                is_moved: _,
            },
        ) in partitions.iter().enumerate()
        {
            for node in members(layout, *arc) {
                held[node] = held[node].plus(1.0, *bytes);
                on_node[node].push(index);
            }
        }
        let count = partitions.iter().fold(0.0, |count, _| count + 1.0);
        let bytes: f64 = partitions.iter().map(|partition| partition.bytes).sum();
        let largest = partitions
            .iter()
            .map(|partition| partition.bytes)
            .fold(1.0, f64::max);
        let bound = |best: f64, one: f64| (best * SLACK).max(best + one);
        let bounds = layout.targets.iter().map(|target| Held {
            replicas: bound(target.load * count, 1.0),
            bytes: bound(target.load * bytes, largest),
        });
        Self {
            layout,
            bounds: bounds.collect(),
            partitions,
            held,
            on_node,
            arcs_of,
        }
    }

    fn run(&mut self) {
        let mut is_stuck = vec![false; self.held.len()];
        let mut failures_left = FAILURES_PER_NODE * self.held.len();
        for _ in 0..STEPS_PER_PARTITION * self.partitions.len() + failures_left {
            let excess = |node: usize| self.held[node].excess(self.bounds[node]);
            let over = (0..self.held.len()).filter(|&node| !is_stuck[node] && excess(node) > 0.0);
            let Some(worst) = over.max_by(|&a, &b| excess(a).total_cmp(&excess(b)).then(b.cmp(&a)))
            else {
                break;
            };
            if let Some(step) = self.best_move(worst).or_else(|| self.best_swap(worst)) {
                step.iter()
                    .for_each(|&(partition, arc)| self.relocate(partition, arc));
                // It may have made room for those that found none.
                is_stuck.fill(false);
            } else if failures_left > 0 {
                is_stuck[worst] = true;
                failures_left -= 1;
            } else {
                break;
            }
        }
    }

    fn relocate(&mut self, partition: usize, to: usize) {
        let Placed {
            arc: from,
            bytes,
            is_moved: _,
        } = self.partitions[partition];
        for node in members(self.layout, from) {
            self.held[node] = self.held[node].plus(-1.0, bytes);
            self.on_node[node].retain(|&other| other != partition);
        }
        for node in members(self.layout, to) {
            self.held[node] = self.held[node].plus(1.0, bytes);
            let on_node = &mut self.on_node[node];
            on_node.insert(
                on_node.partition_point(|&other| other < partition),
                partition,
            );
        }
        self.partitions[partition] = Placed {
            arc: to,
            bytes,
            is_moved: true,
        };
    }

    /// The step that takes most off all excess by moving a partition off `node`.
    fn best_move(&self, node: usize) -> Option<Step> {
        let arcs = self.arcs_with_room(node);
        let partitions = sample(&self.on_node[node], PARTITIONS_TRIED);
        let moves =
            partitions.flat_map(|partition| arcs.iter().map(move |&arc| [(partition, arc)]));
        self.best(moves)
    }

    /// The step that takes most off all excess by letting a partition on `node` change places with one elsewhere: where others have
    /// room for bytes but not for replicas, or the reverse.
    fn best_swap(&self, node: usize) -> Option<Step> {
        let is_here = |partition: &usize| self.on_node[node].binary_search(partition).is_ok();
        let stride = self.partitions.len().div_ceil(SWAPS_TRIED).max(1);
        let elsewhere: Vec<usize> = (0..self.partitions.len())
            .step_by(stride)
            .filter(|partition| !is_here(partition))
            .collect();
        let arc = |partition: usize| self.partitions[partition].arc;
        let swaps = sample(&self.on_node[node], SWAPS_TRIED).flat_map(|here| {
            elsewhere
                .iter()
                .map(move |&there| [(here, arc(there)), (there, arc(here))])
        });
        self.best(swaps)
    }

    /// The step with most gain; of equals that which moves least, then the first.
    fn best<const N: usize>(
        &self,
        candidates: impl Iterator<Item = [(usize, usize); N]>,
    ) -> Option<Step> {
        let mut changes = Changes::new();
        let weighed =
            candidates.map(|relocations| (self.weigh(&relocations, &mut changes), relocations));
        let best =
            weighed
                .filter(|((gain, _), _)| *gain > GAIN_MIN)
                .max_by(|(a, a_last), (b, b_last)| {
                    a.0.total_cmp(&b.0)
                        .then(b.1.cmp(&a.1))
                        .then(b_last.cmp(a_last))
                });
        best.map(|(_, relocations)| relocations.to_vec())
    }

    /// By how much all excess falls, and how many replicas move.
    fn weigh(&self, relocations: &[(usize, usize)], changes: &mut Changes) -> (f64, usize) {
        changes.clear();
        let mut moves = 0;
        for &(partition, to) in relocations {
            let Placed {
                arc: from,
                bytes,
                is_moved: _,
            } = self.partitions[partition];
            let is_in =
                |arc: usize, node: usize| members(self.layout, arc).any(|other| other == node);
            let mut add = |node: usize, replicas: f64| match changes
                .iter_mut()
                .find(|(other, _)| *other == node)
            {
                Some((_, held)) => *held = held.plus(replicas, bytes),
                None => changes.push((node, Held::default().plus(replicas, bytes))),
            };
            members(self.layout, from)
                .filter(|&node| !is_in(to, node))
                .for_each(|node| add(node, -1.0));
            for node in members(self.layout, to).filter(|&node| !is_in(from, node)) {
                add(node, 1.0);
                moves += 1;
            }
        }
        let gain = changes.iter().map(|&(node, change)| {
            let (held, bound) = (self.held[node], self.bounds[node]);
            let after = Held {
                replicas: held.replicas + change.replicas,
                bytes: held.bytes + change.bytes,
            };
            held.excess(bound) - after.excess(bound)
        });
        (gain.sum(), moves)
    }

    /// Arcs that do not list `node`, and whose nodes have most room.
    fn arcs_with_room(&self, node: usize) -> Vec<usize> {
        let fill = |node: usize| self.held[node].fill(self.bounds[node]);
        let zone = |node: usize| u32::try_from(node).map(|node| self.layout.topology.zone_of(node));
        let roomy: Vec<(f64, usize)> = (0..self.held.len())
            .map(|other| (fill(other), other))
            .filter(|&(fill, _)| fill < 1.0)
            .collect();
        let mates = roomy
            .iter()
            .copied()
            .filter(|&(_, other)| zone(other) == zone(node))
            .collect();
        let heirs: BTreeSet<usize> = emptiest(mates).into_iter().chain(emptiest(roomy)).collect();
        // Arcs that list the same nodes are alike: one is enough.
        let mut arcs: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for heir in heirs {
            let free = |arc: &usize| members(self.layout, *arc).all(|other| other != node);
            let free: Vec<usize> = self.arcs_of[heir].iter().copied().filter(free).collect();
            for arc in sample(&free, ARCS_WEIGHED) {
                let mut nodes: Vec<usize> = members(self.layout, arc).collect();
                nodes.sort_unstable();
                arcs.entry(nodes).or_insert(arc);
            }
        }
        let room = |nodes: &[usize]| nodes.iter().map(|&node| 1.0 - fill(node)).sum::<f64>();
        let mut arcs: Vec<(f64, usize)> = arcs
            .iter()
            .map(|(nodes, &arc)| (room(nodes), arc))
            .collect();
        arcs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        arcs.truncate(ARCS_TRIED);
        arcs.into_iter().map(|(_, arc)| arc).collect()
    }
}

/// The few nodes that are least full.
fn emptiest(mut nodes: Vec<(f64, usize)>) -> Vec<usize> {
    if nodes.len() > HEIRS_MAX {
        nodes.select_nth_unstable_by(HEIRS_MAX, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        nodes.truncate(HEIRS_MAX);
    }
    nodes.into_iter().map(|(_, node)| node).collect()
}

/// Up to `count` of these, evenly spaced.
fn sample(of: &[usize], count: usize) -> impl Iterator<Item = usize> + '_ {
    of.iter().copied().step_by(of.len().div_ceil(count).max(1))
}

/// The nodes that an arc lists.
fn members(layout: &Layout, arc: usize) -> impl Iterator<Item = usize> + '_ {
    layout
        .list(arc)
        .iter()
        .filter(|&&node| node != NOBODY)
        .map(|&node| node as usize)
}

#[expect(clippy::cast_precision_loss, reason = "sizes need not be exact")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}
