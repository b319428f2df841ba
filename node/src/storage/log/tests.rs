//! The conformance suite over [`EngineLog`] with killed processes, and what is torn against what is corrupt.

use std::fs;
use std::path::{Path, PathBuf};

use kv_core::store::suite::log::{all, entry, write};
use kv_core::store::suite::{Choices, LogBench};
use kv_core::store::{Error, LogStore, LogWrite};
use tempfile::TempDir;

use super::scan::files;
use super::synced::Queue;
use super::{EngineLog, LogConfig};

const SMALL: LogConfig = LogConfig {
    file_bytes: 256 << 10,
    purge_bytes: 1 << 20,
    spare_files: 2,
};

/// Crashes by copying the files while the log is open: what a killed process leaves. Then the tail that no sync covered is cut or
/// torn, as a power cut may do.
struct Killed {
    disks: Vec<TempDir>,
}

impl Killed {
    fn dir(&self) -> PathBuf {
        self.disks.last().expect("a disk").path().join("log")
    }
}

impl LogBench for Killed {
    type Log = EngineLog;

    fn fresh(&mut self) -> EngineLog {
        self.disks = vec![tempfile::tempdir().unwrap()];
        EngineLog::open(self.dir(), &SMALL).unwrap()
    }

    fn crash(&mut self, log: EngineLog, choice: u64) -> EngineLog {
        let next = tempfile::tempdir().unwrap();
        let from = self.dir();
        copy_dir(&from, &next.path().join("log"));
        let synced = log.synced.get().append;
        drop(log);
        self.disks = vec![next];
        damage_tail(&self.dir(), synced.seq, synced.offset, choice);
        EngineLog::open(self.dir(), &SMALL).unwrap()
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Flips, cuts or leaves what lies above the synced end of the last file.
fn damage_tail(dir: &Path, seq: u64, synced: u64, choice: u64) {
    let Some((last, path)) = files(dir, Queue::Append).unwrap().pop() else {
        return;
    };
    if last != seq {
        return;
    }
    let mut bytes = fs::read(&path).unwrap();
    let mut choices = Choices::new(choice);
    let unsynced = (bytes.len() as u64).saturating_sub(synced).min(2000);
    if unsynced == 0 {
        return;
    }
    let at = (synced + choices.below(unsynced)) as usize;
    match choices.below(3) {
        0 => {}
        1 => bytes.truncate(at),
        _ => bytes[at] ^= 0x10,
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn raft_engine_conforms() {
    all(&mut Killed { disks: Vec::new() }, 0..40);
}

fn one(index: u64) -> LogWrite {
    LogWrite {
        entries: vec![entry(index, 1, 100)],
        ..write(1)
    }
}

/// A log of three synced appends and where each of them ends.
fn three(dir: &Path) -> Vec<u64> {
    let log = EngineLog::open(dir, &SMALL).unwrap();
    let mut ends = Vec::new();
    for index in 1..=3 {
        log.append(&[one(index)], true).unwrap();
        ends.push(log.synced.get().append.offset);
    }
    ends
}

fn last_file(dir: &Path) -> PathBuf {
    files(dir, Queue::Append).unwrap().pop().unwrap().1
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn reopen(dir: &Path) -> Result<u64, Error> {
    let logs = EngineLog::open(dir, &SMALL)?.recover()?;
    Ok(logs.first().map_or(0, |log| log.entries.len() as u64))
}

#[test]
fn a_flip_in_any_synced_record_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let ends = three(&log);
    let file = last_file(&log);
    for at in (0..ends[2]).step_by(7) {
        flip(&file, at);
        assert!(
            matches!(reopen(&log), Err(Error::Corrupt { .. })),
            "byte {at} of {}",
            ends[2]
        );
        flip(&file, at);
    }
    assert_eq!(reopen(&log).unwrap(), 3);
}

/// After a power cut the side file may be old. Stamps then tell for all records but those of the last sync.
#[test]
fn without_the_side_file_stamps_tell_for_all_but_the_last_sync() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let ends = three(&log);
    let file = last_file(&log);
    fs::remove_file(log.join("synced")).unwrap();
    flip(&file, ends[0] - 20);
    assert!(matches!(reopen(&log), Err(Error::Corrupt { .. })));
    flip(&file, ends[0] - 20);
    // The second was synced before the third was made, and the third says so.
    flip(&file, ends[1] - 20);
    assert!(matches!(reopen(&log), Err(Error::Corrupt { .. })));
    flip(&file, ends[1] - 20);
    flip(&file, ends[2] - 20);
    assert_eq!(
        reopen(&log).unwrap(),
        2,
        "a flip in the last record looks like a torn write"
    );
}

#[test]
fn unsynced_appends_may_arrive_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = EngineLog::open(&path, &SMALL).unwrap();
    log.append(&[one(1)], true).unwrap();
    let synced = log.synced.get().append.offset;
    log.append(&[one(2)], false).unwrap();
    log.append(&[one(3)], false).unwrap();
    let copy = dir.path().join("copy");
    copy_dir(&path, &copy);
    // The pages of the second append did not arrive, those of the third did.
    flip(&last_file(&copy), synced + 30);
    assert_eq!(
        reopen(&copy).unwrap(),
        1,
        "torn, not corrupt: nothing of it was acknowledged"
    );
}

#[test]
fn lost_files_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = EngineLog::open(&path, &SMALL).unwrap();
    for index in 1..=300 {
        log.append(
            &[LogWrite {
                entries: vec![entry(index, 1, 3000)],
                ..write(1)
            }],
            true,
        )
        .unwrap();
    }
    drop(log);
    let all = files(&path, Queue::Append).unwrap();
    assert!(all.len() > 3);
    for lost in [1, all.len() - 1] {
        let copy = dir.path().join(format!("copy{lost}"));
        copy_dir(&path, &copy);
        fs::remove_file(copy.join(all[lost].1.file_name().unwrap())).unwrap();
        assert!(
            matches!(reopen(&copy), Err(Error::Corrupt { .. })),
            "file {lost} lost"
        );
    }
    let short = dir.path().join("short");
    copy_dir(&path, &short);
    let last = last_file(&short);
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    assert!(
        matches!(reopen(&short), Err(Error::Corrupt { .. })),
        "its end lost"
    );
    assert_eq!(reopen(&path).unwrap(), 300);
}

/// A rotation that a full disk or a crash stopped leaves a file without a header behind the one that is still in use.
#[test]
fn a_file_that_was_being_made_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    three(&path);
    fs::write(path.join("0000000000000002.raftlog"), [0; 10]).unwrap();
    assert_eq!(reopen(&path).unwrap(), 3);
}

#[test]
fn disk_use_is_bounded_while_a_log_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = EngineLog::open(dir.path().join("log"), &SMALL).unwrap();
    for index in 1..=5000_u64 {
        let truncate = (index > 10).then(|| (index - 10, 1));
        log.append(
            &[LogWrite {
                truncate,
                entries: vec![entry(index, 1, 3000)],
                ..write(1)
            }],
            false,
        )
        .unwrap();
        if index % 100 == 0 {
            log.purge().unwrap();
        }
    }
    let bound = SMALL.purge_bytes + (2 + SMALL.spare_files as u64) * SMALL.file_bytes + (1 << 20);
    assert!(
        log.bytes() <= bound,
        "{} bytes, at most {bound}",
        log.bytes()
    );
}
