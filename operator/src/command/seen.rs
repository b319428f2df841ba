//! What commands that talk to a running cluster share: whom to ask, and which node a person means.

use kv_proto::admin::Node;
use kv_ring::NodeId;

use super::Error;
use crate::dataplane::{AdminClients, ClusterView};
use crate::platform::Inventory;

/// A running cluster as seen by one command.
#[derive(Debug)]
pub struct Seen {
    /// Where it is, for a message.
    pub place: String,
    /// What to do if nobody answers, for a message.
    pub advice: String,
    /// What the platform has of it.
    pub inventory: Inventory,
    /// What the nodes say.
    pub view: ClusterView,
    /// Clients of its nodes.
    pub clients: AdminClients,
}

impl Seen {
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
            return Err(self.nobody());
        }
        Ok(addresses)
    }

    /// Nobody knows what was asked.
    #[must_use]
    pub fn nobody(&self) -> Error {
        Error::NobodyAnswers {
            place: self.place.clone(),
            advice: self.advice.clone(),
        }
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
