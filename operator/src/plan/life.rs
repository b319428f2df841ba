//! A cluster that is made: who comes, who goes, what holds for all.
//!
//! ```text
//! come: reserved ─Prepare─► object ─Describe─► described ─Start─► registered, Up ─ChangeRing─► has tokens
//! go:   has tokens ─(places taken)─ Drain ─ChangeRing─► no tokens ─(no replicas)─ Remove ─► Removed ─Stop─► Absent ─Forget─► gone
//! ```
//!
//! Every arrow is taken by what is seen at its left side alone. Who comes bears data before who goes is drained, so that
//! there are never fewer safe copies than before.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use kv_proto::admin::{GetClusterReply, Node, Settings};
use kv_ring::{NodeId, Ring};

use super::roster::{Have, Place, Roster, roster};
use super::seats::{self, Seat};
use super::tokens::{self, Wishes};
use super::{Activity, Plan, Step, World, restart, space};
use crate::platform::{Disk, NodeObject, Presence};

/// The most nodes whose weight changes at a time: each takes a plan of its own.
const REWEIGHTS_MAX: usize = 8;

/// How many nodes a reason names.
const NAMES_MAX: usize = 5;

/// A node as the metadata and the platform have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub member: &'a Node,
    pub object: Option<&'a NodeObject>,
}

/// What the stages of a plan share.
pub(super) struct Scene<'a> {
    pub world: &'a World<'a>,
    pub known: &'a GetClusterReply,
    /// Nodes that are not removed and have a place: by the platform or by the metadata.
    pub nodes: BTreeMap<NodeId, Entry<'a>>,
    pub roster: Roster,
    /// Nodes that are gone for good.
    pub lost: BTreeSet<NodeId>,
}

/// Plans the life of a cluster from its metadata.
pub fn life(world: &World<'_>, known: &GetClusterReply, plan: &mut Plan) {
    let scene = Scene::of(world, known);
    plan.lost = scene.lost.iter().copied().collect();
    scene.bury(plan);
    scene.start(plan);
    scene.configure(plan);
    scene.come(plan);
    match tokens::ring(known) {
        Ok(ring) => {
            scene.change_ring(&ring, plan);
            scene.go(&ring, plan);
        }
        Err(error) => plan
            .waiting
            .push(format!("the metadata hold a ring that can't be: {error}")),
    }
    restart::restart(&scene, plan);
    scene.tell(plan);
}

impl<'a> Scene<'a> {
    /// Who is there and who should be.
    pub fn of(world: &'a World<'a>, known: &'a GetClusterReply) -> Self {
        let objects = &world.inventory.nodes;
        let entries = known
            .nodes
            .iter()
            .filter(|member| member.state != "Removed");
        let entries = entries.map(|member| {
            (
                NodeId(member.id),
                Entry {
                    member,
                    object: objects.get(&NodeId(member.id)),
                },
            )
        });
        // A reserved id without an object or a place is free to be used.
        let nodes: BTreeMap<NodeId, Entry<'_>> =
            entries.filter(|(_, entry)| !entry.is_free()).collect();
        let lost: BTreeSet<NodeId> = nodes
            .iter()
            .filter(|(id, entry)| is_lost(world, **id, entry.member))
            .map(|(&id, _)| id)
            .collect();
        let have: Vec<Have> = nodes
            .iter()
            .map(|(&id, entry)| Have {
                id,
                group: entry
                    .object
                    .map(|object| object.group.clone())
                    .unwrap_or_default(),
                zone: entry.zone().to_owned(),
                must_go: lost.contains(&id) || world.orders.replace.contains(&id.0),
                is_draining: entry.is_draining() || world.orders.drain.contains(&id.0),
            })
            .collect();
        let roster = roster(world.cluster, &have);
        Self {
            world,
            known,
            nodes,
            roster,
            lost,
        }
    }

    fn weight(&self, group: &str) -> u32 {
        self.world
            .cluster
            .group(group)
            .map_or(seats::WEIGHT_DEFAULT, |group| group.weight)
    }

    fn is_held(&self, id: NodeId) -> bool {
        self.world.orders.drain.contains(&id.0)
    }

    pub fn name(&self, id: NodeId) -> String {
        self.nodes.get(&id).map_or_else(
            || seats::name(self.world.cluster, id.0),
            |entry| entry.member.name.clone(),
        )
    }

    /// Removed nodes: their processes end, then what is left of them is put aside.
    fn bury(&self, plan: &mut Plan) {
        for member in self
            .known
            .nodes
            .iter()
            .filter(|member| member.state == "Removed")
        {
            let id = NodeId(member.id);
            match self
                .world
                .inventory
                .nodes
                .get(&id)
                .map(|object| object.presence)
            {
                None | Some(Presence::Terminating | Presence::Unknown) => {}
                Some(Presence::Absent) => {
                    let deletes_disk = self.world.cluster.deletes_disks;
                    plan.steps.push(Step::Forget { id, deletes_disk });
                }
                Some(Presence::Starting | Presence::Running) => plan.steps.push(Step::Stop(id)),
            }
            if self.world.inventory.nodes.contains_key(&id) {
                plan.leaving.push(member.name.clone());
            }
        }
    }

    /// Starts what is down and may come up again. Who goes is needed until it is empty.
    fn start(&self, plan: &mut Plan) {
        for (&id, entry) in &self.nodes {
            let Some(object) = entry.object else {
                if entry.member.incarnation > 0 && !self.lost.contains(&id) {
                    plan.identity_lost.push(id);
                }
                continue;
            };
            if object.presence != Presence::Absent || entry.member.lost {
                continue;
            }
            let is_described = !entry.member.peer_address.is_empty();
            match object.disk {
                Disk::Empty if entry.member.incarnation > 0 => plan.identity_lost.push(id),
                Disk::Empty | Disk::Used if is_described => {
                    let group = self.roster.keep.get(&id).unwrap_or(&object.group);
                    let group = self.world.cluster.group(group);
                    let revision = group
                        .map(|group| group.revision.clone())
                        .unwrap_or_default();
                    plan.steps.push(Step::Start { id, revision });
                }
                Disk::Empty | Disk::Used | Disk::Unknown => {}
            }
        }
    }

    /// Settings. More copies are asked for only once there are nodes for them.
    fn configure(&self, plan: &mut Plan) {
        let Some(is) = &self.known.settings else {
            return;
        };
        let mut wanted: Settings = self.world.cluster.settings.clone();
        let bearers = self.nodes.values().filter(|entry| entry.bears()).count();
        let bearers = u32::try_from(bearers).unwrap_or(u32::MAX);
        if wanted.replication_factor > bearers.max(is.replication_factor) {
            wanted.replication_factor = is
                .replication_factor
                .max(bearers.min(wanted.replication_factor));
        }
        if *is != wanted {
            plan.steps.push(Step::Configure(wanted));
        }
    }

    /// New nodes up to where they serve.
    fn come(&self, plan: &mut Plan) {
        let free = self.known.nodes.iter().filter(|member| {
            let object = self.world.inventory.nodes.get(&NodeId(member.id));
            member.state != "Removed" && Entry { member, object }.is_free()
        });
        let mut places = self.roster.join.iter();
        let mut seats: Vec<Seat> = Vec::new();
        for (member, Place { group, zone }) in free.zip(places.by_ref()) {
            let (group, zone) = (group.clone(), zone.clone());
            seats.push(Seat {
                id: NodeId(member.id),
                name: member.name.clone(),
                zone,
                group,
            });
        }
        let taken = seats.len();
        for (&id, group) in &self.roster.keep {
            // A node that another group took over.
            if let Some(object) = self.nodes[&id]
                .object
                .filter(|object| object.group != *group)
            {
                let (name, zone) = (object.name.clone(), object.zone.clone());
                seats.push(Seat {
                    id,
                    name,
                    zone,
                    group: group.clone(),
                });
            }
        }
        if !seats.is_empty() {
            let identity = self.world.inventory.identity.as_ref();
            let cluster_id = identity
                .map(|identity| identity.cluster_id.clone())
                .unwrap_or_default();
            plan.steps.push(Step::Prepare { cluster_id, seats });
        }
        // Made for a larger number before the cluster was: with an id of its own each leaves as any other node does.
        let strays = self.world.inventory.nodes.values().filter(|object| {
            self.known
                .nodes
                .iter()
                .all(|member| member.id != object.id.0)
        });
        plan.steps.extend(strays.map(|object| Step::Reserve {
            name: object.name.clone(),
        }));
        let known = self.known.nodes.iter().map(|member| member.id);
        let highest = known
            .chain(self.world.inventory.nodes.keys().map(|id| id.0))
            .max()
            .unwrap_or(0);
        for next in (highest + 1..).take(self.roster.join.len() - taken) {
            plan.steps.push(Step::Reserve {
                name: seats::name(self.world.cluster, next),
            });
        }
        for (&id, group) in &self.roster.keep {
            self.describe(id, group, plan);
        }
    }

    fn describe(&self, id: NodeId, group: &str, plan: &mut Plan) {
        let Entry {
            member,
            object: Some(object),
        } = self.nodes[&id]
        else {
            return;
        };
        let weight = if member.tokens.is_empty() {
            self.weight(group)
        } else {
            member.weight
        };
        let addresses = [
            &member.peer_address,
            &member.dynamo_address,
            &member.kv_address,
        ];
        let is_right = addresses
            == [
                &object.addresses.peer,
                &object.addresses.dynamo,
                &object.addresses.kv,
            ]
            && (&member.zone, &member.host, member.weight) == (&object.zone, &object.host, weight);
        if !is_right {
            plan.steps.push(Step::Describe { id, weight });
        }
    }

    /// Who serves and stays but has no tokens yet.
    fn ready_to_bear(&self) -> Vec<(NodeId, u32)> {
        let staying = self.roster.keep.iter().filter(|&(&id, _)| {
            let member = self.nodes[&id].member;
            member.tokens.is_empty()
                && member.state == "Up"
                && member.incarnation > 0
                && !self.is_held(id)
        });
        staying
            .map(|(&id, group)| (id, self.weight(group)))
            .collect()
    }

    /// Whether somebody is still on the way to where it can bear data, who is not in trouble.
    fn is_coming(&self) -> bool {
        let on_the_way = |(id, _): (&NodeId, &String)| {
            let entry = &self.nodes[id];
            let is_troubled = entry.object.is_none_or(|object| object.trouble.is_some());
            entry.member.tokens.is_empty()
                && entry.member.state != "Up"
                && !entry.is_draining()
                && !is_troubled
        };
        !self.roster.join.is_empty() || self.roster.keep.iter().any(on_the_way)
    }

    fn change_ring(&self, ring: &Ring, plan: &mut Plan) {
        let ready = self.ready_to_bear();
        let is_leaving = |id: &NodeId| !self.nodes[id].member.tokens.is_empty();
        let drained = |id: &&NodeId| is_leaving(id) && self.nodes[*id].is_draining();
        let held = self.nodes.keys().filter(|id| self.is_held(**id)).copied();
        let leave: BTreeSet<NodeId> = self.roster.leave.iter().copied().chain(held).collect();
        let reweight = self.roster.keep.iter().filter(|&(id, group)| {
            let member = self.nodes[id].member;
            !member.tokens.is_empty() && member.weight != self.weight(group) && !leave.contains(id)
        });
        let wishes = Wishes {
            // All that come at once move less than one after another.
            join: if self.is_coming() { Vec::new() } else { ready },
            leave: if self.is_coming() {
                Vec::new()
            } else {
                leave.iter().filter(drained).copied().collect()
            },
            replace: self
                .roster
                .leave
                .iter()
                .filter(|id| is_leaving(id))
                .copied()
                .collect(),
            reweight: reweight
                .map(|(&id, group)| (id, self.weight(group)))
                .take(REWEIGHTS_MAX)
                .collect(),
        };
        if wishes.join.is_empty() && wishes.leave.is_empty() && wishes.reweight.is_empty() {
            return;
        }
        match tokens::change(ring, &wishes, self.known.replication_factor) {
            Ok(change) => plan.steps.extend(change.map(Step::ChangeRing)),
            Err(error) => plan
                .waiting
                .push(format!("tokens can't be planned: {error}")),
        }
    }

    /// Drains who goes or is to be empty, once the others can hold all; takes back what is not wanted any more; removes who is empty.
    fn go(&self, ring: &Ring, plan: &mut Plan) {
        // The same for all that go, and not cheap.
        let lack = OnceCell::new();
        for (&id, entry) in &self.nodes {
            let is_leaving = !self.roster.keep.contains_key(&id);
            let should_drain = is_leaving || self.is_held(id);
            match (should_drain, entry.is_draining()) {
                (false, true) if !entry.member.lost => {
                    plan.steps.push(Step::Drain {
                        id,
                        undo: true,
                        lost: false,
                    });
                }
                (true, false) => match self.keeps_from_draining(id, entry, ring, &lack) {
                    None => {
                        let lost = self.lost.contains(&id);
                        plan.steps.push(Step::Drain {
                            id,
                            undo: false,
                            lost,
                        });
                    }
                    // What holds for all is said once.
                    Some(why) if plan.waiting.contains(&why) => {}
                    Some(why) => plan.waiting.push(why),
                },
                (true, true) if self.lost.contains(&id) && !entry.member.lost => {
                    plan.steps.push(Step::Drain {
                        id,
                        undo: false,
                        lost: true,
                    });
                }
                (true, true) if is_leaving && entry.member.tokens.is_empty() => {
                    // Before the metadata leader has heard all leaders its counts say nothing.
                    if entry.member.replicas == 0 && self.known.is_informed {
                        plan.steps.push(Step::Remove(id));
                    }
                }
                _ => {}
            }
        }
    }

    fn keeps_from_draining(
        &self,
        id: NodeId,
        entry: &Entry<'_>,
        ring: &Ring,
        lack: &OnceCell<Option<String>>,
    ) -> Option<String> {
        if !entry.bears() {
            return None;
        }
        let name = &entry.member.name;
        let mut without = self.leaving();
        without.insert(id);
        let left = tokens::bearers(ring, &without);
        let copies = self.known.replication_factor.max(1);
        if left < usize::try_from(copies).unwrap_or(usize::MAX) {
            let why = format!(
                "{name} can't be drained: {copies} copies need as many nodes, {left} would be left"
            );
            let coming = self.roster.join.len() + self.ready_to_bear().len();
            return Some(if coming > 0 || self.is_coming() {
                format!("{name} is drained once new nodes bear data")
            } else {
                why
            });
        }
        let waits = (self.is_coming() || !self.ready_to_bear().is_empty()) && !self.is_held(id);
        if waits {
            return Some(format!("{name} is drained once new nodes bear data"));
        }
        // What was on one that is lost is made anew as soon as may be.
        if self.lost.contains(&id) {
            return None;
        }
        self.down_and_needed(id)
            .or_else(|| lack.get_or_init(|| self.lack_of_space(ring)).clone())
    }

    /// Who bears nothing any more when all is done.
    fn leaving(&self) -> BTreeSet<NodeId> {
        let held = self.nodes.keys().copied().filter(|id| self.is_held(*id));
        self.roster.leave.iter().copied().chain(held).collect()
    }

    /// While one that stays is down nobody is drained: what both hold has a copy too few already, and nobody can move it there.
    fn down_and_needed(&self, going: NodeId) -> Option<String> {
        let is_down = |id: &NodeId| {
            let entry = &self.nodes[id];
            *id != going && entry.member.state == "Down" && entry.bears()
        };
        let staying = self.roster.keep.keys().copied();
        let down: BTreeSet<NodeId> = staying.filter(is_down).collect();
        let name = self.name(going);
        if down.is_empty() {
            // Nor while nobody knows what lies where.
            let why = format!("{name} is drained once all partitions have told how they are");
            return (!self.known.is_informed).then_some(why);
        }
        Some(format!(
            "{name} is drained once {} is up again, which is given up after {} s (spec.repair.after)",
            self.names(&down),
            self.world.cluster.repair_after.as_secs()
        ))
    }

    /// Who of those that stay has no room for what comes.
    pub fn lack_of_space(&self, ring: &Ring) -> Option<String> {
        let leave = self.leaving();
        let held = self
            .nodes
            .iter()
            .map(|(&id, entry)| (id, entry.member.bytes));
        let copies = self.known.replication_factor;
        let arrivals = space::arrivals(ring, &leave, copies, &held.collect()).ok()?;
        // An answer that is late says enough to wait by, and none at all says nothing to go by.
        let said = |id: &NodeId| self.world.view.nodes.get(id)?.status.as_ref();
        let silent: BTreeSet<NodeId> = arrivals
            .keys()
            .copied()
            .filter(|id| said(id).is_none())
            .collect();
        if !silent.is_empty() {
            return Some(format!(
                "{} must say first how much room there is for what {} gives away",
                self.names(&silent),
                self.names(&leave)
            ));
        }
        let limit = self.world.cluster.disk_limit_bytes;
        let rooms = arrivals
            .keys()
            .filter_map(|id| Some((*id, space::room(said(id)?, limit)?)));
        let lacking = space::short(&arrivals, &rooms.collect());
        let told = space::told(&lacking, |id| self.name(id));
        (!lacking.is_empty()).then(|| {
            format!(
                "too little space without {}: {told}; enlarge the disks (spec.storage), keep more nodes, or delete data",
                self.names(&leave)
            )
        })
    }

    pub fn names(&self, ids: &BTreeSet<NodeId>) -> String {
        let names: Vec<String> = ids.iter().map(|&id| self.name(id)).collect();
        match names.len().checked_sub(NAMES_MAX) {
            None | Some(0) => names.join(", "),
            Some(more) => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
        }
    }

    /// What is being done, in words.
    fn tell(&self, plan: &mut Plan) {
        let waits_to_bear = |(id, _): &(&NodeId, &String)| {
            self.nodes[*id].member.tokens.is_empty() && !self.is_held(**id)
        };
        let coming: Vec<NodeId> = self
            .roster
            .keep
            .iter()
            .filter(waits_to_bear)
            .map(|(&id, _)| id)
            .collect();
        plan.joining = coming.iter().map(|&id| self.name(id)).collect();
        plan.leaving
            .extend(self.roster.leave.iter().map(|&id| self.name(id)));
        let is_replacing = !self.lost.is_empty()
            || self
                .roster
                .leave
                .iter()
                .any(|id| self.world.orders.replace.contains(&id.0));
        let held = self.nodes.iter().any(|(&id, entry)| {
            self.is_held(id) && (!entry.is_draining() || entry.member.replicas > 0)
        });
        let is_scaling = !plan.joining.is_empty()
            || !plan.leaving.is_empty()
            || !self.roster.join.is_empty()
            || held;
        let newer = self.newer_version();
        plan.newer_version = newer;
        let soaked = |(version, since): (u32, u64)| {
            let soak = u64::try_from(self.world.cluster.soak.as_millis()).unwrap_or(u64::MAX);
            newer == Some(version) && self.world.now_ms >= since.saturating_add(soak)
        };
        let due = self.world.soaking.filter(|&soaking| soaked(soaking));
        let held = due.and_then(|_| self.world.window());
        let is_soaking = newer.is_some() && held.is_none();
        match (due, held) {
            (Some((version, _)), Some(window)) => {
                plan.is_outside_window = true;
                plan.waiting.push(format!(
                    "the use of version {version} waits for {window} (spec.maintenance)"
                ));
            }
            (Some((version, _)), None) => plan.steps.push(Step::RaiseVersion(version)),
            (None, _) => {}
        }
        let has = |kind: fn(&Step) -> bool| plan.steps.iter().any(kind);
        let is_configuring = has(|step| {
            matches!(
                step,
                Step::Configure(_) | Step::ChangeRing(_) | Step::Describe { .. }
            )
        });
        let is_moving = self.known.moves_left > 0 || self.known.splits_left > 0;
        plan.activity = [
            (is_replacing, Activity::Replacing),
            (is_scaling, Activity::Scaling),
            (
                plan.activity == Some(Activity::Restarting),
                Activity::Restarting,
            ),
            (is_configuring, Activity::Configuring),
            (is_soaking, Activity::Upgrading),
            (is_moving, Activity::Rebalancing),
            (plan.is_outside_window, Activity::OutsideWindow),
        ]
        .into_iter()
        .find_map(|(holds, activity)| holds.then_some(activity));
    }

    /// The version after the cluster's, if every node that stays can write it.
    fn newer_version(&self) -> Option<u32> {
        let next = self.known.cluster_version + 1;
        let all = self.roster.keep.keys().all(|id| {
            self.world
                .view
                .nodes
                .get(id)
                .is_some_and(|node| !node.is_late && node.identity.cluster_version_max >= next)
        });
        (all && self.roster.join.is_empty() && !self.roster.keep.is_empty()).then_some(next)
    }
}

impl Entry<'_> {
    /// Reserved, and nothing has been made of it.
    fn is_free(&self) -> bool {
        self.object.is_none()
            && self.member.peer_address.is_empty()
            && self.member.incarnation == 0
            && self.member.tokens.is_empty()
            && self.member.state == "Joining"
    }

    pub fn zone(&self) -> &str {
        self.object
            .map_or(self.member.zone.as_str(), |object| object.zone.as_str())
    }

    pub fn is_draining(&self) -> bool {
        self.member.state == "Draining"
    }

    /// Whether the ring places data there.
    fn bears(&self) -> bool {
        !self.member.tokens.is_empty() && !self.is_draining()
    }
}

/// Gone for good: given up already, down for too long, or down and a person does not want to wait.
fn is_lost(world: &World<'_>, id: NodeId, member: &Node) -> bool {
    let delay = u64::try_from(world.cluster.repair_after.as_millis()).unwrap_or(u64::MAX);
    let is_down =
        member.state == "Down" || (member.state == "Draining" && member.down_since_ms > 0);
    let is_overdue = is_down
        && member.down_since_ms > 0
        && world.now_ms >= member.down_since_ms.saturating_add(delay);
    member.lost || is_overdue || (is_down && world.orders.replace.contains(&id.0))
}
