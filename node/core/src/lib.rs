//! The deterministic state machines of a ringkv node. No I/O, no clock, no randomness of their own.

pub mod api;
pub mod ids;
pub mod partition;
pub mod read;
pub mod store;
pub mod tables;
