//! Names of things, each a type of its own so that they can't be confused.

use std::fmt;

pub use kv_ring::NodeId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A consensus group: the metadata group ([`GroupId::META`]) or one partition. Never used again.
    GroupId
}
id! {
    /// One replica's life in one group; also its id as a raft peer and the name of its log. Never used again, 0 is none.
    ReplicaId
}
id! {
    /// A table's life. A table that is deleted and made anew has another one.
    TableId
}

impl GroupId {
    /// The group that holds the cluster's own metadata.
    pub const META: GroupId = GroupId(1);
}

/// What a partition's routing depends on: (range version, member version). Each only grows (DESIGN §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch {
    pub range: u64,
    pub member: u64,
}
