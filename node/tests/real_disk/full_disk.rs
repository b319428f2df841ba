//! A disk that fills up: typed errors, nothing half applied, and the ballast gets the engine and the log going again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::mount::Disk;
use kv_core::store::suite::log::{entry, write};
use kv_core::store::suite::{Choices, store};
use kv_core::store::{Batch, Error, Keyspace, LogStore, LogWrite, Reader, Store};
use kv_node::storage::{
    EngineLog, LogConfig, RocksConfig, RocksStore, SpaceConfig, SpaceMonitor, WriteMode,
};

const SPACE: SpaceConfig = SpaceConfig {
    reserve_bytes: 24 << 20,
    reserve_share: 0.02,
    ballast_bytes: 24 << 20,
};
const LOG: LogConfig = LogConfig {
    file_bytes: 1 << 20,
    purge_bytes: 4 << 20,
    spare_files: 1,
};
const STORE: RocksConfig = RocksConfig {
    cache_bytes: 1 << 20,
    write_buffer_bytes: 8 << 20,
    background_jobs: 2,
    staged_file_bytes: 1 << 20,
};

/// Takes all space that is left.
fn fill(dir: &Path) {
    let mut file = File::create(dir.join("filler")).expect("a file");
    for step in [1 << 20, 4096] {
        while file.write_all(&vec![1; step]).is_ok() {}
    }
    file.sync_all().expect("sync");
}

fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T, Error>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn user_writes_stop_before_the_disk_is_full() {
    let disk = Disk::new(96 << 20);
    let monitor = SpaceMonitor::open(disk.path(), SPACE).expect("monitor");
    assert_eq!(monitor.mode(), WriteMode::Normal);
    let held = disk.path().join("ballast");
    assert!(held.exists());
    fill(&disk.path());
    assert_eq!(monitor.check().expect("check"), WriteMode::RecoverOnly);
    assert!(!held.exists(), "the ballast is given up");
    assert!(monitor.space().expect("space").free >= SPACE.ballast_bytes);
    fs::remove_file(disk.path().join("filler")).expect("remove");
    assert_eq!(monitor.check().expect("check"), WriteMode::Normal);
    assert!(held.exists(), "the ballast is taken back");
}

#[test]
fn a_flush_that_finds_no_space_works_once_the_ballast_is_released() {
    let disk = Disk::new(96 << 20);
    let monitor = SpaceMonitor::open(disk.path(), SPACE).expect("monitor");
    let store = RocksStore::open(
        disk.path().join("engine"),
        disk.path().join("staging"),
        &STORE,
    )
    .expect("open");
    let mut first = Batch::default();
    first.put(Keyspace::Data, "000", "");
    store.write(&first).expect("write");
    fill(&disk.path());
    let mut choices = Choices::new(1);
    let mut kept = 1;
    let refused = loop {
        let mut batch = Batch::default();
        let noise: Vec<u8> = (0..32 << 10)
            .flat_map(|_| choices.draw().to_le_bytes())
            .collect();
        batch.put(Keyspace::Data, format!("{kept:03}"), noise);
        match store.write(&batch) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 500, "the disk is not full");
    };
    assert!(matches!(refused, Error::Full(_)), "{refused:?}");
    let flushed = store.flush();
    assert!(matches!(flushed, Err(Error::Full(_))), "{flushed:?}");
    assert!(
        store.get(Keyspace::Data, b"000").expect("get").is_some(),
        "reads go on"
    );
    monitor.release_ballast().expect("release");
    until("flush", || store.flush());
    let mut batch = Batch::default();
    batch.put(Keyspace::Data, "later", "");
    until("write", || store.write(&batch));
    until("flush", || store.flush());
    drop(store);
    let store = RocksStore::open(
        disk.path().join("engine"),
        disk.path().join("staging"),
        &STORE,
    )
    .expect("open");
    let found = store::pairs(&store, &store::everything(Keyspace::Data), false);
    assert_eq!(
        found.len(),
        kept + 1,
        "what was written is there, what was refused is not"
    );
}

#[test]
fn a_log_that_finds_no_space_takes_nothing_and_goes_on_afterwards() {
    let disk = Disk::new(96 << 20);
    let monitor = SpaceMonitor::open(disk.path(), SPACE).expect("monitor");
    let log = EngineLog::open(disk.path().join("log"), &LOG).expect("open");
    let append = |index: u64| {
        log.append(
            &[LogWrite {
                entries: vec![entry(index, 1, 10_000)],
                ..write(1)
            }],
            true,
        )
    };
    append(1).expect("append");
    fill(&disk.path());
    // What was written ahead takes some more.
    let mut last = 1;
    let refused = loop {
        match append(last + 1) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 10_000, "the disk is not full");
    };
    assert!(matches!(refused, Error::Full(_)), "{refused:?}");
    let found = log.recover().expect("recover");
    assert_eq!(found[0].entries.len() as u64, last);
    monitor.release_ballast().expect("release");
    append(last + 1).expect("append");
    drop(log);
    let log = EngineLog::open(disk.path().join("log"), &LOG).expect("open");
    assert_eq!(
        log.recover().expect("recover")[0].entries.len() as u64,
        last + 1
    );
}
