//! The order of a new cluster's tokens, and where they stand before they are shifted.
//!
//! Zones alternate as evenly as their numbers of tokens allow. Within a zone the tokens of every node are spread over the circle likewise, but each is jittered within its stretch: so a
//! node has other neighbours at each token, and what it holds spreads over many when it leaves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::{NodeSpec, Token, Zone};

/// Tokens at equal distances, in an order that mixes zones and nodes. `counts` has the number of tokens by node.
pub(crate) fn order(nodes: &[NodeSpec], counts: &[usize]) -> Vec<(Token, u32)> {
    let mut zones: BTreeMap<&Zone, Vec<(u64, u32)>> = BTreeMap::new();
    for ((node, &count), index) in nodes.iter().zip(counts).zip(0..) {
        let stretches =
            (0..count as u64).map(|stretch| (jittered(node.id.0, stretch, count as u64), index));
        zones.entry(&node.zone).or_default().extend(stretches);
    }
    let zones: Vec<Vec<(u64, u32)>> = zones
        .into_values()
        .map(|mut tokens| {
            tokens.sort_unstable();
            tokens
        })
        .collect();
    let slots = interleave(&zones.iter().map(Vec::len).collect::<Vec<_>>());
    let positions = Token::evenly_spaced(u32::try_from(slots.len()).unwrap_or(u32::MAX));
    positions
        .into_iter()
        .zip(slots)
        .map(|(position, (zone, index))| (position, zones[zone][index].1))
        .collect()
}

/// Which of several sequences of the given lengths comes in each slot, and with which of its entries, such that each is spread as
/// evenly as can be: the j-th of k entries is due in the window from j / k to (j + 1) / k, and of those whose window has begun the
/// one whose window ends first is next (Baruah et al., *Proportionate progress*, 1996).
fn interleave(lengths: &[usize]) -> Vec<(usize, usize)> {
    let total: usize = lengths.iter().sum();
    let slot = |entry: usize, length: usize| (entry * total).div_ceil(length);
    let mut later: BinaryHeap<Reverse<(usize, usize, usize)>> =
        (0..lengths.len()).map(|of| Reverse((0, of, 0))).collect();
    let mut due: BinaryHeap<Reverse<(usize, usize, usize)>> = BinaryHeap::new();
    let mut slots = Vec::with_capacity(total);
    while slots.len() < total {
        while let Some(&Reverse((begins, of, entry))) = later.peek() {
            // Where nothing is due yet, what begins first goes first.
            if begins > slots.len() && !due.is_empty() {
                break;
            }
            later.pop();
            due.push(Reverse((slot(entry + 1, lengths[of]), of, entry)));
        }
        let Some(Reverse((_, of, entry))) = due.pop() else {
            break;
        };
        slots.push((of, entry));
        if entry + 1 < lengths[of] {
            later.push(Reverse(((entry + 1) * total / lengths[of], of, entry + 1)));
        }
    }
    slots
}

/// A place within the given one of `count` stretches of `0..2^64`.
fn jittered(id: u64, stretch: u64, count: u64) -> u64 {
    let length = u64::MAX / count;
    stretch * length + mix(id ^ mix(stretch)) % length
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
