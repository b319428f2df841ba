//! Handing tokens of nodes that leave to others.
//!
//! Where a token just goes, its data falls to whoever comes next, and where zones alternate that can't be evened out by
//! shifting. But what lay on the leaving node moves anyway: a token that another node takes over, in place, chooses where to,
//! at little cost.

use super::change::Change;
use super::insert::{collect, for_affected};
use super::layout::Layout;
use super::relax::Budget;
use crate::Token;

/// The most nodes that are considered as heirs in a round: those that lack most.
const HEIRS_MAX: usize = 8;
/// What moving a length costs against the gain in distance, as if nodes were off by a tenth of their target.
const PRICE: f64 = 0.2;

/// Lets nodes that lack load take over some of the `freed` tokens, up to `tokens_max` tokens a node.
pub(crate) fn hand_over(
    layout: &mut Layout,
    freed: &[Token],
    budget: &Budget<'_>,
    tokens_max: &[usize],
    rounds: usize,
) {
    let mut freed = freed.to_vec();
    let mut moved = budget.reference.moved(layout);
    for round in 0..rounds {
        let heirs = heirs(layout, tokens_max);
        let mut offers: Vec<Offer> = freed
            .iter()
            .flat_map(|&token| heirs.iter().map(move |&node| (token, node)))
            .filter_map(|(token, node)| weigh(layout, budget, token, node))
            .collect();
        offers.sort_by(|a, b| {
            b.gain
                .total_cmp(&a.gain)
                .then((a.token, a.node).cmp(&(b.token, b.node)))
        });
        let wanted = freed.len().div_ceil(rounds - round);
        let (mut taken, mut arcs) = (Vec::new(), Vec::new());
        for offer in offers {
            let is_near = arcs
                .iter()
                .any(|&arc: &usize| arc.abs_diff(offer.arc) <= 2 * layout.replicas);
            if taken.len() == wanted || is_near || moved + offer.moves > budget.moved_max {
                continue;
            }
            moved += offer.moves;
            arcs.push(offer.arc);
            taken.push((offer.token, offer.node));
        }
        if taken.is_empty() {
            break;
        }
        freed.retain(|token| taken.iter().all(|(other, _)| other != token));
        let tokens = layout.owned_tokens().chain(taken).collect();
        layout.set_tokens(tokens);
        moved = budget.reference.moved(layout);
    }
}

struct Offer {
    token: Token,
    node: u32,
    arc: usize,
    gain: f64,
    moves: f64,
}

/// The nodes that lack most, relative to their targets, and may have another token.
fn heirs(layout: &Layout, tokens_max: &[usize]) -> Vec<u32> {
    let mut counts = vec![0; layout.topology.nodes()];
    layout
        .owners
        .as_slice()
        .iter()
        .for_each(|&node| counts[node as usize] += 1);
    let filled = layout
        .amounts
        .iter()
        .zip(&layout.targets)
        .map(|(is, target)| is.load / target.load);
    let mut heirs: Vec<(f64, u32)> = filled
        .zip(0..)
        .filter(|&(filled, node)| filled < 1.0 && counts[node as usize] < tokens_max[node as usize])
        .collect();
    heirs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    heirs.truncate(HEIRS_MAX);
    heirs.into_iter().map(|(_, node)| node).collect()
}

/// What it does to give a freed token to a node. None if that does no good.
fn weigh(layout: &Layout, budget: &Budget<'_>, token: Token, node: u32) -> Option<Offer> {
    let arc = layout.arc(token);
    let length = token.fraction_since(layout.tokens[layout.before(arc)]);
    let mut change = Change::default();
    collect(layout, node, arc, &mut change);
    let mut moves = 0.0;
    for_affected(layout, node, arc, |affected, list| {
        let (end, length) = if affected == arc {
            (token, length)
        } else {
            (layout.tokens[affected], layout.length(affected))
        };
        moves += budget
            .reference
            .moves(end, length, layout.list(affected), list);
    });
    let gain = change
        .optimum(layout, &layout.targets, (length, length), 0.0)
        .gain
        - PRICE * moves.max(0.0);
    (gain > 0.0).then_some(Offer {
        token,
        node,
        arc,
        gain,
        moves,
    })
}
