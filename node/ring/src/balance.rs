//! What tokens can't even out: partitions are few and of unequal size, positions are many and alike.
//!
//! Where partitions as they lie break the bound, some of them get new positions. The bound is that of the design: no node
//! holds more than [`SLACK`] times its best load of replicas, or of bytes, or one replica more than that best.
//!
//! Greedy: while a node is over its bound, take the worst, and of its partitions and of the arcs of nodes that have room the
//! pair that takes most off all excess; of equals the one that moves least. Each step takes off some, so it ends, and what
//! lies within the bounds is not touched.

use std::collections::BTreeSet;

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
/// The most partitions of a node that are tried in a step.
const PARTITIONS_TRIED: usize = 256;

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
    let tokens = ring.tokens().map(|(token, id)| (token, id));
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
    /// The partitions on each node.
    on_node: Vec<BTreeSet<usize>>,
    /// The arcs that list each node.
    arcs_of: Vec<Vec<usize>>,
}

/// A partition and the arc that it would go to.
struct Step {
    partition: usize,
    arc: usize,
    gain: f64,
    moves: usize,
}

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
        let (mut held, mut on_node) = (vec![Held::default(); nodes], vec![BTreeSet::new(); nodes]);
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
                on_node[node].insert(index);
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
        // Every step but the stuck ones takes off excess; a partition that goes to and fro would not.
        for _ in 0..self.partitions.len() + self.held.len() {
            let excess = |node: usize| self.held[node].excess(self.bounds[node]);
            let over = (0..self.held.len()).filter(|&node| !is_stuck[node] && excess(node) > 0.0);
            let Some(worst) = over.max_by(|&a, &b| excess(a).total_cmp(&excess(b)).then(b.cmp(&a)))
            else {
                break;
            };
            match self.best_step(worst) {
                Some(step) => self.take(&step),
                None => is_stuck[worst] = true,
            }
        }
    }

    fn take(&mut self, step: &Step) {
        let Placed {
            arc: from,
            bytes,
            is_moved: _,
        } = self.partitions[step.partition];
        for node in members(self.layout, from) {
            self.held[node] = self.held[node].plus(-1.0, bytes);
            self.on_node[node].remove(&step.partition);
        }
        for node in members(self.layout, step.arc) {
            self.held[node] = self.held[node].plus(1.0, bytes);
            self.on_node[node].insert(step.partition);
        }
        self.partitions[step.partition] = Placed {
            arc: step.arc,
            bytes,
            is_moved: true,
        };
    }

    /// The step that takes most off all excess by moving a partition off `node`.
    fn best_step(&self, node: usize) -> Option<Step> {
        let arcs = self.arcs_with_room(node);
        let stride = self.on_node[node].len().div_ceil(PARTITIONS_TRIED).max(1);
        let partitions = self.on_node[node].iter().step_by(stride);
        let steps = partitions
            .flat_map(|&partition| arcs.iter().map(move |&arc| self.weigh(partition, arc)));
        steps.filter(|step| step.gain > 1e-9).max_by(|a, b| {
            let by_gain = a.gain.total_cmp(&b.gain).then(b.moves.cmp(&a.moves));
            by_gain.then((b.partition, b.arc).cmp(&(a.partition, a.arc)))
        })
    }

    /// Arcs that do not list `node`, and whose nodes have most room.
    fn arcs_with_room(&self, node: usize) -> Vec<usize> {
        let fill = |node: usize| self.held[node].fill(self.bounds[node]);
        let zone = |node: usize| {
            u32::try_from(node)
                .map(|node| self.layout.topology.zone_of(node))
                .ok()
        };
        let mut emptiest: Vec<usize> = (0..self.held.len())
            .filter(|&other| fill(other) < 1.0)
            .collect();
        emptiest.sort_by(|&a, &b| fill(a).total_cmp(&fill(b)).then(a.cmp(&b)));
        let mates = emptiest
            .iter()
            .filter(|&&other| zone(other) == zone(node))
            .take(HEIRS_MAX);
        let heirs: BTreeSet<usize> = emptiest
            .iter()
            .take(HEIRS_MAX)
            .chain(mates)
            .copied()
            .collect();
        let mut arcs: BTreeSet<usize> = BTreeSet::new();
        for heir in heirs {
            let stride = self.arcs_of[heir].len().div_ceil(ARCS_WEIGHED).max(1);
            arcs.extend(self.arcs_of[heir].iter().step_by(stride));
        }
        let room = |arc: usize| {
            members(self.layout, arc)
                .map(|node| 1.0 - fill(node))
                .sum::<f64>()
        };
        let mut arcs: Vec<(f64, usize)> = arcs
            .into_iter()
            .filter(|&arc| members(self.layout, arc).all(|other| other != node))
            .map(|arc| (room(arc), arc))
            .collect();
        arcs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        arcs.truncate(ARCS_TRIED);
        arcs.into_iter().map(|(_, arc)| arc).collect()
    }

    fn weigh(&self, partition: usize, arc: usize) -> Step {
        let Placed {
            arc: from,
            bytes,
            is_moved: _,
        } = self.partitions[partition];
        let change = |node: usize, by: f64| {
            let held = self.held[node];
            held.excess(self.bounds[node]) - held.plus(by, bytes).excess(self.bounds[node])
        };
        let (mut gain, mut moves) = (0.0, 0);
        for node in members(self.layout, from)
            .filter(|&node| members(self.layout, arc).all(|other| other != node))
        {
            gain += change(node, -1.0);
        }
        for node in members(self.layout, arc)
            .filter(|&node| members(self.layout, from).all(|other| other != node))
        {
            gain += change(node, 1.0);
            moves += 1;
        }
        Step {
            partition,
            arc,
            gain,
            moves,
        }
    }
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
