//! An immutable picture of the metadata at one revision, indexed for routing. Shared by all threads of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::records::{Group, Node, NodeState};
use super::state::MetaState;
use crate::ids::{GroupId, NodeId};
use crate::ticket::Ticket;
use crate::version::Feature;

/// A partition as routing sees it.
#[derive(Clone, Debug)]
pub struct Route {
    pub group: Group,
    pub ticket: Arc<Ticket>,
}

/// Metadata at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub state: Arc<MetaState>,
    /// By first row.
    routes: BTreeMap<Bytes, Route>,
    tickets: BTreeMap<GroupId, Arc<Ticket>>,
    /// Node that leads the metadata group as far as known.
    pub meta_leader: Option<NodeId>,
}

impl View {
    /// The view of a state; tickets of partitions that the last view had stay the same.
    pub fn next(&self, state: MetaState, meta_leader: Option<NodeId>) -> View {
        let mut routes = BTreeMap::new();
        let mut tickets = BTreeMap::new();
        for group in state.groups.values() {
            let ticket = self
                .tickets
                .get(&group.group())
                .cloned()
                .unwrap_or_default();
            tickets.insert(group.group(), ticket.clone());
            if group.table > 0 {
                routes.insert(
                    group.start.clone(),
                    Route {
                        group: group.clone(),
                        ticket,
                    },
                );
            }
        }
        View {
            state: Arc::new(state),
            routes,
            tickets,
            meta_leader,
        }
    }

    /// The same under another leader of the metadata group.
    pub fn led_by(&self, meta_leader: Option<NodeId>) -> View {
        View {
            meta_leader,
            ..self.clone()
        }
    }

    pub fn revision(&self) -> u64 {
        self.state.revision()
    }

    /// As [`MetaState::may_write`].
    pub fn may_write(&self, feature: Feature) -> bool {
        self.state.may_write(feature)
    }

    /// The partition that holds a row.
    pub fn route(&self, row: &[u8]) -> Option<&Route> {
        let (_, route) = self
            .routes
            .range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(row)))
            .next_back()?;
        (row < &route.group.end[..]).then_some(route)
    }

    /// The partition that holds the last row before `end`.
    pub fn route_before(&self, end: &[u8]) -> Option<&Route> {
        let (_, route) = self
            .routes
            .range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Excluded(end)))
            .next_back()?;
        (end <= &route.group.end[..]).then_some(route)
    }

    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    pub fn ticket(&self, group: GroupId) -> Option<&Arc<Ticket>> {
        self.tickets.get(&group)
    }

    pub fn group(&self, group: GroupId) -> Option<&Group> {
        self.state.groups.get(&group.0)
    }

    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.state.nodes.get(&node.0)
    }

    /// host:port of a node on a network (`peer`, `dynamo`, `kv`).
    pub fn address(&self, node: NodeId, network: &str) -> Option<&str> {
        self.node(node)?
            .addresses
            .iter()
            .find(|a| a.network == network)
            .map(|a| a.address.as_str())
    }

    /// Nodes that vote on metadata.
    pub fn meta_voters(&self) -> Vec<NodeId> {
        self.group(GroupId::META)
            .map(|g| g.members.iter().map(|m| NodeId(m.node)).collect())
            .unwrap_or_default()
    }

    /// Nodes on which the metadata group may be led: it may have moved on from its record to the members that are aimed at.
    pub fn meta_replicas(&self) -> BTreeSet<NodeId> {
        let group = self.group(GroupId::META);
        let members = group
            .into_iter()
            .flat_map(|g| g.members.iter().chain(&g.target));
        members
            .map(|m| NodeId(m.node))
            .chain(self.meta_leader)
            .collect()
    }

    pub fn is_removed(&self, node: NodeId) -> bool {
        self.node(node)
            .is_some_and(|n| n.state() == NodeState::Removed)
    }
}
