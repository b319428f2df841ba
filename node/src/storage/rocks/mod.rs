//! [`RocksStore`]: RocksDB as the engine, without a write-ahead log.
//!
//! ```text
//!   write ──► memtables ──(flush: all families at once)──► engine/*.sst
//!   stage ──► staging/<id>/*.sst ──► install: record ► flush ► clear, ingest, batch, record off ► flush ──► folder removed
//! ```
//! Invariants: what is durable is one moment of all families (atomic flush); an install is decided by its record being flushed, and
//! from then on every open finishes it before anything else; closing flushes nothing.

mod job;
mod options;
mod read;
mod room;
mod sample;
mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kv_core::store::{
    Batch, Error, KeyRange, Keyspace, Op, Reader, Result, Snapshot, Space, Store, Visitor,
};
use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    Cache, ColumnFamily, DBWithThreadMode, ErrorKind, IteratorMode, Options, Range, SingleThreaded,
    WriteBatch,
};

use self::job::Job;
pub use self::options::RocksConfig;
use self::read::OwnedSnapshot;
use self::room::Room;
use self::stage::Staging;
use super::space::file_system_space;

type Db = DBWithThreadMode<SingleThreaded>;

/// Keys are shorter: a range without an end is deleted up to as many 0xff.
pub const KEY_BYTES_MAX: usize = 16 << 10;

/// Records of installs.
const JOBS: &str = "default";

fn family_name(keyspace: Keyspace) -> &'static str {
    match keyspace {
        Keyspace::Data => "data",
        Keyspace::ChangeLog => "changelog",
        Keyspace::State => "state",
        Keyspace::Meta => "meta",
    }
}

fn family(db: &Db, keyspace: Keyspace) -> &ColumnFamily {
    db.cf_handle(family_name(keyspace))
        .expect("the engine is opened with all of its families")
}

fn jobs(db: &Db) -> &ColumnFamily {
    db.cf_handle(JOBS).expect("RocksDB always has this family")
}

/// A node's engine; see the module.
pub struct RocksStore {
    db: Arc<Db>,
    dir: PathBuf,
    staging: Staging,
    options: Options,
    room: Room,
    /// Held while an install runs: a checkpoint between its steps would need the staged files too.
    installing: Mutex<()>,
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens the engine in `dir`, finishes installs that a crash interrupted and drops what else is staged. Both directories are
    /// made where they are missing, and must be on one file system.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if files are missing or damaged.
    pub fn open(
        dir: impl Into<PathBuf>,
        staging: impl Into<PathBuf>,
        config: &RocksConfig,
    ) -> Result<RocksStore> {
        let dir = dir.into();
        let cache = Cache::new_lru_cache(config.cache_bytes);
        let opening = |error| store_error("open", error);
        let options = options::database(config, &cache).map_err(opening)?;
        let names = Keyspace::ALL.map(family_name).into_iter().chain([JOBS]);
        let families: Vec<_> = names
            .map(|name| rocksdb::ColumnFamilyDescriptor::new(name, options.clone()))
            .collect();
        let db = Db::open_cf_descriptors(&options, &dir, families).map_err(opening)?;
        let staging = Staging::new(staging.into(), config.staged_file_bytes);
        let room = Room::new(dir.clone(), config.family_buffer_bytes());
        let store = RocksStore {
            db: Arc::new(db),
            dir,
            staging,
            options,
            room,
            installing: Mutex::default(),
        };
        store.finish_jobs()?;
        store.staging.clear()?;
        Ok(store)
    }

    fn finish_jobs(&self) -> Result<()> {
        for found in self.db.iterator_cf(jobs(&self.db), IteratorMode::Start) {
            let (key, record) = found.map_err(|error| store_error("read installs", error))?;
            let corrupt = || Error::Corrupt {
                place: "install record".into(),
                detail: format!("{key:02x?}"),
            };
            let stage = key
                .first_chunk()
                .map(|id| u64::from_be_bytes(*id))
                .ok_or_else(corrupt)?;
            let job = Job::decode(&record).map_err(|_| corrupt())?;
            tracing::info!(stage, "finishing an install that a crash interrupted");
            self.run(stage, &job)?;
        }
        Ok(())
    }

    /// Does a job whose record is durable. May be done again after a crash at any point of it: it clears what it is to fill.
    fn run(&self, stage: u64, job: &Job) -> Result<()> {
        let mut clear = WriteBatch::default();
        job.clear
            .iter()
            .for_each(|range| delete_range(&self.db, &mut clear, range));
        self.write_batch(clear)?;
        let folder = self.staging.folder(stage);
        for keyspace in Keyspace::ALL {
            let names: Vec<String> = job
                .files
                .iter()
                .filter(|file| file.0 == keyspace)
                .map(|file| file.1.clone())
                .collect();
            if !names.is_empty() {
                let links = stage::link(&folder, names.into_iter())?;
                let ingested = self.db.ingest_external_file_cf_opts(
                    family(&self.db, keyspace),
                    &options::ingest(),
                    links,
                );
                ingested.map_err(|error| store_error("ingest", error))?;
            }
        }
        let mut last = self.translate(&job.batch)?;
        last.delete_cf(jobs(&self.db), stage.to_be_bytes());
        self.write_batch(last)?;
        self.flush()?;
        stage::remove(&folder)
    }

    fn translate(&self, batch: &Batch) -> Result<WriteBatch> {
        let mut out = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put { key, .. } if key.len() >= KEY_BYTES_MAX => {
                    return Err(Error::Failed(format!(
                        "a key of {} bytes, less than {KEY_BYTES_MAX} are possible",
                        key.len()
                    )));
                }
                Op::Put {
                    keyspace,
                    key,
                    value,
                } => out.put_cf(family(&self.db, *keyspace), key, value),
                Op::Delete { keyspace, key } => out.delete_cf(family(&self.db, *keyspace), key),
                Op::DeleteRange(range) => delete_range(&self.db, &mut out, range),
            }
        }
        Ok(out)
    }

    fn write_batch(&self, batch: WriteBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.room.admit(&self.db, batch.size_in_bytes())?;
        self.db
            .write_opt(batch, &options::write())
            .map_err(|error| stuck(store_error("write", error)))
    }
}

impl Reader for RocksStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self
            .db
            .get_pinned_cf(family(&self.db, keyspace), key)
            .map_err(|error| store_error("get", error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, range: &KeyRange, reverse: bool, visitor: &mut Visitor<'_>) -> Result<()> {
        let Some(options) = read::bounds(range) else {
            return Ok(());
        };
        read::visit(
            self.db
                .raw_iterator_cf_opt(family(&self.db, range.keyspace), options),
            reverse,
            visitor,
        )
    }
}

impl Store for RocksStore {
    fn write(&self, batch: &Batch) -> Result<()> {
        self.write_batch(self.translate(batch)?)
    }

    fn flush(&self) -> Result<()> {
        self.room.check(&self.db, 0)?;
        let [a, b, c, d] = Keyspace::ALL.map(|keyspace| family(&self.db, keyspace));
        let all = [&a, &b, &c, &d, &jobs(&self.db)];
        self.db
            .flush_cfs_opt(&all, &options::flush())
            .map_err(|error| stuck(store_error("flush", error)))
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(OwnedSnapshot::take(&self.db)))
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        let _alone = self.installing.lock();
        self.flush()?;
        let made =
            Checkpoint::new(&*self.db).and_then(|checkpoint| checkpoint.create_checkpoint(dir));
        made.map_err(|error| store_error("checkpoint", error))
    }

    fn stage(&self, stage: u64, pairs: &[(Keyspace, Bytes, Bytes)]) -> Result<()> {
        self.staging.add(stage, pairs, &self.options)
    }

    fn install(&self, stage: u64, clear: &[KeyRange], batch: &Batch) -> Result<()> {
        let _alone = self.installing.lock();
        self.translate(batch)?; // a batch that can't be written must be found before it is decided on
        let staged = self.staging.finish(stage, &self.options)?;
        let job = Job {
            files: staged.files.clone(),
            clear: clear.to_vec(),
            batch: batch.clone(),
        };
        let mut record = WriteBatch::default();
        record.put_cf(jobs(&self.db), stage.to_be_bytes(), job.encode());
        self.write_batch(record)?;
        if let Err(error) = self.flush() {
            // Not decided: the record must not be flushed by something else later.
            let mut undo = WriteBatch::default();
            undo.delete_cf(jobs(&self.db), stage.to_be_bytes());
            self.write_batch(undo)?;
            self.staging.give_back(stage, staged);
            return Err(error);
        }
        // Decided: from here on the only way is forward, if need be after a restart.
        self.run(stage, &job).map_err(|error| {
            Error::Failed(format!(
                "an install stopped half way, a restart finishes it: {error}"
            ))
        })
    }

    fn unstage(&self, stage: u64) -> Result<()> {
        self.staging.forget(stage)
    }

    /// From the files alone: what is not flushed yet, at most [`RocksConfig::write_buffer_bytes`], is left out.
    fn approximate_bytes(&self, range: &KeyRange) -> Result<u64> {
        let end = upper(range);
        if *range.start >= *end {
            return Ok(0);
        }
        let sizes = self.db.get_approximate_sizes_cf(
            family(&self.db, range.keyspace),
            &[Range::new(&range.start, &end)],
        );
        Ok(sizes.first().copied().unwrap_or(0))
    }

    fn split_sample(&self, range: &KeyRange, count: usize) -> Result<Vec<Bytes>> {
        sample::split_sample(self, range, count)
    }

    fn space(&self) -> Result<Space> {
        file_system_space(&self.dir)
    }
}

/// An end that RocksDB takes: above every key where the range has none.
fn upper(range: &KeyRange) -> Bytes {
    if range.end.is_empty() {
        Bytes::from_static(&[0xff; KEY_BYTES_MAX])
    } else {
        range.end.clone()
    }
}

fn delete_range(db: &Db, batch: &mut WriteBatch, range: &KeyRange) {
    let end = upper(range);
    if *range.start < *end {
        batch.delete_range_cf(family(db, range.keyspace), &range.start[..], &end[..]);
    }
}

/// A full disk that `Room` did not see coming: RocksDB stays in that error until it is opened again (`room`).
fn stuck(error: Error) -> Error {
    match error {
        Error::Full(text) => Error::Failed(format!(
            "the engine stopped at a full disk, a restart replays its log: {text}"
        )),
        other => other,
    }
}

/// RocksDB's errors are texts; their beginning is their kind.
fn store_error(doing: &str, error: rocksdb::Error) -> Error {
    let text = format!("{doing}: {error}");
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt {
            place: "engine".into(),
            detail: text,
        },
        _ if text.contains("No space left on device")
            || text.contains("Disk quota exceeded")
            || text.contains("NoSpace") =>
        {
            Error::Full(text)
        }
        _ => Error::Failed(text),
    }
}

#[cfg(test)]
mod tests;
