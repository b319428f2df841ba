//! A partition is split: what its leader does about it, and what applying it does on every replica (`DESIGN.md` of this crate, "A split").
//!
//! ```text
//!   intent of this epoch ─► no lease, no evaluation ─► propose ─► applied by each replica, in one engine batch:
//!        parent  [start, at)  range version + 1                    child  [at, end)  the same range version, members of the same nodes,
//!                                                                         stamp, request ids, readers of the change log
//! ```
//! Invariants:
//! - Nothing that was decided before a split is applied, answered or read from behind it: its range version is another by then.
//! - From proposing a split until it is applied the leader has no lease: others may have applied it, and lead the child.
//! - A child's log begins behind the parent's entry that split it, so that inherited requests, whose rows have lower numbers, never collide
//!   with its own.

use prost::Message;
use raft::eraftpb::Entry;

use super::command::{
    Command, Do, Place, Remembered, ReplicaState, intent_key, replica_key, request_key,
};
use super::intents::Intents;
use super::{Effects, Guarded, Mood, Partition, REQUESTS_MAX, ReplyTo, Stage, feeds, refusal};
use crate::api::Operation;
use crate::consensus::Group;
use crate::ids::{GroupId, ReplicaId};
use crate::meta::records;
use crate::moves::members::{members, newest};
use crate::mutants::{Mutant, active};
use crate::store::{KeyRange, Keyspace};
use crate::time::{Hybrid, Now};
use crate::wire::{Forward, Refusal, RequestId};

/// The leader of a partition is expected to lead what was split off it; requests wait for that so long, µs.
const HOPE_US: u64 = 400_000;

/// A replica of a partition that was split off.
#[derive(Clone, Debug)]
pub struct Birth {
    pub state: ReplicaState,
    /// Rows of the requests that it remembers.
    pub requests: Vec<(u64, Remembered)>,
    /// What transactions have prepared in its range; their rows lie where they are.
    pub intents: Intents,
    /// Its parent is led here: it campaigns at once.
    pub campaigns: bool,
}

/// What a replica knows of its splits.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// Log index of the split that this leader proposed and has not applied.
    pub proposed: Option<u64>,
    /// What was split off last in this life of the process.
    last: Option<records::Group>,
    /// Until when requests wait for this replica to lead, monotonic µs; 0: not at all.
    pub hopeful_until: u64,
}

/// A replica's partition as the metadata would record it.
fn record_of(state: &ReplicaState) -> records::Group {
    records::Group {
        id: state.group,
        table: state.table,
        start: state.start.clone(),
        end: state.end.clone(),
        range_version: state.range_version,
        member_version: state.member_version,
        members: members(state),
        ..Default::default()
    }
}

impl Partition {
    /// Whether a split was proposed and is not decided.
    pub fn is_splitting(&self) -> bool {
        self.splits.proposed.is_some()
    }

    /// Until when this replica may serve strong reads alone, monotonic µs; 0: not at all.
    pub fn lease_until(&self, group: &Group) -> u64 {
        if self.is_splitting() && !active(Mutant::LeaseKeptOverSplit) {
            0
        } else {
            group.lease_until()
        }
    }

    /// Proposes a split that is meant for this very range and these very members; false if it can't be proposed now, or ever.
    pub fn propose_split(&mut self, group: &mut Group, split: &records::Split, now: Now) -> bool {
        if !self.serving
            || self.is_splitting()
            || !group.may_propose()
            || group.is_changing()
            || !self.can_split(split)
        {
            return false;
        }
        let stamp = self.stamp(now);
        let command = Command {
            term: group.term(),
            range_version: self.state.range_version,
            stamp: stamp.0,
            what: Some(Do::Split(split.clone())),
            ..Default::default()
        };
        let Some((index, _)) = group.propose(command.encode_entry()) else {
            return false;
        };
        self.last_stamp = stamp;
        self.splits.proposed = Some(index);
        true
    }

    /// Whether a split is for the present epoch and gives each member a replica of the child on its node.
    pub fn can_split(&self, split: &records::Split) -> bool {
        let state = &self.state;
        // In the middle of a move that was turned round a node may have two, and the child would have one there that both votes and learns.
        let nodes: std::collections::BTreeSet<u64> = state.places.iter().map(|p| p.node).collect();
        let has_child = |place: &Place| split.members.iter().any(|m| m.node == place.node);
        (split.range_version, split.member_version) == (state.range_version, state.member_version)
            && state.start < split.at
            && split.at < state.end
            && state.voters_outgoing.is_empty()
            && state.learners_next.is_empty()
            && nodes.len() == state.places.len()
            && state.places.iter().all(has_child)
    }

    /// A write whose row was read while a split is under way waits for its outcome.
    pub(super) fn put_off(&mut self, id: RequestId, fx: &mut Effects) {
        let Some(writing) = self.writes.remove(&id) else {
            return;
        };
        let operation = writing.forward.operation.as_ref();
        let row = operation.and_then(Operation::write);
        let row = row.map(|write| write.row.clone()).unwrap_or_default();
        self.waiting.push((writing.forward, writing.to));
        if let Some(next) = self.latches.release(&row) {
            self.start(next, fx);
        }
    }

    pub(super) fn apply_split(
        &mut self,
        group: &Group,
        command: Command,
        entry: &Entry,
        fx: &mut Effects,
    ) {
        if self.splits.proposed == Some(entry.index) {
            self.splits.proposed = None;
        }
        let Some(Do::Split(split)) = command.what else {
            return;
        };
        if command.term != entry.term
            || command.range_version != self.state.range_version
            || !self.can_split(&split)
        {
            self.not_applied += 1;
            return;
        }
        self.state.stamp = self.state.stamp.max(command.stamp);
        let mut child = self.child_of(&split, entry);
        feeds::split(
            &mut self.state,
            &mut child,
            entry.index,
            child_version(&split),
        );
        self.state.end = split.at.clone();
        self.state.range_version = child_version(&split);
        let requests = match active(Mutant::RequestIdsLostAtSplit) {
            true => Vec::new(),
            false => self.requests.inherited(Hybrid(self.state.stamp)),
        };
        let intents = self.intents.split_off(&split.at);
        self.splits.last = Some(record_of(&child));
        if child.replica == 0 {
            // No member any more: nobody here keeps what is behind the end.
            fx.batch.delete_range(KeyRange {
                keyspace: Keyspace::State,
                start: intent_key(&child.start),
                end: intent_key(&child.end),
            });
            fx.batch.delete_range(KeyRange {
                keyspace: Keyspace::Data,
                start: child.start,
                end: child.end,
            });
        } else {
            for (number, remembered) in &requests {
                fx.batch.put(
                    Keyspace::State,
                    request_key(child.group(), *number),
                    remembered.encode_to_vec(),
                );
            }
            fx.batch.put(
                Keyspace::State,
                replica_key(child.group(), ReplicaId(child.replica)),
                child.encode_to_vec(),
            );
            fx.born.push(Birth {
                state: child,
                requests,
                intents,
                campaigns: group.is_leader(),
            });
        }
        self.turn_away(group, fx);
    }

    /// The child's state at its birth, under the name of its replica on this node (0: there is none).
    fn child_of(&self, split: &records::Split, entry: &Entry) -> ReplicaState {
        let parent = &self.state;
        let node_of = |replica: u64| {
            let place = parent.places.iter().find(|p| p.replica == replica);
            place.map(|p| p.node)
        };
        let child_on = |node: u64| {
            let member = split.members.iter().find(|m| m.node == node);
            member.map(|m| m.replica)
        };
        let children = |replicas: &[u64]| {
            let mut children: Vec<u64> = replicas
                .iter()
                .filter_map(|replica| child_on(node_of(*replica)?))
                .collect();
            children.sort_unstable();
            children
        };
        let mut places: Vec<Place> = parent
            .places
            .iter()
            .filter_map(|place| {
                Some(Place {
                    replica: child_on(place.node)?,
                    node: place.node,
                })
            })
            .collect();
        places.sort_unstable_by_key(|place| place.replica);
        let mut child = ReplicaState {
            group: split.child,
            replica: node_of(parent.replica).and_then(child_on).unwrap_or(0),
            table: parent.table,
            start: split.at.clone(),
            end: parent.end.clone(),
            range_version: child_version(split),
            member_version: parent.member_version,
            places,
            voters: children(&parent.voters),
            learners: children(&parent.learners),
            applied_index: entry.index,
            applied_term: entry.term,
            stamp: parent.stamp,
            consumers: parent.consumers.clone(),
            born: entry.index,
            parent: parent.group,
            ..Default::default()
        };
        child.newest_replica = newest(&child);
        child
    }

    /// Whatever is under way was asked of a range that is no more.
    fn turn_away(&mut self, group: &Group, fx: &mut Effects) {
        self.generation += 1;
        self.latches.clear();
        self.proposed.clear();
        let writes = std::mem::take(&mut self.writes).into_values();
        let mut stale: Vec<(Forward, ReplyTo)> = self.take_held_reads();
        for writing in writes {
            // Behind the split, and so never applied; but only its turn in the log will prove that to who asks again.
            let proposed = matches!(writing.stage, Stage::Proposed { .. });
            match proposed {
                true => fx.reply(
                    writing.to,
                    refusal(&writing.forward, Refusal::Uncertain, ""),
                ),
                false => stale.push((writing.forward, writing.to)),
            }
        }
        let confirming = std::mem::take(&mut self.confirming).into_values();
        let guarded = std::mem::take(&mut self.unconfirmed)
            .into_iter()
            .chain(confirming.flat_map(|c| c.guarded))
            .chain(
                std::mem::take(&mut self.confirmed)
                    .into_iter()
                    .flat_map(|(_, guarded)| guarded),
            );
        for guarded in guarded {
            match guarded {
                Guarded::Read(forward, to) => stale.push((forward, to)),
                Guarded::Reply(reply, to) => fx.reply(
                    to,
                    crate::wire::ForwardReply {
                        refusal: Some(Refusal::StaleRoute as i32),
                        item: None,
                        records: self.records(Refusal::StaleRoute),
                        ..reply
                    },
                ),
            }
        }
        for (forward, to) in stale {
            self.refuse_route(group, &forward, to, Refusal::StaleRoute, fx);
        }
        let leader = group.leader().map_or(0, |(_, node)| node.0);
        self.drop_entries(leader, fx);
    }

    /// What was read came from a role or a range that has passed.
    pub(super) fn refuse_late(
        &self,
        group: &Group,
        forward: &Forward,
        to: ReplyTo,
        fx: &mut Effects,
    ) {
        let why = match self.holds(forward) {
            true => Refusal::NotLeader,
            false => Refusal::StaleRoute,
        };
        self.refuse_route(group, forward, to, why, fx);
    }

    /// What somebody with an old route should know.
    pub(super) fn records(&self, why: Refusal) -> Vec<records::Group> {
        if why != Refusal::StaleRoute || self.state.applied_index == 0 {
            return Vec::new();
        }
        let own = record_of(&self.state);
        std::iter::once(own)
            .chain(self.splits.last.clone())
            .collect()
    }

    /// It campaigns, and nobody else is known to.
    pub fn hope(&mut self, now: Now) {
        self.splits.hopeful_until = now.mono_us + HOPE_US;
    }

    pub(super) fn waits_to_lead(&self, group: &Group, mood: Mood, now: Now) -> bool {
        now.mono_us < self.splits.hopeful_until
            && !group.is_leader()
            && group.leader().is_none()
            && !mood.clock_ahead
            && self.load() < REQUESTS_MAX
    }

    /// Hope may end without a leader.
    pub fn end_hope(&mut self, group: &Group, now: Now, fx: &mut Effects) {
        let until = self.splits.hopeful_until;
        if until == 0 || now.mono_us < until && !group.is_leader() {
            return;
        }
        self.splits.hopeful_until = 0;
        if group.is_leader() {
            return;
        }
        for (forward, to) in std::mem::take(&mut self.waiting) {
            self.refuse_route(group, &forward, to, Refusal::NotLeader, fx);
        }
    }
}

/// Range version of both sides of a split.
pub fn child_version(split: &records::Split) -> u64 {
    split.range_version + 1
}

/// Group of the partition that a split makes.
pub fn child_group(split: &records::Split) -> GroupId {
    GroupId(split.child)
}
