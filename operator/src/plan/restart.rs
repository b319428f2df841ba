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
    let outdated = outdated(scene);
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

/// Runs with another revision than its group's, or as the incarnation that a person wants ended.
fn is_outdated(scene: &Scene<'_>, id: NodeId) -> bool {
    let Some(entry) = scene.nodes.get(&id) else {
        return false;
    };
    let incarnation = entry.member.incarnation;
    let is_ordered = scene
        .world
        .orders
        .restart
        .get(&id.0)
        .is_some_and(|&until| incarnation <= until);
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
    incarnation > 0 && (is_ordered || differs)
}
