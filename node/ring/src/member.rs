//! The nodes on a ring: who they are, where they stand, what they may hold.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Token};

/// The most bytes in the name of a zone or a host: that of a DNS name.
pub const MAX_NAME_BYTES: usize = 253;
/// The largest weight of a node.
pub const MAX_WEIGHT: u32 = 10_000;

/// A node's id: chosen once, never 0, never used again for another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A failure domain of power and network; its nodes may go away together. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(Arc<str>);

/// A machine; its nodes go away together. Cheap to clone. Hosts of the same name in two zones are two hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Host(Arc<str>);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(name: T) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name!(Zone);
name!(Host);

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// Known; takes data as soon as it has tokens.
    Joining,
    /// Serves.
    Up,
    /// Gives its data away; nothing new is placed on it.
    Draining,
    /// Not heard of. Its data stays placed on it: it may come back, and who replaces it is decided elsewhere.
    Down,
    /// In no group any more, refused for ever.
    Removed,
}

impl MemberState {
    /// Whether data is placed on a node in this state: it is neither draining nor removed.
    #[must_use]
    pub const fn is_placeable(self) -> bool {
        match self {
            Self::Joining | Self::Up | Self::Down => true,
            Self::Draining | Self::Removed => false,
        }
    }
}

/// A node on the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Who it is.
    pub id: NodeId,
    /// Its zone.
    pub zone: Zone,
    /// Its machine.
    pub host: Host,
    /// Its size relative to other nodes, `1..=MAX_WEIGHT`: twice the weight, twice the data.
    pub weight: u32,
    /// Where it stands.
    pub state: MemberState,
    /// Its virtual nodes, ascending once it is on a ring. A member without any holds nothing.
    pub tokens: Vec<Token>,
}

impl Member {
    /// Whether data is placed on it: its state allows it and it has a token.
    #[must_use]
    pub fn is_placeable(&self) -> bool {
        self.state.is_placeable() && !self.tokens.is_empty()
    }
}

/// What a planner needs to know of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Who it is.
    pub id: NodeId,
    /// Its zone.
    pub zone: Zone,
    /// Its machine.
    pub host: Host,
    /// Its size relative to other nodes, `1..=MAX_WEIGHT`.
    pub weight: u32,
}

impl NodeSpec {
    /// This node as a member with the given tokens.
    #[must_use]
    pub fn member(&self, state: MemberState, tokens: Vec<Token>) -> Member {
        let Self {
            id,
            zone,
            host,
            weight,
        } = self.clone();
        Member {
            id,
            zone,
            host,
            weight,
            state,
            tokens,
        }
    }

    /// # Errors
    /// The id is 0, a name is empty or too long, or the weight is out of bounds.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let Self {
            id,
            zone,
            host,
            weight,
        } = self;
        validate(*id, zone, host, *weight)
    }
}

impl From<&Member> for NodeSpec {
    fn from(member: &Member) -> Self {
        let Member {
            id,
            zone,
            host,
            weight,
            state: _,
            tokens: _,
        } = member.clone();
        Self {
            id,
            zone,
            host,
            weight,
        }
    }
}

pub(crate) fn validate(id: NodeId, zone: &Zone, host: &Host, weight: u32) -> Result<(), Error> {
    let is_name = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len());
    if id.0 == 0 {
        return Err(Error::ZeroNodeId);
    }
    if !is_name(zone.as_str()) || !is_name(host.as_str()) {
        return Err(Error::BadName { node: id });
    }
    if !(1..=MAX_WEIGHT).contains(&weight) {
        return Err(Error::BadWeight { node: id, weight });
    }
    Ok(())
}
