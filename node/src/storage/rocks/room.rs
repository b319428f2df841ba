//! Whether the disk has room for what the memtables hold: asked before they take more.
//!
//! RocksDB (11.8) does not come out of a flush that ran into a full disk while flushes are atomic: its recovery waits for the
//! background flush to end, which tries for ever. So it must not get there: writes and flushes are refused while there is still room
//! for all that waits in memory. They go on as soon as there is, for one when the ballast is released.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_core::store::{Error, Keyspace, Result};
use rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES;

use super::{Db, family, store_error};
use crate::storage::space::file_system_space;

/// Between two looks at the disk.
const WRITTEN_BYTES_MAX: u64 = 256 << 10;
/// For the engine's records of its files.
const METADATA_BYTES: u64 = 2 << 20;

#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    /// One memtable of one family: RocksDB allocates a new file that far ahead.
    family_buffer_bytes: u64,
    written_bytes: AtomicU64,
}

impl Room {
    pub fn new(dir: PathBuf, family_buffer_bytes: usize) -> Room {
        // The first write looks.
        Room {
            dir,
            family_buffer_bytes: family_buffer_bytes as u64,
            written_bytes: AtomicU64::new(WRITTEN_BYTES_MAX),
        }
    }

    /// Before a write of `bytes`.
    pub fn admit(&self, db: &Db, bytes: usize) -> Result<()> {
        let bytes = bytes as u64;
        if self.written_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < WRITTEN_BYTES_MAX {
            return Ok(());
        }
        self.check(db, bytes)?;
        self.written_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether all that is in memory, and `more`, could be flushed.
    pub fn check(&self, db: &Db, more: u64) -> Result<()> {
        let mut needed = more + self.family_buffer_bytes + METADATA_BYTES;
        for keyspace in Keyspace::ALL {
            let size = db.property_int_value_cf(family(db, keyspace), CUR_SIZE_ALL_MEM_TABLES);
            needed += size
                .map_err(|error| store_error("measure", error))?
                .unwrap_or(0);
        }
        let free = file_system_space(&self.dir)?.free;
        if free < needed {
            let dir = self.dir.display();
            return Err(Error::Full(format!(
                "flushing may need {needed} bytes, {free} are free in {dir}"
            )));
        }
        Ok(())
    }
}
