//! Election Safety (Raft §5.2): at most one leader a term and group.

use std::collections::BTreeMap;

use kv_core::ids::{GroupId, ReplicaId};

use super::{Result, Seen};

#[derive(Debug, Default)]
pub struct OneLeader {
    leaders: BTreeMap<(GroupId, u64), ReplicaId>,
}

impl OneLeader {
    pub fn check(&mut self, seen: Seen<'_>) -> Result {
        let Seen { group, .. } = seen;
        if !group.is_leader() {
            return Ok(());
        }
        let known = *self
            .leaders
            .entry((group.id, group.term()))
            .or_insert(group.replica);
        if known != group.replica {
            return Err(format!(
                "term {} of group {} has two leaders: replicas {known} and {}",
                group.term(),
                group.id,
                group.replica
            ));
        }
        Ok(())
    }
}
