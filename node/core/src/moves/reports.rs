//! What the leaders of groups told the leader of the metadata. In memory, gone with its leadership, bounded by the nodes and groups there are.

use std::collections::BTreeMap;

use crate::meta::MetaState;
use crate::meta::records::Role;
use crate::meta::wire::{GroupReport, NodeReport};

/// A node that was not heard for so long is down, µs.
pub const DOWN_US: u64 = 5_000_000;
/// What was reported this long ago says nothing about now, µs.
pub const FRESH_US: u64 = 3_500_000;

/// When a node was last heard, and which start of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub at_us: u64,
    pub incarnation: u64,
    /// It gives leadership away, and wants none.
    pub shuns: bool,
    /// Processor time a second, µs.
    pub cpu_us: u64,
}

#[derive(Debug, Default)]
pub struct Reports {
    nodes: BTreeMap<u64, Heard>,
    groups: BTreeMap<u64, (u64, u64, GroupReport)>,
}

impl Reports {
    pub fn clear(&mut self) {
        *self = Reports::default();
    }

    /// Takes a report over; of two about a group the one of the later term counts.
    pub fn take(&mut self, report: NodeReport, state: &MetaState, now_us: u64) {
        let node = report.node;
        if state.nodes.contains_key(&node) {
            self.nodes.insert(
                node,
                Heard {
                    at_us: now_us,
                    incarnation: report.incarnation,
                    shuns: report.shuns,
                    cpu_us: report.cpu_us,
                },
            );
        }
        for group in report.groups {
            let later = self
                .groups
                .get(&group.group)
                .is_none_or(|(_, _, known)| known.term <= group.term);
            if later && state.groups.contains_key(&group.group) {
                self.groups.insert(group.group, (now_us, node, group));
            }
        }
    }

    /// Forgets groups and nodes that are no more.
    pub fn retain(&mut self, state: &MetaState) {
        self.nodes.retain(|id, _| state.nodes.contains_key(id));
        self.groups.retain(|id, _| state.groups.contains_key(id));
    }

    pub fn heard(&self, node: u64) -> Option<Heard> {
        self.nodes.get(&node).copied()
    }

    pub fn shuns(&self, node: u64) -> bool {
        self.heard(node).is_none_or(|heard| heard.shuns)
    }

    /// Node that leads a group and its report, whatever its age.
    pub fn group(&self, group: u64) -> Option<(u64, &GroupReport)> {
        self.groups
            .get(&group)
            .map(|(_, node, report)| (*node, report))
    }

    /// The report of a group's leader, if it is of now.
    pub fn fresh(&self, group: u64, now_us: u64) -> Option<(u64, &GroupReport)> {
        self.groups
            .get(&group)
            .filter(|(at, _, _)| now_us < at + FRESH_US)
            .map(|(_, node, report)| (*node, report))
    }

    pub fn cpu_us(&self) -> BTreeMap<u64, u64> {
        let nodes = self.nodes.iter();
        nodes.map(|(node, heard)| (*node, heard.cpu_us)).collect()
    }

    /// Groups by their leaders: node → how many.
    pub fn leaders(&self) -> BTreeMap<u64, u64> {
        let mut leaders = BTreeMap::new();
        for (_, node, report) in self.groups.values() {
            if report.group != crate::ids::GroupId::META.0 {
                *leaders.entry(*node).or_default() += 1;
            }
        }
        leaders
    }
}

/// How the groups are, as far as their leaders say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Groups of which a voter is missing or far behind.
    pub weakened: u64,
    /// Groups whose leader was not heard lately.
    pub without_quorum: u64,
    /// All groups were heard of.
    pub is_informed: bool,
}

pub fn health(state: &MetaState, reports: &Reports, now_us: u64) -> Health {
    let mut health = Health {
        is_informed: true,
        ..Health::default()
    };
    for group in state.groups.values() {
        health.is_informed &= reports.group(group.id).is_some();
        let Some((_, report)) = reports.fresh(group.id, now_us) else {
            health.without_quorum += 1;
            continue;
        };
        let weak = report
            .members
            .iter()
            .filter(|m| m.role() == Role::Voter)
            .any(|m| !report.healthy.contains(&m.replica));
        health.weakened += u64::from(weak);
    }
    health
}
