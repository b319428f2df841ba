//! No key is served by two epochs (DESIGN §10.3): at no true moment may two replicas answer strong reads of the same row by themselves,
//! whichever groups they are of, and whatever the ranges of these were before a split.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::ids::GroupId;
use kv_core::partition::command::ReplicaState;

use super::Result;

#[derive(Debug, Clone)]
struct Held {
    start: Bytes,
    end: Bytes,
    range_version: u64,
    /// True µs.
    until: u64,
}

#[derive(Debug, Default)]
pub struct OneEpoch {
    /// By keyspace, then by node and group: what is served there under a lease.
    held: BTreeMap<u64, BTreeMap<(u64, GroupId), Held>>,
}

impl OneEpoch {
    pub fn check(&mut self, node: u64, state: &ReplicaState, at_us: u64, until_us: u64) -> Result {
        let id = (node, state.group());
        let keyspace = self.held.entry(state.table).or_default();
        if until_us <= at_us {
            keyspace.remove(&id);
            return Ok(());
        }
        if let Some(known) = keyspace.get_mut(&id)
            && known.range_version == state.range_version
        {
            // The same rows: whoever else takes them is looked at when it does.
            known.until = until_us;
            return Ok(());
        }
        let mine = Held {
            start: state.start.clone(),
            end: state.end.clone(),
            range_version: state.range_version,
            until: until_us,
        };
        let clash = keyspace.iter().find(|(other, held)| {
            **other != id && held.until > at_us && held.start < mine.end && mine.start < held.end
        });
        if let Some(((other, group), held)) = clash {
            return Err(format!(
                "rows are served twice: by node {other} in group {group} at range version {}, and by node {node} in group {} at range version {}",
                held.range_version, state.group, state.range_version
            ));
        }
        keyspace.insert(id, mine);
        Ok(())
    }

    pub fn forget(&mut self, node: u64) {
        for keyspace in self.held.values_mut() {
            keyspace.retain(|(of, _), _| *of != node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(group: u64, start: &'static str, end: &'static str) -> ReplicaState {
        ReplicaState {
            group,
            start: start.into(),
            end: end.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_parent_that_goes_on_serving_is_caught() {
        let mut epochs = OneEpoch::default();
        epochs.check(1, &state(5, "a", "m"), 0, 100).unwrap();
        epochs.check(2, &state(6, "m", "z"), 0, 100).unwrap();
        assert!(epochs.check(3, &state(7, "l", "n"), 50, 100).is_err());
        epochs.check(3, &state(7, "l", "n"), 100, 200).unwrap();
        epochs.forget(3);
        epochs.check(1, &state(5, "a", "z"), 150, 200).unwrap();
    }
}
