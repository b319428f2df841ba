//! The order of a new cluster's tokens, and where they stand before they are shifted.
//!
//! Zones alternate as evenly as their numbers of tokens allow: the j-th of a zone's k tokens stands at (j + ½) / k. Within
//! a zone the tokens of every node are spread over the circle likewise, but each is jittered within its stretch: so a
//! node has other neighbours at each token, and what it holds spreads over many when it leaves.

use std::collections::BTreeMap;

use crate::{NodeSpec, Token, Zone};

/// Tokens at equal distances, in an order that mixes zones and nodes. `counts` has the number of tokens by node.
pub(crate) fn order(nodes: &[NodeSpec], counts: &[usize]) -> Vec<(Token, u32)> {
    let mut zones: BTreeMap<&Zone, Vec<(u64, u32)>> = BTreeMap::new();
    for ((node, &count), index) in nodes.iter().zip(counts).zip(0..) {
        let stretches =
            (0..count as u64).map(|stretch| (jittered(node.id.0, stretch, count as u64), index));
        zones.entry(&node.zone).or_default().extend(stretches);
    }
    let mut order: Vec<(u128, usize, u32)> = Vec::new();
    for (zone, tokens) in zones.values_mut().enumerate() {
        tokens.sort_unstable();
        let count = tokens.len() as u128;
        let at = |index: usize| (2 * index as u128 + 1) * u128::from(u64::MAX) / (2 * count);
        order.extend(
            tokens
                .iter()
                .enumerate()
                .map(|(index, &(_, node))| (at(index), zone, node)),
        );
    }
    order.sort_unstable();
    let positions = Token::evenly_spaced(u32::try_from(order.len()).unwrap_or(u32::MAX));
    positions
        .into_iter()
        .zip(order)
        .map(|(position, (_, _, node))| (position, node))
        .collect()
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
