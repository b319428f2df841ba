//! A ringkv node: threads, sockets and files around `kv-core`. `DESIGN.md` beside the crate has the picture.

pub mod admin;
pub mod client;
pub mod config;
pub mod control;
pub mod database;
pub mod dynamo;
pub mod exit;
pub mod kv;
pub mod node;
pub mod runtime;
pub mod storage;
pub mod telemetry;
pub mod transport;
