//! The deterministic state machines of a ringkv node. No I/O, no clock, no randomness of their own.
//!
//! Begin at [`shard`]; `DESIGN.md` in the folder above has the pictures.

#![forbid(unsafe_code)]

pub mod api;
pub mod consensus;
pub mod heat;
pub mod ids;
pub mod meta;
pub mod moves;
pub mod mutants;
pub mod partition;
pub mod read;
pub mod shard;
pub mod store;
pub mod tables;
pub mod ticket;
pub mod time;
pub mod transactions;
pub mod version;
pub mod wire;
