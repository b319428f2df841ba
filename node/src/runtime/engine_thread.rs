//! The engine thread: flushes and installations, which take long and end with an fsync.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use kv_core::ids::GroupId;
use kv_core::shard::Input;
use kv_core::store::{Batch, Error, KeyRange, Result, Store};

use super::full::{Patience, RETRY};
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

impl Job {
    /// Does it, and answers whom to tell what.
    fn run(&self, store: &dyn Store) -> Result<(u32, Input)> {
        match self {
            Job::Flush { shard, number } => {
                store.flush().map(|()| (*shard, Input::Flushed(*number)))
            }
            Job::Install {
                shard,
                group,
                stage,
                clear,
                batch,
            } => store
                .install(*stage, clear, batch)
                .map(|()| (*shard, Input::Installed(*group))),
        }
    }
}

/// Runs until all shards have ended.
pub fn run(
    store: &dyn Store,
    jobs: &Receiver<Job>,
    mailboxes: &Mailboxes,
    patience: &Patience,
    fatal: &OnFatal,
) {
    // What a full disk refused waits its turn again: a flush must not stand behind an install that has no room. A shard has one
    // flush under way and one install a group, so this is bounded.
    let mut refused: VecDeque<Job> = VecDeque::new();
    loop {
        let job = if refused.is_empty() {
            match jobs.recv() {
                Ok(job) => job,
                Err(_) => return,
            }
        } else {
            match jobs.recv_timeout(RETRY) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => match refused.pop_front() {
                    Some(job) => job,
                    None => continue,
                },
                // Nobody waits for it any more, and the log still has what was not flushed.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        match job.run(store) {
            // A shard that has ended needs no word.
            Ok((shard, input)) => {
                drop(mailboxes.senders[shard as usize].send(Event::Input(input)));
            }
            Err(Error::Full(why)) => {
                if refused.is_empty() {
                    tracing::error!(%why, "the disk is full: a flush or an install waits for space");
                }
                patience.relieve();
                refused.push_back(job);
            }
            Err(error) => {
                fatal(FatalError::from(error));
                return;
            }
        }
    }
}
