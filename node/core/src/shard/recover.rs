//! A shard's start: from what the engine and the logs hold to running replicas.
//!
//! The engine may be behind the log by whatever was not flushed; committed entries are applied again. Of a replica whose state was
//! never flushed the log's first entry tells how it began.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::feeder::Feeder;
use super::gateway::Gateway;
use super::groups::{Machine, intents_of, metadata_of, requests_of};
use super::metadata::Metadata;
use super::snapshots::{Receivers, Senders};
use super::transactions::Coordinator;
use super::{Config, Counts, Shard};
use crate::consensus::GroupLog;
use crate::ids::{GroupId, NodeId, ReplicaId};
use crate::meta::{MetaState, View};
use crate::partition::command::{Command, Do, ReplicaState, content};
use crate::partition::{Mood, Partition};
use crate::store::{self, KeyRange, Keyspace, LogWrite, Reader, RecoveredLog};
use crate::time::Now;
use crate::wire::shard_of;

/// Why a shard can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the engine can't be read")]
    Store(#[from] store::Error),
    #[error("a replica's state can't be decoded")]
    State(#[from] prost::DecodeError),
}

impl Shard {
    /// An empty shard.
    fn empty(config: Config, now: Now) -> Shard {
        Shard {
            version: config.version,
            config,
            now,
            last_tick: now.mono_us,
            ticks: 0,
            steps: 0,
            replicas: BTreeMap::new(),
            orphans: BTreeMap::new(),
            buried: None,
            remains: BTreeMap::new(),
            view: Arc::new(View::default()),
            registered: false,
            gateway: Gateway::default(),
            meta_pending: BTreeMap::new(),
            meta_hint: None,
            registering: false,
            followed: MetaState::default(),
            senders: Senders::default(),
            receivers: Receivers::default(),
            next_request: 0,
            next_read: 0,
            append: 0,
            flush: 0,
            flushing: None,
            flushed_at: now.mono_us,
            want_flush: false,
            flushed_applied: 0,
            leaving: BTreeMap::new(),
            splitting: Default::default(),
            sizes: Default::default(),
            heats: Default::default(),
            cpu_us: 0,
            begun: false,
            awaiting: BTreeMap::new(),
            mood: Mood::default(),
            forwarded: BTreeMap::new(),
            replays: Default::default(),
            clocks: BTreeMap::new(),
            handing_over: false,
            feeder: Feeder::default(),
            coordinator: Coordinator::default(),
            counts: Counts::default(),
            dirty: Default::default(),
            local: Default::default(),
            writes: Vec::new(),
            wrote: Default::default(),
            sync: false,
            frames: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Starts a shard from what is on the disk. All shards of a node get all logs, and take their own.
    pub fn start(
        config: Config,
        store: &dyn Reader,
        logs: &[RecoveredLog],
        now: Now,
    ) -> Result<Shard, Error> {
        let mut shard = Shard::empty(config, now);
        let mut states = read_states(store)?;
        for log in logs {
            if log.base == store::LEFT {
                shard.buried = shard.buried.max(Some(log.replica));
                continue;
            }
            let state = states.remove(&log.replica);
            let genesis = || {
                log.entries
                    .first()
                    .filter(|e| e.index == 1)
                    .and_then(|e| Command::decode_entry(&e.data))
            };
            let group = match (&state, genesis()) {
                (Some(state), _) => Some(state.group()),
                (
                    None,
                    Some(Command {
                        what: Some(Do::Genesis(genesis)),
                        ..
                    }),
                ) => Some(genesis.group()),
                (None, _) => None,
            };
            match (group, state) {
                (Some(group), _) if !shard.owns(group) => {}
                (Some(_), Some(state)) => shard.resume(state, log, store)?,
                (Some(_), None) => {
                    shard.begin_from_genesis(
                        log.replica,
                        log.entries.clone(),
                        log.hard_state.clone(),
                        true,
                    );
                }
                (None, _) => drop(shard.orphans.insert(log.replica, log.clone())),
            }
        }
        for state in states.into_values() {
            if !shard.owns(state.group()) {
                continue;
            }
            let is_buried = shard.buried >= Some(ReplicaId(state.replica));
            if state.group() == GroupId::META && state.applied_index == 1 && !is_buried {
                // Bootstrap was cut off between the state and the log: the log never existed, so nothing was promised.
                let write = LogWrite {
                    replica: ReplicaId(state.replica),
                    reset: Some((1, 1)),
                    ..Default::default()
                };
                let hard_state = raft::eraftpb::HardState {
                    term: 1,
                    commit: 1,
                    ..Default::default()
                };
                shard.writes.push(LogWrite {
                    hard_state: Some(hard_state),
                    ..write
                });
                shard.sync = true;
                let metadata = metadata_of(&rows(store, &content(&state))?);
                shard.begin_metadata(state, metadata, false);
            } else if state.born > 0
                && state.born == state.applied_index
                && !shard.replicas.contains_key(&state.group())
            {
                let kept = rows(store, &kept_ranges(&state))?;
                shard.begin_child(state, requests_of(&kept), intents_of(&kept));
            } else {
                shard.remains.insert(state.group(), state);
            }
        }
        shard.publish_own_metadata();
        // A lone voter need not wait for anyone.
        let lone: Vec<GroupId> = shard
            .replicas
            .iter()
            .filter(|(_, r)| r.group.voters() == [r.group.replica.0])
            .map(|(id, _)| *id)
            .collect();
        for id in lone {
            if let Some(replica) = shard.replicas.get_mut(&id) {
                replica.group.campaign();
            }
        }
        Ok(shard)
    }

    fn owns(&self, group: GroupId) -> bool {
        shard_of(group, self.config.shards) == self.config.shard
    }

    /// A replica with state in the engine and a log.
    fn resume(
        &mut self,
        state: ReplicaState,
        recovered: &RecoveredLog,
        store: &dyn Reader,
    ) -> Result<(), Error> {
        let applied = (state.applied_index, state.applied_term);
        let RecoveredLog {
            replica,
            hard_state,
            base,
            entries,
        } = recovered.clone();
        let term_of = |index: u64| {
            if index == base.0 {
                Some(base.1)
            } else {
                entries.iter().find(|e| e.index == index).map(|e| e.term)
            }
        };
        let last = base.0 + entries.len() as u64;
        let mut hard_state = hard_state;
        let log =
            if applied.0 > last || applied.0 >= base.0 && term_of(applied.0) != Some(applied.1) {
                // The engine holds a snapshot whose log was not begun anew before the crash.
                hard_state.commit = applied.0;
                hard_state.term = hard_state.term.max(applied.1);
                self.writes.push(LogWrite {
                    replica,
                    reset: Some(applied),
                    hard_state: Some(hard_state.clone()),
                    ..Default::default()
                });
                self.sync = true;
                GroupLog::new(applied, Vec::new(), hard_state, state.conf_state(), applied)
            } else if applied.0 < base.0 {
                let why = format!(
                    "the log of group {} begins at {}, but the engine has applied only up to {}",
                    state.group,
                    base.0 + 1,
                    applied.0
                );
                self.out
                    .push(super::Output::Fatal(super::Fatal::Inconsistent(why)));
                return Ok(());
            } else {
                hard_state.commit = hard_state.commit.clamp(applied.0, last);
                GroupLog::new(base, entries, hard_state, state.conf_state(), applied)
            };
        let id = state.group();
        let places = state
            .places
            .iter()
            .map(|p| (ReplicaId(p.replica), NodeId(p.node)))
            .collect();
        let machine = if id == GroupId::META {
            let metadata = metadata_of(&rows(store, &content(&state))?);
            Machine::Metadata(Box::new(Metadata::new(state, metadata)))
        } else {
            let kept = rows(store, &kept_ranges(&state))?;
            let mut partition = Partition::new(state);
            partition.requests = requests_of(&kept);
            partition.intents = intents_of(&kept);
            Machine::Partition(Box::new(partition))
        };
        self.add_replica(id, replica, log, places, true, machine);
        Ok(())
    }
}

/// Where the requests are that a replica remembers.
fn kept_ranges(state: &ReplicaState) -> Vec<KeyRange> {
    content(state)
        .into_iter()
        .filter(|range| range.keyspace == Keyspace::State)
        .collect()
}

/// The states of all replicas in the engine.
pub(super) fn read_states(store: &dyn Reader) -> Result<BTreeMap<ReplicaId, ReplicaState>, Error> {
    let range = KeyRange {
        keyspace: Keyspace::State,
        start: Bytes::from_static(b"r"),
        end: Bytes::from_static(b"s"),
    };
    let mut states = BTreeMap::new();
    let mut bad = None;
    store.scan(
        &range,
        false,
        &mut |_, value| match ReplicaState::decode(value) {
            Ok(state) => {
                states.insert(ReplicaId(state.replica), state);
                true
            }
            Err(error) => {
                bad = Some(error);
                false
            }
        },
    )?;
    bad.map_or(Ok(states), |error| Err(error.into()))
}

fn rows(store: &dyn Reader, ranges: &[KeyRange]) -> Result<Vec<(Keyspace, Bytes, Bytes)>, Error> {
    let mut out = Vec::new();
    for range in ranges {
        store.scan(range, false, &mut |key, value| {
            out.push((
                range.keyspace,
                Bytes::copy_from_slice(key),
                Bytes::copy_from_slice(value),
            ));
            true
        })?;
    }
    Ok(out)
}
