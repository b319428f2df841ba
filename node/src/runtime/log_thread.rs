//! The log thread: everything that waits is appended in one go and synced once, whatever shard and group it comes from.

use std::time::Instant;

use crossbeam_channel::Receiver;
use kv_core::shard::Input;
use kv_core::store::{LogStore, LogWrite};

use super::full::Patience;
use super::mailbox::{Event, Mailboxes};
use super::{FatalError, OnFatal};

/// An append of one shard.
pub struct Job {
    pub shard: u32,
    pub number: u64,
    pub writes: Vec<LogWrite>,
    pub sync: bool,
}

/// Appends that go together at most.
const JOBS_MAX: usize = 256;
/// Appends after which truncated files are given back.
const PURGE_EVERY: u64 = 4096;

/// Runs until all shards have ended.
pub fn run(
    log: &dyn LogStore,
    jobs: &Receiver<Job>,
    mailboxes: &Mailboxes,
    patience: &Patience,
    fatal: &OnFatal,
) {
    let mut done = vec![0u64; mailboxes.shards() as usize];
    let mut since_purge = 0;
    let mut writes: Vec<LogWrite> = Vec::new();
    while let Ok(first) = jobs.recv() {
        writes.clear();
        let mut sync = false;
        done.fill(0);
        for job in std::iter::once(first).chain(jobs.try_iter().take(JOBS_MAX - 1)) {
            since_purge += 1;
            sync |= job.sync;
            done[job.shard as usize] = job.number;
            writes.extend(job.writes);
        }
        let began = Instant::now();
        let appended =
            patience.until_there_is_space("an append to the log", || log.append(&writes, sync));
        mailboxes.log_append.observe(began.elapsed().as_secs_f64());
        if let Err(error) = appended {
            // What is on the disk is unknown now: nothing that rests on it may be said.
            fatal(FatalError::from(error));
            return;
        }
        for (shard, number) in done.iter().enumerate().filter(|(_, number)| **number > 0) {
            // A shard that has ended needs no word.
            let _ = mailboxes.senders[shard].send(Event::Input(Input::Appended(*number)));
        }
        if since_purge >= PURGE_EVERY {
            since_purge = 0;
            purge(log, mailboxes);
        }
    }
}

fn purge(log: &dyn LogStore, mailboxes: &Mailboxes) {
    match log.purge() {
        Ok(replicas) if !replicas.is_empty() => {
            for sender in &mailboxes.senders {
                let _ = sender.try_send(Event::Input(Input::WantFlush));
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "old log files could not be given back; it is tried again")
        }
    }
}
