//! The next change of a group's members, from what its log says to what is wanted: pure.
//!
//! ```text
//!   not a member ─ AddLearner ─► learner ─ caught up ─► one joint change: newcomer votes, old voter learns ─► left by itself ─► RemoveNode(old)
//! ```
//! Invariant: voters are replaced by joint changes, one for one; a group never has a voter more than both before and after.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};

use crate::ids::ReplicaId;
use crate::meta::records::Member;
use crate::mutants::{Mutant, active};

/// What the leader of a group is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing now: it is as wanted, or something is under way.
    Rest,
    /// Propose this change.
    Change(ConfChangeV2),
    /// Let one of these lead first.
    HandOver(Vec<ReplicaId>),
}

fn change(singles: &[(ConfChangeType, u64)]) -> Step {
    let mut change = ConfChangeV2::default();
    change.set_changes(
        singles
            .iter()
            .map(|&(kind, replica)| {
                let mut single = ConfChangeSingle::default();
                single.set_change_type(kind);
                single.node_id = replica;
                single
            })
            .collect::<Vec<_>>()
            .into(),
    );
    Step::Change(change)
}

/// The next step towards `target`. `newest` is the greatest replica id that the group ever had; `caught_up` says whether a learner has nearly all of the log and lives.
pub fn next_step(
    conf: &ConfState,
    target: &[Member],
    leader: ReplicaId,
    newest: u64,
    caught_up: impl Fn(ReplicaId) -> bool,
) -> Step {
    if target.is_empty() || !conf.voters_outgoing.is_empty() {
        return Step::Rest;
    }
    let wanted = |replica: u64| target.iter().any(|m| m.replica == replica);
    let known = |replica: u64| conf.voters.contains(&replica) || conf.learners.contains(&replica);
    if conf.learners.contains(&leader.0) {
        // It came to lead between the proposal that demotes it and its commit.
        let voters = conf.voters.iter().filter(|id| wanted(**id));
        return Step::HandOver(voters.map(|id| ReplicaId(*id)).collect());
    }
    if let Some(old) = conf.learners.iter().find(|id| !wanted(**id)) {
        return change(&[(ConfChangeType::RemoveNode, *old)]);
    }
    if let Some(new) = target.iter().find(|m| !known(m.replica)) {
        // One that was here before is no newcomer: the metadata don't know yet that it has left.
        if new.replica <= newest {
            return Step::Rest;
        }
        return change(&[(ConfChangeType::AddLearnerNode, new.replica)]);
    }
    let leaving: Vec<u64> = conf
        .voters
        .iter()
        .copied()
        .filter(|id| !wanted(*id))
        .collect();
    // A follower goes before the leader, who has to hand over first.
    let out = leaving
        .iter()
        .find(|id| **id != leader.0)
        .or(leaving.first());
    let hand_over = || {
        let others = conf.voters.iter().filter(|id| **id != leader.0);
        Step::HandOver(
            others
                .filter(|id| wanted(**id))
                .map(|id| ReplicaId(*id))
                .collect(),
        )
    };
    if let Some(new) = conf.learners.first() {
        return match out {
            _ if !caught_up(ReplicaId(*new)) => Step::Rest,
            Some(out) if *out == leader.0 && conf.voters.len() > 1 => hand_over(),
            Some(_) if active(Mutant::FourVoters) => change(&[(ConfChangeType::AddNode, *new)]),
            Some(out) if active(Mutant::RemovesBeforeJoint) => {
                change(&[(ConfChangeType::RemoveNode, *out)])
            }
            Some(out) => change(&[
                (ConfChangeType::AddNode, *new),
                (ConfChangeType::AddLearnerNode, *out),
            ]),
            None => change(&[(ConfChangeType::AddNode, *new)]),
        };
    }
    match out {
        Some(out) if *out == leader.0 => hand_over(),
        Some(out) => change(&[(ConfChangeType::RemoveNode, *out)]),
        None => Step::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::records::Role;

    fn conf(voters: &[u64], learners: &[u64]) -> ConfState {
        ConfState {
            voters: voters.to_vec(),
            learners: learners.to_vec(),
            ..Default::default()
        }
    }

    fn target(replicas: &[u64]) -> Vec<Member> {
        replicas
            .iter()
            .map(|&replica| Member {
                node: replica,
                replica,
                role: Role::Voter as i32,
            })
            .collect()
    }

    fn step(conf: &ConfState, to: &[u64], leader: u64, caught_up: bool) -> Step {
        let newest = conf.voters.iter().chain(&conf.learners).max();
        let newest = *newest.expect("a group has members");
        next_step(conf, &target(to), ReplicaId(leader), newest, |_| caught_up)
    }

    use ConfChangeType::{AddLearnerNode, AddNode, RemoveNode};

    #[test]
    fn a_voter_is_replaced_by_one_joint_change() {
        let start = conf(&[1, 2, 3], &[]);
        assert_eq!(
            step(&start, &[1, 2, 4], 1, true),
            change(&[(AddLearnerNode, 4)])
        );
        let learning = conf(&[1, 2, 3], &[4]);
        assert_eq!(step(&learning, &[1, 2, 4], 1, false), Step::Rest);
        assert_eq!(
            step(&learning, &[1, 2, 4], 1, true),
            change(&[(AddNode, 4), (AddLearnerNode, 3)])
        );
        let joint = ConfState {
            voters_outgoing: vec![1, 2, 3],
            learners_next: vec![3],
            ..conf(&[1, 2, 4], &[])
        };
        assert_eq!(step(&joint, &[1, 2, 4], 1, true), Step::Rest);
        assert_eq!(
            step(&conf(&[1, 2, 4], &[3]), &[1, 2, 4], 1, true),
            change(&[(RemoveNode, 3)])
        );
        assert_eq!(
            step(&conf(&[1, 2, 4], &[]), &[1, 2, 4], 1, true),
            Step::Rest
        );
    }

    #[test]
    fn a_leader_hands_over_before_it_leaves() {
        let learning = conf(&[1, 2, 3], &[4]);
        let to = Step::HandOver(vec![ReplicaId(2), ReplicaId(3)]);
        assert_eq!(step(&learning, &[2, 3, 4], 1, true), to);
        assert_eq!(step(&learning, &[2, 3, 4], 1, false), Step::Rest);
        // A lone voter can hand over to nobody: its successor votes first.
        assert_eq!(
            step(&conf(&[1], &[2]), &[2], 1, true),
            change(&[(AddNode, 2), (AddLearnerNode, 1)])
        );
    }

    #[test]
    fn a_leader_that_was_demoted_hands_over_and_never_removes_itself() {
        let demoted = conf(&[1, 2, 4], &[3]);
        let to = Step::HandOver(vec![ReplicaId(1), ReplicaId(2), ReplicaId(4)]);
        assert_eq!(step(&demoted, &[1, 2, 4], 3, true), to);
    }

    #[test]
    fn another_mind_turns_round_from_what_is_there() {
        let learning = conf(&[1, 2, 3], &[4]);
        assert_eq!(
            step(&learning, &[1, 2, 3], 1, true),
            change(&[(RemoveNode, 4)])
        );
        // Already switched: the old one is a learner again and takes its place back.
        assert_eq!(
            step(&conf(&[1, 2, 4], &[3]), &[1, 2, 3], 1, true),
            change(&[(AddNode, 3), (AddLearnerNode, 4)])
        );
        assert_eq!(step(&learning, &[], 1, true), Step::Rest);
    }

    #[test]
    fn an_id_that_has_left_does_not_come_back() {
        let now = conf(&[1, 2, 4], &[]);
        assert_eq!(
            next_step(&now, &target(&[1, 2, 3]), ReplicaId(1), 4, |_| true),
            Step::Rest
        );
    }

    #[test]
    fn groups_grow_and_shrink_one_by_one() {
        assert_eq!(
            step(&conf(&[1], &[]), &[1, 2], 1, true),
            change(&[(AddLearnerNode, 2)])
        );
        assert_eq!(
            step(&conf(&[1], &[2]), &[1, 2], 1, true),
            change(&[(AddNode, 2)])
        );
        assert_eq!(
            step(&conf(&[1, 2, 3], &[]), &[1, 2], 1, true),
            change(&[(RemoveNode, 3)])
        );
        assert_eq!(
            step(&conf(&[1, 2, 3], &[]), &[2, 3], 1, true),
            Step::HandOver(vec![ReplicaId(2), ReplicaId(3)])
        );
    }
}
