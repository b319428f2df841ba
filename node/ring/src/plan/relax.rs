//! Shifting tokens between their neighbours until nodes hold what they should.
//!
//! A token that moves within its two arcs leaves the order of tokens, and with it every preference list, as it is: a
//! piece of one arc goes to the next, and only the nodes in which their lists differ gain or lose. So loads are linear in the
//! arcs' lengths, the distance from the targets is a convex parabola in each shift, and taking tokens in turn, each to its
//! own minimum (coordinate descent), converges.
//!
//! What a shift moves is counted against where the data lay before the plan ([`Reference`]): a piece that moves
//! anyway can go to another node for nothing. With a bound on moved data, moving has a price that falls from turn to turn,
//! so that what gains most for its bytes is done first.

use super::change::Change;
use super::layout::{Layout, NOBODY};
use super::reference::{Reference, missing};
use crate::Token;
use crate::placement::Circle;

/// What a relaxation may move.
pub(crate) struct Budget<'a> {
    pub reference: &'a Reference,
    /// The most data on nodes that did not hold it, as a fraction of one replica of everything.
    pub moved_max: f64,
}

/// Turns over all tokens.
const PASSES: usize = 24;
/// Moving is cheap at prices below this: about what evening out two nodes that are 1 % apart is worth.
const PRICE_LOW: f64 = 0.02;
/// Nodes nearer to their targets than this are left alone.
const TOLERANCE: f64 = 0.002;
/// A turn that gains less than this fraction of what all gained so far is the last.
const GAIN_MIN: f64 = 0.001;

/// Shifts the tokens that are `movable`.
pub(crate) fn relax(
    layout: &mut Layout,
    budget: Option<&Budget<'_>>,
    movable: impl Fn(&Layout, usize) -> bool,
) {
    if layout.tokens.len() < 2 {
        return;
    }
    let mut moved = budget.map_or(0.0, |budget| budget.reference.moved(layout));
    let mut price = budget.map_or(0.0, |_| steepest(layout, &movable));
    let mut total = 0.0;
    for _ in 0..PASSES {
        price /= 2.0;
        let mut gained = 0.0;
        let is_off = off_target(layout);
        for token in 0..layout.tokens.len() {
            if !movable(layout, token) {
                continue;
            }
            let next = layout.after(token);
            if !concerns(layout, token, &is_off) && !concerns(layout, next, &is_off) {
                continue;
            }
            let change = shift(layout, token, next);
            let terms = budget.map(|budget| Terms {
                budget,
                moved,
                price,
            });
            let steps = [
                forth(layout, token, next, terms.as_ref()),
                back(layout, token, next, terms.as_ref()),
            ];
            let best = steps.iter().map(|step| {
                (
                    change.optimum(layout, &layout.targets, step.range, step.price),
                    step.moves,
                )
            });
            let Some((optimum, moves)) = best.max_by(|a, b| a.0.gain.total_cmp(&b.0.gain)) else {
                continue;
            };
            if optimum.gain <= 0.0 || optimum.length.abs() < layout.length_min() / 64.0 {
                continue;
            }
            let at = &mut layout.tokens[token];
            *at = if optimum.length >= 0.0 {
                at.advanced_by(optimum.length)
            } else {
                at.moved_back_by(-optimum.length)
            };
            change.book(&mut layout.amounts, optimum.length);
            moved += optimum.length.abs() * moves;
            gained += optimum.gain;
        }
        total += gained;
        // While moving is dear little is gained; that says nothing about later turns.
        if price < PRICE_LOW && gained <= total * GAIN_MIN {
            break;
        }
    }
}

struct Terms<'a> {
    budget: &'a Budget<'a>,
    moved: f64,
    price: f64,
}

/// A direction in which a token may go.
struct Step {
    /// How far, positive clockwise.
    range: (f64, f64),
    /// What a unit of length costs.
    price: f64,
    /// How much data a unit of the absolute length moves.
    moves: f64,
}

impl Terms<'_> {
    /// How far a piece can go from one list to another, and how much that moves a unit.
    fn bound(
        &self,
        room: f64,
        (holders, reach): (&[u32], f64),
        from: &[u32],
        to: &[u32],
    ) -> (f64, f64) {
        let moves = missing(to, holders) - missing(from, holders);
        let left = (self.budget.moved_max - self.moved).max(0.0);
        let affordable = if moves > 0.0 {
            left / moves
        } else {
            f64::INFINITY
        };
        (room.min(reach).min(affordable), moves)
    }
}

fn forth(layout: &Layout, token: usize, next: usize, terms: Option<&Terms<'_>>) -> Step {
    let (at, limit) = (
        layout.tokens[token],
        layout.tokens.get(token + 1).copied().unwrap_or(Token::MAX),
    );
    let room = room(layout, at, limit);
    let Some(terms) = terms else {
        return Step {
            range: (0.0, room),
            price: 0.0,
            moves: 0.0,
        };
    };
    let (room, moves) = terms.bound(
        room,
        terms.budget.reference.ahead(at),
        layout.list(next),
        layout.list(token),
    );
    Step {
        range: (0.0, room),
        price: terms.price * moves,
        moves,
    }
}

fn back(layout: &Layout, token: usize, next: usize, terms: Option<&Terms<'_>>) -> Step {
    let (at, limit) = (
        layout.tokens[token],
        if token == 0 {
            Token::MIN
        } else {
            layout.tokens[token - 1]
        },
    );
    let room = room(layout, limit, at);
    let Some(terms) = terms else {
        return Step {
            range: (-room, 0.0),
            price: 0.0,
            moves: 0.0,
        };
    };
    let (room, moves) = terms.bound(
        room,
        terms.budget.reference.behind(at),
        layout.list(token),
        layout.list(next),
    );
    Step {
        range: (-room, 0.0),
        price: -terms.price * moves,
        moves,
    }
}

/// The room between two positions that do not lie on either side of 0.
fn room(layout: &Layout, from: Token, to: Token) -> f64 {
    if from == to {
        0.0
    } else {
        (to.fraction_since(from) - layout.length_min()).max(0.0)
    }
}

/// What a shift of `token` clockwise does: its own arc grows at the cost of the next.
fn shift(layout: &Layout, token: usize, next: usize) -> Change {
    let mut change = Change::default();
    let firsts = (layout.owners.owner(next, 0), layout.owners.owner(token, 0));
    change.relist_free(layout.list(next), layout.list(token), firsts);
    change
}

/// Which nodes are off their targets by more than the tolerance.
fn off_target(layout: &Layout) -> Vec<bool> {
    let is_off = |is: f64, target: f64| (is - target).abs() > target * TOLERANCE;
    let both = layout.amounts.iter().zip(&layout.targets);
    both.map(|(is, target)| is_off(is.load, target.load) || is_off(is.share, target.share))
        .collect()
}

/// Whether any of these nodes holds the arc.
fn concerns(layout: &Layout, arc: usize, nodes: &[bool]) -> bool {
    layout
        .list(arc)
        .iter()
        .any(|&node| node != NOBODY && nodes[node as usize])
}

/// The most that a token gains for a small piece moved.
fn steepest(layout: &Layout, movable: &impl Fn(&Layout, usize) -> bool) -> f64 {
    let step = layout.length_min();
    let slopes = (0..layout.tokens.len())
        .filter(|&token| movable(layout, token))
        .map(|token| {
            let change = shift(layout, token, layout.after(token));
            change
                .optimum(layout, &layout.targets, (-step, step), 0.0)
                .gain
                / step
        });
    slopes.fold(0.0, f64::max)
}
