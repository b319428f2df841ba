//! Where data lies before a plan: what a change moves is counted against it, exactly.

use super::layout::{Layout, NOBODY};
use crate::Token;

/// The arcs of the ring before, with the nodes that hold them, by their indices in the layout that is planned.
pub(crate) struct Reference {
    /// Ascending.
    tokens: Vec<Token>,
    /// `stride` entries an arc, [`NOBODY`] for nodes that the new layout does not have.
    lists: Vec<u32>,
    stride: usize,
}

impl Reference {
    /// The arcs of `before`; `index` says what its nodes are called in the layout that is planned.
    pub fn new(before: &Layout, index: impl Fn(u32) -> Option<u32>) -> Self {
        let map = |&node: &u32| {
            if node == NOBODY {
                NOBODY
            } else {
                index(node).unwrap_or(NOBODY)
            }
        };
        let lists = (0..before.tokens.len())
            .flat_map(|arc| before.list(arc).iter().map(map))
            .collect();
        Self {
            tokens: before.tokens.clone(),
            lists,
            stride: before.replicas,
        }
    }

    /// The arc that a position lies in.
    fn arc(&self, position: Token) -> usize {
        let arc = self.tokens.partition_point(|&token| token < position);
        if arc < self.tokens.len() { arc } else { 0 }
    }

    fn list(&self, arc: usize) -> &[u32] {
        &self.lists[arc * self.stride..(arc + 1) * self.stride]
    }

    /// Who holds the positions just after this one, and for how far on.
    pub fn ahead(&self, position: Token) -> (&[u32], f64) {
        let next = Token(position.0.wrapping_add(1));
        let arc = self.arc(next);
        (self.list(arc), self.tokens[arc].fraction_since(position))
    }

    /// Who holds the positions up to and including this one, and for how far back.
    pub fn behind(&self, position: Token) -> (&[u32], f64) {
        let arc = self.arc(position);
        let before = if arc == 0 {
            self.tokens.len() - 1
        } else {
            arc - 1
        };
        (self.list(arc), position.fraction_since(self.tokens[before]))
    }

    /// How much of the data a layout places on nodes that do not hold it, as a fraction of one replica of everything.
    pub fn moved(&self, layout: &Layout) -> f64 {
        let arcs = 0..layout.tokens.len();
        arcs.map(|arc| {
            self.moves(
                layout.tokens[arc],
                layout.length(arc),
                &[],
                layout.list(arc),
            )
        })
        .sum()
    }

    /// How much more data the nodes of `to` have to take than those of `from`, for the arc of that length up to `end`.
    pub fn moves(&self, end: Token, length: f64, from: &[u32], to: &[u32]) -> f64 {
        let (mut position, mut left, mut moved) = (end, length, 0.0);
        loop {
            let (holders, reach) = self.behind(position);
            moved += (missing(to, holders) - missing(from, holders)) * reach.min(left);
            if reach >= left {
                return moved;
            }
            left -= reach;
            position = self.tokens[self
                .arc(position)
                .checked_sub(1)
                .unwrap_or(self.tokens.len() - 1)];
        }
    }
}

/// How many nodes of a list do not hold the data yet.
pub(crate) fn missing(list: &[u32], holders: &[u32]) -> f64 {
    list.iter()
        .filter(|&&node| node != NOBODY && !holders.contains(&node))
        .fold(0.0, |count, _| count + 1.0)
}
