//! What a replica has promised on stable storage it never takes back (Raft §5.1, §5.2: `currentTerm` and `votedFor` are persistent): its
//! term does not go back, and within a term it votes once.

use std::collections::BTreeMap;

use kv_core::ids::ReplicaId;
use kv_core::store::{LEFT, LogWrite};

use super::Result;

#[derive(Debug, Default)]
pub struct Votes {
    /// By replica: (term, vote).
    promised: BTreeMap<ReplicaId, (u64, u64)>,
}

impl Votes {
    pub fn on_synced(&mut self, write: &LogWrite) -> Result {
        if write.remove || write.reset == Some(LEFT) {
            self.promised.remove(&write.replica);
            return Ok(());
        }
        let Some(state) = &write.hard_state else {
            return Ok(());
        };
        let now = (state.term, state.vote);
        let before = self.promised.insert(write.replica, now).unwrap_or_default();
        if now.0 < before.0 || now.0 == before.0 && before.1 != 0 && now.1 != before.1 {
            return Err(format!(
                "replica {} had (term, vote) {before:?} on its disk, and has {now:?}",
                write.replica
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::HardState;

    use super::*;

    fn write(term: u64, vote: u64) -> LogWrite {
        LogWrite {
            replica: ReplicaId(4),
            hard_state: Some(HardState {
                term,
                vote,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn terms_and_votes_stay() {
        let mut votes = Votes::default();
        for (term, vote) in [(1, 0), (1, 7), (1, 7), (2, 0), (2, 8)] {
            votes.on_synced(&write(term, vote)).unwrap();
        }
        assert!(votes.on_synced(&write(2, 7)).is_err());
        let mut votes = Votes::default();
        votes.on_synced(&write(3, 7)).unwrap();
        assert!(votes.on_synced(&write(3, 0)).is_err());
        let mut votes = Votes::default();
        votes.on_synced(&write(3, 7)).unwrap();
        assert!(votes.on_synced(&write(2, 0)).is_err());
    }
}
