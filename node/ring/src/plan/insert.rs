//! Giving nodes more tokens, each where it brings loads and shares nearest to the targets.
//!
//! A new token moves data to its owner only ([`crate::placement`]), so nothing here moves data between other nodes.

use super::change::{Change, Optimum};
use super::layout::{Amount, Layout};
use crate::Token;
use crate::circle::With;
use crate::placement::Circle;

/// The most arcs that are weighed for one token; on larger rings a sample that turns with each round.
const CANDIDATES_MAX: usize = 768;
/// The most arcs before a token whose lists are compared to weigh it.
const AFFECTED_MAX: usize = 2_048;

/// Adds `count` tokens to each of the nodes, in `rounds` rounds of about as many.
pub(crate) fn insert(layout: &mut Layout, growing: &[(u32, usize)], rounds: usize) {
    let start = layout.amounts.clone();
    let goal = layout.targets.clone();
    for round in 0..rounds {
        // Nodes are to be as far on the way to their targets as their tokens are: the first must not take it all.
        let way = ratio(round + 1, rounds);
        let between = |from: f64, to: f64| (from + (to - from) * way).max(to * f64::EPSILON);
        let targets: Vec<Amount> = start
            .iter()
            .zip(&goal)
            .map(|(start, goal)| Amount {
                load: between(start.load, goal.load),
                share: between(start.share, goal.share),
            })
            .collect();
        let mut added = Vec::new();
        for (turn, &(node, count)) in growing.iter().enumerate() {
            let wanted = count * (round + 1) / rounds - count * round / rounds;
            pick(
                layout,
                &targets,
                node,
                wanted,
                round + turn * rounds,
                &mut added,
            );
        }
        let mut tokens: Vec<(Token, u32)> = layout.owned_tokens().collect();
        tokens.extend(added.iter().map(|&(_, token, node)| (token, node)));
        layout.set_tokens(tokens);
    }
}

/// Picks the best arcs for `wanted` tokens of a node and books them. `added` has the arcs that are taken already.
fn pick(
    layout: &mut Layout,
    targets: &[Amount],
    node: u32,
    wanted: usize,
    turn: usize,
    added: &mut Vec<(usize, Token, u32)>,
) {
    let count = layout.tokens.len();
    let stride = (count / CANDIDATES_MAX).max(1);
    let mut change = Change::default();
    let mut candidates: Vec<(Optimum, usize)> = (0..count.div_ceil(stride))
        .map(|index| (index * stride + turn % stride) % count)
        .filter_map(|arc| Some((weigh(layout, targets, node, arc, &mut change)?, arc)))
        .collect();
    candidates.sort_by(|(a, a_arc), (b, b_arc)| b.gain.total_cmp(&a.gain).then(a_arc.cmp(b_arc)));
    let mut left = wanted;
    for (_, arc) in candidates {
        if left == 0 {
            break;
        }
        if added.iter().any(|&(taken, _, _)| taken == arc) {
            continue;
        }
        // Weighed again: what was booked since changes it.
        let Some(optimum) = weigh(layout, targets, node, arc, &mut change) else {
            continue;
        };
        change.book(&mut layout.amounts, optimum.length);
        added.push((
            arc,
            layout.tokens[layout.before(arc)].advanced_by(optimum.length),
            node,
        ));
        left -= 1;
    }
}

/// The best place for a token of `node` within an arc, and what it does. None if the arc is too short.
fn weigh(
    layout: &Layout,
    targets: &[Amount],
    node: u32,
    arc: usize,
    change: &mut Change,
) -> Option<Optimum> {
    let (length, keep) = (layout.length(arc), layout.length_min());
    if length < 2.0 * keep {
        return None;
    }
    collect(layout, node, arc, change);
    Some(change.optimum(layout, targets, (keep, length - keep), 0.0))
}

/// What a token of `node` within an arc does, where the free length is that of the part before it.
pub(crate) fn collect(layout: &Layout, node: u32, arc: usize, change: &mut Change) {
    change.clear();
    let first = layout.owners.owner(arc, 0);
    for_affected(layout, node, arc, |affected, list| {
        if affected == arc {
            change.relist_free(layout.list(arc), list, (first, node));
        } else {
            change.relist(layout.list(affected), list, layout.length(affected));
        }
    });
}

/// Calls `visit` with each arc whose list a token of `node` within `arc` changes, and that list then: the part of `arc` before
/// the token first, then going back.
pub(crate) fn for_affected(
    layout: &Layout,
    node: u32,
    arc: usize,
    mut visit: impl FnMut(usize, &[u32]),
) {
    let circle = With {
        base: &layout.owners,
        at: arc,
        node,
    };
    let list = |arc: usize| layout.topology.place(&circle, arc, layout.replicas);
    visit(arc, list(arc).as_slice());
    let mut before = layout.before(arc);
    for _ in 0..AFFECTED_MAX.min(layout.tokens.len() - 1) {
        // An earlier token of the node takes over, or the walk ends before it comes here: so for all arcs before.
        if layout.owners.owner(before, 0) == node {
            break;
        }
        let after = list(before);
        if !after.contains(node) {
            break;
        }
        visit(before, after.as_slice());
        before = layout.before(before);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
