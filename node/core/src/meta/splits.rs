//! Splits in the metadata: intents, and the records that follow when a group's own log has split it.
//!
//! Invariant: of one epoch of a group there is at most one intent, and its range version grows by nothing else. So whoever says that the
//! group, or the child that the intent names, is at the next range version says that this very split was applied.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_model::encoding::key::RowKey;
use kv_ring::{Token, partition_position};

use super::records::{Group, Member, Record, Split, TableState};
use super::state::{Edit, MetaState, Result, refuse};
use super::wire::{BeginSplit, GroupReport, MetaRefusal};

/// Partitions of one table or index.
const PARTITIONS_MAX: usize = 100_000;
/// Bytes of a row before its partition key: table and token.
const TOKEN_END: usize = 24;

impl Group {
    /// The split that is wanted, unless the group has moved on since.
    pub fn valid_split(&self) -> Option<&Split> {
        self.split.as_ref().filter(|split| {
            (split.range_version, split.member_version) == (self.range_version, self.member_version)
        })
    }
}

/// The first row of the item collection that a row belongs to; the row itself if it is no whole one, and so lies between collections.
pub fn collection_start(row: &[u8]) -> &[u8] {
    match RowKey::parse(row) {
        Ok(key) => &row[..TOKEN_END + key.partition_key.len()],
        Err(_) => row,
    }
}

impl MetaState {
    /// The group that is to be split into itself and this one.
    fn parent_of(&self, child: u64) -> Option<&Group> {
        let is_parent = |g: &&Group| g.split.as_ref().is_some_and(|split| split.child == child);
        self.groups.values().find(is_parent)
    }

    /// Whether a group's own word is ahead of its record.
    pub fn is_news(&self, report: &GroupReport) -> bool {
        match self.groups.get(&report.group) {
            Some(known) => {
                is_split(known, report.range_version)
                    || report.range_version == known.range_version
                        && report.member_version > known.member_version
            }
            None => self
                .parent_of(report.group)
                .is_some_and(|parent| is_split(parent, report.range_version)),
        }
    }

    /// The row at which a partition may be cut for a row that was picked; none if that would leave one side empty.
    pub fn split_point(&self, group: &Group, picked: &[u8]) -> Option<Bytes> {
        let at = match self.splits_collections(group.table) {
            true => picked,
            false => collection_start(picked),
        };
        (&group.start[..] < at && at < &group.end[..]).then(|| Bytes::copy_from_slice(at))
    }
}

/// Whether a group at this range version has applied the split that its record wants.
fn is_split(group: &Group, range_version: u64) -> bool {
    group
        .valid_split()
        .is_some_and(|split| range_version == split.range_version + 1)
}

impl Edit<'_> {
    pub(super) fn begin_split(&mut self, wanted: &BeginSplit) -> Result<u64> {
        let Some(group) = self.state.groups.get(&wanted.group).filter(|g| g.table > 0) else {
            return refuse(
                MetaRefusal::NotFound,
                format!("there is no partition {}", wanted.group),
            );
        };
        if wanted.range_version > 0
            && (wanted.range_version, wanted.member_version)
                != (group.range_version, group.member_version)
        {
            return refuse(
                MetaRefusal::Stale,
                format!("partition {} has changed since", group.id),
            );
        }
        if let Some(split) = &group.split {
            if split.at == wanted.at {
                return Ok(split.child);
            }
            return refuse(
                MetaRefusal::InUse,
                format!("partition {} is being split", group.id),
            );
        }
        let Some(at) = self.state.split_point(group, &wanted.at) else {
            return refuse(
                MetaRefusal::Invalid,
                format!(
                    "partition {} can't be split there: one side would have no rows (a table with local indexes is split only between partition keys)",
                    group.id
                ),
            );
        };
        let table = self.state.table_of_keyspace(group.table);
        let lives = |state| matches!(state, TableState::Active | TableState::Updating);
        if !table.is_some_and(|table| lives(table.state())) {
            return refuse(MetaRefusal::InUse, "the table is being made or deleted");
        }
        if self.state.groups_of(group.table).count() >= PARTITIONS_MAX {
            return refuse(
                MetaRefusal::Limit,
                format!("a table has at most {PARTITIONS_MAX} partitions"),
            );
        }
        let nodes: BTreeSet<u64> = group.members.iter().map(|m| m.node).collect();
        if nodes.len() != group.members.len() {
            return refuse(
                MetaRefusal::InUse,
                format!("members of partition {} are being changed", group.id),
            );
        }
        let mut group = group.clone();
        let mut cluster = self.state.cluster.clone();
        let child = cluster.next_group;
        cluster.next_group += 1;
        let members = group.members.iter().map(|member| {
            cluster.next_replica += 1;
            Member {
                replica: cluster.next_replica - 1,
                ..*member
            }
        });
        let members = members.collect();
        let position = match wanted.position.len() {
            16 => wanted.position.clone(),
            _ => position_of(group.table, &at),
        };
        group.split = Some(Split {
            at,
            child,
            members,
            position,
            range_version: group.range_version,
            member_version: group.member_version,
        });
        self.set(Record::Cluster(cluster));
        self.set(Record::Group(group));
        Ok(child)
    }

    /// Splits the records of a group whose log has split it, by its own word or its child's.
    pub(super) fn follow_split(&mut self, report: &GroupReport) {
        let parent = match self.state.groups.get(&report.group) {
            Some(group) => Some(group),
            None => self.state.parent_of(report.group),
        };
        let Some(mut parent) = parent
            .filter(|parent| is_split(parent, report.range_version))
            .cloned()
        else {
            return;
        };
        let Some(split) = parent.split.take() else {
            return;
        };
        let child = Group {
            id: split.child,
            table: parent.table,
            start: split.at.clone(),
            end: std::mem::replace(&mut parent.end, split.at),
            range_version: split.range_version + 1,
            member_version: split.member_version,
            members: split.members,
            position: split.position,
            ..Default::default()
        };
        parent.range_version = child.range_version;
        self.set(Record::Group(parent));
        self.set(Record::Group(child));
    }
}

/// Where the ring places what begins at a row.
fn position_of(table: u64, at: &[u8]) -> Bytes {
    let mut token = [0; 16];
    for (digit, byte) in token.iter_mut().zip(at.iter().skip(8)) {
        *digit = *byte;
    }
    let position = partition_position(Token(u128::from_be_bytes(token)), table);
    Bytes::copy_from_slice(&position.0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use kv_model::encoding::key::{ITEM_INDEX, Part, partition_key, row_key};

    use super::*;
    use crate::meta::records::{Role, Table};
    use crate::meta::wire::{Change, Follow, MetaRequest};
    use crate::wire::RequestId;

    fn state() -> MetaState {
        let mut state = MetaState::default();
        state.cluster.revision = 1;
        state.cluster.next_group = 8;
        state.cluster.next_replica = 20;
        let table = Table {
            id: 1,
            state: TableState::Active as i32,
            ..Default::default()
        };
        state.tables.insert(1, table);
        let members = (1..=3)
            .map(|node| Member {
                node,
                replica: 10 + node,
                role: Role::Voter as i32,
            })
            .collect();
        let group = Group {
            id: 7,
            table: 1,
            start: super::super::state::table_start(1),
            end: super::super::state::table_end(1),
            range_version: 1,
            member_version: 4,
            members,
            ..Default::default()
        };
        state.groups.insert(7, group);
        state
    }

    fn apply(state: &mut MetaState, change: Change) -> super::super::wire::Outcome {
        let id = RequestId {
            origin: 1,
            number: state.revision() + 100,
        };
        let request = MetaRequest {
            id,
            change: Some(change),
            ..Default::default()
        };
        state.apply(&request).0
    }

    fn row(name: &str) -> Bytes {
        let key = partition_key(&[Part::S(name)]);
        row_key(1, 1 << 127, &key, ITEM_INDEX, b"sort").into()
    }

    fn begin(at: Bytes) -> Change {
        Change::BeginSplit(BeginSplit {
            group: 7,
            at,
            ..Default::default()
        })
    }

    fn report(group: u64, range_version: u64, member_version: u64) -> GroupReport {
        GroupReport {
            group,
            range_version,
            member_version,
            members: vec![Member {
                node: 9,
                replica: 99,
                role: Role::Voter as i32,
            }],
            ..Default::default()
        }
    }

    fn follow(state: &mut MetaState, report: GroupReport) {
        let groups = vec![report];
        apply(state, Change::Follow(Follow { groups }));
    }

    #[test]
    fn an_intent_names_a_child_on_each_node_and_is_made_once() {
        let mut state = state();
        let made = apply(&mut state, begin(row("m")));
        assert_eq!(made.value, 8);
        let split = state.groups[&7].split.clone().unwrap();
        let nodes: Vec<u64> = split.members.iter().map(|m| m.node).collect();
        assert_eq!(nodes, [1, 2, 3]);
        assert_eq!((split.range_version, split.member_version), (1, 4));
        assert_eq!(
            apply(&mut state, begin(row("m"))).value,
            8,
            "the same again"
        );
        assert_eq!(
            apply(&mut state, begin(row("n"))).refusal(),
            MetaRefusal::InUse
        );
        assert!(!state.groups.contains_key(&8), "it is only wanted");
    }

    #[test]
    fn either_side_tells_that_the_split_was_applied() {
        for teller in [7, 8] {
            let mut state = state();
            apply(&mut state, begin(row("m")));
            assert!(state.is_news(&report(teller, 2, 4)));
            follow(&mut state, report(teller, 2, 4));
            let (parent, child) = (&state.groups[&7], &state.groups[&8]);
            assert_eq!(
                (parent.end.clone(), child.start.clone()),
                (row("m"), row("m"))
            );
            assert_eq!((parent.range_version, child.range_version), (2, 2));
            assert!(parent.split.is_none());
            assert_eq!(child.members.len(), 3, "members of before are not followed");
        }
    }

    #[test]
    fn an_intent_of_another_epoch_is_void() {
        let mut state = state();
        apply(&mut state, begin(row("m")));
        follow(&mut state, report(7, 1, 5));
        assert!(state.groups[&7].split.is_none());
        follow(&mut state, report(8, 2, 4));
        assert!(!state.groups.contains_key(&8));
        let stale = Change::BeginSplit(BeginSplit {
            group: 7,
            at: row("m"),
            range_version: 1,
            member_version: 4,
            ..Default::default()
        });
        assert_eq!(apply(&mut state, stale).refusal(), MetaRefusal::Stale);
    }

    #[test]
    fn collections_are_cut_only_where_no_local_index_needs_them_whole() {
        let mut state = state();
        let group = state.groups[&7].clone();
        assert_eq!(state.split_point(&group, &row("m")), Some(row("m")));
        let local = super::super::records::Index {
            local: true,
            ..Default::default()
        };
        state.tables.get_mut(&1).unwrap().indexes.push(local);
        let cut = state.split_point(&group, &row("m")).unwrap();
        assert!(cut < row("m") && row("m").starts_with(&cut));
        assert_eq!(state.split_point(&group, &group.start), None);
        assert_eq!(state.split_point(&group, b"zzz"), None);
    }
}
