//! What happens before a disk is full: user writes stop early, and a ballast file gives its space to what recovery needs.
//!
//! ```text
//!   free space   ├──────────── normal ────────────┤ low: refuse user writes ┤ critical: ballast released, no entries ┤ full
//!                                                  max(2 %, 256 MiB)          a quarter of that
//! ```
//! Invariant: while the ballast is away neither users' writes nor, as a follower, their entries are taken, so the space it gave goes
//! to flushes, truncation and metadata only. It is taken back first, and writes are let in again once there is space beside it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use kv_core::store::{Result, Space};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::io_error;

/// Thresholds in bytes and shares of the file system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpaceConfig {
    /// User writes are refused below the larger of these two.
    pub reserve_bytes: u64,
    /// Of the total, 0 to 1.
    pub reserve_share: f64,
    pub ballast_bytes: u64,
}

impl Default for SpaceConfig {
    fn default() -> SpaceConfig {
        SpaceConfig {
            reserve_bytes: 256 << 20,
            reserve_share: 0.02,
            ballast_bytes: 64 << 20,
        }
    }
}

impl SpaceConfig {
    /// Free bytes below which user writes are refused.
    pub fn reserve(&self, total: u64) -> u64 {
        self.reserve_bytes
            .max((total as f64 * self.reserve_share) as u64)
    }
}

/// What the disk has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    Normal,
    /// Only what frees space or keeps the cluster going: flushes, truncation, metadata, deletes of whole partitions.
    RefuseUserWrites,
    /// The ballast is away: the node takes no entries of partitions from their leaders either. What it has is still applied.
    RecoverOnly,
}

impl WriteMode {
    pub fn refuses_writes(self) -> bool {
        self != WriteMode::Normal
    }

    pub fn refuses_entries(self) -> bool {
        self == WriteMode::RecoverOnly
    }
}

/// Watches the file system of a data directory and owns its ballast.
#[derive(Debug)]
pub struct SpaceMonitor {
    dir: PathBuf,
    ballast: PathBuf,
    config: SpaceConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mode: WriteMode,
    ballast_held: bool,
}

impl SpaceMonitor {
    /// Takes the ballast if there is room for it.
    pub fn open(dir: impl Into<PathBuf>, config: SpaceConfig) -> Result<SpaceMonitor> {
        let dir = dir.into();
        let ballast = dir.join("ballast");
        let held = fs::metadata(&ballast).is_ok_and(|found| found.len() == config.ballast_bytes);
        let state = Mutex::new(State {
            mode: WriteMode::Normal,
            ballast_held: held && config.ballast_bytes > 0,
        });
        let monitor = SpaceMonitor {
            dir,
            ballast,
            config,
            state,
        };
        monitor.check()?;
        Ok(monitor)
    }

    /// Measures, releases or takes the ballast, and says what may be written now. To be called every second or so, and by
    /// whoever was answered [`Error::Full`](kv_core::store::Error::Full).
    pub fn check(&self) -> Result<WriteMode> {
        let mut state = self.state.lock();
        let space = self.space()?;
        let (next, step) = judge(&self.config, space, state.ballast_held);
        match step {
            Step::Keep => {}
            Step::Release => self.release(&mut state)?,
            Step::Take => self.take(&mut state)?,
        }
        if next != state.mode {
            tracing::warn!(free = space.free, total = space.total, mode = ?next, "free space of the data directory");
        }
        state.mode = next;
        Ok(next)
    }

    /// What the last check found.
    pub fn mode(&self) -> WriteMode {
        self.state.lock().mode
    }

    pub fn space(&self) -> Result<Space> {
        file_system_space(&self.dir)
    }

    /// Gives the ballast's space up at once: something that must succeed ran into a full disk.
    pub fn release_ballast(&self) -> Result<()> {
        let mut state = self.state.lock();
        self.release(&mut state)?;
        state.mode = WriteMode::RecoverOnly;
        Ok(())
    }

    fn release(&self, state: &mut State) -> Result<()> {
        match fs::remove_file(&self.ballast) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("releasing", &self.ballast, &error));
            }
            _ => state.ballast_held = false,
        }
        tracing::warn!(bytes = self.config.ballast_bytes, "released the ballast");
        Ok(())
    }

    /// The space is allocated, not only promised: a sparse file would be no ballast.
    fn take(&self, state: &mut State) -> Result<()> {
        let taken = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&self.ballast)
            .and_then(|file| {
                fallocate(&file, FallocateFlags::empty(), 0, self.config.ballast_bytes)?;
                file.sync_all()
            });
        match taken {
            Ok(()) => state.ballast_held = true,
            Err(error) => {
                // Part of it would be worse than nothing: it takes space and is not known to.
                let _ = fs::remove_file(&self.ballast);
                if error.kind() != io::ErrorKind::StorageFull {
                    return Err(io_error("taking", &self.ballast, &error));
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Keep,
    Release,
    Take,
}

/// The policy, without the disk.
fn judge(config: &SpaceConfig, space: Space, ballast_held: bool) -> (WriteMode, Step) {
    let reserve = config.reserve(space.total);
    let critical = reserve / 4;
    if ballast_held || config.ballast_bytes == 0 {
        return if space.free < critical && ballast_held {
            (WriteMode::RecoverOnly, Step::Release)
        } else if space.free < critical {
            (WriteMode::RecoverOnly, Step::Keep)
        } else if space.free < reserve {
            (WriteMode::RefuseUserWrites, Step::Keep)
        } else {
            (WriteMode::Normal, Step::Keep)
        };
    }
    // Twice the critical bytes beside it, so that it is not released again at once.
    if space.free < config.ballast_bytes + 2 * critical {
        (WriteMode::RecoverOnly, Step::Keep)
    } else if space.free < reserve + config.ballast_bytes {
        (WriteMode::RefuseUserWrites, Step::Take)
    } else {
        (WriteMode::Normal, Step::Take)
    }
}

/// Bytes that an unprivileged process may use, and of the whole file system.
pub fn file_system_space(dir: &Path) -> Result<Space> {
    let stat = statvfs(dir).map_err(|error| io_error("measuring", dir, &error.into()))?;
    Ok(Space {
        free: stat.f_bavail * stat.f_frsize,
        total: stat.f_blocks * stat.f_frsize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_as_a_table() {
        use Step::*;
        use WriteMode::*;
        let config = SpaceConfig {
            reserve_bytes: 400,
            reserve_share: 0.02,
            ballast_bytes: 100,
        };
        for (free, total, held, expected) in [
            (5000, 10_000, true, (Normal, Keep)),
            (400, 10_000, true, (Normal, Keep)),
            (399, 10_000, true, (RefuseUserWrites, Keep)),
            (100, 10_000, true, (RefuseUserWrites, Keep)),
            (99, 10_000, true, (RecoverOnly, Release)),
            (0, 10_000, true, (RecoverOnly, Release)),
            (199, 10_000, false, (RecoverOnly, Keep)),
            (299, 10_000, false, (RecoverOnly, Keep)),
            (300, 10_000, false, (RefuseUserWrites, Take)),
            (499, 10_000, false, (RefuseUserWrites, Take)),
            (500, 10_000, false, (Normal, Take)),
            // 2 % of the total is more than the least.
            (1999, 100_000, true, (RefuseUserWrites, Keep)),
            (2000, 100_000, true, (Normal, Keep)),
        ] {
            assert_eq!(
                judge(&config, Space { free, total }, held),
                expected,
                "{free} of {total}, held: {held}"
            );
        }
    }

    #[test]
    fn the_ballast_takes_real_space_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let config = SpaceConfig {
            reserve_bytes: 0,
            reserve_share: 0.0,
            ballast_bytes: 1 << 20,
        };
        let monitor = SpaceMonitor::open(dir.path(), config).unwrap();
        let blocks = || {
            fs::metadata(dir.path().join("ballast"))
                .map(|found| std::os::unix::fs::MetadataExt::blocks(&found) * 512)
        };
        assert!(blocks().unwrap() >= 1 << 20);
        monitor.release_ballast().unwrap();
        assert!(blocks().is_err());
        assert_eq!(monitor.mode(), WriteMode::RecoverOnly);
        assert_eq!(monitor.check().unwrap(), WriteMode::Normal);
        assert!(blocks().unwrap() >= 1 << 20);
        drop(monitor);
        assert!(
            SpaceMonitor::open(dir.path(), config)
                .unwrap()
                .state
                .lock()
                .ballast_held
        );
    }

    #[test]
    fn a_disk_below_the_reserve_refuses_user_writes() {
        let dir = tempfile::tempdir().unwrap();
        let config = SpaceConfig {
            reserve_bytes: u64::MAX / 4,
            reserve_share: 0.0,
            ballast_bytes: 1 << 20,
        };
        let monitor = SpaceMonitor::open(dir.path(), config).unwrap();
        assert_eq!(monitor.mode(), WriteMode::RecoverOnly);
        assert!(!dir.path().join("ballast").exists());
    }
}
