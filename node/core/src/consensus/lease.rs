//! A leader's lease: the time in which no other leader can have been elected (Raft thesis §6.4.1, with the sender's clock).
//!
//! Each heartbeat or append carries the leader's monotonic clock at sending; a follower that took it echoes the greatest one in
//! what it answers. A voter whose echo is `s` started its election timer after `s`, so until `s + LEASE_US` it grants no vote. With
//! such promises of a majority (of both majorities in a joint configuration) the leader may serve reads alone.
//!
//! From the first `MsgTimeoutNow` of a term on there is no lease until the term ends, since it lets its receiver campaign past
//! everyone's promise, however late it arrives (raft-rs #234).

use std::collections::BTreeMap;

use raft::eraftpb::ConfState;

use crate::ids::ReplicaId;
use crate::mutants::{Mutant, active};
use crate::time::LEASE_US;

/// Promises of the voters in one term of leadership.
#[derive(Debug, Default)]
pub struct Lease {
    term: u64,
    echoes: BTreeMap<ReplicaId, u64>,
    void: bool,
}

impl Lease {
    /// Begins a term without any promise.
    pub fn begin(&mut self, term: u64) {
        *self = Lease {
            term,
            ..Lease::default()
        };
    }

    /// Gives the lease up for the rest of the term.
    pub fn void(&mut self) {
        self.void = true;
    }

    /// A transfer ended without a new leader.
    pub fn transfer_aborted(&mut self) {
        if active(Mutant::LeaseAfterAbortedTransfer) {
            self.void = false;
        }
    }

    pub fn echo(&mut self, term: u64, from: ReplicaId, sent_at: u64) {
        if term == self.term && sent_at > 0 {
            let known = self.echoes.entry(from).or_default();
            *known = (*known).max(sent_at);
        }
    }

    /// Until when the lease holds, on this node's monotonic clock; 0: there is none. A lone voter's never ends.
    pub fn until(&self, me: ReplicaId, voters: &ConfState) -> u64 {
        if self.void {
            return 0;
        }
        let incoming = self.majority(me, &voters.voters);
        if voters.voters_outgoing.is_empty() {
            incoming
        } else {
            incoming.min(self.majority(me, &voters.voters_outgoing))
        }
    }

    fn majority(&self, me: ReplicaId, voters: &[u64]) -> u64 {
        let mut bounds: Vec<u64> = voters
            .iter()
            .map(|&voter| match self.echoes.get(&ReplicaId(voter)) {
                _ if voter == me.0 => u64::MAX,
                Some(sent_at) => sent_at + LEASE_US,
                None => 0,
            })
            .collect();
        if bounds.is_empty() {
            return 0;
        }
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        bounds[bounds.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(ids: &[u64], outgoing: &[u64]) -> ConfState {
        ConfState {
            voters: ids.to_vec(),
            voters_outgoing: outgoing.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn counts_the_majority_of_both_configurations() {
        let me = ReplicaId(1);
        let mut lease = Lease::default();
        lease.begin(4);
        assert_eq!(lease.until(me, &voters(&[1], &[])), u64::MAX);
        assert_eq!(lease.until(me, &voters(&[1, 2, 3], &[])), 0);
        lease.echo(4, ReplicaId(2), 100);
        assert_eq!(lease.until(me, &voters(&[1, 2, 3], &[])), 100 + LEASE_US);
        assert_eq!(lease.until(me, &voters(&[1, 2, 3], &[1, 4, 5])), 0);
        assert_eq!(lease.until(me, &voters(&[1, 2, 3, 4, 5], &[])), 0);
        lease.echo(3, ReplicaId(3), 900);
        assert_eq!(
            lease.until(me, &voters(&[1, 2, 3], &[])),
            100 + LEASE_US,
            "an echo of another term counts for nothing"
        );
        lease.void();
        assert_eq!(lease.until(me, &voters(&[1], &[])), 0);
        lease.begin(5);
        assert_eq!(lease.until(me, &voters(&[1], &[])), u64::MAX);
    }
}
