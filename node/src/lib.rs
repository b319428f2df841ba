//! A ringkv node: threads, sockets and files around kv-core.

pub mod storage;
