//! What a partition's replica publishes so that reads can be served without asking its shard (DESIGN §6).
//!
//! A reader takes a [`Pass`] before it reads the engine and shows it afterwards: only if the lease still held then, and nothing about
//! the replica's role or range changed in between, is what it read an answer. The simulator reads through this same code.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::heat::Meter;
use crate::ids::NodeId;
use crate::mutants::{Mutant, active};
use crate::time::{EVENTUAL_US, Now};

/// One partition's ticket on one node. Written by the shard that owns the replica, read by anyone.
#[derive(Debug, Default)]
pub struct Ticket {
    /// Monotonic µs until which this node may serve strong reads alone; 0: not at all.
    lease_until: AtomicU64,
    /// Range version of the replica that is here; 0: none is.
    range_version: AtomicU64,
    /// Grows whenever the replica's role, range or existence changes.
    generation: AtomicU64,
    /// Monotonic µs when the leader was last heard; 0: no replica that may serve is here.
    heard_at: AtomicU64,
    /// Node that leads as far as known; 0: unknown.
    leader: AtomicU64,
    /// Strong reads must ask the shard all the same: the engine may lack what is visible elsewhere.
    guarded: AtomicBool,
    /// What is asked of the replica that is here.
    pub meter: Meter,
}

/// Leave to read, to be shown again after the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(u64);

impl Ticket {
    /// Leave for a strong read by a route of that range version.
    pub fn strong(&self, range_version: u64, now: Now) -> Option<Pass> {
        let pass = Pass(self.generation.load(Ordering::Acquire));
        let free = !self.guarded.load(Ordering::Acquire);
        (free && self.is_of(range_version) && self.leased(now)).then_some(pass)
    }

    /// The range is set before the generation grows: whoever has a later pass sees it.
    fn is_of(&self, range_version: u64) -> bool {
        self.range_version.load(Ordering::Acquire) == range_version
    }

    /// Whether what was read under the pass is a linearizable answer.
    pub fn still_strong(&self, pass: Pass, now: Now) -> bool {
        self.leased(now) && self.generation.load(Ordering::Acquire) == pass.0
    }

    fn leased(&self, now: Now) -> bool {
        let until = self.lease_until.load(Ordering::Acquire);
        now.mono_us < until || until > 0 && active(Mutant::ServesAfterLease)
    }

    /// Leave for an eventual read by a route of that range version.
    pub fn eventual(&self, range_version: u64, now: Now) -> Option<Pass> {
        let pass = Pass(self.generation.load(Ordering::Acquire));
        let heard = self.heard_at.load(Ordering::Acquire);
        (heard > 0 && self.is_of(range_version) && now.mono_us < heard.saturating_add(EVENTUAL_US))
            .then_some(pass)
    }

    /// Whether what was read under the pass came from the range that it was for.
    pub fn still_eventual(&self, pass: Pass) -> bool {
        self.generation.load(Ordering::Acquire) == pass.0
    }

    pub fn leader(&self) -> Option<NodeId> {
        Some(self.leader.load(Ordering::Relaxed))
            .filter(|&id| id > 0)
            .map(NodeId)
    }

    pub(crate) fn set_leader(&self, leader: Option<NodeId>) {
        self.leader
            .store(leader.map_or(0, |n| n.0), Ordering::Relaxed);
    }

    /// Another range: passes given so far are void.
    pub(crate) fn set_range(&self, range_version: u64) {
        if self.range_version.swap(range_version, Ordering::AcqRel) != range_version {
            self.turn();
        }
    }

    pub(crate) fn set_lease(&self, until: u64) {
        self.lease_until.store(until, Ordering::Release);
    }

    pub(crate) fn set_guarded(&self, guarded: bool) {
        self.guarded.store(guarded, Ordering::Release);
    }

    pub(crate) fn set_heard(&self, at: u64) {
        self.heard_at.store(at, Ordering::Release);
    }

    /// Passes given so far are void.
    pub(crate) fn turn(&self) {
        self.lease_until.store(0, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}
