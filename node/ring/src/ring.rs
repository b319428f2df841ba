//! The ring: members with their tokens under an epoch, and a lookup made once an epoch.
//!
//! ```text
//!            0 ┬─────●──────●───●────────●─────●────┐ 2^128
//!              │    n1     n2  n3       n1    n2    │        ● a token of a node
//!              └──── position ──►  walks clockwise to the nodes that hold it
//! ```
//!
//! A [`Ring`] is immutable and always valid: every way to make one, deserialization included, goes through
//! [`Ring::new`]. Whoever changes it makes the next one, an epoch later: [`Ring::apply`], [`Ring::with_member`],
//! [`Ring::without_member`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::circle::Owners;
use crate::placement::{Circle, Topology};
use crate::{Error, Member, NodeId, Token, member};

/// The most members of a ring, those without tokens included.
pub const MAX_MEMBERS: usize = 20_000;
/// The most tokens of one node.
pub const MAX_TOKENS_PER_NODE: usize = 4_096;
/// The most tokens on a ring.
pub const MAX_TOKENS: usize = 2_000_000;

/// Members and their tokens at one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Record", try_from = "Record")]
pub struct Ring {
    epoch: u64,
    /// Ascending by id, each with ascending tokens.
    members: Vec<Member>,
    lookup: Lookup,
}

/// A ring as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    epoch: u64,
    members: Vec<Member>,
}

/// Where the walk starts and whom it meets: the tokens of placeable members only.
#[derive(Clone, Debug, Default)]
struct Lookup {
    /// Ascending.
    tokens: Vec<Token>,
    owners: Owners,
    /// The id of each dense node index.
    ids: Vec<NodeId>,
    topology: Topology,
}

/// A change of a ring's tokens, planned at one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingDelta {
    /// The epoch of the ring that it was planned on. It applies to no other.
    pub base_epoch: u64,
    /// Tokens to add, with their owners.
    pub add: Vec<(NodeId, Token)>,
    /// Tokens to remove, before any is added: a token in both lists changes its owner.
    pub remove: Vec<Token>,
}

impl RingDelta {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

impl Ring {
    /// A ring of the given members, in any order.
    ///
    /// # Errors
    /// What [`Error`] says of ids, names, weights, duplicates and counts.
    pub fn new(epoch: u64, mut members: Vec<Member>) -> Result<Self, Error> {
        members.sort_by_key(|member| member.id);
        members
            .iter_mut()
            .for_each(|member| member.tokens.sort_unstable());
        validate(&members)?;
        let lookup = Lookup::new(&members);
        Ok(Self {
            epoch,
            members,
            lookup,
        })
    }

    /// Grows with every change.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All members, ascending by id, each with its tokens ascending.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of that id.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members
            .binary_search_by_key(&id, |member| member.id)
            .ok()
            .map(|index| &self.members[index])
    }

    /// The preference list of a position: the first `n` nodes that hold it, by the rule of [`crate::placement`].
    /// Shorter than `n` where there are fewer nodes to place on, or where `n` exceeds [`crate::MAX_REPLICAS`].
    ///
    /// O(log tokens + n²) but for zones that have few tokens among many.
    #[must_use]
    pub fn placement(&self, position: Token, n: usize) -> Vec<NodeId> {
        let Lookup {
            tokens,
            owners,
            ids,
            topology,
        } = &self.lookup;
        if tokens.is_empty() {
            return Vec::new();
        }
        let chosen = topology.place(owners, self.lookup.start(position), n);
        chosen
            .as_slice()
            .iter()
            .map(|&node| ids[node as usize])
            .collect()
    }

    /// The node whose token comes first from the position on: the head of any preference list.
    #[must_use]
    pub fn first(&self, position: Token) -> Option<NodeId> {
        let Lookup {
            tokens,
            owners,
            ids,
            topology: _,
        } = &self.lookup;
        (!tokens.is_empty()).then(|| ids[owners.owner(self.lookup.start(position), 0) as usize])
    }

    /// The tokens that the walk meets, ascending, with their owners: those of placeable members.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = (Token, NodeId)> + Clone + '_ {
        let Lookup {
            tokens,
            owners,
            ids,
            topology: _,
        } = &self.lookup;
        tokens
            .iter()
            .zip(owners.as_slice())
            .map(|(&token, &node)| (token, ids[node as usize]))
    }

    /// The ring after a planned change, one epoch on.
    ///
    /// # Errors
    /// [`Error::StaleDelta`] if it was planned at another epoch, [`Error::UnknownToken`], [`Error::UnknownNode`], or
    /// whatever [`Ring::new`] refuses.
    pub fn apply(&self, delta: &RingDelta) -> Result<Self, Error> {
        let RingDelta {
            base_epoch,
            add,
            remove,
        } = delta;
        if *base_epoch != self.epoch {
            return Err(Error::StaleDelta {
                planned: *base_epoch,
                current: self.epoch,
            });
        }
        let mut members = self.members.clone();
        let mut removed = BTreeSet::new();
        if let Some(&token) = remove.iter().find(|&&token| !removed.insert(token)) {
            return Err(Error::DuplicateToken { token });
        }
        let before: usize = members.iter().map(|member| member.tokens.len()).sum();
        for member in &mut members {
            member.tokens.retain(|token| !removed.contains(token));
        }
        let after: usize = members.iter().map(|member| member.tokens.len()).sum();
        if before - after != removed.len() {
            let there: BTreeSet<Token> = self
                .members
                .iter()
                .flat_map(|member| member.tokens.iter().copied())
                .collect();
            let unknown = removed
                .difference(&there)
                .next()
                .copied()
                .unwrap_or_default();
            return Err(Error::UnknownToken { token: unknown });
        }
        for &(node, token) in add {
            let index = members.binary_search_by_key(&node, |member| member.id);
            members[index.map_err(|_| Error::UnknownNode { node })?]
                .tokens
                .push(token);
        }
        Self::new(self.next_epoch()?, members)
    }

    /// The ring with a member put in, in place of the one with its id if there is one; one epoch on.
    ///
    /// # Errors
    /// Whatever [`Ring::new`] refuses.
    pub fn with_member(&self, member: Member) -> Result<Self, Error> {
        let mut members: Vec<Member> = self
            .members
            .iter()
            .filter(|other| other.id != member.id)
            .cloned()
            .collect();
        members.push(member);
        Self::new(self.next_epoch()?, members)
    }

    /// The ring without a member and its tokens, one epoch on.
    ///
    /// # Errors
    /// [`Error::UnknownNode`].
    pub fn without_member(&self, node: NodeId) -> Result<Self, Error> {
        if self.member(node).is_none() {
            return Err(Error::UnknownNode { node });
        }
        let members = self
            .members
            .iter()
            .filter(|other| other.id != node)
            .cloned()
            .collect();
        Self::new(self.next_epoch()?, members)
    }

    fn next_epoch(&self) -> Result<u64, Error> {
        self.epoch.checked_add(1).ok_or(Error::EpochExhausted)
    }
}

/// Two rings are the same if epoch and members are: the lookup follows from them.
impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            epoch,
            members,
            lookup: _,
        } = self;
        *epoch == other.epoch && *members == other.members
    }
}

impl Eq for Ring {}

impl From<Ring> for Record {
    fn from(ring: Ring) -> Self {
        let Ring {
            epoch,
            members,
            lookup: _,
        } = ring;
        Self { epoch, members }
    }
}

impl TryFrom<Record> for Ring {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        let Record { epoch, members } = record;
        Self::new(epoch, members)
    }
}

impl Lookup {
    fn new(members: &[Member]) -> Self {
        let placeable = || members.iter().filter(|member| member.is_placeable());
        let topology = Topology::new(placeable().map(|member| (&member.zone, &member.host)));
        let mut owned: Vec<(Token, u32)> = placeable()
            .zip(0..)
            .flat_map(|(member, node)| member.tokens.iter().map(move |&token| (token, node)))
            .collect();
        owned.sort_unstable();
        let (tokens, owners) = owned.into_iter().unzip();
        let owners = Owners::new(owners, &topology);
        Self {
            tokens,
            owners,
            ids: placeable().map(|member| member.id).collect(),
            topology,
        }
    }

    /// The index of the first token at or after a position.
    fn start(&self, position: Token) -> usize {
        let index = self.tokens.partition_point(|&token| token < position);
        if index < self.tokens.len() { index } else { 0 }
    }
}

/// Members ascending by id, tokens ascending.
fn validate(members: &[Member]) -> Result<(), Error> {
    if members.len() > MAX_MEMBERS {
        return Err(Error::TooManyMembers {
            count: members.len(),
        });
    }
    if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(Error::DuplicateNode { node: pair[0].id });
    }
    for Member {
        id,
        zone,
        host,
        weight,
        state: _,
        tokens,
    } in members
    {
        member::validate(*id, zone, host, *weight)?;
        if tokens.len() > MAX_TOKENS_PER_NODE {
            return Err(Error::TooManyTokensOnNode {
                node: *id,
                count: tokens.len(),
            });
        }
    }
    let count = members.iter().map(|member| member.tokens.len()).sum();
    if count > MAX_TOKENS {
        return Err(Error::TooManyTokens { count });
    }
    let mut tokens: Vec<Token> = members
        .iter()
        .flat_map(|member| member.tokens.iter().copied())
        .collect();
    tokens.sort_unstable();
    match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::DuplicateToken { token: pair[0] }),
        None => Ok(()),
    }
}

/// The share of each member that data may be placed on: the fraction of the ring's positions whose first node it is.
/// Shares add up to 1 if there is any.
#[must_use]
pub fn shares(ring: &Ring) -> BTreeMap<NodeId, f64> {
    let mut shares = BTreeMap::new();
    let last = ring.tokens().last().map(|(token, _)| token);
    let previous = last
        .into_iter()
        .chain(ring.tokens().map(|(token, _)| token));
    for (from, (token, node)) in previous.zip(ring.tokens()) {
        *shares.entry(node).or_default() += token.fraction_since(from);
    }
    shares
}

/// The load of each member that data may be placed on: the fraction of the ring's positions of which it holds one of
/// `replicas` replicas. Loads add up to `replicas`, or to the number of such members if that is less.
#[must_use]
pub fn loads(ring: &Ring, replicas: usize) -> BTreeMap<NodeId, f64> {
    let Lookup {
        tokens,
        owners,
        ids,
        topology,
    } = &ring.lookup;
    let mut loads: BTreeMap<NodeId, f64> = ids.iter().map(|&id| (id, 0.0)).collect();
    let previous = tokens.last().into_iter().chain(tokens);
    for (start, (from, token)) in previous.zip(tokens).enumerate() {
        for &node in topology.place(owners, start, replicas).as_slice() {
            *loads.entry(ids[node as usize]).or_default() += token.fraction_since(*from);
        }
    }
    loads
}
