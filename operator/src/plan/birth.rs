//! Until there are metadata to go by: the nodes of a new cluster, and processes that are down.

use super::seats::{self, Seat};
use super::{Plan, Step, World};
use crate::platform::{Disk, Presence};

/// Plans what is missing of a cluster that is not made yet.
pub fn birth(world: &World<'_>, cluster_id: &str, is_formed: bool, plan: &mut Plan) {
    let seats = seats::seats(world.cluster);
    let nodes = &world.inventory.nodes;
    if seats.iter().any(|seat| !nodes.contains_key(&seat.id)) {
        plan.steps.push(Step::Prepare {
            cluster_id: cluster_id.to_owned(),
            seats: seats.clone(),
        });
    }
    for seat in &seats {
        let node = nodes.get(&seat.id);
        if node.is_some_and(|node| node.presence != Presence::Absent) {
            continue;
        }
        if is_formed && node.is_none_or(|node| node.disk == Disk::Empty) {
            plan.identity_lost.push(seat.id);
        } else if node.is_none_or(|node| node.disk != Disk::Unknown) {
            plan.steps.push(Step::Start {
                id: seat.id,
                revision: revision(world, seat),
            });
        }
    }
    bootstrap(world, is_formed, plan);
}

fn revision(world: &World<'_>, seat: &Seat) -> String {
    world
        .cluster
        .group(&seat.group)
        .map(|group| group.revision.clone())
        .unwrap_or_default()
}

/// Starts what is down of a cluster that was made, while its metadata are not to be had: repair does not need health.
pub fn start_all(world: &World<'_>, plan: &mut Plan) {
    for node in world
        .inventory
        .nodes
        .values()
        .filter(|node| node.presence == Presence::Absent)
    {
        match node.disk {
            Disk::Used => {
                let group = world
                    .cluster
                    .group(&node.group)
                    .or(world.cluster.groups.first());
                let revision = group
                    .map(|group| group.revision.clone())
                    .unwrap_or_default();
                plan.steps.push(Step::Start {
                    id: node.id,
                    revision,
                });
            }
            Disk::Empty if seats::may_be_founder(world.inventory, node.id) => {
                plan.identity_lost.push(node.id);
            }
            Disk::Empty | Disk::Unknown => {}
        }
    }
}

/// The steps that make a cluster of nodes that all run and know of none.
pub fn bootstrap(world: &World<'_>, is_formed: bool, plan: &mut Plan) {
    let seats = seats::founders(world.cluster, world.inventory);
    let is_fresh = |seat: &Seat| {
        let node = world.view.nodes.get(&seat.id);
        node.is_some_and(|node| {
            !node.is_late && !node.identity.joined && !node.identity.bootstrapped
        })
    };
    let lowest = seats.iter().map(|seat| seat.id).min();
    // A node more than the seats, prepared for another number of them, may know of a cluster that these don't.
    let is_whole = world
        .view
        .nodes
        .values()
        .all(|node| !node.identity.joined && !node.identity.bootstrapped);
    if let Some(on) = lowest
        && is_whole
        && seats.iter().all(is_fresh)
    {
        let mark = (!is_formed).then(|| Step::MarkFormed {
            founders: seats.iter().map(|seat| seat.id).collect(),
        });
        plan.steps
            .extend(mark.into_iter().chain([Step::Bootstrap { on }]));
    }
}
