//! What is refused, and why.

use crate::member::{MAX_NAME_BYTES, MAX_WEIGHT};
use crate::placement::MAX_REPLICAS;
use crate::ring::{MAX_MEMBERS, MAX_TOKENS, MAX_TOKENS_PER_NODE};
use crate::{NodeId, Token};

/// Why a ring, a delta or a plan was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Id 0 stands for no node.
    #[error("node id 0 is not a node")]
    ZeroNodeId,
    /// A zone or host name that is empty or too long.
    #[error("node {node}: names of zones and hosts have 1 to {MAX_NAME_BYTES} bytes")]
    BadName {
        /// Whose.
        node: NodeId,
    },
    /// A weight of zero, or beyond the largest.
    #[error("node {node}: weight {weight} is not within 1 and {MAX_WEIGHT}")]
    BadWeight {
        /// Whose.
        node: NodeId,
        /// The weight.
        weight: u32,
    },
    /// Two members with one id.
    #[error("node {node} is there twice")]
    DuplicateNode {
        /// The id.
        node: NodeId,
    },
    /// Two virtual nodes at one position.
    #[error("token {token} is there twice")]
    DuplicateToken {
        /// The position.
        token: Token,
    },
    /// Too many members.
    #[error("{count} members, at most {MAX_MEMBERS} are allowed")]
    TooManyMembers {
        /// How many there would be.
        count: usize,
    },
    /// Too many tokens on the ring.
    #[error("{count} tokens, at most {MAX_TOKENS} are allowed")]
    TooManyTokens {
        /// How many there would be.
        count: usize,
    },
    /// Too many tokens on one node.
    #[error("node {node}: {count} tokens, at most {MAX_TOKENS_PER_NODE} are allowed")]
    TooManyTokensOnNode {
        /// Whose.
        node: NodeId,
        /// How many there would be.
        count: usize,
    },
    /// A delta or plan names a node that is not a member.
    #[error("node {node} is not on the ring")]
    UnknownNode {
        /// The id.
        node: NodeId,
    },
    /// A node that joins has tokens already.
    #[error("node {node} has tokens already")]
    HasTokens {
        /// The id.
        node: NodeId,
    },
    /// A plan for a node that nothing may be placed on, or that has no tokens.
    #[error("node {node} takes no data in its state, or has no tokens")]
    NotPlaceable {
        /// The id.
        node: NodeId,
    },
    /// A delta removes a token that is not there.
    #[error("token {token} is not on the ring")]
    UnknownToken {
        /// The position.
        token: Token,
    },
    /// The delta was planned for another epoch: plan again.
    #[error("the delta was planned at ring epoch {planned}, the ring is at {current}")]
    StaleDelta {
        /// The epoch that the delta was planned at.
        planned: u64,
        /// The epoch of the ring.
        current: u64,
    },
    /// The epoch can't grow any more.
    #[error("the ring's epoch is exhausted")]
    EpochExhausted,
    /// A replica count of zero or beyond the largest.
    #[error("{replicas} replicas are not within 1 and {MAX_REPLICAS}")]
    BadReplicas {
        /// The count.
        replicas: usize,
    },
    /// The plan would leave no node to place data on.
    #[error("no node would be left to hold data")]
    NoNodes,
}
