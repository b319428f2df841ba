//! How other threads reach the shards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, TrySendError};
use kv_core::api::{Answer, Caller, Error, Operation};
use kv_core::ids::{GroupId, NodeId};
use kv_core::meta::View;
use kv_core::meta::wire::{Change, Outcome};
use kv_core::shard::io::{Transact, TransactError, TransactRead, Transacted};
use kv_core::shard::{Input, MetaError, Shard};
use kv_core::wire::shard_of;
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{oneshot, watch};

use super::clock::Clock;

/// What a shard thread is told.
pub enum Event {
    Input(Input),
    Request {
        caller: Caller,
        operation: Operation,
        deadline_us: u64,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    Meta {
        change: Change,
        deadline_us: u64,
        reply: oneshot::Sender<Result<Outcome, MetaError>>,
    },
    /// The token is the shard thread's to give.
    Transact(Transact, oneshot::Sender<TransactResult>),
    TransactRead(TransactRead, oneshot::Sender<TransactResult>),
    /// Looks at the shard.
    Inspect(Box<dyn FnOnce(&Shard) + Send>),
    Stop,
}

pub type TransactResult = Result<Transacted, TransactError>;

/// The way to the shards, and what they publish.
pub struct Mailboxes {
    pub node: NodeId,
    pub(super) senders: Vec<Sender<Event>>,
    pub view: ArcSwap<View>,
    /// Revision of the view, to wait for.
    pub revision: watch::Sender<u64>,
    pub clock: Clock,
    pub(super) refuse_writes: AtomicBool,
    pub(super) suspects: Mutex<BTreeSet<NodeId>>,
    /// Time that appends to the log took, fsync included.
    pub log_append: Histogram,
    pub(super) refuse_entries: AtomicBool,
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes")
            .field("node", &self.node)
            .field("shards", &self.senders.len())
            .finish_non_exhaustive()
    }
}

/// The shard takes nothing more at present.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too much waits for this shard")]
pub struct Full;

impl Mailboxes {
    pub fn shards(&self) -> u32 {
        self.senders.len() as u32
    }

    /// To the shard that owns a group.
    pub fn to_group(&self, group: GroupId, event: Event) -> Result<(), Full> {
        self.to_shard(shard_of(group, self.shards()), event)
    }

    pub fn to_shard(&self, shard: u32, event: Event) -> Result<(), Full> {
        self.senders[shard as usize % self.senders.len()]
            .try_send(event)
            .map_err(|_| Full)
    }

    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Asks every shard something; shards that have ended don't answer.
    pub async fn inspect<T: Send + 'static>(
        &self,
        ask: impl Fn(&Shard) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let mut answers = Vec::new();
        for shard in 0..self.shards() {
            let (sender, receiver) = oneshot::channel();
            let ask = ask.clone();
            let look = Event::Inspect(Box::new(move |shard| drop(sender.send(ask(shard)))));
            if self.to_shard(shard, look).is_ok() {
                if let Ok(answer) = receiver.await {
                    answers.push(answer);
                }
            }
        }
        answers
    }

    /// Tells all shards that the disk is nearly full, or no longer. Never waits: a shard that takes nothing now, since it waits for
    /// space itself, is told by the next call.
    pub fn refuse_writes(&self, refuse: bool) {
        self.tell_all(&self.refuse_writes, refuse, Input::RefuseWrites);
    }

    /// Tells all shards that the disk has no more than what recovery needs, or more again. Never waits either.
    pub fn refuse_entries(&self, refuse: bool) {
        self.tell_all(&self.refuse_entries, refuse, Input::RefuseEntries);
    }

    fn tell_all(&self, told: &AtomicBool, refuse: bool, input: fn(bool) -> Input) {
        if told.swap(refuse, Ordering::Relaxed) == refuse {
            return;
        }
        for sender in &self.senders {
            if let Err(TrySendError::Full(_)) = sender.try_send(Event::Input(input(refuse))) {
                told.store(!refuse, Ordering::Relaxed);
            }
        }
    }

    /// Tells all shards which nodes seem to be away, if that has changed.
    pub fn suspect(&self, suspects: BTreeSet<NodeId>) {
        let mut known = self.suspects.lock();
        if *known == suspects {
            return;
        }
        tracing::info!(nodes = ?suspects.iter().map(|node| node.0).collect::<Vec<_>>(), "suspected to be away");
        for shard in 0..self.shards() {
            // It is a hint: a shard that is too busy goes on without.
            let _ = self.to_shard(shard, Event::Input(Input::Suspects(suspects.clone())));
        }
        *known = suspects;
    }

    /// Events that wait for the shards.
    pub fn waiting(&self) -> usize {
        self.senders.iter().map(Sender::len).sum()
    }

    /// Whether the node was told to refuse users' writes.
    pub fn refuses_writes(&self) -> bool {
        self.refuse_writes.load(Ordering::Relaxed)
    }

    /// Waits until the view is at a revision, or until the deadline.
    pub async fn wait_for(&self, revision: u64, deadline: std::time::Instant) -> bool {
        let mut receiver = self.revision.subscribe();
        let reached = receiver.wait_for(|now| *now >= revision);
        matches!(
            tokio::time::timeout_at(deadline.into(), reached).await,
            Ok(Ok(_))
        )
    }
}
