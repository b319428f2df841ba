//! Shifting tokens between their neighbours until nodes hold what they should.
//!
//! A token that moves within its two arcs leaves the order of tokens, and with it every preference list, as it is: a
//! piece of one arc goes to the next, and only the nodes in which their lists differ gain or lose. So loads are linear in the
//! arcs' lengths, the distance from the targets is a convex parabola in each shift, and taking tokens in turn, each to its
//! own minimum (coordinate descent), converges.

use super::change::Change;
use super::layout::Layout;
use crate::placement::Circle;

/// What a relaxation may do.
pub(crate) struct Limits {
    /// Turns over all tokens.
    pub passes: usize,
    /// The most data to move, as a fraction of one replica of everything.
    pub moved_max: f64,
}

/// Shifts the tokens that are `movable`; returns at most how much data that moves.
///
/// With a finite `moved_max` the first turns take only the shifts that gain most for what they move.
pub(crate) fn relax(layout: &mut Layout, limits: &Limits, movable: impl Fn(&Layout, usize) -> bool) -> f64 {
    let count = layout.tokens.len();
    let mut moved = 0.0;
    if count < 2 {
        return moved;
    }
    let mut change = Change::default();
    let mut threshold = if limits.moved_max.is_finite() { steepest(layout, &movable) } else { 0.0 };
    for _ in 0..limits.passes {
        threshold /= 2.0;
        for token in 0..count {
            if !movable(layout, token) {
                continue;
            }
            collect(layout, token, &mut change);
            let moves = change.moves();
            let (low, high) = range(layout, token);
            let budget = if moves > 0.0 { (limits.moved_max - moved) / moves } else { f64::INFINITY };
            let optimum = change.optimum(layout, &layout.targets, (low.max(-budget), high.min(budget)));
            let steep = optimum.gain > threshold * optimum.length.abs() * moves;
            if optimum.gain <= 0.0 || !steep || optimum.length.abs() < layout.length_min() / 64.0 {
                continue;
            }
            let at = &mut layout.tokens[token];
            *at = if optimum.length >= 0.0 { at.advanced_by(optimum.length) } else { at.moved_back_by(-optimum.length) };
            change.book(&mut layout.amounts, optimum.length);
            moved += optimum.length.abs() * moves;
        }
    }
    moved
}

/// What a shift of `token` clockwise does: its own arc grows at the cost of the next.
fn collect(layout: &Layout, token: usize, change: &mut Change) {
    let next = layout.after(token);
    change.clear();
    let firsts = (layout.owners.owner(next, 0), layout.owners.owner(token, 0));
    change.relist_free(layout.list(next), layout.list(token), firsts);
}

/// How far a token can go back (negative) and forth without meeting its neighbours or leaving `0..2^128`.
fn range(layout: &Layout, token: usize) -> (f64, f64) {
    let (keep, at) = (layout.length_min(), layout.tokens[token]);
    let back = if token == 0 { crate::Token::MIN } else { layout.tokens[token - 1] };
    let forth = layout.tokens.get(token + 1).copied().unwrap_or(crate::Token::MAX);
    let room = |from: crate::Token, to: crate::Token| if from == to { 0.0 } else { (to.fraction_since(from) - keep).max(0.0) };
    (-room(back, at), room(at, forth))
}

/// The most that a token gains for a small piece moved.
fn steepest(layout: &Layout, movable: &impl Fn(&Layout, usize) -> bool) -> f64 {
    let mut change = Change::default();
    let step = layout.length_min();
    let slopes = (0..layout.tokens.len()).filter(|&token| movable(layout, token)).map(|token| {
        collect(layout, token, &mut change);
        let optimum = change.optimum(layout, &layout.targets, (-step, step));
        optimum.gain / (step * change.moves().max(1.0))
    });
    slopes.fold(0.0, f64::max)
}
