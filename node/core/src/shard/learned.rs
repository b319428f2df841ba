//! What a gateway has learned from partitions about themselves before the metadata told it.
//!
//! A partition that was split answers an old route with its record and its child's. They are used at once, and forgotten when the view is as
//! new.

use std::collections::BTreeMap;

use crate::ids::{GroupId, NodeId};
use crate::meta::View;
use crate::meta::records::Group;

/// Records kept; a node learns the metadata within a fraction of a second, and with them all that happened meanwhile.
const RECORDS_MAX: usize = 256;

/// Where a row is served, as far as known.
#[derive(Debug)]
pub(super) struct Way {
    pub group: Group,
    pub leader: Option<NodeId>,
}

#[derive(Debug, Default)]
pub(super) struct Learned {
    /// With the leader as far as known.
    records: BTreeMap<GroupId, (Group, Option<NodeId>)>,
}

fn is_newer(record: &Group, view: &View) -> bool {
    match view.group(record.group()) {
        Some(known) => record.range_version > known.range_version,
        None => record.id >= view.state.cluster.next_group || is_wanted(record.id, view),
    }
}

/// Whether a split is wanted that makes this group; without one it is a group of the past.
fn is_wanted(child: u64, view: &View) -> bool {
    let mut groups = view.state.groups.values();
    groups.any(|g| g.split.as_ref().is_some_and(|split| split.child == child))
}

impl Learned {
    /// The way to a row of a table; `back`: to the last row before it.
    pub fn way(&self, view: &View, table: u64, row: &[u8], back: bool) -> Option<Way> {
        let holds = |group: &Group| {
            let (start, end) = (&group.start[..], &group.end[..]);
            match back {
                true => start < row && row <= end,
                false => start <= row && row < end,
            }
        };
        let route = match back {
            true => view.route_before(row),
            false => view.route(row),
        };
        let route = route.filter(|route| route.group.table == table);
        let learned = self
            .records
            .values()
            .filter(|(group, _)| group.table == table && holds(group))
            .max_by_key(|(group, _)| group.range_version)
            .filter(|(group, _)| {
                route.is_none_or(|route| route.group.range_version < group.range_version)
            });
        match (learned, route) {
            (Some((group, leader)), _) => Some(Way {
                group: group.clone(),
                leader: *leader,
            }),
            (None, Some(route)) => Some(Way {
                group: route.group.clone(),
                leader: route.ticket.leader(),
            }),
            (None, None) => None,
        }
    }

    /// Takes records over that the view does not know; returns whether there were any. Who told is likely to lead them.
    pub fn learn(&mut self, view: &View, records: Vec<Group>, from: NodeId) -> bool {
        let mut news = false;
        for record in records {
            let id = record.group();
            let known = self.records.get(&id);
            let older = known.is_none_or(|(known, _)| known.range_version < record.range_version);
            if record.table == 0 || !is_newer(&record, view) {
                continue;
            }
            // Known already, but not to whoever asked by the older route.
            news = true;
            if !older {
                continue;
            }
            if self.records.len() >= RECORDS_MAX && known.is_none() {
                self.records.pop_first();
            }
            self.records.insert(id, (record, Some(from)));
        }
        news
    }

    pub fn leader(&self, view: &View, group: GroupId) -> Option<NodeId> {
        match self.records.get(&group) {
            Some((_, leader)) => *leader,
            None => view.ticket(group).and_then(|ticket| ticket.leader()),
        }
    }

    pub fn set_leader(&mut self, view: &View, group: GroupId, leader: Option<NodeId>) {
        if let Some((_, known)) = self.records.get_mut(&group) {
            *known = leader;
        }
        if let Some(ticket) = view.ticket(group) {
            ticket.set_leader(leader);
        }
    }

    /// Forgets what the view knows as well.
    pub fn on_view(&mut self, view: &View) {
        self.records.retain(|_, (record, _)| is_newer(record, view));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::meta::MetaState;

    fn group(id: u64, start: &'static str, end: &'static str, range_version: u64) -> Group {
        Group {
            id,
            table: 1,
            start: Bytes::from_static(start.as_bytes()),
            end: Bytes::from_static(end.as_bytes()),
            range_version,
            ..Default::default()
        }
    }

    fn view(groups: Vec<Group>, next_group: u64) -> View {
        let mut state = MetaState::default();
        state.cluster.next_group = next_group;
        state.groups = groups.into_iter().map(|g| (g.id, g)).collect();
        View::default().next(state, None)
    }

    #[test]
    fn what_partitions_say_counts_until_the_view_is_as_new() {
        let old = view(vec![group(5, "a", "z", 1)], 6);
        let mut learned = Learned::default();
        let way = |learned: &Learned, view: &View, row: &[u8], back| {
            learned.way(view, 1, row, back).map(|way| way.group.id)
        };
        assert_eq!(way(&learned, &old, b"p", false), Some(5));
        let records = vec![group(5, "a", "m", 2), group(6, "m", "z", 2)];
        assert!(learned.learn(&old, records.clone(), NodeId(3)));
        assert_eq!(way(&learned, &old, b"p", false), Some(6));
        assert_eq!(way(&learned, &old, b"m", false), Some(6));
        assert_eq!(way(&learned, &old, b"m", true), Some(5));
        assert_eq!(way(&learned, &old, b"c", false), Some(5));
        assert_eq!(learned.leader(&old, GroupId(6)), Some(NodeId(3)));
        assert!(!learned.learn(&old, vec![group(5, "a", "z", 1)], NodeId(3)));
        let new = view(records, 7);
        learned.on_view(&new);
        assert!(learned.records.is_empty());
        assert_eq!(way(&learned, &new, b"p", false), Some(6));
    }
}
