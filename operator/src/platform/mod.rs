//! Where nodes run. A platform can say what is there and do one thing at a time; it decides nothing.
//!
//! Invariants of every platform: `observe` waits for nothing to change; `apply` returns before its effect is seen, and doing
//! it again does no harm; [`Presence::Unknown`] is never taken for dead.

pub mod authorities;
pub mod kubernetes;
pub mod local;
pub mod node_config;
pub mod pki;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use kv_ring::NodeId;

use crate::crd::condition::Reason;
use crate::plan::seats::Seat;
use authorities::Trust;

/// Whether a node's process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Certainly not.
    Absent,
    /// Being brought up by the platform.
    Starting,
    /// Alive; whether it serves is for the node to say.
    Running,
    /// Told to end.
    Terminating,
    /// Can't be told.
    Unknown,
}

/// What a node's disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing at all.
    Empty,
    /// Something, perhaps data.
    Used,
    /// Can't be told.
    Unknown,
}

/// `host:port` of each of a node's services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The DynamoDB API.
    pub dynamo: String,
    /// Client gRPC.
    pub kv: String,
    /// Peers and admin.
    pub peer: String,
}

/// What keeps a node from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// [`Reason::NodesDown`] or [`Reason::CannotStart`].
    pub reason: Reason,
    /// For people: what is the case and what to do.
    pub message: String,
}

/// A node as the platform sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeObject {
    /// Its id.
    pub id: NodeId,
    /// `<cluster>-<id>`.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Name of its group.
    pub group: String,
    /// What its process was last started with; none if nobody noted it.
    pub started_revision: Option<String>,
    /// The machine that it runs on.
    pub host: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// Whether its process is there.
    pub presence: Presence,
    /// What its disk holds.
    pub disk: Disk,
    /// Its process, where the platform has one to name.
    pub pid: Option<u32>,
    /// Why it isn't running, if there is more to say.
    pub trouble: Option<Trouble>,
}

/// The identity of a cluster, kept outside of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// Never changes.
    pub cluster_id: String,
    /// Set before the one `Bootstrap` call: from then on nodes may hold data.
    pub is_formed: bool,
    /// The nodes that the cluster is made of, kept with the mark; who was prepared but isn't among them holds nothing of it.
    pub founders: BTreeSet<NodeId>,
}

/// All that the platform has of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its identity, if it has been chosen.
    pub identity: Option<ClusterIdentity>,
    /// Its nodes.
    pub nodes: BTreeMap<NodeId, NodeObject>,
    /// The id of an earlier cluster of this name whose disks were kept. Nobody has said that they are this one's.
    pub orphaned: Option<String>,
    /// What is to be known of its CAs, once it has any.
    pub trust: Option<Trust>,
}

/// What a spec means where it says nothing: this differs by where nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The zones.
    pub zones: &'static [&'static str],
    /// Whether the API is open to all; else access keys are made.
    pub is_open: bool,
}

/// One thing that a platform can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep an identity, on stable storage before this returns. Refused if there is another one.
    KeepIdentity {
        /// The id.
        cluster_id: String,
    },
    /// Make what these nodes need to start, and keep what is there already.
    Prepare {
        /// The cluster that they belong to.
        cluster_id: String,
        /// The nodes.
        seats: Vec<Seat>,
    },
    /// Put aside what is left of a lost cluster and keep a new identity in its place. Done half it can be done again.
    Renew {
        /// The identity that is given up.
        old_id: String,
        /// The new one.
        cluster_id: String,
    },
    /// Start a node's process unless it is too early to try again.
    Start {
        /// The node.
        id: NodeId,
        /// Noted with it, to be found as [`NodeObject::started_revision`].
        revision: String,
        /// For how many seconds it serves on when it is told to stop.
        drain_seconds: u32,
    },
    /// Tell a node's process to end in order; by force if it does not in time.
    Stop(NodeId),
    /// The same for a process that is to run again: a platform that starts processes by itself is told first as what.
    Restart {
        /// The node.
        id: NodeId,
        /// As for [`Action::Start`].
        revision: String,
        /// As for [`Action::Start`].
        drain_seconds: u32,
    },
    /// Put aside what is left of a node that is gone, or delete it.
    Forget {
        /// The node.
        id: NodeId,
        /// Delete it.
        deletes_disk: bool,
    },
    /// Set [`ClusterIdentity::is_formed`], on stable storage before this returns.
    MarkFormed {
        /// Whom the one `Bootstrap` call names.
        founders: BTreeSet<NodeId>,
    },
    /// Renew certificates or turn the CA.
    Certify(Certify),
}

/// A step of a rotation ([`crate::plan::rotation`]). Done already, each does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certify {
    /// Make another CA, that is trusted besides and does not issue yet.
    TrustNext,
    /// Have the next CA issue what is issued from now on, the operator's own certificate first.
    IssueByNext,
    /// Put the next CA in the place of the one before it, which is forgotten.
    DropOld,
    /// Issue the operator's certificate anew.
    RenewOperator,
    /// Put before these nodes what they should have loaded: the CAs, and a certificate of the one that issues.
    Give(BTreeSet<NodeId>),
}

/// The platform's side of the reconcile loop.
pub trait Platform: Send {
    /// Why something could not be done.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What a spec means where it says nothing.
    const DEFAULTS: Defaults;

    /// What is there now.
    fn observe(&mut self) -> impl Future<Output = Result<Inventory, Self::Error>> + Send;

    /// Does one thing.
    fn apply(&mut self, action: &Action) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
