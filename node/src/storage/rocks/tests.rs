//! The conformance suite over [`RocksStore`] with crashes, interrupted installs and damaged files.

use std::fs;
use std::path::{Path, PathBuf};

use kv_core::store::suite::store::{
    Job as RandomJob, Model, all, draw_batch, everything, pairs, range,
};
use kv_core::store::suite::{Choices, StoreBench};
use tempfile::TempDir;

use super::*;

const SMALL: RocksConfig = RocksConfig {
    cache_bytes: 4 << 20,
    write_buffer_bytes: 8 << 20,
    background_jobs: 2,
    staged_file_bytes: 100,
};

fn open(dir: &Path) -> RocksStore {
    RocksStore::open(dir.join("engine"), dir.join("staging"), &SMALL).unwrap()
}

/// Closing flushes nothing, so to close and open is what a killed process does.
struct Killed {
    disks: Vec<TempDir>,
    paths: u64,
}

impl StoreBench for Killed {
    type Store = RocksStore;

    fn fresh(&mut self) -> RocksStore {
        self.disks = vec![tempfile::tempdir().unwrap()];
        open(self.disks[0].path())
    }

    fn crash(&mut self, store: RocksStore, _: u64) -> RocksStore {
        drop(store);
        open(self.disks[0].path())
    }

    fn unused_path(&mut self, _: &RocksStore) -> PathBuf {
        self.paths += 1;
        self.disks[0]
            .path()
            .join(format!("checkpoint{}", self.paths))
    }

    fn open_checkpoint(&mut self, _: &RocksStore, dir: &Path) -> RocksStore {
        RocksStore::open(dir, dir.with_extension("staging"), &SMALL).unwrap()
    }
}

#[test]
fn rocksdb_conforms() {
    all(
        &mut Killed {
            disks: Vec::new(),
            paths: 0,
        },
        0..12,
    );
}

/// Runs an install up to the flushed record and stops there, as a crash would.
fn decide(store: &RocksStore, stage: u64, clear: &[KeyRange], batch: &Batch) -> Job {
    let staged = store.staging.finish(stage, &store.options).unwrap();
    let job = Job {
        files: staged.files,
        clear: clear.to_vec(),
        batch: batch.clone(),
    };
    store
        .db
        .put_cf_opt(
            jobs(&store.db),
            stage.to_be_bytes(),
            job.encode(),
            &options::write(),
        )
        .unwrap();
    store.flush().unwrap();
    job
}

#[test]
fn an_install_that_was_decided_is_finished_at_open_wherever_it_stopped() {
    for stopped in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut old = Batch::default();
        old.put(Keyspace::Data, "m", "old");
        old.put(Keyspace::Data, "z", "old");
        store.write(&old).unwrap();
        let pairs_in = [
            (Keyspace::Data, "n".into(), "new".into()),
            (Keyspace::ChangeLog, "c".into(), "new".into()),
        ];
        store.stage(5, &pairs_in).unwrap();
        let clear = [
            range(Keyspace::Data, "a", "p"),
            range(Keyspace::ChangeLog, "a", "p"),
        ];
        let mut batch = Batch::default();
        batch.put(Keyspace::State, "applied", "1");
        let job = decide(&store, 5, &clear, &batch);
        if stopped >= 1 {
            // One of two families was ingested already, and its links are gone.
            let links = stage::link(
                &store.staging.folder(5),
                job.files
                    .iter()
                    .filter(|f| f.0 == Keyspace::Data)
                    .map(|f| f.1.clone()),
            )
            .unwrap();
            store
                .db
                .ingest_external_file_cf_opts(
                    family(&store.db, Keyspace::Data),
                    &options::ingest(),
                    links,
                )
                .unwrap();
        }
        if stopped >= 2 {
            let mut last = WriteBatch::default();
            last.delete_cf(jobs(&store.db), 5_u64.to_be_bytes());
            store.write_batch(last).unwrap(); // not flushed
        }
        drop(store);
        let store = open(dir.path());
        let keys: Vec<_> = pairs(&store, &everything(Keyspace::Data), false)
            .into_iter()
            .map(|pair| pair.0)
            .collect();
        assert_eq!(keys, ["n", "z"], "stopped at {stopped}");
        assert_eq!(
            pairs(&store, &everything(Keyspace::ChangeLog), false).len(),
            1
        );
        assert!(store.get(Keyspace::State, b"applied").unwrap().is_some());
        assert_eq!(fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
        // Done once and for all: what comes later stays.
        let mut later = Batch::default();
        later.put(Keyspace::Data, "n", "later");
        store.write(&later).unwrap();
        store.flush().unwrap();
        drop(store);
        assert_eq!(
            open(dir.path()).get(Keyspace::Data, b"n").unwrap().unwrap(),
            "later"
        );
    }
}

/// Installs, writes and crashes against the model, with enough data that the engine flushes and compacts by itself.
#[test]
fn large_random_runs_stay_consistent() {
    let dir = tempfile::tempdir().unwrap();
    let mut choices = Choices::new(77);
    let mut model = Model::default();
    let mut store = open(dir.path());
    for round in 0..6 {
        for _ in 0..40 {
            let mut batch = draw_batch(&mut choices);
            batch.put(
                Keyspace::Data,
                format!("big{}", choices.below(20)),
                vec![round as u8; 100_000],
            );
            store.write(&batch).unwrap();
            model.write(batch);
        }
        let job = RandomJob::draw(&mut choices);
        job.run(&store, round);
        model.install(&job);
        drop(store);
        store = open(dir.path());
        let found = Keyspace::ALL
            .into_iter()
            .map(|keyspace| pairs(&store, &everything(keyspace), false))
            .collect();
        assert!(model.crash(&found), "round {round}");
    }
}

#[test]
fn a_flipped_byte_in_a_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut batch = Batch::default();
    for i in 0..500 {
        batch.put(Keyspace::Data, format!("{i:04}"), vec![i as u8; 200]);
    }
    store.write(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    let sst = fs::read_dir(dir.path().join("engine"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let largest = sst
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let store = open(dir.path());
    let scanned = store.scan(&everything(Keyspace::Data), false, &mut |_, _| true);
    assert!(matches!(scanned, Err(Error::Corrupt { .. })), "{scanned:?}");
    let bad = (0..500)
        .filter(|i| {
            matches!(
                store.get(Keyspace::Data, format!("{i:04}").as_bytes()),
                Err(Error::Corrupt { .. })
            )
        })
        .count();
    assert!(
        bad > 0 && bad < 500,
        "{bad} of 500 keys lie in the bad block"
    );
}

#[test]
fn lost_files_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut batch = Batch::default();
    batch.put(Keyspace::Data, "a", "b");
    store.write(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    for entry in fs::read_dir(dir.path().join("engine")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "sst") {
            fs::remove_file(path).unwrap();
        }
    }
    let opened = RocksStore::open(
        dir.path().join("engine"),
        dir.path().join("staging"),
        &SMALL,
    );
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
}
