//! A ring while it is planned: tokens in order, who holds each arc, and how far every node is from its target.
//!
//! Arc `i` is `(token i − 1, token i]`; all its positions have the same preference list, the one that the walk from
//! token `i` finds. So a node's load is the sum of the lengths of the arcs that list it, and its share that of the
//! arcs that it is first in. All lengths are fractions of the circle.

use crate::best;
use crate::circle::Owners;
use crate::placement::{Circle, Topology};
use crate::{NodeSpec, Token};

/// Fills the lists of arcs that have fewer nodes than replicas.
pub(crate) const NOBODY: u32 = u32::MAX;

/// What a node should hold, and what it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    pub load: f64,
    pub share: f64,
}

pub(crate) struct Layout {
    pub topology: Topology,
    pub replicas: usize,
    pub targets: Vec<Amount>,
    pub amounts: Vec<Amount>,
    /// Ascending.
    pub tokens: Vec<Token>,
    pub owners: Owners,
    /// The nodes of each arc, `replicas` entries an arc.
    lists: Vec<u32>,
}

impl Layout {
    /// A layout of the given nodes (by index) and tokens, in any order. Targets follow from zones, hosts and weights.
    pub fn new(nodes: &[NodeSpec], replicas: usize, tokens: Vec<(Token, u32)>) -> Self {
        let topology = Topology::new(nodes.iter().map(|node| (&node.zone, &node.host)));
        let weights: Vec<f64> = nodes.iter().map(|node| f64::from(node.weight)).collect();
        let total: f64 = weights.iter().sum();
        let loads = best::fill(&topology, &weights, replicas);
        let targets = loads
            .iter()
            .zip(&weights)
            .map(|(&load, weight)| Amount {
                load,
                share: weight / total,
            })
            .collect();
        let mut layout = Self {
            topology,
            replicas,
            targets,
            amounts: Vec::new(),
            tokens: Vec::new(),
            owners: Owners::default(),
            lists: Vec::new(),
        };
        layout.set_tokens(tokens);
        layout
    }

    /// Replaces all tokens and computes everything anew.
    pub fn set_tokens(&mut self, mut tokens: Vec<(Token, u32)>) {
        // Stable, because that is quick on the few sorted runs that it gets.
        tokens.sort();
        let owners;
        (self.tokens, owners) = tokens.into_iter().unzip();
        self.owners = Owners::new(owners, &self.topology);
        self.lists.clear();
        self.amounts = vec![Amount::default(); self.topology.nodes()];
        for arc in 0..self.tokens.len() {
            let length = self.length(arc);
            let list = self.topology.place(&self.owners, arc, self.replicas);
            for &node in list.as_slice() {
                self.amounts[node as usize].load += length;
            }
            self.amounts[self.owners.owner(arc, 0) as usize].share += length;
            self.lists.extend(list.as_slice());
            self.lists.resize((arc + 1) * self.replicas, NOBODY);
        }
    }

    /// Tokens with their owners, ascending.
    pub fn owned_tokens(&self) -> impl Iterator<Item = (Token, u32)> + '_ {
        self.tokens
            .iter()
            .copied()
            .zip(self.owners.as_slice().iter().copied())
    }

    pub fn list(&self, arc: usize) -> &[u32] {
        &self.lists[arc * self.replicas..(arc + 1) * self.replicas]
    }

    pub fn length(&self, arc: usize) -> f64 {
        self.tokens[arc].fraction_since(self.tokens[self.before(arc)])
    }

    /// The arc that a position lies in.
    pub fn arc(&self, position: Token) -> usize {
        let arc = self.tokens.partition_point(|&token| token < position);
        if arc < self.tokens.len() { arc } else { 0 }
    }

    pub fn before(&self, arc: usize) -> usize {
        if arc == 0 {
            self.tokens.len() - 1
        } else {
            arc - 1
        }
    }

    pub fn after(&self, arc: usize) -> usize {
        if arc + 1 == self.tokens.len() {
            0
        } else {
            arc + 1
        }
    }

    /// Shorter arcs than this are not made.
    #[expect(clippy::cast_precision_loss, reason = "at most MAX_TOKENS")]
    pub fn length_min(&self) -> f64 {
        1.0 / (self.tokens.len() as f64 * 64.0)
    }
}
