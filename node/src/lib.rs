//! A ringkv node: threads, sockets and files around `kv-core`.

pub mod admin;
pub mod database;
pub mod exit;
pub mod telemetry;
pub mod transport;
