//! Which nodes a cluster has: ids 1 to `nodes`, dealt to the zones in turn.

use kv_ring::NodeId;

use crate::reconcile::Cluster;

/// A node that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its id, from 1.
    pub id: NodeId,
    /// `<cluster>-<id>`.
    pub name: String,
    /// Its zone.
    pub zone: String,
}

/// The seats by id.
#[must_use]
pub fn seats(cluster: &Cluster) -> Vec<Seat> {
    let zones = cluster.zones.iter().cycle();
    (1..=u64::from(cluster.nodes))
        .zip(zones)
        .map(|(id, zone)| Seat {
            id: NodeId(id),
            name: format!("{}-{id}", cluster.name),
            zone: zone.clone(),
        })
        .collect()
}
