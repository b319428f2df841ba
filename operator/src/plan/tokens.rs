//! The tokens of a new cluster, planned by `kv-ring`.

use std::collections::BTreeMap;

use kv_ring::{NodeId, NodeSpec};

use super::seats::Seat;

/// All nodes of a cluster weigh the same until node groups come.
pub const WEIGHT: u32 = 1;

/// Tokens by node, as 32 hex digits each. Deterministic: a second `Bootstrap` call says the same as the first.
///
/// # Errors
/// What `kv-ring` refuses; never for a validated cluster.
pub fn initial(
    seats: &[Seat],
    host: impl Fn(NodeId) -> String,
    replicas: u32,
) -> Result<BTreeMap<NodeId, Vec<String>>, kv_ring::Error> {
    let specs: Vec<NodeSpec> = seats
        .iter()
        .map(|seat| NodeSpec {
            id: seat.id,
            zone: seat.zone.as_str().into(),
            host: host(seat.id).into(),
            weight: WEIGHT,
        })
        .collect();
    let tokens = kv_ring::plan::initial(&specs, usize::try_from(replicas).unwrap_or(usize::MAX))?;
    let hex = |tokens: Vec<kv_ring::Token>| {
        tokens
            .iter()
            .map(|token| format!("{:032x}", token.0))
            .collect()
    };
    Ok(tokens
        .into_iter()
        .map(|(id, tokens)| (id, hex(tokens)))
        .collect())
}
