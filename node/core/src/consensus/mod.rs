//! Many groups around the consensus library: logs, the ready loop, leases, snapshots.
//!
//! ```text
//!   message ─► Group::step ─┐                         ┌─► messages a leader may send at once
//!   tick ────► Group::tick ─┼─► raft-rs ─► Group::ready ─► entries and hard state ─► Append ─(synced)─► Group::persisted ─► messages that had to wait
//!   command ─► propose ─────┘                         └─► committed entries ─► the group's state machine
//! ```
//! Invariants: nothing that promises durability leaves before the append that it rests on is synced; a lease ends before anyone else
//! could have been elected ([`lease`]).

pub mod group;
pub mod lease;
pub mod log;

pub use group::{Group, Work, is_vote};
pub use log::GroupLog;
