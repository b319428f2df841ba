//! Commands that change nodes, the ring, members of groups, permits and settings (`DESIGN.md` of this crate).

use std::collections::BTreeSet;

use super::records::{Group, Member, Node, NodeState, Permit, Record, Role};
use super::state::{Edit, Result, refuse};
use super::wire::{
    Aims, ChangeRing, Configure, Follow, GroupReport, MetaRefusal, NodeChange, NodeEvent,
    ReturnPermit, TakePermit,
};
use crate::mutants::{Mutant, active};
use crate::version;

impl Edit<'_> {
    fn node(&self, id: u64) -> Result<Node> {
        match self.state.nodes.get(&id) {
            Some(node) if node.state() != NodeState::Removed => Ok(node.clone()),
            _ => refuse(
                MetaRefusal::UnknownNode,
                format!("node {id} is unknown, or was removed"),
            ),
        }
    }

    pub(super) fn describe_node(&mut self, new: &Node) -> Result<u64> {
        let mut node = self.node(new.id)?;
        let before = node.clone();
        node.zone.clone_from(&new.zone);
        node.host.clone_from(&new.host);
        node.addresses.clone_from(&new.addresses);
        if new.weight > 0 {
            node.weight = new.weight;
        }
        if node != before {
            self.set(Record::Node(node));
        }
        Ok(new.id)
    }

    pub(super) fn change_ring(&mut self, change: &ChangeRing) -> Result<u64> {
        let epoch = self.state.cluster.ring_epoch;
        if change.expected_epoch != epoch {
            return refuse(
                MetaRefusal::Stale,
                format!(
                    "planned at epoch {} of the ring, which is at {epoch}",
                    change.expected_epoch
                ),
            );
        }
        let mut after = self.state.clone();
        for new in &change.nodes {
            let mut node = self.node(new.node)?;
            if new.tokens.iter().any(|t| t.len() != 16) {
                return refuse(MetaRefusal::Invalid, "a token is 16 bytes");
            }
            node.tokens.clone_from(&new.tokens);
            if new.weight > 0 {
                node.weight = new.weight;
            }
            after.nodes.insert(node.id, node);
        }
        if let Err(error) = after.ring() {
            return refuse(MetaRefusal::Invalid, error.to_string());
        }
        for new in &change.positions {
            match after.groups.get_mut(&new.group) {
                Some(group) if group.table > 0 && new.position.len() == 16 => {
                    group.position = new.position.clone();
                }
                _ => {
                    return refuse(
                        MetaRefusal::Invalid,
                        format!("partition {} has no such position", new.group),
                    );
                }
            }
        }
        for new in &change.nodes {
            let node = after.nodes[&new.node].clone();
            self.set(Record::Node(node));
        }
        for new in &change.positions {
            let group = after.groups[&new.group].clone();
            self.set(Record::Group(group));
        }
        let mut cluster = self.state.cluster.clone();
        cluster.ring_epoch += 1;
        self.set(Record::Cluster(cluster));
        Ok(epoch + 1)
    }

    pub(super) fn change_node(&mut self, change: &NodeChange) -> Result<u64> {
        let mut node = self.node(change.node)?;
        match (change.event(), node.state()) {
            (NodeEvent::Silent, NodeState::Up) => {
                node.set_state(NodeState::Down);
                node.down_since_ms = change.at_ms;
            }
            (NodeEvent::Silent, NodeState::Draining) if node.down_since_ms == 0 => {
                node.down_since_ms = change.at_ms;
            }
            (NodeEvent::Heard, NodeState::Down) => {
                node.set_state(NodeState::Up);
                node.down_since_ms = 0;
            }
            (NodeEvent::Heard, _) if node.down_since_ms > 0 && !node.lost => {
                node.down_since_ms = 0;
            }
            (NodeEvent::Drain, NodeState::Joining | NodeState::Up | NodeState::Down) => {
                self.may_leave(&node)?;
                node.set_state(NodeState::Draining);
            }
            (NodeEvent::Lose, state) if !node.lost => {
                if state != NodeState::Draining {
                    self.may_leave(&node)?;
                }
                node.set_state(NodeState::Draining);
                node.lost = true;
                node.down_since_ms = node.down_since_ms.max(1);
            }
            (NodeEvent::UndoDrain, NodeState::Draining) if !node.lost => {
                let down = node.down_since_ms > 0;
                node.set_state(if down { NodeState::Down } else { NodeState::Up });
            }
            (NodeEvent::UndoDrain, NodeState::Draining) => {
                return refuse(
                    MetaRefusal::Refused,
                    format!("node {} was given up for lost: it can't come back", node.id),
                );
            }
            (NodeEvent::Remove, state) => {
                self.is_empty(&node, state)?;
                node.set_state(NodeState::Removed);
                node.tokens.clear();
                let mut cluster = self.state.cluster.clone();
                cluster.ring_epoch += 1;
                self.set(Record::Cluster(cluster));
            }
            _ => return Ok(node.id),
        }
        let id = node.id;
        self.set(Record::Node(node));
        Ok(id)
    }

    /// Whether the others could hold what is on a node: enough of them, in as many zones as replicas want.
    fn may_leave(&self, node: &Node) -> Result<()> {
        let stays =
            |n: &&Node| n.id != node.id && matches!(n.state(), NodeState::Up | NodeState::Down);
        let rf = self.state.cluster.replication_factor as usize;
        let zones = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes
                .map(|n| n.zone.clone())
                .collect::<BTreeSet<_>>()
                .len()
                .min(rf)
        };
        let left = self.state.nodes.values().filter(stays).count();
        if left < rf {
            return refuse(
                MetaRefusal::Refused,
                format!(
                    "without node {} there would be {left} nodes for {rf} replicas: add a node first, or lower the replication factor",
                    node.id
                ),
            );
        }
        let all = |n: &&Node| n.id == node.id || stays(n);
        let before = zones(&mut self.state.nodes.values().filter(all));
        let after = zones(&mut self.state.nodes.values().filter(stays));
        if after < before {
            return refuse(
                MetaRefusal::Refused,
                format!(
                    "without node {} replicas would share a zone: add a node in zone {} first",
                    node.id, node.zone
                ),
            );
        }
        Ok(())
    }

    fn is_empty(&self, node: &Node, state: NodeState) -> Result<()> {
        if !matches!(state, NodeState::Draining | NodeState::Joining) {
            return refuse(
                MetaRefusal::Refused,
                format!("node {} is not draining: drain it first", node.id),
            );
        }
        let holds = |g: &&Group| g.members.iter().chain(&g.target).any(|m| m.node == node.id);
        let groups = self.state.groups.values().filter(holds).count();
        if groups > 0 {
            return refuse(
                MetaRefusal::Refused,
                format!("{groups} groups still have a replica on node {}", node.id),
            );
        }
        Ok(())
    }

    pub(super) fn configure(&mut self, new: &Configure) -> Result<u64> {
        let mut cluster = self.state.cluster.clone();
        if new.replication_factor > 0 {
            let rf = new.replication_factor as usize;
            let nodes = self.state.nodes.values();
            let there = nodes
                .filter(|n| matches!(n.state(), NodeState::Up | NodeState::Down))
                .count();
            if rf > kv_ring::MAX_REPLICAS || rf > there && rf > cluster.replication_factor as usize
            {
                return refuse(
                    MetaRefusal::Refused,
                    format!("{rf} replicas need as many nodes; there are {there}"),
                );
            }
            cluster.replication_factor = new.replication_factor;
        }
        cluster.settings.clone_from(&new.settings);
        if cluster != self.state.cluster {
            self.set(Record::Cluster(cluster));
        }
        Ok(0)
    }

    pub(super) fn aim(&mut self, aims: &Aims) -> Result<u64> {
        let mut set = 0;
        for aim in &aims.aims {
            let Some(group) = self.state.groups.get(&aim.group) else {
                continue;
            };
            let distinct: BTreeSet<u64> = aim.nodes.iter().copied().collect();
            if group.member_version != aim.member_version
                || group.valid_split().is_some()
                || distinct.len() != aim.nodes.len()
                || distinct.is_empty()
            {
                continue;
            }
            let mut group = group.clone();
            let mut cluster = self.state.cluster.clone();
            let known: Vec<Member> = group.members.iter().chain(&group.target).copied().collect();
            let target: Vec<Member> = aim
                .nodes
                .iter()
                .map(|&node| {
                    let replica = match known.iter().find(|m| m.node == node) {
                        Some(member) => member.replica,
                        None => {
                            let id = cluster.next_replica;
                            cluster.next_replica += u64::from(!active(Mutant::ReplicaIdUsedAgain));
                            id
                        }
                    };
                    Member {
                        node,
                        replica,
                        role: Role::Voter as i32,
                    }
                })
                .collect();
            group.target = if same(&group.members, &target) {
                Vec::new()
            } else {
                target
            };
            set += 1;
            self.set(Record::Cluster(cluster));
            self.set(Record::Group(group));
        }
        Ok(set)
    }

    pub(super) fn follow(&mut self, follow: &Follow) -> Result<u64> {
        for report in &follow.groups {
            self.follow_split(report);
            let Some(group) = self.state.groups.get(&report.group) else {
                continue;
            };
            if report.range_version != group.range_version
                || report.member_version <= group.member_version
                || report.members.is_empty()
            {
                continue;
            }
            let mut group = group.clone();
            follow_members(&mut group, report);
            self.set(Record::Group(group));
        }
        Ok(0)
    }

    pub(super) fn take_permit(&mut self, ask: &TakePermit) -> Result<u64> {
        let node = self.node(ask.permit.node)?;
        if let Some(out) = &self.state.cluster.permit {
            let same = (out.node, out.incarnation) == (ask.permit.node, ask.permit.incarnation);
            if !same && out.expires_ms > ask.now_ms {
                return refuse(
                    MetaRefusal::Refused,
                    format!("node {} has the permit: {}", out.node, out.reason),
                );
            }
        }
        if node.incarnation != ask.permit.incarnation {
            return refuse(
                MetaRefusal::Stale,
                format!(
                    "node {} has started again since: it is at start {}",
                    node.id, node.incarnation
                ),
            );
        }
        self.put_permit(Some(ask.permit.clone()));
        Ok(node.id)
    }

    pub(super) fn return_permit(&mut self, back: &ReturnPermit) -> Result<u64> {
        let out = self.state.cluster.permit.as_ref();
        if out.is_some_and(|p| (p.node, p.incarnation) == (back.node, back.incarnation)) {
            self.put_permit(None);
        }
        Ok(back.node)
    }

    fn put_permit(&mut self, permit: Option<Permit>) {
        let mut cluster = self.state.cluster.clone();
        if cluster.permit != permit {
            cluster.permit = permit;
            self.set(Record::Cluster(cluster));
        }
    }

    pub(super) fn raise_version(&mut self, version: u32) -> Result<u64> {
        let mut cluster = self.state.cluster.clone();
        if version > cluster.cluster_version + 1 {
            return refuse(
                MetaRefusal::Refused,
                format!("version {} comes first", cluster.cluster_version + 1),
            );
        }
        if version == cluster.cluster_version + 1 {
            self.can_all_write(version)?;
            cluster.cluster_version = version;
            self.set(Record::Cluster(cluster));
        }
        Ok(u64::from(version))
    }

    /// Whether every node that ever started can write a version. Who has not begun yet holds nothing, and is asked when it registers.
    fn can_all_write(&self, version: u32) -> Result<()> {
        let cannot = |n: &&Node| {
            n.state() != NodeState::Removed
                && n.incarnation > 0
                && n.version_max.max(version::FIRST) < version
        };
        match self.state.nodes.values().find(cannot) {
            Some(node) => refuse(
                MetaRefusal::Refused,
                format!(
                    "node {} can write version {} at most: upgrade or remove it first",
                    node.id,
                    node.version_max.max(version::FIRST)
                ),
            ),
            None => Ok(()),
        }
    }
}

/// The group's own log is ahead of its record.
fn follow_members(group: &mut Group, report: &GroupReport) {
    // A target that wants back who has left would be one that nobody can reach.
    let has_left = |m: &Member| !report.members.iter().any(|now| now.replica == m.replica);
    let wants_back = group.target.iter().any(|wanted| {
        has_left(wanted) && group.members.iter().any(|m| m.replica == wanted.replica)
    });
    if wants_back {
        group.target.clear();
    }
    group.members.clone_from(&report.members);
    group.member_version = report.member_version;
    // Planned for other members: the group's log takes it no more.
    if group.valid_split().is_none() {
        group.split = None;
    }
    if !report.joint && same(&group.members, &group.target) {
        group.target.clear();
    }
}

/// Whether the same replicas vote, and nobody else is there.
fn same(members: &[Member], target: &[Member]) -> bool {
    let voters: BTreeSet<u64> = target.iter().map(|m| m.replica).collect();
    members.len() == voters.len()
        && members
            .iter()
            .all(|m| m.role() == Role::Voter && voters.contains(&m.replica))
}

#[cfg(test)]
mod tests {
    use super::super::records::NodeState;
    use super::super::state::MetaState;
    use super::super::wire::{
        Change, MetaRefusal, MetaRequest, NodeChange, NodeEvent, Outcome, Register, ReserveNode,
    };
    use super::*;
    use crate::wire::RequestId;

    fn cluster(nodes: u64) -> MetaState {
        let nodes = (1..=nodes).map(|id| Node {
            id,
            zone: format!("z{id}"),
            host: format!("h{id}"),
            weight: 1,
            tokens: vec![bytes::Bytes::copy_from_slice(&u128::from(id).to_be_bytes())],
            ..Default::default()
        });
        MetaState::bootstrap("c".into(), nodes.collect(), 1, 1)
    }

    fn apply(state: &mut MetaState, change: Change) -> Outcome {
        let id = RequestId {
            origin: 1,
            number: state.cluster.next_reply,
        };
        let request = MetaRequest {
            id,
            change: Some(change),
            ..Default::default()
        };
        state.apply(&request).0
    }

    fn register(state: &mut MetaState, node: u64, incarnation: u64, version_max: u32) -> Outcome {
        let start = Register {
            node,
            incarnation,
            nonce: incarnation,
            version_max,
        };
        apply(state, Change::Register(start))
    }

    fn raise(state: &mut MetaState, version: u32) -> MetaRefusal {
        apply(state, Change::RaiseVersion(version)).refusal()
    }

    #[test]
    fn a_version_is_raised_once_all_that_started_can_write_it() {
        let mut state = cluster(3);
        for node in 1..=3 {
            register(&mut state, node, 1, 2);
        }
        register(&mut state, 3, 2, 0);
        let refused = apply(&mut state, Change::RaiseVersion(2));
        assert_eq!(refused.refusal(), MetaRefusal::Refused);
        assert!(refused.message.contains("node 3 can write version 1"));
        // Down is not gone: it may come back as what it last was.
        let silent = NodeChange {
            node: 3,
            event: NodeEvent::Silent as i32,
            at_ms: 1,
        };
        apply(&mut state, Change::NodeChange(silent));
        assert_eq!(raise(&mut state, 2), MetaRefusal::Refused);
        register(&mut state, 3, 3, 2);
        assert_eq!(raise(&mut state, 3), MetaRefusal::Refused, "2 comes first");
        assert_eq!(raise(&mut state, 2), MetaRefusal::None);
        assert_eq!(state.cluster.cluster_version, 2);
        assert_eq!(raise(&mut state, 2), MetaRefusal::None, "the same again");
        assert_eq!(raise(&mut state, 1), MetaRefusal::None);
        assert_eq!(state.cluster.cluster_version, 2, "it only grows");
    }

    #[test]
    fn who_was_removed_or_has_not_begun_holds_nothing_up() {
        let mut state = cluster(3);
        for node in 1..=3 {
            register(&mut state, node, 1, 1 + u32::from(node < 3));
        }
        assert_eq!(raise(&mut state, 2), MetaRefusal::Refused);
        let mut gone = state.nodes[&3].clone();
        gone.set_state(NodeState::Removed);
        let row = Record::Node(gone);
        let taken = state.put_row(&row.key().encode(), Some(row.encode()));
        assert!(taken.is_ok());
        let name = "c-4".to_owned();
        let reserved = apply(&mut state, Change::ReserveNode(ReserveNode { name })).value;
        assert_eq!(raise(&mut state, 2), MetaRefusal::None);
        let refused = register(&mut state, reserved, 1, 1);
        assert_eq!(refused.refusal(), MetaRefusal::OldBuild);
        assert!(refused.message.contains("can write version 1 at most"));
        assert_eq!(state.nodes[&reserved].incarnation, 0);
        assert_eq!(
            register(&mut state, 1, 2, 0).refusal(),
            MetaRefusal::OldBuild
        );
        assert_eq!(register(&mut state, 1, 2, 2).refusal(), MetaRefusal::None);
    }

    #[test]
    fn a_build_that_says_nothing_is_of_the_first_version() {
        let mut state = cluster(1);
        register(&mut state, 1, 1, 0);
        assert_eq!(state.nodes[&1].version_max, 1);
        assert_eq!(raise(&mut state, 2), MetaRefusal::Refused);
    }

    #[cfg(feature = "next")]
    #[test]
    fn what_came_with_the_next_version_is_written_from_then_on() {
        let mut state = cluster(1);
        register(&mut state, 1, 1, 2);
        let signed = |state: &mut MetaState, number| {
            let request = MetaRequest {
                id: RequestId { origin: 9, number },
                proposed_by: 7,
                change: Some(Change::ReserveNode(ReserveNode {
                    name: format!("c-{number}"),
                })),
                ..Default::default()
            };
            state.apply(&request);
            state.cluster.changed_by
        };
        assert_eq!(signed(&mut state, 10), 0);
        assert_eq!(raise(&mut state, 2), MetaRefusal::None);
        assert_eq!(signed(&mut state, 11), 7);
    }
}
