//! `restart`, `drain`, `replace` and `give-up`: orders that the operator carries out.

use super::{Error, Seen};
use crate::plan::orders::Orders;

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// All nodes, or this one, end and start again, one by one.
    Restart(Option<String>),
    /// This node is emptied and kept empty.
    Drain(String),
    /// It bears data again.
    Undrain(String),
    /// A new node takes its place.
    Replace(String),
    /// The cluster with this id is lost; a new one is made.
    GiveUp(String),
}

/// How an order changes those in force.
type Change = Box<dyn Fn(&mut Orders) + Send + Sync>;

/// An order that names what is there.
pub struct Ordered {
    /// What will happen.
    pub said: String,
    /// Nodes and their incarnations, where somebody knows them.
    members: Option<Vec<(u64, u64)>>,
    change: Change,
}

impl Ordered {
    /// Adds it to the orders in force, and drops those that have been carried out.
    pub fn apply(&self, orders: &mut Orders) {
        if let Some(members) = &self.members {
            prune(orders, members);
        }
        (self.change)(orders);
    }
}

/// Finds out whom an order means and what it asks for.
///
/// # Errors
/// There is no such cluster or node, or nobody answers that should know.
pub fn order(cluster: &Seen, order: Order) -> Result<Ordered, Error> {
    let (said, change): (String, Change) = match order {
        Order::Restart(name) => {
            let nodes = match name {
                Some(name) => vec![cluster.node(&name)?.clone()],
                None => {
                    cluster.addresses()?;
                    cluster
                        .members()
                        .filter(|node| node.incarnation > 0)
                        .cloned()
                        .collect()
                }
            };
            let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
            let said = format!("{} will be restarted, one by one", names.join(", "));
            let wanted: Vec<(u64, u64)> = nodes
                .iter()
                .map(|node| (node.id, node.incarnation))
                .collect();
            (
                said,
                Box::new(move |orders| orders.restart.extend(wanted.iter().copied())),
            )
        }
        Order::Drain(name) => {
            let node = cluster.node(&name)?;
            let (id, said) = (
                node.id,
                format!(
                    "{} will be emptied and kept empty; `drain --undo` takes it back",
                    node.name
                ),
            );
            (said, Box::new(move |orders| _ = orders.drain.insert(id)))
        }
        Order::Undrain(name) => {
            let node = cluster.node(&name)?;
            let (id, said) = (node.id, format!("{} will bear data again", node.name));
            (said, Box::new(move |orders| _ = orders.drain.remove(&id)))
        }
        Order::Replace(name) => {
            let node = cluster.node(&name)?;
            let (id, said) = (
                node.id,
                format!(
                    "a new node in zone {} will take the place of {}",
                    node.zone, node.name
                ),
            );
            (said, Box::new(move |orders| _ = orders.replace.insert(id)))
        }
        Order::GiveUp(cluster_id) => {
            let found = cluster
                .inventory
                .identity
                .as_ref()
                .map(|identity| identity.cluster_id.clone());
            if found.as_ref() != Some(&cluster_id) {
                return Err(Error::OtherIdentity {
                    wanted: cluster_id,
                    found: found.unwrap_or_default(),
                });
            }
            let said = format!(
                "if all data of cluster {cluster_id} are lost, a new cluster with a new id is made in its place"
            );
            (
                said,
                Box::new(move |orders| orders.give_up = Some(cluster_id.clone())),
            )
        }
    };
    let is_known = cluster.view.cluster.is_some();
    let members = || cluster.members().map(|node| (node.id, node.incarnation));
    Ok(Ordered {
        said,
        members: is_known.then(|| members().collect()),
        change,
    })
}

/// Drops what has been carried out.
fn prune(orders: &mut Orders, members: &[(u64, u64)]) {
    let is_member = |id: u64| members.iter().any(|&(member, _)| member == id);
    let still = |id: u64, until: u64| {
        members
            .iter()
            .any(|&(member, is)| member == id && is <= until)
    };
    orders.restart.retain(|&id, until| still(id, *until));
    orders.replace.retain(|&id| is_member(id));
    orders.drain.retain(|&id| is_member(id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_are_carried_out_are_dropped() {
        let mut orders = Orders {
            restart: [(1, 4), (2, 4), (9, 1)].into(),
            replace: [1, 9].into(),
            drain: [2, 9].into(),
            give_up: None,
        };
        prune(&mut orders, &[(1, 4), (2, 5)]);
        let left = Orders {
            restart: [(1, 4)].into(),
            replace: [1].into(),
            drain: [2].into(),
            give_up: None,
        };
        assert_eq!(orders, left);
    }
}
