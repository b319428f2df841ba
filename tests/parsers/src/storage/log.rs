//! Files of the log.

#[path = "../../../../node/src/storage/log/judge.rs"]
pub mod judge;
#[path = "../../../../node/src/storage/log/record.rs"]
pub mod record;
#[path = "../../../../node/src/storage/log/synced.rs"]
pub mod synced;
