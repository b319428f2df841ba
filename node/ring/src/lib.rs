//! Placement for ringkv: tokens, the ring, preference lists, planned tokens, diffs. Pure: no I/O, no clock, no
//! randomness; the same arguments give the same answer on every machine.
//!
//! `DESIGN.md` beside this crate has the picture, the algorithms and the figures.

#![forbid(unsafe_code)]

pub mod balance;
mod best;
mod circle;
pub mod diff;
mod error;
pub mod member;
pub mod placement;
pub mod plan;
pub mod ring;
pub mod token;

pub use best::best_loads;
pub use error::Error;
pub use member::{Host, Member, MemberState, NodeId, NodeSpec, Zone};
pub use placement::MAX_REPLICAS;
pub use ring::{Ring, RingDelta, loads, shares};
pub use token::{Token, partition_position};
