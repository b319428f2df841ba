//! Members of the groups of a shard: what their leaders do about targets and tell the metadata leader, and which replicas go.

use std::collections::BTreeSet;

use super::Shard;
use super::groups::Replica;
use super::io::{Lane, Output};
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::wire::{GroupReport, NodeReport};
use crate::moves::members::{context, members, newest};
use crate::moves::step::{Step, next_step};
use crate::partition::Partition;
use crate::partition::command::{content, replica_key};
use crate::store::{Batch, Keyspace};
use crate::wire::{Kind, Target};

/// Groups in one report.
const GROUPS_PER_REPORT: usize = 1024;

impl Shard {
    /// Takes the next step of each led group towards its target.
    pub(super) fn drive_members(&mut self) {
        let changing: Vec<GroupId> = self
            .view
            .state
            .groups
            .values()
            .filter(|g| !g.target.is_empty())
            .map(|g| g.group())
            .filter(|id| self.replicas.get(id).is_some_and(|r| r.group.is_leader()))
            .collect();
        for id in changing {
            self.drive_group_members(id);
        }
    }

    fn drive_group_members(&mut self, id: GroupId) {
        let Some(record) = self.view.state.groups.get(&id.0) else {
            return;
        };
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let now = self.now;
        let member_version = replica.state().member_version;
        // A split that is wanted of just this epoch comes first, if it can come at all.
        let split = record.split.as_ref();
        let splits = |partition: &Partition| split.is_some_and(|split| partition.can_split(split));
        if replica.partition().is_some_and(splits) {
            return;
        }
        let newest = newest(replica.state());
        let group = &mut replica.group;
        if record.member_version > member_version || group.is_changing() || !group.may_propose() {
            return;
        }
        let conf = group.log().conf_state().clone();
        let close = |replica: ReplicaId| group.is_close(replica, now);
        match next_step(&conf, &record.target, group.replica, newest, close) {
            Step::Rest => return,
            Step::HandOver(among) => match group.best_of(&among, now) {
                Some(to) => group.transfer(to),
                None => return,
            },
            Step::Change(change) => {
                // Not proposed now: the next tick sees the same need.
                if group
                    .propose_conf_change(context(&record.target), change)
                    .is_some()
                {
                    self.counts.member_changes += 1;
                }
            }
        }
        self.dirty.insert(id);
    }

    /// Destroys replicas that their groups have left behind.
    pub(super) fn leave_groups(&mut self) {
        if !self.registered {
            return;
        }
        let view = self.view.clone();
        let left: Vec<GroupId> = self
            .replicas
            .iter()
            .filter(|(id, replica)| {
                let Some(record) = view.group(**id) else {
                    return false;
                };
                let name = replica.group.replica.0;
                let named = record.members.iter().chain(&record.target);
                record.member_version >= replica.state().member_version
                    && !replica.group.is_installing()
                    && named.clone().count() > 0
                    && !named.clone().any(|m| m.replica == name)
            })
            .map(|(id, _)| *id)
            .collect();
        let remains: Vec<GroupId> = self
            .remains
            .iter()
            .filter(|(id, state)| {
                view.group(**id).is_some_and(|record| {
                    let mut named = record.members.iter().chain(&record.target);
                    record.member_version >= state.member_version
                        && !named.any(|m| m.replica == state.replica)
                })
            })
            .map(|(id, _)| *id)
            .collect();
        for id in remains {
            self.clear_remains(id);
        }
        for id in left {
            if id == GroupId::META {
                // From here on this node follows like any other.
                self.followed = (*view.state).clone();
            }
            if self.is_needed(id) {
                continue;
            }
            self.counts.replicas_left += 1;
            self.destroy_replica(id);
        }
    }

    /// Deletes what an interrupted removal left in the engine.
    pub(super) fn clear_remains(&mut self, id: GroupId) {
        let Some(state) = self.remains.remove(&id) else {
            return;
        };
        let mut batch = Batch::default();
        if state.applied_index > 0 {
            content(&state)
                .into_iter()
                .for_each(|range| batch.delete_range(range));
        }
        batch.delete(Keyspace::State, replica_key(id, ReplicaId(state.replica)));
        self.out.push(Output::Write(batch));
        self.give_up(ReplicaId(state.replica));
    }

    /// Tells the metadata leader that this node lives and how the groups do that it leads.
    pub(super) fn report(&mut self) {
        if !self.registered {
            return;
        }
        let led = self.replicas.values().filter(|r| r.group.is_leader());
        let mut groups: Vec<GroupReport> = led.map(|r| self.report_of(r)).collect();
        for group in &groups {
            self.told_heat(GroupId(group.group));
        }
        loop {
            let rest = groups.split_off(groups.len().min(GROUPS_PER_REPORT));
            self.send_report(&std::mem::replace(&mut groups, rest));
            if groups.is_empty() {
                break;
            }
        }
    }

    /// Tells at once how one group does that is led here.
    pub(super) fn report_group(&mut self, id: GroupId) {
        let Some(replica) = self.replicas.get(&id).filter(|_| self.registered) else {
            return;
        };
        let report = self.report_of(replica);
        self.send_report(&[report]);
    }

    /// Who may lead the metadata. A leader that its own record does not name yet hears of that change from itself alone.
    pub(super) fn meta_listeners(&self) -> BTreeSet<NodeId> {
        let mut listeners = self.view.meta_replicas();
        listeners.extend(self.meta_hint);
        listeners
    }

    fn report_of(&self, replica: &Replica) -> GroupReport {
        let (group, state) = (&replica.group, replica.state());
        let members = members(state);
        let (moved_bytes, moving_bytes) = self.senders.moved_bytes(group.id);
        let healthy = members
            .iter()
            .map(|m| m.replica)
            .filter(|id| group.is_close(ReplicaId(*id), self.now))
            .collect();
        GroupReport {
            group: group.id.0,
            range_version: state.range_version,
            member_version: state.member_version,
            members,
            joint: group.is_changing(),
            healthy,
            start: state.start.clone(),
            end: state.end.clone(),
            term: group.term(),
            bytes: self.sizes.bytes(group.id),
            moved_bytes,
            moving_bytes,
            heat: self.heat_of(group.id),
        }
    }

    /// To all who may lead the metadata: whoever does hears it, whether that is known here or not.
    fn send_report(&mut self, groups: &[GroupReport]) {
        for to in self.meta_listeners() {
            let report = NodeReport {
                node: self.config.node.0,
                incarnation: self.config.incarnation,
                shard: self.config.shard,
                shards: self.config.shards,
                groups: groups.to_vec(),
                cpu_us: self.cpu_us,
                shuns: self.handing_over || self.mood.refuse_writes || self.mood.clock_ahead,
                #[cfg(feature = "next")]
                version: self.written(crate::version::Feature::ReportedVersion),
                ..Default::default()
            };
            self.send(
                to,
                Target::Group(GroupId::META),
                Lane::Small,
                Kind::NodeReport(report),
            );
        }
    }

    /// The version that is written here, where a message may say so.
    #[cfg(feature = "next")]
    fn written(&self, feature: crate::version::Feature) -> u32 {
        match self.view.may_write(feature) {
            true => self.version,
            false => 0,
        }
    }
}
