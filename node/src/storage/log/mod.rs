//! [`EngineLog`]: the raft logs of all replicas in one raft-engine.
//!
//! ```text
//!   append ──► one batch: stamp │ per replica: Compact/Clean, base, hard state, entries ──► files.rs ──► fdatasync ──► synced
//!   open   ──► scan.rs (torn or corrupt?) ──► cut ──► sync what is left ──► Engine::open, which must find every batch whole
//! ```
//! Invariants: what a synced append wrote is there at the next open, or the open fails with [`Error::Corrupt`]; one sync covers the
//! appends of all threads that wait; a failed sync ends the process.
//!
//! In raft-engine a replica is a group: its entries, and under [`BASE`] and [`HARD_STATE`] what entries don't say. Group 0 is nobody's.

mod files;
mod judge;
mod record;
mod scan;
mod synced;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_core::ids::ReplicaId;
use kv_core::store::span::{Span, Spans};
use kv_core::store::{Error, LogStore, LogWrite, RecoveredLog, Result};
use parking_lot::Mutex;
use raft::eraftpb::{Entry, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};

use self::files::LogFiles;
use self::record::{STAMP_GROUP, STAMP_KEY};
use self::synced::SyncedFile;
use super::{io_error, sync_dir};

/// (index, term) before the first entry, 16 bytes little endian.
const BASE: &[u8] = b"b";
const HARD_STATE: &[u8] = b"h";

/// Sizes of the log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A file is left for the next one when it is that large.
    pub file_bytes: u64,
    /// Above this [`LogStore::purge`] rewrites what little old files still hold and asks for flushes of what holds more.
    pub purge_bytes: u64,
    /// Old files that are kept to be written over.
    pub spare_files: usize,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            file_bytes: 16 << 20,
            purge_bytes: 96 << 20,
            spare_files: 4,
        }
    }
}

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// The logs of a node; see the module.
pub struct EngineLog {
    engine: Engine<LogFiles>,
    synced: Arc<SyncedFile>,
    spans: Mutex<Spans>,
    dir: PathBuf,
}

impl std::fmt::Debug for EngineLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineLog")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl EngineLog {
    /// Opens the log in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something that was synced is not there as it was written.
    pub fn open(dir: impl Into<PathBuf>, config: &LogConfig) -> Result<EngineLog> {
        let dir = dir.into();
        let parent = dir.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(&dir)
            .and_then(|()| sync_dir(parent))
            .map_err(|error| io_error("making", &dir, &error))?;
        let (_, synced) = synced::read(&dir)
            .map_err(|error| io_error("reading the synced end in", &dir, &error))?;
        let cuts = scan::inspect(&dir, &synced)?;
        scan::apply(&cuts)?;
        let side = SyncedFile::open(&dir)
            .map_err(|error| io_error("opening the synced end in", &dir, &error))?;
        scan::settle(&dir, &side).map_err(|error| io_error("syncing", &dir, &error))?;
        let synced = Arc::new(side);
        let files = LogFiles::open(&dir, synced.clone(), config.spare_files)
            .map_err(|error| io_error("opening", &dir, &error))?;
        let engine = Engine::open_with_file_system(engine_config(&dir, config)?, Arc::new(files))
            .map_err(engine_error)?;
        // raft-engine makes its first file without making its name durable.
        sync_dir(&dir).map_err(|error| io_error("syncing", &dir, &error))?;
        let log = EngineLog {
            engine,
            synced,
            spans: Mutex::default(),
            dir,
        };
        *log.spans.lock() = Spans::new(&log.recover()?);
        Ok(log)
    }

    /// The batch of an append. `before` are the extents that each write meets.
    fn batch(&self, writes: &[LogWrite], before: &[Option<Span>]) -> Result<LogBatch> {
        let mut batch = LogBatch::with_capacity(1 + 2 * writes.len());
        let stamp = self.synced.get().append.stamp();
        batch
            .put(STAMP_GROUP, STAMP_KEY.to_vec(), stamp.to_vec())
            .map_err(engine_error)?;
        for (write, before) in writes.iter().zip(before) {
            let LogWrite {
                replica,
                reset,
                entries,
                hard_state,
                truncate,
                remove,
            } = write;
            let group = replica.0;
            if group == STAMP_GROUP {
                return Err(Error::Failed("replica 0 has no log".into()));
            }
            if *remove {
                batch.add_command(group, Command::Clean);
                continue;
            }
            let mut base = before.unwrap_or_default().base.0;
            if let Some((index, term)) = *reset {
                // Compact, not Clean, which would drop the hard state too. "Before" the index, so one above all there is.
                let all = before.unwrap_or_default().last.max(index) + 1;
                batch.add_command(group, Command::Compact { index: all });
                put_base(&mut batch, group, (index, term))?;
                base = index;
            }
            batch
                .add_entries::<Entries>(group, entries)
                .map_err(engine_error)?;
            if let Some(hard_state) = hard_state {
                batch
                    .put_message(group, HARD_STATE.to_vec(), hard_state)
                    .map_err(engine_error)?;
            }
            if let Some(to) = truncate.filter(|to| to.0 > base) {
                batch.add_command(group, Command::Compact { index: to.0 + 1 });
                put_base(&mut batch, group, to)?;
            }
        }
        Ok(batch)
    }

    fn recover_one(&self, replica: u64) -> Result<RecoveredLog> {
        let corrupt = |detail: &str| Error::Corrupt {
            place: format!("log of replica {replica}"),
            detail: detail.into(),
        };
        let hard_state = self
            .engine
            .get_message::<HardState>(replica, HARD_STATE)
            .map_err(engine_error)?;
        let base = match self.engine.get(replica, BASE) {
            Some(bytes) => decode_base(&bytes).ok_or_else(|| corrupt("its base is damaged"))?,
            None => (0, 0),
        };
        let mut entries = Vec::new();
        if let (Some(first), Some(last)) = (
            self.engine.first_index(replica),
            self.engine.last_index(replica),
        ) {
            if first != base.0 + 1 {
                return Err(corrupt(&format!(
                    "its base is {}, its first entry {first}",
                    base.0
                )));
            }
            self.engine
                .fetch_entries_to::<Entries>(replica, first, last + 1, None, &mut entries)
                .map_err(engine_error)?;
        }
        Ok(RecoveredLog {
            replica: ReplicaId(replica),
            hard_state: hard_state.unwrap_or_default(),
            base,
            entries,
        })
    }
}

impl LogStore for EngineLog {
    fn append(&self, writes: &[LogWrite], sync: bool) -> Result<()> {
        if writes.is_empty() && !sync {
            return Ok(());
        }
        let undo = self.spans.lock().advance(writes)?;
        // Also for a sync of nothing new: `Engine::sync` writes an empty batch, and one that is empty is not synced (0.4.2).
        let written = self
            .batch(writes, &undo.before())
            .and_then(|mut batch| self.engine.write(&mut batch, sync).map_err(engine_error));
        match written {
            Ok(_) => Ok(()),
            Err(error) => {
                self.spans.lock().revert(undo);
                Err(error)
            }
        }
    }

    fn recover(&self) -> Result<Vec<RecoveredLog>> {
        let mut replicas = self.engine.raft_groups();
        replicas.retain(|group| *group != STAMP_GROUP);
        replicas.sort_unstable();
        replicas
            .into_iter()
            .map(|replica| self.recover_one(replica))
            .collect()
    }

    fn purge(&self) -> Result<Vec<ReplicaId>> {
        let wanted = self.engine.purge_expired_files().map_err(engine_error)?;
        self.synced
            .sync()
            .map_err(|error| io_error("syncing the synced end in", &self.dir, &error))?;
        Ok(wanted
            .into_iter()
            .filter(|group| *group != STAMP_GROUP)
            .map(ReplicaId)
            .collect())
    }

    /// What its files take, spares included.
    fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return 0;
        };
        entries
            .flatten()
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .sum()
    }
}

fn engine_config(dir: &Path, config: &LogConfig) -> Result<Config> {
    let dir = dir
        .to_str()
        .ok_or_else(|| Error::Failed(format!("the path {} is not UTF-8", dir.display())))?;
    Ok(Config {
        dir: dir.to_owned(),
        // The scan has cut what is torn; whatever raft-engine still objects to is corruption.
        recovery_mode: RecoveryMode::AbsoluteConsistency,
        recovery_threads: 2,
        // Items are compressed by RocksDB, where they stay.
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(config.file_bytes),
        purge_threshold: ReadableSize(config.purge_bytes.max(config.file_bytes)),
        purge_rewrite_threshold: Some(ReadableSize(config.file_bytes)),
        // `LogFiles` keeps spares itself: raft-engine's way leaves gaps between files, which could not be told from lost ones.
        enable_log_recycle: false,
        ..Config::default()
    })
}

fn put_base(batch: &mut LogBatch, group: u64, (index, term): (u64, u64)) -> Result<()> {
    let value = [index.to_le_bytes(), term.to_le_bytes()].concat();
    batch.put(group, BASE.to_vec(), value).map_err(engine_error)
}

fn decode_base(bytes: &[u8]) -> Option<(u64, u64)> {
    let (index, term) = bytes.split_first_chunk::<8>()?;
    Some((
        u64::from_le_bytes(*index),
        u64::from_le_bytes(term.try_into().ok()?),
    ))
}

fn engine_error(error: raft_engine::Error) -> Error {
    use raft_engine::Error as E;
    let text = error.to_string();
    match error {
        E::Io(source) if source.kind() == std::io::ErrorKind::StorageFull => Error::Full(text),
        // Its answer to a full disk for which it could make a new file but no more.
        E::TryAgain(_) => Error::Full(text),
        E::Corruption(_) | E::Codec(_) | E::Protobuf(_) | E::EntryNotFound => Error::Corrupt {
            place: "log".into(),
            detail: text,
        },
        E::InvalidArgument(_) | E::Io(_) | E::EntryCompacted | E::Full | E::Other(_) => {
            Error::Failed(text)
        }
    }
}

#[cfg(test)]
mod tests;
