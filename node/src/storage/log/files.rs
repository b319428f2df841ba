//! The file system that raft-engine writes through: it makes syncs cheap and remembers how far they went.
//!
//! - A file is written over blocks that are there already (zeros ahead of the end, or an old file's content), so that `fdatasync` has
//!   data to write and no metadata: no journal commit an append. Purged files wait as `spare.N` to be written over again.
//! - After each sync the end of what it covered goes to the side file ([`SyncedFile`]).
//! - A failed sync ends the process: the kernel may have dropped the dirty pages, so trying again would lie (Rebello et al.,
//!   "Can Applications Recover from fsync Failures?", ATC 2020).
//! - raft-engine recognises a full disk by the word "nospace" in an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};

use super::scan::parse_name;
use super::synced::{Position, Queue, SyncedFile};

/// Zeros are written ahead in steps of this many bytes.
const ZEROS: &[u8] = &[0; 256 << 10];

/// The files of one log directory.
#[derive(Debug)]
pub struct LogFiles {
    dir: PathBuf,
    synced: Arc<SyncedFile>,
    spares: Mutex<Spares>,
    spares_max: usize,
}

#[derive(Debug, Default)]
struct Spares {
    paths: Vec<PathBuf>,
    next: u64,
}

impl LogFiles {
    /// Spares that a former process left are used again.
    pub fn open(dir: &Path, synced: Arc<SyncedFile>, spares_max: usize) -> io::Result<LogFiles> {
        let mut spares = Spares::default();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(number) = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix("spare.")?.parse::<u64>().ok())
            else {
                continue;
            };
            spares.next = spares.next.max(number + 1);
            if spares.paths.len() < spares_max {
                spares.paths.push(path);
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(LogFiles {
            dir: dir.to_owned(),
            synced,
            spares: Mutex::new(spares),
            spares_max,
        })
    }

    fn handle(&self, path: &Path, file: File) -> io::Result<LogFd> {
        let (seq, queue) = parse_name(path).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no log file", path.display()),
            )
        })?;
        Ok(LogFd {
            file,
            seq,
            queue,
            end: AtomicU64::new(0),
            synced: self.synced.clone(),
        })
    }
}

impl FileSystem for LogFiles {
    type Handle = LogFd;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<LogFd> {
        let path = path.as_ref();
        if let Some((_, Queue::Append)) = parse_name(path)
            && let Some(spare) = self.spares.lock().paths.pop()
        {
            fs::rename(spare, path)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(no_space)?;
        self.handle(path, file)
    }

    fn open<P: AsRef<Path>>(&self, path: P, _: Permission) -> io::Result<LogFd> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        self.handle(path.as_ref(), file)
    }

    /// Names go in order of files, so after a crash those that are left have no gap.
    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let mut spares = self.spares.lock();
        if spares.paths.len() >= self.spares_max {
            return fs::remove_file(path);
        }
        let spare = self.dir.join(format!("spare.{}", spares.next));
        fs::rename(path, &spare)?;
        spares.next += 1;
        spares.paths.push(spare);
        Ok(())
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn new_reader(&self, handle: Arc<LogFd>) -> io::Result<Cursor> {
        Ok(Cursor { handle, offset: 0 })
    }

    fn new_writer(&self, handle: Arc<LogFd>) -> io::Result<Cursor> {
        Ok(Cursor { handle, offset: 0 })
    }
}

/// An open log file.
#[derive(Debug)]
pub struct LogFd {
    file: File,
    seq: u64,
    queue: Queue,
    /// Where the last write ended; 0 before the first.
    end: AtomicU64,
    synced: Arc<SyncedFile>,
}

impl Handle for LogFd {
    /// Follows a write that failed in its middle: what it left doesn't count.
    fn truncate(&self, offset: usize) -> io::Result<()> {
        self.end.fetch_min(offset as u64, Ordering::AcqRel);
        self.file.set_len(offset as u64)
    }

    fn file_size(&self) -> io::Result<usize> {
        Ok(self.file.metadata()?.len() as usize)
    }

    fn sync(&self) -> io::Result<()> {
        let end = self.end.load(Ordering::Acquire);
        if let Err(error) = self.file.sync_data() {
            tracing::error!(%error, "a sync of the log failed: what it covered may be lost, the process ends");
            std::process::abort();
        }
        // The side file is a lower bound: where it can't be written it stays behind.
        if end > 0
            && let Err(error) = self.synced.advance(
                self.queue,
                Position {
                    seq: self.seq,
                    offset: end,
                },
            )
        {
            tracing::warn!(%error, "can't write the synced end of the log");
        }
        Ok(())
    }
}

/// Reads or writes a file from an offset on.
#[derive(Debug)]
pub struct Cursor {
    handle: Arc<LogFd>,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.handle.file.read_at(buf, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Write for Cursor {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self
            .handle
            .file
            .write_at(buf, self.offset)
            .map_err(no_space)?;
        self.offset += count as u64;
        self.handle.end.store(self.offset, Ordering::Release);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.handle.file.metadata()?.len().checked_add_signed(by),
        };
        self.offset = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        self.handle.truncate(offset)?;
        self.offset = offset as u64;
        Ok(())
    }

    /// Writes zeros instead of reserving blocks: a reserved block costs a journal commit at the sync after its first write.
    fn allocate(&mut self, offset: usize, size: usize) -> io::Result<()> {
        let (mut at, end) = (offset as u64, (offset + size) as u64);
        while at < end {
            let step = ZEROS.len().min((end - at) as usize);
            self.handle
                .file
                .write_all_at(&ZEROS[..step], at)
                .map_err(no_space)?;
            at += step as u64;
        }
        Ok(())
    }
}

fn no_space(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            io::Error::new(io::ErrorKind::StorageFull, "nospace")
        }
        _ => error,
    }
}
