//! A partition has as many voters as it began with, in each of its configurations: never fewer safe copies while replicas move, and never
//! an even number of them, which one zone could take the majority from (DESIGN §4; Ongaro, "Consensus", 2014, §4.3).

use std::collections::BTreeMap;

use kv_core::ids::GroupId;

use super::{Result, Seen};

#[derive(Debug, Default)]
pub struct SafeNumber {
    /// By group: voters that it began with.
    began: BTreeMap<GroupId, usize>,
}

impl SafeNumber {
    pub fn check(&mut self, seen: Seen<'_>) -> Result {
        let (id, state) = (seen.group.id, seen.state);
        // The metadata group has as many as there are nodes for, and what has no state yet has no members.
        if id == GroupId::META || state.voters.is_empty() {
            return Ok(());
        }
        let began = *self.began.entry(id).or_insert(state.voters.len());
        for voters in [&state.voters, &state.voters_outgoing] {
            if !voters.is_empty() && voters.len() != began {
                return Err(format!(
                    "group {id} has the voters {voters:?} on node {}, and began with {began}",
                    seen.node
                ));
            }
        }
        Ok(())
    }
}
