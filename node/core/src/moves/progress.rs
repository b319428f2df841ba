//! How many bytes moves have sent, as the leaders of groups count them.

use std::collections::BTreeMap;

use super::reports::Reports;
use crate::meta::MetaState;

/// Time in which a rate loses most of its weight, µs.
const DECAY_US: u64 = 5_000_000;

/// Kept by the metadata's leader, since the last time that nothing was left to do.
#[derive(Debug, Default)]
pub struct Progress {
    /// By group: the term of its leader, and what that has counted so far.
    known: BTreeMap<u64, (u64, u64)>,
    at_us: u64,
    pub done: u64,
    /// Bytes a second.
    pub rate: f64,
}

impl Progress {
    /// Nothing is left to do: what comes is counted anew.
    pub fn begin(&mut self) {
        (self.done, self.rate) = (0, 0.0);
    }

    pub fn update(&mut self, state: &MetaState, reports: &Reports, now_us: u64) {
        self.known.retain(|id, _| state.groups.contains_key(id));
        let mut gained = 0;
        for id in state.groups.keys() {
            let Some((_, report)) = reports.fresh(*id, now_us) else {
                continue;
            };
            let (term, moved) = (report.term, report.moved_bytes);
            match self.known.insert(*id, (term, moved)) {
                Some((known, before)) if known == term => gained += moved.saturating_sub(before),
                // A leader counts what it sends itself.
                _ => gained += moved,
            }
        }
        self.done += gained;
        let past = now_us.saturating_sub(std::mem::replace(&mut self.at_us, now_us));
        if past > 0 {
            let weight = past as f64 / (past + DECAY_US) as f64;
            self.rate += (gained as f64 * 1e6 / past as f64 - self.rate) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::records::Group;
    use crate::meta::wire::{GroupReport, NodeReport};

    #[test]
    fn what_each_leader_sends_is_counted_once() {
        let mut state = MetaState::default();
        let group = Group {
            id: 7,
            ..Default::default()
        };
        state.groups.insert(7, group);
        let (mut reports, mut progress) = (Reports::default(), Progress::default());
        for (second, (term, moved_bytes)) in [(1, 0), (1, 500), (1, 500), (2, 300), (2, 900)]
            .into_iter()
            .enumerate()
        {
            let now_us = (second as u64 + 1) * 1_000_000;
            let report = GroupReport {
                group: 7,
                term,
                moved_bytes,
                ..Default::default()
            };
            let report = NodeReport {
                groups: vec![report],
                ..Default::default()
            };
            reports.take(report, &state, now_us);
            progress.update(&state, &reports, now_us);
        }
        assert_eq!(progress.done, 1400);
        assert!(progress.rate > 100.0, "{}", progress.rate);
        progress.begin();
        assert_eq!(progress.done, 0);
    }
}
