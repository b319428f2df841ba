//! First stage: what is there, as the platform and the nodes see it.

use crate::dataplane::{ClusterView, DataPlane, Targets};
use crate::platform::{Inventory, Platform, Presence};

/// What is there.
#[derive(Clone, Debug)]
pub struct Observed {
    inventory: Inventory,
    view: ClusterView,
}

impl Observed {
    /// As the platform sees it.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// As the nodes see it.
    #[must_use]
    pub const fn view(&self) -> &ClusterView {
        &self.view
    }
}

/// Looks.
///
/// # Errors
/// What the platform says. Nodes that do not answer are no error.
pub async fn observe<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
) -> Result<Observed, P::Error> {
    let inventory = platform.observe().await?;
    let mut targets = Targets::default();
    if let Some(identity) = &inventory.identity {
        targets.cluster_id.clone_from(&identity.cluster_id);
        let alive = inventory
            .nodes
            .values()
            .filter(|node| node.presence != Presence::Absent);
        targets.addresses = alive
            .map(|node| (node.id, node.addresses.peer.clone()))
            .collect();
    }
    let view = dataplane.observe(&targets).await;
    Ok(Observed { inventory, view })
}
