//! Which replica holds which rows of a node's engine, over all of its shards.
//!
//! A partition that is split off lives in a shard of its own. Before its parent has been split on this node a snapshot of it must not be
//! installed, since the parent's replica still covers its rows; nor a snapshot of the parent from before the split, once the child is here.
//! So whoever installs claims the rows first.
//!
//! Invariant: no two replicas of a node hold a row at a time. A replica gives rows up only when nothing that it still writes touches them.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::{GroupId, ReplicaId};
use crate::partition::command::{Command, Do, ReplicaState};
use crate::store::{Reader, RecoveredLog};

type Range = (Bytes, Bytes);

/// The claims of a node's replicas.
#[derive(Debug, Default)]
pub struct Territory {
    claims: Mutex<BTreeMap<ReplicaId, Range>>,
}

fn overlap(a: &Range, b: &Range) -> bool {
    a.0 < b.1 && b.0 < a.1
}

impl Territory {
    /// What the replicas hold that a start finds on the disk. Made once a start, for all shards.
    ///
    /// # Errors
    /// The engine can't be read, or holds what this version can't.
    pub fn recovered(
        store: &dyn Reader,
        logs: &[RecoveredLog],
    ) -> Result<Territory, super::RecoverError> {
        let mut claims = BTreeMap::new();
        for log in logs {
            let first = log.entries.first().filter(|entry| entry.index == 1);
            let command = first.and_then(|entry| Command::decode_entry(&entry.data));
            if let Some(Do::Genesis(state)) = command.and_then(|command| command.what) {
                claims.insert(log.replica, (state.start, state.end));
            }
        }
        for (replica, state) in super::recover::read_states(store)? {
            if is_territorial(&state) {
                claims.insert(replica, (state.start, state.end));
            }
        }
        Ok(Territory {
            claims: Mutex::new(claims),
        })
    }

    /// Whether nobody but this replica holds any of the rows.
    pub fn is_free(&self, replica: ReplicaId, start: &Bytes, end: &Bytes) -> bool {
        let range = (start.clone(), end.clone());
        let claims = self.claims.lock();
        let mut others = claims.iter().filter(|(other, _)| **other != replica);
        !others.any(|(_, held)| overlap(held, &range))
    }

    /// Takes rows for a replica, beside those that it holds; false if another one holds some of them.
    pub fn claim(&self, replica: ReplicaId, start: &Bytes, end: &Bytes) -> bool {
        let mut range = (start.clone(), end.clone());
        let mut claims = self.claims.lock();
        if let Some((from, to)) = claims.get(&replica) {
            range = (range.0.min(from.clone()), range.1.max(to.clone()));
        }
        let mut others = claims.iter().filter(|(other, _)| **other != replica);
        if others.any(|(_, held)| overlap(held, &range)) {
            return false;
        }
        claims.insert(replica, range);
        true
    }

    /// A replica holds these rows of its own and no others any more.
    pub fn shrink(&self, replica: ReplicaId, start: &Bytes, end: &Bytes) {
        let mut claims = self.claims.lock();
        claims.insert(replica, (start.clone(), end.clone()));
    }

    /// A replica gives what lies behind its new end to the one that was split off it.
    pub fn split(&self, parent: ReplicaId, state: &ReplicaState, child: Option<&ReplicaState>) {
        let mut claims = self.claims.lock();
        claims.insert(parent, (state.start.clone(), state.end.clone()));
        if let Some(child) = child {
            let range = (child.start.clone(), child.end.clone());
            claims.insert(ReplicaId(child.replica), range);
        }
    }

    /// A replica is gone, and what it wrote is written.
    pub fn release(&self, replica: ReplicaId) {
        self.claims.lock().remove(&replica);
    }
}

/// Whether a replica holds rows at all.
pub(super) fn is_territorial(state: &ReplicaState) -> bool {
    state.group() != GroupId::META && state.applied_index > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn rows_have_one_holder() {
        let territory = Territory::default();
        let (parent, child) = (ReplicaId(1), ReplicaId(2));
        assert!(territory.claim(parent, &bytes("a"), &bytes("z")));
        assert!(!territory.claim(child, &bytes("m"), &bytes("z")));
        assert!(!territory.is_free(child, &bytes("y"), &bytes("zz")));
        assert!(territory.claim(parent, &bytes("a"), &bytes("m")), "its own");
        assert!(
            !territory.claim(child, &bytes("m"), &bytes("z")),
            "it still writes there"
        );
        territory.shrink(parent, &bytes("a"), &bytes("m"));
        assert!(territory.claim(child, &bytes("m"), &bytes("z")));
        assert!(!territory.claim(parent, &bytes("a"), &bytes("z")));
        territory.release(child);
        assert!(territory.claim(parent, &bytes("a"), &bytes("z")));
    }

    #[test]
    fn a_split_hands_rows_over() {
        let territory = Territory::default();
        let state = |replica, start, end| ReplicaState {
            replica,
            start: bytes(start),
            end: bytes(end),
            ..Default::default()
        };
        assert!(territory.claim(ReplicaId(1), &bytes("a"), &bytes("z")));
        let child = state(2, "m", "z");
        territory.split(ReplicaId(1), &state(1, "a", "m"), Some(&child));
        assert!(territory.is_free(ReplicaId(2), &bytes("m"), &bytes("z")));
        assert!(!territory.is_free(ReplicaId(3), &bytes("m"), &bytes("n")));
        assert!(territory.is_free(ReplicaId(1), &bytes("a"), &bytes("m")));
    }
}
