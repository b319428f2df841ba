//! Content on its way in: sorted files that wait in `staging/<stage>/` to be ingested.
//!
//! Invariant: nothing here is visible or outlives a restart, unless a [`Job`](super::job::Job) names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kv_core::store::{Error, Keyspace, Result};
use parking_lot::Mutex;
use rocksdb::{Options, SstFileWriter};

use super::store_error;
use crate::storage::{io_error, sync_dir};

/// All stages of a node.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    file_bytes: usize,
    stages: Mutex<BTreeMap<u64, Stage>>,
}

/// Staged content: files, and what has not filled one yet.
#[derive(Debug, Default)]
pub struct Stage {
    pub files: Vec<(Keyspace, String)>,
    waiting: BTreeMap<Keyspace, Vec<(Bytes, Bytes)>>,
    waiting_bytes: usize,
}

impl Staging {
    pub fn new(dir: PathBuf, file_bytes: usize) -> Staging {
        Staging {
            dir,
            file_bytes,
            stages: Mutex::default(),
        }
    }

    /// Forgets what an earlier process staged.
    pub fn clear(&self) -> Result<()> {
        let cleared = match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&self.dir),
        };
        cleared.map_err(|error| io_error("clearing", &self.dir, &error))
    }

    pub fn folder(&self, stage: u64) -> PathBuf {
        self.dir.join(stage.to_string())
    }

    /// Adds pairs, all of them or none.
    pub fn add(
        &self,
        id: u64,
        pairs: &[(Keyspace, Bytes, Bytes)],
        options: &Options,
    ) -> Result<()> {
        // Out of the map while files are written: stages don't wait for each other.
        let mut stage = self.take(id);
        let lengths: Vec<(Keyspace, usize)> = stage
            .waiting
            .iter()
            .map(|(keyspace, waiting)| (*keyspace, waiting.len()))
            .collect();
        let bytes = stage.waiting_bytes;
        for (keyspace, key, value) in pairs {
            stage
                .waiting
                .entry(*keyspace)
                .or_default()
                .push((key.clone(), value.clone()));
            stage.waiting_bytes += key.len() + value.len();
        }
        let mut added = Ok(());
        if stage.waiting_bytes >= self.file_bytes {
            added = self.write_files(id, &mut stage, options);
            if added.is_err() {
                stage
                    .waiting
                    .retain(|keyspace, _| lengths.iter().any(|(before, _)| before == keyspace));
                for (keyspace, length) in lengths {
                    stage.waiting.entry(keyspace).or_default().truncate(length);
                }
                stage.waiting_bytes = bytes;
            }
        }
        self.give_back(id, stage);
        added
    }

    /// All of a stage in files, durably; empty if the stage is unknown.
    pub fn finish(&self, id: u64, options: &Options) -> Result<Stage> {
        let mut stage = self.take(id);
        if let Err(error) = self.write_files(id, &mut stage, options) {
            self.give_back(id, stage);
            return Err(error);
        }
        if !stage.files.is_empty() {
            let folder = self.folder(id);
            let synced = sync_dir(&folder).and_then(|()| sync_dir(&self.dir));
            synced.map_err(|error| io_error("syncing", &folder, &error))?;
        }
        Ok(stage)
    }

    pub fn give_back(&self, id: u64, stage: Stage) {
        self.stages.lock().insert(id, stage);
    }

    pub fn forget(&self, id: u64) -> Result<()> {
        drop(self.take(id));
        remove(&self.folder(id))
    }

    fn take(&self, id: u64) -> Stage {
        self.stages.lock().remove(&id).unwrap_or_default()
    }

    /// Writes what waits to new files, one a keyspace; none is left behind if one can't be written.
    fn write_files(&self, id: u64, stage: &mut Stage, options: &Options) -> Result<()> {
        if stage.waiting.values().all(Vec::is_empty) {
            return Ok(());
        }
        let folder = self.folder(id);
        fs::create_dir_all(&folder).map_err(|error| io_error("making", &folder, &error))?;
        let mut written = Vec::new();
        for (keyspace, pairs) in stage.waiting.iter().filter(|(_, pairs)| !pairs.is_empty()) {
            let name = format!("{}.sst", stage.files.len() + written.len());
            let path = folder.join(&name);
            written.push((*keyspace, name));
            if let Err(error) = write_file(&path, pairs, options) {
                for (_, name) in &written {
                    // What can't be removed now is removed with the folder.
                    let _ = fs::remove_file(folder.join(name));
                }
                return Err(error);
            }
        }
        stage.files.append(&mut written);
        stage.waiting.clear();
        stage.waiting_bytes = 0;
        Ok(())
    }
}

/// A sorted file, synced.
fn write_file(path: &Path, pairs: &[(Bytes, Bytes)], options: &Options) -> Result<()> {
    let failed = |error| store_error("staging", error);
    let mut writer = SstFileWriter::create(options);
    writer.open(path).map_err(failed)?;
    for (key, value) in pairs {
        writer.put(key, value).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

/// Removes a stage's folder where there is one.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("removing", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Links that RocksDB may take away, so that the files themselves are there for another try.
pub fn link(folder: &Path, names: impl Iterator<Item = String>) -> Result<Vec<PathBuf>> {
    let links = folder.join("link");
    remove(&links)?;
    let failed =
        |error: std::io::Error| Error::Failed(format!("linking in {}: {error}", folder.display()));
    fs::create_dir_all(&links).map_err(failed)?;
    names
        .map(|name| {
            let link = links.join(&name);
            fs::hard_link(folder.join(&name), &link).map_err(failed)?;
            Ok(link)
        })
        .collect()
}
