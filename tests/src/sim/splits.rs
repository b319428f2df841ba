//! Partitions are split meanwhile: here and there, where snapshots are on their way, and where disks are stuck or answers get lost.

use bytes::Bytes;
use kv_core::ids::GroupId;
use kv_core::meta::View;
use kv_core::meta::records::Group;
use kv_core::meta::wire::{BeginSplit, Change};
use kv_core::shard::Input;

use super::disk::Speed;
use super::schedule::{FAULTS_END_US, Fault};
use super::workload::{ACCOUNT, TABLE};
use super::world::{What, World};

const SECOND: u64 = 1_000_000;
/// Partitions of one table or index up to which it is split.
const PARTITIONS_MAX: usize = 6;
/// Bytes of a row up to the end of its token.
const TOKEN_END: usize = 24;

impl World {
    /// Wants some partition split, and comes again.
    pub(super) fn tend_splits(&mut self) {
        let next = self.at_us + self.random.between(SECOND, 7 * SECOND);
        self.push(next, What::Splits);
        let asked = 1 + self.random.below(self.plan.nodes);
        if !self.bootstrapped || self.at_us > FAULTS_END_US + 4 * SECOND {
            return;
        }
        let view = self.node(asked).view.clone();
        let groups: Vec<&Group> = view.state.groups.values().filter(|g| g.table > 0).collect();
        let pick = self.random.below(groups.len().max(1) as u64) as usize;
        if let Some(group) = groups.get(pick) {
            self.ask_split(asked, &view, group.group());
        }
    }

    /// Asks a node for a split of a partition, at an item or beside one.
    fn ask_split(&mut self, asked: u64, view: &View, id: GroupId) {
        let Some(group) = view.group(id).filter(|g| g.table > 0) else {
            return;
        };
        let partitions = view.state.groups_of(group.table).count();
        if !self.node(asked).is_running() || partitions >= PARTITIONS_MAX {
            return;
        }
        let at = self.split_row(group);
        self.trace.note(self.at_us, &[70, asked, id.0], || {
            format!("somebody asks node {asked} to split {id} at {at:?}")
        });
        self.counts.splits_asked += 1;
        let change = Change::BeginSplit(BeginSplit {
            group: id.0,
            at,
            ..Default::default()
        });
        let deadline_us = self.nodes[asked as usize - 1].clock.mono_us(self.at_us) + 3 * SECOND;
        let input = Input::Meta {
            token: 0,
            change,
            deadline_us,
        };
        self.feed(asked, 0, input);
    }

    /// Of an item's row: itself, the first of its token, or the first of the next; else one in the middle of nowhere.
    fn split_row(&mut self, group: &Group) -> Bytes {
        let inside = |row: &[u8]| &group.start[..] <= row && row < &group.end[..];
        let rows: Vec<Bytes> = self
            .workload
            .keys_in_turn()
            .map(|key| self.workload.row(key, group.table))
            .filter(|row| inside(row))
            .collect();
        let Some(row) = rows.first().filter(|_| self.random.chance(850)) else {
            let mut row = group.table.to_be_bytes().to_vec();
            row.extend_from_slice(&self.random.next_u64().to_be_bytes());
            row.extend_from_slice(&[0; 8]);
            return row.into();
        };
        match self.random.below(10) {
            0..3 => row.clone(),
            3..8 => row.slice(..TOKEN_END),
            _ => {
                let mut next = row[..TOKEN_END].to_vec();
                next.push(0xff);
                next.into()
            }
        }
    }

    /// A partition of the checked table that is led by a running node, and that node.
    fn checked_leader(&mut self, pick: u64) -> Option<(GroupId, u64)> {
        let table = self.nodes.iter().find_map(|node| {
            let table = node.view.state.table_named(ACCOUNT, TABLE);
            table.map(|table| table.id)
        })?;
        let mut led = Vec::new();
        for node in self.nodes.iter().filter(|n| n.is_running()) {
            let groups = node.cells.iter().flat_map(|c| c.shard.inspect());
            let mine = groups.filter(|(g, state)| g.is_leader() && state.table == table);
            led.extend(mine.map(|(g, _)| (g.id, node.id)));
        }
        led.sort_unstable();
        led.get((pick % led.len().max(1) as u64) as usize).copied()
    }

    /// The leader's disk stands still while its partition is split: others apply the split before it does.
    pub(super) fn stuck_split(&mut self, pick: u64, for_us: u64) {
        let Some((group, leader)) = self.checked_leader(pick) else {
            return;
        };
        self.counts.splits_of_stuck_leaders += 1;
        self.node(leader).disk.speed = Speed::STUCK;
        let end = self.at_us + for_us;
        self.push(end, What::Fault(Fault::UsualDisk { node: leader }));
        self.ask_anyone(group, leader);
    }

    /// What the leader says does not reach some node while its partition is split: writes from there are done, and asked for again.
    pub(super) fn mute_split(&mut self, pick: u64, for_us: u64) {
        let Some((group, leader)) = self.checked_leader(pick) else {
            return;
        };
        self.counts.splits_of_mute_leaders += 1;
        let others = self.plan.nodes - 1;
        let to = 1 + (leader - 1 + 1 + (pick >> 32) % others) % self.plan.nodes;
        self.network.cut(leader, to);
        let end = self.at_us + for_us;
        self.push(end, What::Fault(Fault::Mend { from: leader, to }));
        let after = self.random.between(20_000, 900_000);
        self.push(self.at_us + after, What::SplitOf(group));
    }

    /// A node that is down, or hears nobody, while a partition is split on the others.
    pub(super) fn absent_split(&mut self, pick: u64, for_us: u64) {
        let Some((group, leader)) = self.checked_leader(pick) else {
            return;
        };
        let followers = self.followers(group, leader);
        let Some(node) = followers.get((pick >> 33) as usize % followers.len().max(1)) else {
            return;
        };
        let (node, end) = (*node, self.at_us + for_us);
        self.counts.splits_of_absent_followers += 1;
        if pick >> 32 & 1 == 0 {
            self.crash(node);
            self.push(end, What::Fault(Fault::Start { node }));
        } else {
            self.push(self.at_us, What::Fault(Fault::Isolate { node }));
            self.push(end, What::Fault(Fault::Join { node }));
        }
        self.ask_anyone(group, leader);
    }

    pub(super) fn split_of(&mut self, group: GroupId) {
        self.ask_anyone(group, 0);
    }

    fn ask_anyone(&mut self, group: GroupId, rather_not: u64) {
        let running: Vec<u64> = self
            .nodes
            .iter()
            .filter(|n| n.is_running() && n.id != rather_not)
            .map(|n| n.id)
            .collect();
        if let Some(asked) = self.random.pick(&running).copied() {
            let view = self.node(asked).view.clone();
            self.ask_split(asked, &view, group);
        }
    }

    /// A snapshot of a partition sets out: now and then it is split before the snapshot arrives.
    pub(super) fn on_snapshot_opened(&mut self, node: u64, start: &[u8]) {
        if self.healed || !self.random.chance(400) {
            return;
        }
        let view = self.node(node).view.clone();
        let group = view.route(start).map(|route| route.group.group());
        if let Some(group) = group {
            self.counts.splits_over_snapshots += 1;
            self.ask_split(node, &view, group);
        }
    }
}
