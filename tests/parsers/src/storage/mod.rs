//! Parsers of files, from kv-node's sources.

#[path = "../../../../node/src/storage/identity.rs"]
pub mod identity;
#[path = "../../../../node/src/storage/rocks/job.rs"]
pub mod job;
pub mod log;
