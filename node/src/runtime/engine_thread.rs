//! The engine thread: flushes and installations, which take long and end with an fsync.

use crossbeam_channel::Receiver;
use kv_core::ids::GroupId;
use kv_core::shard::Input;
use kv_core::store::{Batch, KeyRange, Store};

use super::mailbox::{Event, Mailboxes};
use super::{FatalError, OnFatal};

/// Work that takes long.
pub enum Job {
    Flush {
        shard: u32,
        number: u64,
    },
    Install {
        shard: u32,
        group: GroupId,
        stage: u64,
        clear: Vec<KeyRange>,
        batch: Batch,
    },
}

/// Runs until all shards have ended.
pub fn run(store: &dyn Store, jobs: &Receiver<Job>, mailboxes: &Mailboxes, fatal: &OnFatal) {
    while let Ok(job) = jobs.recv() {
        let (shard, result) = match job {
            Job::Flush { shard, number } => (shard, store.flush().map(|()| Input::Flushed(number))),
            Job::Install {
                shard,
                group,
                stage,
                clear,
                batch,
            } => (
                shard,
                store
                    .install(stage, &clear, &batch)
                    .map(|()| Input::Installed(group)),
            ),
        };
        match result {
            // A shard that has ended needs no word.
            Ok(input) => drop(mailboxes.senders[shard as usize].send(Event::Input(input))),
            Err(error) => {
                fatal(FatalError::from(error));
                return;
            }
        }
    }
}
