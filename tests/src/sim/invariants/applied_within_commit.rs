//! A replica applies only what is committed, and never goes back (Raft §5.3: `lastApplied ≤ commitIndex`), and State Machine Safety
//! (§5.4.3): what is committed at an index is the same entry everywhere, for ever.

use std::collections::BTreeMap;

use kv_core::ids::{GroupId, ReplicaId};
use raft::Storage as _;

use super::{Result, Seen};

#[derive(Debug, Default)]
pub struct AppliedWithinCommit {
    /// By (group, index): the term of the entry committed there.
    committed: BTreeMap<(GroupId, u64), u64>,
    /// By replica and life: (commit index, applied index) as last seen.
    last: BTreeMap<(ReplicaId, u64), (u64, u64)>,
}

impl AppliedWithinCommit {
    pub fn check(&mut self, seen: Seen<'_>) -> Result {
        let Seen {
            node,
            life,
            group,
            state,
            ..
        } = seen;
        let (id, commit, applied) = (group.id, group.committed(), state.applied_index);
        let (last_commit, last_applied) = self
            .last
            .insert((group.replica, life), (commit, applied))
            .unwrap_or((0, 0));
        if (commit, applied) == (last_commit, last_applied) {
            return Ok(());
        }
        if applied > commit || commit > group.last_index() {
            return Err(format!(
                "node {node} has applied {applied} of group {id}, committed {commit}, of {} entries",
                group.last_index()
            ));
        }
        if commit < last_commit || applied < last_applied {
            return Err(format!(
                "node {node} went back in group {id}: commit {last_commit} → {commit}, applied {last_applied} → {applied}"
            ));
        }
        for index in last_commit.max(group.log().base().0) + 1..=commit {
            let Ok(term) = group.log().term(index) else {
                continue;
            };
            let known = *self.committed.entry((id, index)).or_insert(term);
            if known != term {
                return Err(format!(
                    "state machine safety: entry {index} of group {id} is committed with terms {known} and {term} (node {node})"
                ));
            }
        }
        Ok(())
    }
}
