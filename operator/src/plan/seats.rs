//! Which nodes a new cluster has, and what a seat is.

use kv_ring::NodeId;

use super::roster::{self, Roster};
use crate::platform::{Inventory, NodeObject};
use crate::reconcile::Cluster;

/// The weight of a node whose group says none.
pub const WEIGHT_DEFAULT: u32 = 1;

/// A node that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its id, from 1.
    pub id: NodeId,
    /// `<cluster>-<id>`.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Name of its group.
    pub group: String,
}

/// The seats of a new cluster: ids 1 to `nodes`.
#[must_use]
pub fn seats(cluster: &Cluster) -> Vec<Seat> {
    let Roster { join, .. } = roster::roster(cluster, &[]);
    (1..)
        .zip(join)
        .map(|(id, place)| Seat {
            id: NodeId(id),
            name: name(cluster, id),
            zone: place.zone,
            group: place.group,
        })
        .collect()
}

/// Whether the cluster may have been made of this node among others. A mark that names nobody means all that were prepared.
#[must_use]
pub fn may_be_founder(inventory: &Inventory, id: NodeId) -> bool {
    let identity = inventory.identity.as_ref();
    identity.is_none_or(|kept| kept.founders.is_empty() || kept.founders.contains(&id))
}

/// The nodes that the cluster is made of: those of the spec; once it may have been made, those that were named then, whatever the spec says
/// since.
#[must_use]
pub fn founders(cluster: &Cluster, inventory: &Inventory) -> Vec<Seat> {
    let is_formed = inventory
        .identity
        .as_ref()
        .is_some_and(|identity| identity.is_formed);
    if !is_formed || inventory.nodes.is_empty() {
        return seats(cluster);
    }
    let seat = |node: &NodeObject| Seat {
        id: node.id,
        name: node.name.clone(),
        zone: node.zone.clone(),
        group: node.group.clone(),
    };
    let prepared = inventory.nodes.values();
    prepared
        .filter(|node| may_be_founder(inventory, node.id))
        .map(seat)
        .collect()
}

/// The name of the object that runs a node.
#[must_use]
pub fn name(cluster: &Cluster, id: u64) -> String {
    format!("{}-{id}", cluster.name)
}
