//! What to do next: pure functions from (what is wanted, what is there) to steps.
//!
//! ```text
//! no identity ──► KeepIdentity ──► Prepare ──► Start … ──► all nodes answer ──► MarkFormed ──► Bootstrap ──► joined
//!                     │                          ▲
//!                     └── kept before anything   └── again and again, whenever a process is absent
//!                         else exists
//! ```
//!
//! Level-triggered: only what was observed counts, so that whoever dies between two steps goes on where it stopped.
//!
//! Invariant: `Bootstrap` is planned only when an identity is kept, is marked as formed before the call (in the same plan, in
//! this order), and every node has just said that it knows of no cluster. A node whose disk is empty is never started once the cluster is formed: it
//! has forgotten its votes.

pub mod seats;
pub mod tokens;

use std::collections::BTreeMap;

use kv_ring::NodeId;

use crate::dataplane::ClusterView;
use crate::platform::{Disk, Inventory, Presence};
use crate::reconcile::Cluster;
use seats::Seat;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep the cluster's identity outside of the nodes, for ever.
    KeepIdentity {
        /// The id chosen for it.
        cluster_id: String,
    },
    /// Make what the nodes need to start: addresses, certificates, configuration, disks.
    Prepare {
        /// The cluster that they belong to.
        cluster_id: String,
        /// All nodes of the cluster.
        seats: Vec<Seat>,
    },
    /// Start a node's process.
    Start(NodeId),
    /// Note that from now on nodes may hold data under the identity.
    MarkFormed,
    /// Make the cluster, by the one call on this node.
    Bootstrap {
        /// The node with the lowest id.
        on: NodeId,
    },
}

/// Why nothing may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The identity says that there was a cluster, and no disk holds anything of it.
    DataLost {
        /// The identity.
        cluster_id: String,
    },
    /// Disks hold data, but nothing says of which cluster.
    IdentityMissing,
}

/// What to do now, and what stands in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// If set, there are no steps.
    pub blocked: Option<Blocked>,
    /// Nodes that are not started, since their disks are empty though the cluster counts on them.
    pub identity_lost: Vec<NodeId>,
}

/// Plans the next steps. `fresh_id` becomes the cluster's id if it has none yet.
#[must_use]
pub fn plan(cluster: &Cluster, inventory: &Inventory, view: &ClusterView, fresh_id: &str) -> Plan {
    let seats = seats::seats(cluster);
    let has_data = |id: NodeId| {
        inventory
            .nodes
            .get(&id)
            .is_some_and(|node| node.disk == Disk::Used)
    };
    let any_data = inventory.nodes.keys().any(|&id| has_data(id));
    let mut steps = Vec::new();
    let (cluster_id, is_formed) = match &inventory.identity {
        Some(identity) => (identity.cluster_id.clone(), identity.is_formed),
        None if any_data => {
            return Plan {
                blocked: Some(Blocked::IdentityMissing),
                ..Plan::default()
            };
        }
        None => {
            steps.push(Step::KeepIdentity {
                cluster_id: fresh_id.to_owned(),
            });
            (fresh_id.to_owned(), false)
        }
    };
    let may_have_data = |node: &crate::platform::NodeObject| {
        node.disk != Disk::Empty || node.presence != Presence::Absent
    };
    if is_formed && !inventory.nodes.values().any(may_have_data) {
        return Plan {
            blocked: Some(Blocked::DataLost { cluster_id }),
            ..Plan::default()
        };
    }
    if seats
        .iter()
        .any(|seat| !inventory.nodes.contains_key(&seat.id))
    {
        steps.push(Step::Prepare {
            cluster_id,
            seats: seats.clone(),
        });
    }
    let mut identity_lost = Vec::new();
    for seat in &seats {
        let node = inventory.nodes.get(&seat.id);
        if node.is_some_and(|node| node.presence != Presence::Absent) {
            continue;
        }
        if is_formed && node.is_none_or(|node| node.disk == Disk::Empty) {
            identity_lost.push(seat.id);
        } else if node.is_none_or(|node| node.disk != Disk::Unknown) {
            steps.push(Step::Start(seat.id));
        }
    }
    steps.extend(bootstrap(&seats, is_formed, view));
    Plan {
        steps,
        blocked: None,
        identity_lost,
    }
}

/// The steps that make a cluster of nodes that all run and know of none.
fn bootstrap(seats: &[Seat], is_formed: bool, view: &ClusterView) -> Vec<Step> {
    let is_fresh = |seat: &Seat| {
        let node = view.nodes.get(&seat.id);
        node.is_some_and(|node| {
            !node.is_late && !node.identity.joined && !node.identity.bootstrapped
        })
    };
    let lowest = seats.iter().map(|seat| seat.id).min();
    match lowest {
        Some(on) if seats.iter().all(is_fresh) => {
            let mark = (!is_formed).then_some(Step::MarkFormed);
            mark.into_iter().chain([Step::Bootstrap { on }]).collect()
        }
        _ => Vec::new(),
    }
}

/// Nodes by id, as the wanted seats name them.
#[must_use]
pub fn names(seats: &[Seat]) -> BTreeMap<NodeId, &str> {
    seats
        .iter()
        .map(|seat| (seat.id, seat.name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests;
