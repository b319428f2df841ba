//! What commands that talk to a running cluster share: its directory, whom to ask, and which node a person means.

use std::path::Path;

use kv_proto::admin::Node;
use kv_ring::NodeId;

use super::{Error, status};
use crate::crd::KvCluster;
use crate::dataplane::{AdminClients, ClusterView, DataPlane, Targets};
use crate::platform::local::dir::Dir;
use crate::platform::local::{LocalPlatform, tls};
use crate::platform::{Inventory, Platform, Presence};

/// A running cluster as seen by one command.
pub struct Cluster {
    /// Its directory.
    pub dir: Dir,
    /// The object in force.
    pub object: KvCluster,
    /// What runs.
    pub inventory: Inventory,
    /// What the nodes say.
    pub view: ClusterView,
    /// Clients of its nodes.
    pub clients: AdminClients,
}

impl Cluster {
    /// Looks at the cluster of a directory.
    ///
    /// # Errors
    /// There is none, or it can't be looked at.
    pub async fn look(root: &Path) -> Result<Self, Error> {
        let (dir, object) = status::open(root)?;
        let inventory = LocalPlatform::reader(dir.clone()).observe().await?;
        let mut targets = Targets::default();
        if let Some(identity) = &inventory.identity {
            targets.cluster_id.clone_from(&identity.cluster_id);
        }
        let alive = inventory
            .nodes
            .values()
            .filter(|node| node.presence != Presence::Absent);
        targets.addresses = alive
            .map(|node| (node.id, node.addresses.peer.clone()))
            .collect();
        let mut clients = AdminClients::patient(tls::operator_paths(&dir));
        let view = clients.observe(&targets).await;
        Ok(Self {
            dir,
            object,
            inventory,
            view,
            clients,
        })
    }

    /// Admin services of nodes that know of the cluster.
    ///
    /// # Errors
    /// No node answers.
    pub fn addresses(&self) -> Result<Vec<String>, Error> {
        let joined = self
            .view
            .nodes
            .iter()
            .filter(|(_, node)| node.identity.joined);
        let addresses: Vec<String> = joined
            .filter_map(|(id, _)| Some(self.inventory.nodes.get(id)?.addresses.peer.clone()))
            .collect();
        if addresses.is_empty() {
            return Err(Error::NobodyAnswers {
                dir: self.dir.root().to_owned(),
            });
        }
        Ok(addresses)
    }

    /// Nodes that are not removed, by the metadata.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.view.cluster.iter().flat_map(|known| &known.nodes);
        nodes.filter(|node| node.state != "Removed")
    }

    /// The node that a person means by its name or id.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, text: &str) -> Result<&Node, Error> {
        self.addresses()?;
        let found = self
            .members()
            .find(|node| node.name == text || node.id.to_string() == text);
        found.ok_or_else(|| Error::NoNode {
            name: text.to_owned(),
            nodes: self.members().map(|node| node.name.clone()).collect(),
        })
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, id: u64) -> String {
        let object = self.inventory.nodes.get(&NodeId(id));
        object.map_or_else(|| format!("node {id}"), |object| object.name.clone())
    }
}
