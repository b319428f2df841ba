//! What a new ring means for data: which replicas move from whom to whom, and how much of everything that is.

use crate::{NodeId, Ring, Token};

/// A replica that changes its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move<K> {
    /// The partition.
    pub key: K,
    /// The node that gives it up; none if the partition gets one replica more.
    pub from: Option<NodeId>,
    /// The node that takes it; none if the partition gets one replica less.
    pub to: Option<NodeId>,
}

/// The moves that bring partitions from their places on `old` to those on `new`, in the order of the partitions.
///
/// A replica that goes is paired with one that comes in the same zone where there is one: so replacing them one by one
/// never puts two into a zone while the partition's zones suffice.
pub fn moves<K: Clone>(
    old: &Ring,
    new: &Ring,
    partitions: impl IntoIterator<Item = (K, Token)>,
    n: usize,
) -> Vec<Move<K>> {
    let mut moves = Vec::new();
    for (key, position) in partitions {
        let (before, after) = (old.placement(position, n), new.placement(position, n));
        for (from, to) in pairs(old, new, &before, &after) {
            moves.push(Move {
                key: key.clone(),
                from,
                to,
            });
        }
    }
    moves
}

/// How much data the new ring places on nodes that do not hold it, as a fraction of one replica of all data, if data is spread
/// evenly over positions.
#[must_use]
pub fn moved_fraction(old: &Ring, new: &Ring, n: usize) -> f64 {
    let mut edges: Vec<Token> = old
        .tokens()
        .chain(new.tokens())
        .map(|(token, _)| token)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let previous = edges.last().into_iter().chain(&edges);
    let moved = previous.zip(&edges).map(|(from, to)| {
        let (before, after) = (old.placement(*to, n), new.placement(*to, n));
        let added = after.iter().filter(|id| !before.contains(id));
        added.fold(0.0, |sum, _| sum + to.fraction_since(*from))
    });
    moved.sum()
}

/// Pairs the nodes that go with those that come.
fn pairs(
    old: &Ring,
    new: &Ring,
    before: &[NodeId],
    after: &[NodeId],
) -> Vec<(Option<NodeId>, Option<NodeId>)> {
    let mut come: Vec<NodeId> = after
        .iter()
        .copied()
        .filter(|id| !before.contains(id))
        .collect();
    let go: Vec<NodeId> = before
        .iter()
        .copied()
        .filter(|id| !after.contains(id))
        .collect();
    let zone = |ring: &Ring, id: NodeId| ring.member(id).map(|member| member.zone.clone());
    let (mut pairs, mut rest) = (Vec::new(), Vec::new());
    for from in go {
        match come.iter().position(|&to| zone(new, to) == zone(old, from)) {
            Some(index) => pairs.push((Some(from), Some(come.remove(index)))),
            None => rest.push(from),
        }
    }
    let mut come = come.into_iter();
    pairs.extend(rest.into_iter().map(|from| (Some(from), come.next())));
    pairs.extend(come.map(|to| (None, Some(to))));
    pairs
}
