//! How large the partitions are that are led here; one that is too large wants to be split where it halves.
//!
//! One partition is measured at a time, each again after a while. What is measured is an estimate of the engine's, so a partition is split
//! somewhat late rather than twice.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Shard;
use super::io::Output;
use crate::ids::GroupId;
use crate::meta::wire::{BeginSplit, Change};
use crate::store::{KeyRange, Keyspace};

/// A partition larger than this is split, unless set.
const BYTES_MAX: u64 = 10 << 30;
/// Pause between two looks at a partition, µs.
const LOOK_US: u64 = 10_000_000;
/// A look that has no answer is given up, µs.
const ANSWER_US: u64 = 60_000_000;
/// Time for the metadata to take a split up, µs.
const SPLIT_US: u64 = 3_000_000;

/// What is known of sizes.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// The look under way, and since when.
    looking: Option<(GroupId, u64)>,
    /// By partition led here: when it was last looked at, and its bytes.
    known: BTreeMap<GroupId, (u64, u64)>,
}

impl Sizes {
    /// Bytes of a partition, about; 0: not known.
    pub fn bytes(&self, group: GroupId) -> u64 {
        self.known.get(&group).map_or(0, |(_, bytes)| *bytes)
    }
}

impl Shard {
    fn bytes_max(&self) -> u64 {
        let settings = self.view.state.cluster.settings.as_ref();
        match settings.map_or(0, |settings| settings.partition_bytes_max) {
            0 => BYTES_MAX,
            set => set,
        }
    }

    /// Looks at the partition that was not looked at for longest.
    pub(super) fn tick_sizes(&mut self) {
        let now = self.now.mono_us;
        if !self.registered
            || self
                .sizes
                .looking
                .is_some_and(|(_, at)| now < at + ANSWER_US)
        {
            return;
        }
        let replicas = &self.replicas;
        let leads = |id: &GroupId| replicas.get(id).is_some_and(|r| r.group.is_leader());
        self.sizes.known.retain(|id, _| leads(id));
        let led = self.replicas.iter().filter(|(_, r)| r.group.is_leader());
        let led = led.filter_map(|(id, r)| Some((*id, r.partition()?)));
        let looked = |id: GroupId| self.sizes.known.get(&id).map_or(0, |(at, _)| *at);
        let Some((id, partition)) = led.min_by_key(|(id, _)| (looked(*id), *id)) else {
            return;
        };
        if looked(id) > 0 && now < looked(id) + LOOK_US {
            return;
        }
        let range = KeyRange {
            keyspace: Keyspace::Data,
            start: partition.state.start.clone(),
            end: partition.state.end.clone(),
        };
        self.sizes.looking = Some((id, now));
        self.out.push(Output::Measure {
            group: id,
            range,
            cut_above: self.bytes_max(),
        });
    }

    /// A partition was measured; with rows that cut it into about equal parts if it is too large.
    pub(super) fn on_measured(&mut self, id: GroupId, bytes: u64, cuts: &[Bytes]) {
        let now = self.now.mono_us;
        self.sizes.looking.take_if(|(looking, _)| *looking == id);
        self.sizes.known.insert(id, (now.max(1), bytes));
        let paused = self
            .view
            .state
            .cluster
            .settings
            .as_ref()
            .is_some_and(|settings| settings.split_paused);
        if bytes <= self.bytes_max() || paused {
            return;
        }
        let leads = self.replicas.get(&id).is_some_and(|r| r.group.is_leader());
        let Some(record) = self.view.group(id).filter(|_| leads) else {
            return;
        };
        // A move is finished first: what it copies would be copied again.
        if record.split.is_some() || !record.target.is_empty() {
            return;
        }
        let middle = cuts.len() / 2;
        let mut nearest: Vec<usize> = (0..cuts.len()).collect();
        nearest.sort_by_key(|cut| cut.abs_diff(middle));
        let at = nearest
            .into_iter()
            .find_map(|cut| self.view.state.split_point(record, &cuts[cut]));
        let Some(at) = at else {
            return;
        };
        let split = BeginSplit {
            group: id.0,
            at,
            range_version: record.range_version,
            member_version: record.member_version,
            ..Default::default()
        };
        self.ask_meta(None, Change::BeginSplit(split), now + SPLIT_US);
    }
}
