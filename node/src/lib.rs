//! A ringkv node: the threads, sockets and files around the state machines of kv-core.

pub mod database;
pub mod dynamo;
