//! What to do next: pure functions from (what is wanted, what is there) to steps.
//!
//! ```text
//! birth:  no identity ──► KeepIdentity ──► Prepare ──► Start … ──► all nodes answer ──► MarkFormed ──► Bootstrap ──► joined
//!
//! life:   Configure
//!         Reserve ──► Prepare ──► Describe ──► Start ──► ChangeRing ──► (the data plane moves)                    come
//!         (places taken) ──► Drain ──► ChangeRing ──► (the data plane moves) ──► Remove ──► Stop ──► Forget       go
//!         Restart with a permit ──► Start ──► ReturnPermit                                                       roll
//!
//! table:  of a KvTable, by itself
//! ```
//!
//! Level-triggered: only what was observed counts, so that whoever dies between two steps goes on where it stopped, and a spec that
//! changes half-way turns the plan round from what is there.
//!
//! Invariants: `Bootstrap` is planned only when an identity is kept, is marked as formed before the call (in the same plan, in
//! this order), and every node has just said that it knows of no cluster. A node whose disk is empty is never started once it has registered: it
//! has forgotten its votes. No process is stopped for good before the metadata say that its node is removed.

pub mod birth;
mod life;
pub mod orders;
pub mod preview;
mod restart;
pub mod roster;
mod rotation;
pub mod seats;
pub mod space;
pub mod table;
pub mod tokens;
pub mod windows;

use std::collections::BTreeSet;

use kv_proto::admin::Settings;
use kv_ring::NodeId;

use crate::dataplane::ClusterView;
use crate::platform::{Certify, Disk, Inventory, NodeObject, Presence};
use crate::reconcile::Cluster;
use orders::Orders;
use seats::Seat;
use tokens::RingChange;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Keep the cluster's identity outside of the nodes, for ever.
    KeepIdentity {
        /// The id chosen for it.
        cluster_id: String,
    },
    /// Put aside what is left of a lost cluster and keep a new identity in its place.
    Renew {
        /// The identity that is given up.
        old_id: String,
        /// The new one.
        cluster_id: String,
    },
    /// Make what the nodes need to start: addresses, certificates, configuration, disks.
    Prepare {
        /// The cluster that they belong to.
        cluster_id: String,
        /// The nodes.
        seats: Vec<Seat>,
    },
    /// Start a node's process, and note what it was started with.
    Start {
        /// The node.
        id: NodeId,
        /// Its group's revision.
        revision: String,
    },
    /// Note that from now on nodes may hold data under the identity.
    MarkFormed {
        /// The nodes that the cluster is made of.
        founders: BTreeSet<NodeId>,
    },
    /// Make the cluster, by the one call on this node.
    Bootstrap {
        /// The node with the lowest id.
        on: NodeId,
    },
    /// Set what holds for the whole cluster.
    Configure(Settings),
    /// Reserve a node id under this name.
    Reserve {
        /// Name of the object to come.
        name: String,
    },
    /// Tell the metadata where a node is.
    Describe {
        /// The node.
        id: NodeId,
        /// What it bears.
        weight: u32,
    },
    /// Change tokens.
    ChangeRing(RingChange),
    /// Drain a node, or take that back.
    Drain {
        /// The node.
        id: NodeId,
        /// Take it back.
        undo: bool,
        /// It is gone for good.
        lost: bool,
    },
    /// Mark an empty node as removed.
    Remove(NodeId),
    /// End the process of a removed node.
    Stop(NodeId),
    /// Put aside or delete what is left of a removed node.
    Forget {
        /// The node.
        id: NodeId,
        /// Delete it.
        deletes_disk: bool,
    },
    /// Ask for the permit, and if it is given end the process, to be started again.
    Restart {
        /// The node.
        id: NodeId,
        /// As which it runs now.
        incarnation: u64,
    },
    /// Give the permit back.
    ReturnPermit {
        /// Who had it.
        id: NodeId,
        /// As which.
        incarnation: u64,
    },
    /// Use the formats of this version.
    RaiseVersion(u32),
    /// Renew certificates or turn the CA.
    Certify(Certify),
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
    /// Disks of an earlier cluster of this name were kept, and nobody has said whether they are this one's.
    Orphaned {
        /// The earlier cluster.
        cluster_id: String,
    },
}

/// What is being done, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Nodes that are gone, or that a person wants away, are replaced.
    Replacing,
    /// Nodes come or go.
    Scaling,
    /// Nodes are restarted.
    Restarting,
    /// Settings or weights are brought to the nodes.
    Configuring,
    /// Certificates are renewed, or the CA is turned.
    Certificates,
    /// A newer version soaks.
    Upgrading,
    /// Replicas are on their way.
    Rebalancing,
    /// Nothing, until a maintenance window opens.
    OutsideWindow,
}

/// What to do now, and what stands in the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// If set, there are no steps.
    pub blocked: Option<Blocked>,
    /// Nodes that are not started, since their disks are empty though the cluster counts on them.
    pub identity_lost: Vec<NodeId>,
    /// Nodes that are gone for good.
    pub lost: Vec<NodeId>,
    /// What is being done.
    pub activity: Option<Activity>,
    /// Names of nodes that come.
    pub joining: Vec<String>,
    /// Names of nodes that go.
    pub leaving: Vec<String>,
    /// What a step that can't be taken waits for.
    pub waiting: Vec<String>,
    /// Whether something is held back until a maintenance window opens; what and until when is among `waiting`.
    pub is_outside_window: bool,
    /// A version that all nodes can write and that is not used yet.
    pub newer_version: Option<u32>,
    /// How far certificates are on their way, in words; none while nothing is done about them.
    pub certificates: Option<&'static str>,
    /// Why the CA that is offered can't be used.
    pub ca_refused: Option<String>,
}

/// All that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// What is wanted.
    pub cluster: &'a Cluster,
    /// What the platform has.
    pub inventory: &'a Inventory,
    /// What the nodes say.
    pub view: &'a ClusterView,
    /// What a person ordered.
    pub orders: &'a Orders,
    /// Unix time in ms.
    pub now_ms: u64,
    /// Becomes the cluster's id if it has none yet.
    pub fresh_id: &'a str,
    /// A version that all nodes can write, and the Unix time in ms since when.
    pub soaking: Option<(u32, u64)>,
}

impl World<'_> {
    /// When the next maintenance window opens, in words; none if planned work that disrupts may begin now.
    fn window(&self) -> Option<String> {
        let until = windows::waits_until(&self.cluster.windows, self.now_ms / 1_000)?;
        let until = i64::try_from(until).ok()?;
        let time = jiff::Timestamp::from_second(until).ok()?;
        Some(format!("the maintenance window that opens at {time}"))
    }
}

/// Plans the next steps.
#[must_use]
pub fn plan(world: &World<'_>) -> Plan {
    let World {
        inventory,
        view,
        orders,
        fresh_id,
        ..
    } = *world;
    if let Some(cluster_id) = &inventory.orphaned {
        return Plan {
            blocked: Some(Blocked::Orphaned {
                cluster_id: cluster_id.clone(),
            }),
            ..Plan::default()
        };
    }
    let any_data = inventory.nodes.values().any(|node| node.disk == Disk::Used);
    let Some(identity) = &inventory.identity else {
        if any_data {
            return Plan {
                blocked: Some(Blocked::IdentityMissing),
                ..Plan::default()
            };
        }
        let mut plan = Plan::default();
        plan.steps.push(Step::KeepIdentity {
            cluster_id: fresh_id.to_owned(),
        });
        birth::birth(world, fresh_id, false, &mut plan);
        return plan;
    };
    let cluster_id = identity.cluster_id.clone();
    let may_have_data =
        |node: &NodeObject| node.disk != Disk::Empty || node.presence != Presence::Absent;
    if identity.is_formed && !inventory.nodes.values().any(may_have_data) {
        if orders.give_up.as_ref() == Some(&cluster_id) && fresh_id != cluster_id {
            let renew = Step::Renew {
                old_id: cluster_id,
                cluster_id: fresh_id.to_owned(),
            };
            return Plan {
                steps: vec![renew],
                ..Plan::default()
            };
        }
        return Plan {
            blocked: Some(Blocked::DataLost { cluster_id }),
            ..Plan::default()
        };
    }
    let mut plan = Plan::default();
    // An answer that is late is good enough to show, never to act on.
    let is_news = view.nodes.values().any(|node| !node.is_late);
    match view
        .cluster
        .as_ref()
        .filter(|known| is_news && !known.nodes.is_empty())
    {
        Some(known) => life::life(world, known, &mut plan),
        None if identity.is_formed
            && inventory.nodes.values().any(|node| node.disk == Disk::Used) =>
        {
            birth::start_all(world, &mut plan);
            birth::bootstrap(world, true, &mut plan);
        }
        None => birth::birth(world, &cluster_id, identity.is_formed, &mut plan),
    }
    rotation::rotate(world, &mut plan);
    plan
}

#[cfg(test)]
mod tests;
