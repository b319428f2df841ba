//! The reconcile loop whole, on a platform and nodes of memory: steps fail, replies are lost, processes and the operator die
//! after any step. It always ends with the one cluster that was asked for, and never breaks an invariant on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use kv_operator::crd::condition::{ConditionType, holds};
use kv_operator::crd::{KvCluster, KvClusterSpec, KvClusterStatus};
use kv_operator::dataplane::{self, ClusterView, DataPlane, NodeView, Targets};
use kv_operator::platform::{
    Action, Addresses, ClusterIdentity, Disk, Inventory, NodeObject, Platform, Presence,
};
use kv_operator::reconcile;
use kv_proto::admin::{BootstrapRequest, GetClusterReply, GetIdentityReply, GetNodeStatusReply};
use kv_ring::NodeId;
use proptest::prelude::*;

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// What a step meets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nothing happened, and it says so.
    Failed,
    /// It happened, and it says that it did not.
    ReplyLost,
}

struct Fates(Vec<Fate>);

impl Fates {
    fn next(&mut self) -> Fate {
        self.0.pop().unwrap_or(Fate::Done)
    }
}

struct Cloud {
    inventory: Inventory,
    fates: Fates,
}

impl Cloud {
    fn do_it(&mut self, action: &Action) {
        match action {
            Action::KeepIdentity { cluster_id } => {
                assert!(
                    self.inventory.identity.is_none(),
                    "an identity is never replaced"
                );
                let cluster_id = cluster_id.clone();
                self.inventory.identity = Some(ClusterIdentity {
                    cluster_id,
                    is_formed: false,
                });
            }
            Action::Prepare { cluster_id, seats } => {
                assert_eq!(
                    self.inventory
                        .identity
                        .as_ref()
                        .map(|identity| &identity.cluster_id),
                    Some(cluster_id)
                );
                for seat in seats {
                    let port = 7000 + seat.id.0;
                    let object = NodeObject {
                        id: seat.id,
                        name: seat.name.clone(),
                        zone: seat.zone.clone(),
                        host: "localhost".into(),
                        addresses: Addresses {
                            peer: format!("localhost:{port}"),
                            ..Addresses::default()
                        },
                        presence: Presence::Absent,
                        disk: Disk::Empty,
                        pid: None,
                        trouble: None,
                    };
                    self.inventory.nodes.entry(seat.id).or_insert(object);
                }
            }
            Action::Start(id) => {
                let node = self
                    .inventory
                    .nodes
                    .get_mut(id)
                    .expect("prepared before it is started");
                assert_eq!(node.presence, Presence::Absent, "one process a node");
                (node.presence, node.disk) = (Presence::Running, Disk::Used);
            }
            Action::MarkFormed => {
                self.inventory.identity.as_mut().expect("kept").is_formed = true;
            }
        }
    }
}

impl Platform for Cloud {
    type Error = Refused;

    async fn observe(&mut self) -> Result<Inventory, Refused> {
        Ok(self.inventory.clone())
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Refused> {
        let fate = self.fates.next();
        if fate != Fate::Failed {
            self.do_it(action);
        }
        if fate == Fate::Done {
            Ok(())
        } else {
            Err(Refused)
        }
    }
}

#[derive(Default)]
struct Nodes {
    joined: Arc<AtomicBool>,
    requests: Vec<BootstrapRequest>,
    fates: Vec<Fate>,
    silent: Option<NodeId>,
}

impl DataPlane for Nodes {
    async fn observe(&mut self, targets: &Targets) -> ClusterView {
        let joined = self.joined.load(Ordering::Relaxed);
        let answering = targets
            .addresses
            .keys()
            .copied()
            .filter(|&id| Some(id) != self.silent);
        let node = |id: NodeId| {
            let identity = GetIdentityReply {
                joined,
                bootstrapped: joined,
                ..GetIdentityReply::default()
            };
            let status = joined.then(|| GetNodeStatusReply {
                ready: true,
                ..GetNodeStatusReply::default()
            });
            (
                id,
                NodeView {
                    identity,
                    status,
                    is_late: false,
                },
            )
        };
        let cluster = joined.then(|| GetClusterReply {
            meta_leader: 1,
            ..GetClusterReply::default()
        });
        ClusterView {
            nodes: answering.map(node).collect(),
            cluster,
        }
    }

    async fn bootstrap(
        &mut self,
        address: &str,
        request: BootstrapRequest,
    ) -> Result<(), dataplane::Error> {
        assert_eq!(address, "localhost:7001", "the node with the lowest id");
        let fate = self.fates.pop().unwrap_or(Fate::Done);
        if fate != Fate::Failed {
            self.requests.push(request);
            self.joined.store(true, Ordering::Relaxed);
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::Failed | Fate::ReplyLost => Err(dataplane::Error::Call {
                address: address.into(),
                source: Box::new(tonic::Status::unavailable("lost")),
            }),
        }
    }
}

fn object(nodes: i32) -> KvCluster {
    let mut object = KvCluster::new(
        "rides",
        KvClusterSpec {
            nodes,
            replication_factor: None,
            zones: None,
            auth: None,
        },
    );
    object.metadata.generation = Some(1);
    object
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Done), Just(Fate::Failed), Just(Fate::ReplyLost)]
}

proptest! {
    #[test]
    fn it_ends_with_one_cluster_whatever_fails_on_the_way(
        count in 1_i32..7,
        fates in prop::collection::vec(fate(), 0..24),
        bootstrap_fates in prop::collection::vec(fate(), 0..4),
        kills in prop::collection::vec((0_u64..20, 1_u64..7), 0..8),
        silences in prop::collection::vec((0_u64..20, 1_u64..7), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let mut object = object(count);
        let mut cloud = Cloud { inventory: Inventory::default(), fates: Fates(fates) };
        let mut nodes = Nodes { fates: bootstrap_fates, ..Nodes::default() };
        let mut status = KvClusterStatus::default();
        let mut was_reached = false;
        for round in 0..60 {
            for &(_, id) in kills.iter().filter(|&&(when, _)| when == round) {
                if let Some(node) = cloud.inventory.nodes.get_mut(&NodeId(id)) {
                    node.presence = Presence::Absent;
                }
            }
            nodes.silent = silences.iter().find(|&&(when, _)| when == round).map(|&(_, id)| NodeId(id));
            let now = Timestamp::from_second(1_700_000_000 + i64::try_from(round).expect("small")).expect("in range");
            // Only the object survives a round: a new operator would go on just so.
            let next = runtime.block_on(reconcile::round(&mut cloud, &mut nodes, &object, None, now)).expect("looked");
            let progressing = holds(&next.conditions, ConditionType::Progressing);
            prop_assert!(!(was_reached && progressing), "a spec that was reached stays so");
            was_reached |= !progressing;
            prop_assert!(!holds(&next.conditions, ConditionType::DataLost));
            object.status = Some(next.clone());
            status = next;
        }
        prop_assert!(holds(&status.conditions, ConditionType::Ready), "{:?}", status.conditions);
        prop_assert_eq!(status.nodes_up, count);
        prop_assert!(!holds(&status.conditions, ConditionType::Degraded), "{:?}", status.conditions);
        // A lost reply makes no second call, since the node then knows; and if it did, it would say the same.
        prop_assert_eq!(nodes.requests.len(), 1);
        let request = &nodes.requests[0];
        prop_assert_eq!(Some(&request.cluster_id), status.cluster_id.as_ref());
        prop_assert!(request.nodes.iter().all(|node| !node.tokens.is_empty()));
        prop_assert_eq!(i32::try_from(request.nodes.len()).expect("small"), count);
    }
}

#[test]
fn a_steady_cluster_has_a_steady_status() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let mut object = object(3);
    let mut cloud = Cloud {
        inventory: Inventory::default(),
        fates: Fates(Vec::new()),
    };
    let mut nodes = Nodes::default();
    let mut round = |second: i64| {
        let now = Timestamp::from_second(second).expect("in range");
        let status = runtime
            .block_on(reconcile::round(&mut cloud, &mut nodes, &object, None, now))
            .expect("looked");
        object.status = Some(status.clone());
        status
    };
    let settled = (1..10).map(&mut round).last().expect("rounds");
    assert!(holds(&settled.conditions, ConditionType::Ready));
    assert_eq!(
        (10..20).map(round).last(),
        Some(settled),
        "nothing to write"
    );
}
