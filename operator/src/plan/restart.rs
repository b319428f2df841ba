//! Restarts, one by one, each by the cluster's one permit.
//!
//! ```text
//! outdated ─► AskPermit ─given─► the process ends in order ─► Start with the new revision ─► registered anew, ready ─► ReturnPermit
//!                │                                                                                                        │
//!                └─ not given: a group would lose its quorum, or the one before is not caught up as its peers see it ◄────┘
//! ```
//!
//! The permit lives in the metadata: who dies in between finds it there. A process that is down anyway is just started with what
//! is wanted now, so that a corrected spec takes hold at once.
//!
//! Outside of maintenance windows only who was ordered by a person asks for the permit, and who has it already.

use std::collections::BTreeSet;

use kv_ring::NodeId;

use super::life::Scene;
use super::{Activity, Plan, Step};
use crate::platform::Presence;

/// Plans the next restart.
pub(super) fn restart(scene: &Scene<'_>, plan: &mut Plan) {
    if let Some(permit) = &scene.known.permit {
        let id = NodeId(permit.node_id);
        let is_back = scene
            .nodes
            .get(&id)
            .is_none_or(|entry| entry.member.incarnation > permit.incarnation)
            && is_ready(scene, id);
        let is_gone = !scene.nodes.contains_key(&id);
        if permit.node_id != 0 && (is_back || is_gone) {
            plan.steps.push(Step::ReturnPermit {
                id,
                incarnation: permit.incarnation,
            });
        }
        if permit.node_id != 0 && permit.expires_ms > scene.world.now_ms {
            plan.activity = Some(Activity::Restarting);
        }
    }
    let outdated = in_time(scene, outdated(scene), plan);
    let Some(&first) = outdated.first() else {
        return;
    };
    plan.activity = Some(Activity::Restarting);
    // The one that has the permit goes first, so that it does not lapse.
    let permit = scene
        .known
        .permit
        .as_ref()
        .map(|permit| NodeId(permit.node_id));
    let id = permit.filter(|id| outdated.contains(id)).unwrap_or(first);
    let others_are_up = scene
        .roster
        .keep
        .keys()
        .all(|&other| other == id || is_ready(scene, other));
    if !is_old_one_running(scene, id) {
        return;
    }
    if others_are_up {
        plan.steps.push(Step::Restart {
            id,
            incarnation: scene.nodes[&id].member.incarnation,
        });
    } else {
        let name = scene.name(id);
        plan.waiting
            .push(format!("{name} is restarted once all other nodes are up"));
    }
}

/// Those of the outdated that may be restarted now. What the others wait for is told.
fn in_time(scene: &Scene<'_>, outdated: Vec<NodeId>, plan: &mut Plan) -> Vec<NodeId> {
    let Some(window) = scene.world.window() else {
        return outdated;
    };
    let (now, held): (Vec<NodeId>, Vec<NodeId>) = outdated
        .into_iter()
        .partition(|&id| is_ordered(scene, id) || is_at_hand(scene, id));
    if !held.is_empty() {
        let held: BTreeSet<NodeId> = held.into_iter().collect();
        plan.is_outside_window = true;
        plan.waiting.push(format!(
            "the restart of {} waits for {window} (spec.maintenance)",
            scene.names(&held)
        ));
    }
    now
}

/// Whether it has the permit for the end of the very incarnation that runs.
fn is_at_hand(scene: &Scene<'_>, id: NodeId) -> bool {
    let permit = scene.known.permit.as_ref();
    permit.is_some_and(|permit| {
        permit.node_id == id.0
            && permit.expires_ms > scene.world.now_ms
            && permit.incarnation == scene.nodes[&id].member.incarnation
    })
}

/// Who should run as something else, by id.
pub(super) fn outdated(scene: &Scene<'_>) -> Vec<NodeId> {
    scene
        .roster
        .keep
        .keys()
        .copied()
        .filter(|&id| is_outdated(scene, id))
        .collect()
}

/// Whether the very incarnation that is to end runs. One that was started just now has not registered yet, and must not be taken for it.
fn is_old_one_running(scene: &Scene<'_>, id: NodeId) -> bool {
    let entry = &scene.nodes[&id];
    let is_running = entry
        .object
        .is_some_and(|object| object.presence == Presence::Running);
    let said = scene.world.view.nodes.get(&id).filter(|node| !node.is_late);
    is_running && said.is_some_and(|node| node.identity.incarnation == entry.member.incarnation)
}

fn is_ready(scene: &Scene<'_>, id: NodeId) -> bool {
    let node = scene.world.view.nodes.get(&id).filter(|node| !node.is_late);
    node.is_some_and(|node| node.status.as_ref().is_some_and(|status| status.ready))
}

/// Runs as the incarnation that a person wants ended.
fn is_ordered(scene: &Scene<'_>, id: NodeId) -> bool {
    let until = scene.world.orders.restart.get(&id.0);
    let entry = scene.nodes.get(&id);
    entry
        .zip(until)
        .is_some_and(|(entry, &until)| entry.member.incarnation <= until)
}

/// Runs with another revision than its group's, or as the incarnation that a person wants ended.
fn is_outdated(scene: &Scene<'_>, id: NodeId) -> bool {
    let Some(entry) = scene.nodes.get(&id) else {
        return false;
    };
    let group = scene
        .roster
        .keep
        .get(&id)
        .and_then(|group| scene.world.cluster.group(group));
    let started = entry
        .object
        .and_then(|object| object.started_revision.as_ref());
    let differs = group
        .zip(started)
        .is_some_and(|(group, started)| group.revision != *started);
    entry.member.incarnation > 0 && (is_ordered(scene, id) || differs)
}
