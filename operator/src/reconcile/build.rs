//! Fourth stage: steps become complete actions and requests. Pure.

use kv_proto::admin::{BootstrapRequest, Node};

use super::observe::Observed;
use super::plan::Plan;
use super::validate::Cluster;
use crate::plan::{Step, seats, tokens};
use crate::platform::Action;

/// One thing to do, with all that it takes.
#[derive(Clone, Debug)]
pub enum Task {
    /// By the platform.
    Platform(Action),
    /// By a node.
    Bootstrap {
        /// Its admin service.
        address: String,
        /// The call.
        request: BootstrapRequest,
    },
}

/// Why a task could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The planner of tokens refuses the nodes.
    #[error("the nodes' tokens can't be planned")]
    Tokens(#[from] kv_ring::Error),
}

/// Tasks in order.
#[derive(Debug)]
pub struct Built {
    pub(super) tasks: Vec<Task>,
    pub(super) error: Option<Error>,
}

/// Turns steps into tasks; stops at the first that can't be made.
#[must_use]
pub fn build(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Built {
    let mut built = Built {
        tasks: Vec::new(),
        error: None,
    };
    for step in &plan.get().steps {
        let action = match step.clone() {
            Step::KeepIdentity { cluster_id } => Action::KeepIdentity { cluster_id },
            Step::Prepare { cluster_id, seats } => Action::Prepare { cluster_id, seats },
            Step::Start(id) => Action::Start(id),
            Step::MarkFormed => Action::MarkFormed,
            Step::Bootstrap { on } => {
                let address = observed
                    .inventory()
                    .nodes
                    .get(&on)
                    .map(|node| node.addresses.peer.clone());
                match bootstrap(cluster, observed) {
                    Ok(request) => {
                        let address = address.unwrap_or_default();
                        built.tasks.push(Task::Bootstrap { address, request });
                    }
                    Err(error) => built.error = Some(error),
                }
                continue;
            }
        };
        built.tasks.push(Task::Platform(action));
    }
    built
}

/// The same for the same cluster each time, so that a repeated call says the same.
fn bootstrap(cluster: &Cluster, observed: &Observed) -> Result<BootstrapRequest, Error> {
    let inventory = observed.inventory();
    let seats = seats::seats(cluster);
    let host = |id| {
        inventory
            .nodes
            .get(&id)
            .map(|node| node.host.clone())
            .unwrap_or_default()
    };
    let mut tokens = tokens::initial(&seats, host, cluster.replication_factor)?;
    let nodes = seats.iter().filter_map(|seat| {
        let object = inventory.nodes.get(&seat.id)?;
        Some(Node {
            id: seat.id.0,
            name: seat.name.clone(),
            zone: object.zone.clone(),
            host: object.host.clone(),
            weight: tokens::WEIGHT,
            state: "Joining".to_owned(),
            peer_address: object.addresses.peer.clone(),
            dynamo_address: object.addresses.dynamo.clone(),
            kv_address: object.addresses.kv.clone(),
            tokens: tokens.remove(&seat.id).unwrap_or_default(),
            ..Node::default()
        })
    });
    Ok(BootstrapRequest {
        cluster_id: inventory
            .identity
            .as_ref()
            .map(|identity| identity.cluster_id.clone())
            .unwrap_or_default(),
        nodes: nodes.collect(),
        replication_factor: cluster.replication_factor,
        partitions_per_table: 0,
    })
}
