//! Replicas that have applied the same index hold the same state (state machine replication, Schneider 1990): data, change log and
//! remembered requests, byte for byte.

use std::collections::BTreeMap;

use kv_core::ids::GroupId;
use kv_core::partition::command::{ReplicaState, content, replica_key};
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{Keyspace, Reader};
use prost::Message as _;

use super::Result;

#[derive(Debug, Default)]
pub struct SameState {
    /// By group and applied index: (a checksum, the node that was seen with it).
    sums: BTreeMap<(GroupId, u64), u32>,
}

impl SameState {
    pub fn check(&mut self, shard: &Shard, store: &MemoryStore) -> Result {
        for (group, state) in shard.inspect() {
            if group.is_installing() || !group.is_initialised() || state.applied_index <= 1 {
                continue;
            }
            // The engine must hold what the shard believes that it has applied.
            let row = store
                .get(Keyspace::State, &replica_key(group.id, group.replica))
                .map_err(|e| e.to_string())?;
            let stored = row.and_then(|row| ReplicaState::decode(row).ok());
            if stored.as_ref() != Some(state) {
                let stored = stored.map(|s| s.applied_index);
                return Err(format!(
                    "replica {} of group {} has applied {}, and its engine {stored:?}",
                    group.replica, group.id, state.applied_index
                ));
            }
            let sum = checksum(state, store)?;
            let known = *self
                .sums
                .entry((group.id, state.applied_index))
                .or_insert(sum);
            if known != sum {
                return Err(format!(
                    "two replicas of group {} that have applied {} hold different state (replica {})",
                    group.id, state.applied_index, group.replica
                ));
            }
        }
        Ok(())
    }
}

fn checksum(state: &ReplicaState, store: &MemoryStore) -> std::result::Result<u32, String> {
    let mut sum = crc32fast::Hasher::new();
    let common = ReplicaState {
        replica: 0,
        ..state.clone()
    };
    sum.update(&common.encode_to_vec());
    for range in content(state) {
        let read = store.scan(&range, false, &mut |key, value| {
            sum.update(&(key.len() as u32).to_be_bytes());
            sum.update(key);
            sum.update(value);
            true
        });
        read.map_err(|error| error.to_string())?;
    }
    Ok(sum.finalize())
}
