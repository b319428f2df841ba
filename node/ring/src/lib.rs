//! Tokens, ring and placement.
/// A node's id: given by the metadata group, never used twice, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);
