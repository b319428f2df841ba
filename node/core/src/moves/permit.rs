//! Whether a node may be taken away for a moment (DESIGN §5, "Restart permits"): pure.

use super::reports::Reports;
use crate::meta::MetaState;
use crate::meta::records::Role;

/// Why no permit is given, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the metadata leader has not heard the leader of group {0} lately")]
    Unknown(u64),
    #[error("group {group} would have {left} of the {quorum} replicas that it needs")]
    Quorum {
        group: u64,
        left: usize,
        quorum: usize,
    },
    #[error("replica {replica} of group {group} on node {node} is away or has not caught up")]
    Behind { group: u64, replica: u64, node: u64 },
    #[error("members of group {0} are being changed")]
    Changing(u64),
}

/// Whether every group that has a replica on `node` keeps a quorum of healthy voters without it.
pub fn spare(state: &MetaState, reports: &Reports, node: u64, now_us: u64) -> Result<(), Refused> {
    for group in state.groups.values() {
        if !group.members.iter().any(|m| m.node == node) {
            continue;
        }
        let (_, report) = reports
            .fresh(group.id, now_us)
            .ok_or(Refused::Unknown(group.id))?;
        if report.joint {
            return Err(Refused::Changing(group.id));
        }
        let voters = || report.members.iter().filter(|m| m.role() == Role::Voter);
        let quorum = voters().count() / 2 + 1;
        let left = voters()
            .filter(|m| m.node != node && report.healthy.contains(&m.replica))
            .count();
        if left < quorum {
            return Err(Refused::Quorum {
                group: group.id,
                left,
                quorum,
            });
        }
    }
    Ok(())
}

/// Whether all replicas on `node` live and follow closely, as their leaders see them.
pub fn caught_up(
    state: &MetaState,
    reports: &Reports,
    node: u64,
    now_us: u64,
) -> Result<(), Refused> {
    for group in state.groups.values() {
        for member in group.members.iter().filter(|m| m.node == node) {
            let (_, report) = reports
                .fresh(group.id, now_us)
                .ok_or(Refused::Unknown(group.id))?;
            if !report.healthy.contains(&member.replica) {
                return Err(Refused::Behind {
                    group: group.id,
                    replica: member.replica,
                    node,
                });
            }
        }
    }
    Ok(())
}
