//! Power cuts on a real file system: a child process works on a disk of its own, the disk's plug is pulled at some moment, and what is
//! found afterwards must be what the in-memory model allows. Without fsync it must not be: the test can fail.
//!
//! The child is this test binary again. It says `done N` after each step; its steps follow from the seed, so the parent knows them too.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::mount::Disk;
use kv_core::ids::ReplicaId;
use kv_core::store::suite::Choices;
use kv_core::store::suite::{log, store};
use kv_core::store::{Batch, Keyspace, LogStore, LogWrite, RecoveredLog, Result, Store};
use kv_node::storage::{EngineLog, LogConfig, RocksConfig, RocksStore};

const DISK_BYTES: u64 = 256 << 20;
/// So many steps that no child reaches the end.
const STEPS_MAX: u64 = 1_000_000;

const LOG: LogConfig = LogConfig {
    file_bytes: 64 << 10,
    purge_bytes: 256 << 10,
    spare_files: 2,
};
const STORE: RocksConfig = RocksConfig {
    cache_bytes: 1 << 20,
    write_buffer_bytes: 2 << 20,
    background_jobs: 2,
    staged_file_bytes: 200,
};

fn open_log(disk: &Path) -> Result<EngineLog> {
    EngineLog::open(disk.join("log"), &LOG)
}

fn open_store(disk: &Path) -> Result<RocksStore> {
    RocksStore::open(disk.join("engine"), disk.join("staging"), &STORE)
}

/// A log that lies about syncs.
#[derive(Debug)]
struct Unsynced(EngineLog);

impl LogStore for Unsynced {
    fn append(&self, writes: &[LogWrite], _: bool) -> Result<()> {
        self.0.append(writes, false)
    }

    fn recover(&self) -> Result<Vec<RecoveredLog>> {
        self.0.recover()
    }

    fn purge(&self) -> Result<Vec<ReplicaId>> {
        self.0.purge()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

enum LogStep {
    Append(Vec<LogWrite>, bool),
    Purge,
}

fn log_step(model: &mut log::Model, choices: &mut Choices) -> LogStep {
    if choices.one_in(16) {
        LogStep::Purge
    } else {
        LogStep::Append(model.draw(choices), choices.one_in(3))
    }
}

enum StoreStep {
    Write(Batch),
    Flush,
    Install(store::Job),
}

fn store_step(choices: &mut Choices) -> StoreStep {
    match choices.below(24) {
        0 => StoreStep::Flush,
        1 => StoreStep::Install(store::Job::draw(choices)),
        _ => StoreStep::Write(store::draw_batch(choices)),
    }
}

fn work_on_log(log: &impl LogStore, seed: u64) {
    let (mut model, mut choices) = (log::Model::default(), Choices::new(seed));
    for step in 1..=STEPS_MAX {
        match log_step(&mut model, &mut choices) {
            LogStep::Append(writes, sync) => {
                log.append(&writes, sync).expect("append");
                model.append(writes, sync);
            }
            LogStep::Purge => drop(log.purge().expect("purge")),
        }
        done(step);
    }
}

fn work_on_store(store: &impl Store, seed: u64) {
    let mut choices = Choices::new(seed);
    for step in 1..=STEPS_MAX {
        match store_step(&mut choices) {
            StoreStep::Write(batch) => store.write(&batch).expect("write"),
            StoreStep::Flush => store.flush().expect("flush"),
            StoreStep::Install(job) => job.run(store, step),
        }
        done(step);
    }
}

fn done(step: u64) {
    let mut out = std::io::stdout().lock();
    // The parent has what it wanted when it closes the pipe.
    if writeln!(out, "done {step}")
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Not a test by itself: what the children run.
#[test]
fn child() {
    let Ok(work) = std::env::var("POWER_CUT_WORK") else {
        return;
    };
    let mut words = work.split(' ');
    let mut word = || words.next().expect("kind, seed and directory");
    let (kind, seed, dir) = (word(), word().parse().expect("a seed"), word());
    let dir = Path::new(dir);
    match kind {
        "log" => work_on_log(&open_log(dir).expect("open"), seed),
        "log-unsynced" => work_on_log(&Unsynced(open_log(dir).expect("open")), seed),
        _ => work_on_store(&open_store(dir).expect("open"), seed),
    }
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets a child work until `steps` are done, cuts the power and says how many were done by then.
fn cut_after(disk: &mut Disk, kind: &str, seed: u64, steps: u64) -> u64 {
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "power_cut::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(
            "POWER_CUT_WORK",
            format!("{kind} {seed} {}", disk.path().display()),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut worker = Worker(child);
    let out = worker.0.stdout.take().expect("its output");
    let mut finished = BufReader::new(out)
        .lines()
        .map_while(|line| line.ok())
        .filter_map(|line| line.strip_prefix("done ")?.parse::<u64>().ok());
    let mut last = finished
        .by_ref()
        .find(|step| *step >= steps)
        .unwrap_or_else(|| panic!("the child of seed {seed} ended early"));
    disk.cut_power();
    // Whatever it does now fails; the kill only hurries it.
    worker.0.kill().expect("kill");
    last = finished.last().unwrap_or(last);
    drop(worker);
    disk.power_on();
    last
}

/// Whether the log that is found is one that the appends allow; the step under way at the cut may be there or not.
fn log_survived(kind: &str, seed: u64, steps: u64) -> std::result::Result<(), String> {
    let mut disk = Disk::new(DISK_BYTES);
    let finished = cut_after(&mut disk, kind, seed, steps);
    let log = open_log(&disk.path()).map_err(|error| error.to_string())?;
    let found = log.recover().map_err(|error| error.to_string())?;
    let (mut model, mut choices) = (log::Model::default(), Choices::new(seed));
    for step in 1..=finished + 1 {
        if let LogStep::Append(writes, sync) = log_step(&mut model, &mut choices) {
            model.append(writes, sync && step <= finished);
        }
    }
    if !model.crash(&found) {
        return Err(format!(
            "{finished} steps were done, but {} logs are found that no prefix of them gives",
            found.len()
        ));
    }
    let writes = model.draw(&mut choices);
    log.append(&writes, true).map_err(|error| error.to_string())
}

fn store_survived(seed: u64, steps: u64) -> std::result::Result<(), String> {
    let mut disk = Disk::new(DISK_BYTES);
    let finished = cut_after(&mut disk, "store", seed, steps);
    let store = open_store(&disk.path()).map_err(|error| error.to_string())?;
    let mut model = store::Model::default();
    let mut choices = Choices::new(seed);
    for step in 1..=finished + 1 {
        match store_step(&mut choices) {
            StoreStep::Write(batch) => model.write(batch),
            StoreStep::Flush if step <= finished => model.flush(),
            StoreStep::Flush => {}
            StoreStep::Install(job) if step <= finished => model.install(&job),
            StoreStep::Install(job) => model.write(job.as_batch()),
        }
    }
    let found = Keyspace::ALL
        .into_iter()
        .map(|keyspace| store::pairs(&store, &store::everything(keyspace), false))
        .collect();
    if model.crash(&found) {
        Ok(())
    } else {
        Err(format!(
            "{finished} steps were done, no moment after the last flush had what is found"
        ))
    }
}

#[test]
fn synced_appends_survive() {
    for seed in 0..8 {
        let steps = 10 + Choices::new(seed).below(400);
        log_survived("log", seed, steps)
            .unwrap_or_else(|error| panic!("seed {seed}, cut after {steps}: {error}"));
    }
}

#[test]
fn flushed_and_installed_content_survives() {
    for seed in 0..6 {
        let steps = 10 + Choices::new(seed).below(300);
        store_survived(seed, steps)
            .unwrap_or_else(|error| panic!("seed {seed}, cut after {steps}: {error}"));
    }
}

/// The proof that a missing fsync would be seen.
#[test]
fn without_fsync_appends_are_lost() {
    for seed in 0..2 {
        assert!(
            log_survived("log-unsynced", seed, 50).is_err(),
            "seed {seed}: nothing was lost without fsync, so the test proves nothing"
        );
    }
}
