//! Last stage: what was observed, planned and applied becomes the status. Pure; the same inputs give the same status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kv_proto::admin::Node;
use kv_ring::NodeId;

use super::apply::{Applied, Look};
use super::observe::Observed;
use super::plan::Plan;
use super::progress;
use crate::crd::condition::{self, ConditionType, Reason, Verdict};
use crate::crd::{Endpoint, KvCluster, KvClusterStatus, NodeState, NodeStatus, STATUS_NODES_MAX};
use crate::dataplane::NodeView;
use crate::plan::{Activity, Blocked, Step, space};
use crate::platform::{Certify, NodeObject, Presence};

/// A newer spec that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// [`Reason::InvalidSpec`] or [`Reason::ChangeNotSupported`].
    pub reason: Reason,
    /// Where and why.
    pub message: String,
}

/// All that a status is made of.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The spec in force, and the status before.
    pub object: &'a KvCluster,
    /// What is there.
    pub observed: &'a Observed,
    /// What stands in the way.
    pub plan: &'a Plan,
    /// What went wrong.
    pub applied: &'a Applied,
    /// A newer spec that was not taken.
    pub refused: Option<&'a Refused>,
    /// Now.
    pub now: Timestamp,
}

impl Inputs<'_> {
    /// Whether data lies on a node, as far as is known.
    fn bears(&self, id: u64) -> bool {
        let known = self.observed.view().cluster.as_ref();
        let member = known.and_then(|known| known.nodes.iter().find(|node| node.id == id));
        match (known, member) {
            (Some(_), Some(member)) => {
                (!member.tokens.is_empty() || member.replicas > 0)
                    && member.state != "Removed"
                    && !member.lost
            }
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

/// Makes the status.
#[must_use]
pub fn status(inputs: &Inputs<'_>) -> KvClusterStatus {
    let Inputs {
        object,
        observed,
        plan,
        applied,
        refused: _,
        now,
    } = inputs;
    let (inventory, view) = (observed.inventory(), observed.view());
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(1);
    let all: Vec<NodeStatus> = inventory
        .nodes
        .values()
        .map(|node| node_status(node, observed, &before))
        .collect();
    let count = |state| all.iter().filter(|node| node.state == state).count();
    let shown = |node: &&NodeStatus| node.state != NodeState::Removed;
    let facts = Facts {
        wanted: usize::try_from(object.spec.nodes).unwrap_or(0),
        up: count(NodeState::Up),
        serving: count(NodeState::Up) + count(NodeState::Joining) + count(NodeState::Draining),
        nodes: &all,
    };
    let conditions = verdicts(inputs, &facts, &before.conditions)
        .into_iter()
        .map(|verdict| verdict.into_condition(&before.conditions, generation, *now))
        .collect();
    let endpoints = all
        .iter()
        .take(STATUS_NODES_MAX)
        .flat_map(|node| endpoints(node, observed))
        .collect();
    KvClusterStatus {
        observed_generation: Some(generation),
        cluster_id: inventory
            .identity
            .as_ref()
            .map(|identity| identity.cluster_id.clone()),
        cluster_version: view
            .cluster
            .as_ref()
            .map(|cluster| cluster.cluster_version)
            .or(before.cluster_version),
        replicas: i32::try_from(all.iter().filter(shown).count()).unwrap_or(i32::MAX),
        selector: before.selector.clone(),
        nodes_up: i32::try_from(facts.serving).unwrap_or(i32::MAX),
        plan: progress::plan(plan.get(), applied, view),
        upgrade: progress::upgrade(plan.get().newer_version, before.upgrade.as_ref(), *now),
        endpoints,
        conditions,
        nodes: { all }.into_iter().take(STATUS_NODES_MAX).collect(),
    }
}

fn node_status(node: &NodeObject, observed: &Observed, before: &KvClusterStatus) -> NodeStatus {
    let answer = observed.view().nodes.get(&node.id);
    let before = before.nodes.iter().find(|before| before.id == node.id.0);
    let load = answer.and_then(|answer| answer.status.as_ref());
    let members = observed
        .view()
        .cluster
        .iter()
        .flat_map(|cluster| &cluster.nodes);
    let member = { members }.find(|member| member.id == node.id.0);
    let share = member.map(|member| round(member.share));
    NodeStatus {
        name: node.name.clone(),
        id: node.id.0,
        zone: node.zone.clone(),
        state: in_the_cluster(state(node, answer, before), member),
        endpoint: (!node.addresses.dynamo.is_empty())
            .then(|| format!("http://{}", node.addresses.dynamo)),
        share: share.or(before.map(|before| before.share)).unwrap_or(0.0),
        leaders: load.map_or(0, |load| load.leaders),
        partitions: load
            .map(|load| load.partitions)
            .or(before.map(|before| before.partitions))
            .unwrap_or(0),
        disk_used_percent: {
            let told = before.and_then(|before| before.disk_used_percent);
            load.map_or(told, |load| space::used_percent(load, told))
        },
        pid: node.pid,
    }
}

fn state(node: &NodeObject, answer: Option<&NodeView>, before: Option<&NodeStatus>) -> NodeState {
    match node.presence {
        Presence::Absent => NodeState::Down,
        Presence::Terminating => NodeState::Stopping,
        Presence::Unknown => NodeState::Unknown,
        Presence::Starting => NodeState::Starting,
        Presence::Running => {
            let was_up = before.is_some_and(|before| {
                before.pid == node.pid
                    && matches!(
                        before.state,
                        NodeState::Up
                            | NodeState::Joining
                            | NodeState::Draining
                            | NodeState::Unresponsive
                    )
            });
            let is_ready =
                answer.map(|answer| answer.status.as_ref().is_some_and(|status| status.ready));
            match (answer.map(|answer| answer.identity.joined), is_ready) {
                (Some(true), Some(true)) => NodeState::Up,
                (None, _) if was_up => NodeState::Unresponsive,
                _ => NodeState::Starting,
            }
        }
    }
}

/// What the metadata say of a node that serves.
fn in_the_cluster(state: NodeState, member: Option<&Node>) -> NodeState {
    match member {
        Some(member) if member.state == "Removed" => NodeState::Removed,
        Some(member) if state == NodeState::Up && member.state == "Draining" => NodeState::Draining,
        Some(member) if state == NodeState::Up && member.tokens.is_empty() => NodeState::Joining,
        _ => state,
    }
}

fn endpoints(node: &NodeStatus, observed: &Observed) -> Vec<Endpoint> {
    let Some(object) = observed.inventory().nodes.get(&NodeId(node.id)) else {
        return Vec::new();
    };
    let services = [
        ("dynamodb", &object.addresses.dynamo),
        ("grpc", &object.addresses.kv),
    ];
    services
        .into_iter()
        .filter(|(_, address)| !address.is_empty())
        .map(|(name, address)| Endpoint {
            name: name.into(),
            node: node.name.clone(),
            url: format!("http://{address}"),
        })
        .collect()
}

/// Four digits: a status is written on change only, and digits beyond these always change.
fn round(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

struct Facts<'a> {
    wanted: usize,
    /// Nodes that bear data and serve.
    up: usize,
    /// Nodes that serve.
    serving: usize,
    nodes: &'a [NodeStatus],
}

impl Facts<'_> {
    /// The names of nodes in a state, for a message.
    fn names(&self, wanted: NodeState) -> Vec<&str> {
        self.nodes
            .iter()
            .filter(|node| node.state == wanted)
            .map(|node| node.name.as_str())
            .collect()
    }
}

fn verdicts(inputs: &Inputs<'_>, facts: &Facts<'_>, before: &[Condition]) -> Vec<Verdict> {
    let ready = ready(inputs, facts);
    let progressing = progressing(inputs, &ready, before);
    let degraded = degraded(inputs, facts, before);
    let lost = match &inputs.plan.get().blocked {
        Some(Blocked::DataLost { cluster_id }) => Verdict::yes(
            ConditionType::DataLost,
            Reason::EveryDiskEmpty,
            format!(
                "the identity of cluster {cluster_id} is kept, but every disk is empty; nothing is started. Put the disks back, \
                 or confirm with `give-up --cluster-id {cluster_id}` that they are lost"
            ),
        ),
        _ => Verdict::no(ConditionType::DataLost, Reason::DataPresent, ""),
    };
    vec![
        ready,
        progressing,
        degraded,
        lost,
        progress::hot_key(inputs.observed.view()),
    ]
}

fn ready(inputs: &Inputs<'_>, facts: &Facts<'_>) -> Verdict {
    use ConditionType::Ready;
    let view = inputs.observed.view();
    let identity = inputs.observed.inventory().identity.as_ref();
    let all_down = facts.nodes.iter().all(|node| node.state == NodeState::Down);
    let leaderless: u64 = view
        .nodes
        .values()
        .filter_map(|node| node.status.as_ref())
        .map(|status| status.leaderless)
        .max()
        .unwrap_or(0);
    let joined = view.nodes.values().any(|node| node.identity.joined);
    if inputs.plan.get().blocked.is_some() {
        return Verdict::no(
            Ready,
            Reason::Blocked,
            "nothing is started; see the other conditions",
        );
    }
    if inputs.applied.look() == Some(Look::Untended) && all_down && !facts.nodes.is_empty() {
        return Verdict::no(Ready, Reason::Stopped, "no node runs");
    }
    if !joined && !identity.is_some_and(|identity| identity.is_formed) {
        return Verdict::no(
            Ready,
            Reason::NotBootstrapped,
            "the cluster is not made yet",
        );
    }
    // Who comes bears nothing yet, and who has left nothing more: the cluster is as ready without them.
    let is_needed = |node: &&NodeStatus| match node.state {
        NodeState::Joining | NodeState::Draining | NodeState::Removed => false,
        _ => inputs.bears(node.id),
    };
    let needed = facts.nodes.iter().filter(is_needed).count();
    let made = view
        .cluster
        .as_ref()
        .is_some_and(|known| !known.nodes.is_empty());
    if facts.up < needed || facts.up == 0 || (!made && facts.up < facts.wanted) {
        let of = if made { needed } else { facts.wanted };
        return Verdict::no(
            Ready,
            Reason::NodesNotUp,
            format!("{} of {of} nodes are up", facts.up),
        );
    }
    if leaderless > 0
        || view
            .cluster
            .as_ref()
            .is_none_or(|cluster| cluster.meta_leader == 0)
    {
        let message = if leaderless > 0 {
            format!("{leaderless} partitions have no leader")
        } else {
            "the metadata group has no leader".to_owned()
        };
        return Verdict::no(Ready, Reason::Leaderless, message);
    }
    Verdict::yes(
        Ready,
        Reason::Serving,
        format!(
            "{} nodes are up and every partition has a leader",
            facts.serving
        ),
    )
}

fn progressing(inputs: &Inputs<'_>, ready: &Verdict, before: &[Condition]) -> Verdict {
    use ConditionType::Progressing;
    if let Some(refused) = inputs.refused {
        return Verdict::no(Progressing, refused.reason, &refused.message);
    }
    if inputs.applied.look().is_some()
        && let Some(kept) = keep(
            before,
            Progressing,
            &[Reason::InvalidSpec, Reason::ChangeNotSupported],
        )
    {
        // Only the operator that watches the file knows whether that has changed.
        return kept;
    }
    if inputs.plan.get().blocked.is_some() {
        return Verdict::no(
            Progressing,
            Reason::Blocked,
            "a person must decide; see the other conditions",
        );
    }
    let done = Verdict::no(
        Progressing,
        Reason::UpToDate,
        "what the spec asks for is there",
    );
    // Once reached, a generation stays so: a node that fails later degrades the cluster, it does not change it.
    let generation = inputs.object.metadata.generation.unwrap_or(1);
    let was_done = condition::find(before, Progressing).is_some_and(|before| {
        before.observed_generation == Some(generation)
            && before.reason == Reason::UpToDate.to_string()
    });
    if let Some(activity) = inputs.plan.get().activity {
        return active(inputs, activity);
    }
    let is_made = condition::find(before, Progressing)
        .is_some_and(|before| before.reason != Reason::Creating.to_string());
    if was_done || ready.holds {
        return done;
    }
    if is_made {
        // The spec says nothing new; what is wrong is told by the other conditions.
        return keep(before, Progressing, &[Reason::UpToDate]).unwrap_or(done);
    }
    Verdict::yes(Progressing, Reason::Creating, &ready.message)
}

/// What is being done, or what it waits for.
fn active(inputs: &Inputs<'_>, activity: Activity) -> Verdict {
    let plan = inputs.plan.get();
    let waiting = plan.waiting.iter().chain(inputs.applied.waiting());
    let waiting: Vec<&str> = waiting.map(String::as_str).collect();
    if activity == Activity::OutsideWindow {
        let reason = Reason::OutsideWindow;
        return Verdict::yes(ConditionType::Progressing, reason, waiting.join("; "));
    }
    // That what is down is started again and again, or is given certificates while nobody hears it, gets nothing done.
    let is_idle = |step: &Step| match step {
        Step::Start { .. } => true,
        Step::Certify(Certify::Give(_)) => activity != Activity::Certificates,
        _ => false,
    };
    let only_starts = plan.steps.iter().all(is_idle);
    if only_starts || !inputs.applied.waiting().is_empty() {
        let is_moving = inputs
            .observed
            .view()
            .cluster
            .as_ref()
            .is_some_and(|known| known.moves_left > 0);
        if !waiting.is_empty() && !is_moving {
            return Verdict::yes(
                ConditionType::Progressing,
                Reason::Waiting,
                waiting.join("; "),
            );
        }
    }
    let reason = match activity {
        Activity::Replacing => Reason::Replacing,
        Activity::Scaling => Reason::Scaling,
        Activity::Restarting => Reason::Restarting,
        Activity::Configuring => Reason::Configuring,
        Activity::Certificates => Reason::RotatingCertificates,
        Activity::Upgrading => Reason::Upgrading,
        Activity::Rebalancing => Reason::Rebalancing,
        Activity::OutsideWindow => Reason::OutsideWindow,
    };
    let step = progress::step(plan, inputs.observed.view());
    Verdict::yes(ConditionType::Progressing, reason, step)
}

fn degraded(inputs: &Inputs<'_>, facts: &Facts<'_>, before: &[Condition]) -> Verdict {
    use ConditionType::Degraded;
    let Inputs {
        observed,
        plan,
        applied,
        ..
    } = inputs;
    let nodes = &observed.inventory().nodes;
    if plan.get().blocked == Some(Blocked::IdentityMissing) {
        let message = "nodes have data, but the file with the cluster's identity is missing; nothing is started. Put it back";
        return Verdict::yes(Degraded, Reason::IdentityMissing, message);
    }
    if let Some(Blocked::Orphaned { cluster_id }) = &plan.get().blocked {
        let message = format!(
            "volumes of an earlier cluster of this name were kept; to take them over set spec.storage.adopt: {cluster_id}, to begin \
             anew delete them and the Secret that goes with them"
        );
        return Verdict::yes(Degraded, Reason::OrphanedVolumes, message);
    }
    if !plan.get().identity_lost.is_empty() {
        let lost: Vec<String> = plan
            .get()
            .identity_lost
            .iter()
            .map(|id| name_of(nodes, *id))
            .collect();
        let message = format!(
            "the disk of {} is empty, though the cluster counts on what it held; it is not started, since it would forget its \
             votes. Put the disk back, or have it replaced",
            lost.join(", ")
        );
        return Verdict::yes(Degraded, Reason::IdentityLost, message);
    }
    let troubles = |reason| -> Vec<&str> {
        let troubled = nodes.values().filter_map(|node| node.trouble.as_ref());
        troubled
            .filter(|trouble| trouble.reason == reason)
            .map(|trouble| trouble.message.as_str())
            .collect()
    };
    for reason in [Reason::CannotStart, Reason::NodesDown] {
        let messages = troubles(reason);
        if !messages.is_empty() {
            return Verdict::yes(Degraded, reason, messages.join("; "));
        }
    }
    if let Some(verdict) = down_at_a_look(inputs, facts, before) {
        return verdict;
    }
    let weakness = progress::weakness(plan.get(), observed.view(), |id| name_of(nodes, id));
    let full = full(inputs);
    // A disk that is full takes no copies: then that is why some lag behind.
    let is_told = |verdict: &Verdict| full.is_none() || verdict.reason != Reason::UnderReplicated;
    if let Some(verdict) = weakness.filter(is_told) {
        return verdict;
    }
    let silent = facts.names(NodeState::Unresponsive);
    if !silent.is_empty() {
        let message = format!(
            "{} does not answer, though its process runs",
            silent.join(", ")
        );
        return Verdict::yes(Degraded, Reason::NodesUnresponsive, message);
    }
    if let Some(verdict) = full {
        return verdict;
    }
    if let Some(why) = &plan.get().ca_refused {
        let message = format!("{why}; the CA before it stays");
        return Verdict::yes(Degraded, Reason::CertificateRefused, message);
    }
    if let Some(failure) = applied.failures().first() {
        return Verdict::yes(
            Degraded,
            Reason::StepFailed,
            format!("{failure}; tried again"),
        );
    }
    Verdict::no(Degraded, Reason::AsExpected, "")
}

/// Whose disks refuse writes.
fn full(inputs: &Inputs<'_>) -> Option<Verdict> {
    let (inventory, view) = (inputs.observed.inventory(), inputs.observed.view());
    let refuses = |node: &NodeView| node.status.as_ref().is_some_and(|s| s.writes_refused);
    let full = view.nodes.iter().filter(|(_, node)| refuses(node));
    let full: Vec<String> = full.map(|(&id, _)| name_of(&inventory.nodes, id)).collect();
    let message = format!(
        "the disk of {} is nearly full and refuses writes; enlarge it (spec.storage.size), or make room",
        full.join(", ")
    );
    (!full.is_empty())
        .then(|| Verdict::yes(ConditionType::Degraded, Reason::WritesRefused, message))
}

/// What who only looks can say of nodes that are down: why, the operator knows and has written. That holds too while such a
/// node has been started again and does not serve yet, or a process that ends at each start would be fine now and then.
fn down_at_a_look(inputs: &Inputs<'_>, facts: &Facts<'_>, before: &[Condition]) -> Option<Verdict> {
    let look = inputs.applied.look()?;
    // One that was never started yet is about to come.
    let is_down = |node: &&NodeStatus| node.state == NodeState::Down && inputs.bears(node.id);
    let down: Vec<&str> = facts
        .nodes
        .iter()
        .filter(is_down)
        .map(|node| node.name.as_str())
        .collect();
    let names = down.join(", ");
    match look {
        Look::Tended => {
            use NodeState::{Down, Starting, Unresponsive};
            let is_away = |node: &NodeStatus| matches!(node.state, Down | Starting | Unresponsive);
            let reasons = [Reason::NodesDown, Reason::CannotStart];
            let written = keep(before, ConditionType::Degraded, &reasons);
            let written = written.filter(|_| facts.nodes.iter().any(is_away));
            let seen = || {
                let message = format!("{names} is down");
                Verdict::yes(ConditionType::Degraded, Reason::NodesDown, message)
            };
            written.or_else(|| (!down.is_empty()).then(seen))
        }
        Look::Untended if down.is_empty() || down.len() == facts.nodes.len() => None,
        Look::Untended => {
            let message = format!("{names} is down, and no operator is at work to start it again");
            Some(Verdict::yes(
                ConditionType::Degraded,
                Reason::NodesDown,
                message,
            ))
        }
    }
}

/// The condition before, if it had one of these reasons.
fn keep(before: &[Condition], type_: ConditionType, reasons: &[Reason]) -> Option<Verdict> {
    let condition = condition::find(before, type_)?;
    let reason = *reasons
        .iter()
        .find(|reason| reason.to_string() == condition.reason)?;
    let holds = condition.status == "True";
    Some(Verdict {
        type_,
        holds,
        reason,
        message: condition.message.clone(),
    })
}

fn name_of(nodes: &BTreeMap<NodeId, NodeObject>, id: NodeId) -> String {
    nodes
        .get(&id)
        .map_or_else(|| format!("node {}", id.0), |node| node.name.clone())
}
