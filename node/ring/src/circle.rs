//! Circles of tokens that placement walks: one that is there, and one as it would be with a token more or less.

use crate::placement::{Circle, Topology};

/// The owners of a circle's tokens, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    owners: Vec<u32>,
    /// The indices of each zone's tokens, ascending.
    by_zone: Vec<Vec<u32>>,
}

impl Owners {
    pub fn new(owners: Vec<u32>, topology: &Topology) -> Self {
        let mut by_zone = vec![Vec::new(); topology.zones()];
        for (&owner, index) in owners.iter().zip(0..) {
            by_zone[topology.zone_of(owner) as usize].push(index);
        }
        Self { owners, by_zone }
    }

    pub fn as_slice(&self) -> &[u32] {
        &self.owners
    }

    /// How many steps clockwise `to` is from `from`.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.owners.len() - from
        }
    }
}

impl Circle for Owners {
    fn len(&self) -> usize {
        self.owners.len()
    }

    fn owner(&self, start: usize, step: usize) -> u32 {
        let index = start + step;
        self.owners[if index < self.owners.len() {
            index
        } else {
            index - self.owners.len()
        }]
    }

    fn seek(
        &self,
        start: usize,
        fits: impl Fn(u32) -> bool,
        is_open: impl Fn(u32) -> bool,
    ) -> Option<(usize, u32)> {
        let zones = self
            .by_zone
            .iter()
            .zip(0..)
            .filter(|&(_, zone)| is_open(zone));
        let first_of = zones.filter_map(|(tokens, _)| {
            let split = tokens.partition_point(|&index| (index as usize) < start);
            let (before, after) = tokens.split_at(split);
            let index = after
                .iter()
                .chain(before)
                .find(|&&index| fits(self.owners[index as usize]))?;
            Some((
                self.steps(start, *index as usize),
                self.owners[*index as usize],
            ))
        });
        first_of.min()
    }
}

/// A circle with one more token, just before the one at `at`.
pub(crate) struct With<'a> {
    pub base: &'a Owners,
    pub at: usize,
    pub node: u32,
}

impl Circle for With<'_> {
    fn len(&self) -> usize {
        self.base.len() + 1
    }

    fn owner(&self, start: usize, step: usize) -> u32 {
        match step.cmp(&self.base.steps(start, self.at)) {
            std::cmp::Ordering::Less => self.base.owner(start, step),
            std::cmp::Ordering::Equal => self.node,
            std::cmp::Ordering::Greater => self.base.owner(start, step - 1),
        }
    }

    fn seek(
        &self,
        start: usize,
        fits: impl Fn(u32) -> bool,
        is_open: impl Fn(u32) -> bool,
    ) -> Option<(usize, u32)> {
        let own = fits(self.node).then(|| (self.base.steps(start, self.at), self.node));
        match (own, self.base.seek(start, fits, is_open)) {
            (Some(own), Some(other)) => Some(if own.0 <= other.0 { own } else { other }),
            (own, other) => own.or(other),
        }
    }
}

/// A circle without the token at `at`.
pub(crate) struct Without<'a> {
    pub base: &'a Owners,
    pub at: usize,
}

impl Circle for Without<'_> {
    fn len(&self) -> usize {
        self.base.len() - 1
    }

    fn owner(&self, start: usize, step: usize) -> u32 {
        self.base.owner(
            start,
            step + usize::from(step >= self.base.steps(start, self.at)),
        )
    }

    fn seek(
        &self,
        start: usize,
        fits: impl Fn(u32) -> bool,
        _: impl Fn(u32) -> bool,
    ) -> Option<(usize, u32)> {
        // `is_open` only spares zones without a fit.
        let walk = (0..self.len()).map(|step| (step, self.owner(start, step)));
        { walk }.find(|&(_, node)| fits(node))
    }
}
