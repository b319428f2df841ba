//! Fourth stage: steps become complete actions and requests. Pure.

use std::time::Duration;

use kv_proto::admin::{
    AskPermitRequest, BootstrapRequest, ChangeRingRequest, ConfigureRequest, DescribeNodeRequest,
    DrainNodeRequest, Node, NodeTokens, RaiseVersionRequest, RemoveNodeRequest, ReserveNodeRequest,
    ReturnPermitRequest,
};
use kv_ring::{NodeId, Token};

use super::observe::Observed;
use super::plan::Plan;
use super::validate::Cluster;
use crate::dataplane::Call;
use crate::plan::tokens::RingChange;
use crate::plan::{Step, seats, tokens};
use crate::platform::Action;

/// How long a permit is good for, beyond the time for which a node serves on.
const PERMIT: Duration = Duration::from_secs(120);

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
    /// By the metadata leader.
    Call(Call),
    /// Ask for the permit; if it is given, end the process.
    Restart {
        /// The node.
        id: NodeId,
        /// The call.
        request: AskPermitRequest,
        /// As what it starts again.
        revision: String,
        /// For how many seconds it serves on when it is told to stop.
        drain_seconds: u32,
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
    /// Admin services of nodes that answered just now.
    pub(super) addresses: Vec<String>,
    pub(super) error: Option<Error>,
}

/// Turns steps into tasks; stops at the first that can't be made.
#[must_use]
pub fn build(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Built {
    let answering = observed
        .view()
        .nodes
        .iter()
        .filter(|(_, node)| !node.is_late && node.identity.joined);
    let objects = &observed.inventory().nodes;
    let addresses = answering.filter_map(|(id, _)| Some(objects.get(id)?.addresses.peer.clone()));
    let mut built = Built {
        tasks: Vec::new(),
        addresses: addresses.collect(),
        error: None,
    };
    for step in &plan.get().steps {
        match task(cluster, observed, step.clone()) {
            Ok(task) => built.tasks.push(task),
            Err(error) => {
                built.error = Some(error);
                break;
            }
        }
    }
    built
}

fn task(cluster: &Cluster, observed: &Observed, step: Step) -> Result<Task, Error> {
    Ok(match step {
        Step::KeepIdentity { cluster_id } => Task::Platform(Action::KeepIdentity { cluster_id }),
        Step::Renew { old_id, cluster_id } => Task::Platform(Action::Renew { old_id, cluster_id }),
        Step::Prepare { cluster_id, seats } => {
            Task::Platform(Action::Prepare { cluster_id, seats })
        }
        Step::Start { id, revision } => {
            let drain_seconds = cluster.drain_seconds;
            Task::Platform(Action::Start {
                id,
                revision,
                drain_seconds,
            })
        }
        Step::MarkFormed { founders } => Task::Platform(Action::MarkFormed { founders }),
        Step::Certify(certify) => Task::Platform(Action::Certify(certify)),
        Step::Stop(id) => Task::Platform(Action::Stop(id)),
        Step::Forget { id, deletes_disk } => Task::Platform(Action::Forget { id, deletes_disk }),
        Step::Bootstrap { on } => {
            let object = observed.inventory().nodes.get(&on);
            let address = object
                .map(|node| node.addresses.peer.clone())
                .unwrap_or_default();
            let request = bootstrap(cluster, observed)?;
            Task::Bootstrap { address, request }
        }
        Step::Restart { id, incarnation } => restart(cluster, observed, id, incarnation),
        Step::Configure(settings) => Task::Call(Call::Configure(ConfigureRequest {
            settings: Some(settings),
        })),
        Step::Describe { id, weight } => {
            let node = describe(observed, id, weight);
            Task::Call(Call::Describe(DescribeNodeRequest { node }))
        }
        Step::ChangeRing(change) => Task::Call(Call::ChangeRing(change_ring(change))),
        Step::Drain { id, undo, lost } => {
            let node_id = id.0;
            Task::Call(Call::Drain(DrainNodeRequest {
                node_id,
                undo,
                lost,
            }))
        }
        Step::Remove(id) => Task::Call(Call::Remove(RemoveNodeRequest { node_id: id.0 })),
        Step::ReturnPermit { id, incarnation } => {
            let node_id = id.0;
            Task::Call(Call::ReturnPermit(ReturnPermitRequest {
                node_id,
                incarnation,
            }))
        }
        Step::RaiseVersion(version) => {
            Task::Call(Call::RaiseVersion(RaiseVersionRequest { version }))
        }
        Step::Reserve { name } => {
            Task::Call(Call::Reserve(ReserveNodeRequest { object_name: name }))
        }
    })
}

fn restart(cluster: &Cluster, observed: &Observed, id: NodeId, incarnation: u64) -> Task {
    let ttl = PERMIT + Duration::from_secs(u64::from(cluster.drain_seconds));
    let request = AskPermitRequest {
        node_id: id.0,
        incarnation,
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        reason: "restart".to_owned(),
        allow_unavailable: cluster.allow_unavailable,
    };
    let group = observed
        .inventory()
        .nodes
        .get(&id)
        .and_then(|node| cluster.group(&node.group));
    let revision = group.map(|group| group.revision.clone());
    Task::Restart {
        id,
        request,
        revision: revision.unwrap_or_default(),
        drain_seconds: cluster.drain_seconds,
    }
}

fn describe(observed: &Observed, id: NodeId, weight: u32) -> Option<Node> {
    let object = observed.inventory().nodes.get(&id)?;
    Some(Node {
        id: id.0,
        name: object.name.clone(),
        zone: object.zone.clone(),
        host: object.host.clone(),
        weight,
        peer_address: object.addresses.peer.clone(),
        dynamo_address: object.addresses.dynamo.clone(),
        kv_address: object.addresses.kv.clone(),
        ..Node::default()
    })
}

fn change_ring(change: RingChange) -> ChangeRingRequest {
    let RingChange {
        expected_epoch,
        nodes,
    } = change;
    let nodes = nodes
        .into_iter()
        .map(|tokens::NodeTokens { id, tokens, weight }| NodeTokens {
            node_id: id.0,
            tokens: tokens.iter().map(Token::to_string).collect(),
            weight,
        });
    ChangeRingRequest {
        expected_epoch,
        nodes: nodes.collect(),
        positions: Vec::new(),
    }
}

/// The same for the same cluster each time, so that a repeated call says the same.
fn bootstrap(cluster: &Cluster, observed: &Observed) -> Result<BootstrapRequest, Error> {
    let inventory = observed.inventory();
    let seats = seats::founders(cluster, inventory);
    let copies = cluster
        .replication_factor()
        .min(u32::try_from(seats.len()).unwrap_or(u32::MAX));
    let host = |id| {
        inventory
            .nodes
            .get(&id)
            .map(|node| node.host.clone())
            .unwrap_or_default()
    };
    let weight = |seat: &seats::Seat| {
        cluster
            .group(&seat.group)
            .map_or(seats::WEIGHT_DEFAULT, |group| group.weight)
    };
    let mut tokens = tokens::initial(&seats, host, weight, copies)?;
    let nodes = seats.iter().filter_map(|seat| {
        let object = inventory.nodes.get(&seat.id)?;
        Some(Node {
            id: seat.id.0,
            name: seat.name.clone(),
            zone: object.zone.clone(),
            host: object.host.clone(),
            weight: weight(seat),
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
        replication_factor: copies,
        partitions_per_table: 0,
    })
}
