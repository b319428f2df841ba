//! Taking tokens from nodes, each where it brings loads and shares nearest to the targets.
//!
//! A token that goes moves data away from its owner only ([`crate::placement`]).

use super::change::Change;
use super::layout::Layout;
use crate::Token;
use crate::circle::Without;
use crate::placement::Circle;

/// The most arcs before a token whose lists are compared to weigh it.
const AFFECTED_MAX: usize = 2_048;
/// After so many rounds the remaining tokens go at once.
const ROUNDS_MAX: usize = 64;

/// Takes `count` tokens from `node`.
pub(crate) fn remove(layout: &mut Layout, node: u32, count: usize) {
    let mut left = count;
    for round in 0..ROUNDS_MAX {
        if left == 0 {
            break;
        }
        let wanted = left.div_ceil(ROUNDS_MAX - round);
        let mut change = Change::default();
        let mut candidates: Vec<(f64, usize)> = (0..layout.tokens.len())
            .filter(|&token| layout.owners.owner(token, 0) == node)
            .map(|token| (weigh(layout, token, &mut change), token))
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let gone: Vec<usize> = candidates
            .iter()
            .take(wanted)
            .map(|&(_, token)| token)
            .collect();
        let kept = layout
            .owned_tokens()
            .enumerate()
            .filter(|(token, _)| !gone.contains(token));
        let tokens: Vec<(Token, u32)> = kept.map(|(_, owned)| owned).collect();
        layout.set_tokens(tokens);
        left -= wanted.min(left);
    }
}

/// How much nearer to the targets the layout is without a token.
fn weigh(layout: &Layout, token: usize, change: &mut Change) -> f64 {
    let circle = Without {
        base: &layout.owners,
        at: token,
    };
    let node = layout.owners.owner(token, 0);
    change.clear();
    change.reshare(
        node,
        layout.owners.owner(layout.after(token), 0),
        layout.length(token),
    );
    let mut arc = token;
    for _ in 0..AFFECTED_MAX.min(layout.tokens.len()) {
        let is_again = arc != token && layout.owners.owner(arc, 0) == node;
        if !layout.list(arc).contains(&node) || is_again {
            break;
        }
        let after = layout.topology.place(&circle, arc, layout.replicas);
        change.relist(layout.list(arc), after.as_slice(), layout.length(arc));
        arc = layout.before(arc);
    }
    change
        .optimum(layout, &layout.targets, (0.0, 0.0), 0.0)
        .gain
}
