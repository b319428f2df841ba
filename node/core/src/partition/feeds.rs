//! Readers of a partition's change log and their progress: replicated state, changed by commands in the partition's own log.
//!
//! ```text
//!   change log  ├── forgotten ──┼── sent, tombstones may still be needed ──┼── not sent ──►
//!                               sweep.at                                  index.at        (a stream's `at`: older than 24 h)
//! ```
//! Invariants:
//! - A position moves only after what lies before it has reached its reader; nothing behind the least position is cut.
//! - A reader begins where the command that names it is applied: all later changes are logged for it.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use raft::eraftpb::Entry;

use super::command::{Command, Do, ReplicaState};
use super::{Definition, Effects, Partition};
use crate::api::LogState;
use crate::consensus::Group;
use crate::ids::GroupId;
use crate::meta::indexes::Reader;
use crate::store::{KeyRange, Keyspace};
use crate::time::{Hybrid, Now};

/// Bytes of changes that wait for an index, at which writers are throttled.
pub const BACKLOG_MAX: u64 = 64 << 20;
/// The id of the reader that forgets tombstones behind all indexes.
pub const SWEEP: u64 = 0;

/// Ended range versions that a reader remembers.
const CLOSED_MAX: usize = 64;

/// What a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FeedKind {
    Index = 0,
    Stream = 1,
    Sweep = 2,
}

/// A reader of the change log.
#[derive(Clone, PartialEq, Message)]
pub struct Feed {
    /// Keyspace of the index, or the stream's id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(enumeration = "FeedKind", tag = "2")]
    pub kind: i32,
    /// [`position`] of the last change that is done with.
    #[prost(bytes = "bytes", tag = "3")]
    pub at: Bytes,
    /// `logged` of that change.
    #[prost(uint64, tag = "4")]
    pub logged: u64,
    /// The first row whose item may not be in the index yet; at the partition's end all are.
    #[prost(bytes = "bytes", tag = "5")]
    pub fill: Bytes,
    /// Range version at which it began to read this partition's log.
    #[prost(uint64, tag = "6")]
    pub since: u64,
    /// The shard that this one was split from: its group and range version; 0: none.
    #[prost(uint64, tag = "7")]
    pub parent_group: u64,
    #[prost(uint64, tag = "8")]
    pub parent_version: u64,
    /// Range versions that have ended, with the position of their end.
    #[prost(message, repeated, tag = "9")]
    pub closed: Vec<Closed>,
    /// Where it began.
    #[prost(bytes = "bytes", tag = "10")]
    pub began: Bytes,
}

/// A range version of a partition that has ended.
#[derive(Clone, PartialEq, Message)]
pub struct Closed {
    #[prost(uint64, tag = "1")]
    pub range_version: u64,
    /// Position of its last possible change.
    #[prost(bytes = "bytes", tag = "2")]
    pub end: Bytes,
    /// Hybrid time of its end.
    #[prost(uint64, tag = "3")]
    pub stamp: u64,
    /// The range version that went on.
    #[prost(uint64, tag = "4")]
    pub next: u64,
    /// `logged` at its end.
    #[prost(uint64, tag = "5")]
    pub logged: u64,
}

/// Whether a parent has sent all that it had logged when its range version `version` ended, and its own parents too.
pub fn has_sent(parent: &LogState, version: u64) -> bool {
    parent.feeds.iter().all(|feed| match feed.kind() {
        // It began behind the end, and has nothing from before.
        FeedKind::Index if feed.since > version => true,
        FeedKind::Index => {
            let mut closed = feed.closed.iter();
            let end = closed.find(|closed| closed.range_version == version);
            // An older end is forgotten only after many splits; the oldest one that is known is behind it.
            let later = |closed: &&Closed| closed.range_version > version;
            let end = end.or(feed.closed.first().filter(later));
            end.is_some_and(|end| feed.logged >= end.logged)
        }
        FeedKind::Sweep => feed.parent_group == 0,
        FeedKind::Stream => true,
    })
}

impl Feed {
    /// Whether all items that were there before it are in the index of a partition that ends at `end`.
    pub fn is_filled(&self, end: &[u8]) -> bool {
        self.kind() != FeedKind::Index || &self.fill[..] >= end
    }
}

/// A change of the readers.
#[derive(Clone, PartialEq, Message)]
pub struct FeedsChange {
    /// New ones (without a position), and new positions.
    #[prost(message, repeated, tag = "1")]
    pub set: Vec<Feed>,
    #[prost(uint64, repeated, tag = "2")]
    pub drop: Vec<u64>,
    /// Cut the log behind all readers.
    #[prost(bool, tag = "3")]
    pub trim: bool,
    /// The partitions that this one was split from have sent all that they logged before.
    #[prost(bool, tag = "4")]
    pub settled: bool,
}

/// A change's place in its partition's log: what its key is behind the group.
pub fn position(range_version: u64, index: u64, ordinal: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(20);
    out.put_u64(range_version);
    out.put_u64(index);
    out.put_u32(ordinal);
    out.freeze()
}

/// The key at a position.
pub fn key_at(group: GroupId, position: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + position.len());
    out.put_u64(group.0);
    out.put_slice(position);
    out.freeze()
}

/// The first key behind a position.
pub fn key_after(group: GroupId, position: &[u8]) -> Bytes {
    let mut out = BytesMut::from(&key_at(group, position)[..]);
    if !position.is_empty() {
        out.put_u8(0);
    }
    out.freeze()
}

/// Behind all changes of a group.
pub fn log_end(group: GroupId) -> Bytes {
    Bytes::copy_from_slice(&(group.0 + 1).to_be_bytes())
}

impl Partition {
    /// Bytes of changes that the slowest index has not yet.
    pub fn backlog(&self) -> u64 {
        let indexes = self
            .state
            .feeds
            .iter()
            .filter(|f| f.kind() == FeedKind::Index);
        let slowest = indexes.map(|feed| feed.logged).min();
        slowest.map_or(0, |logged| self.state.logged.saturating_sub(logged))
    }

    /// What has to change so that the readers are those of the table.
    pub fn wanted_feeds(&self, definition: &Definition) -> Option<FeedsChange> {
        let mut change = FeedsChange::default();
        let readers: Vec<(u64, Reader)> = definition.record.readers().collect();
        let sweeps = readers.iter().any(|(_, reader)| *reader == Reader::Index);
        let wanted = readers
            .iter()
            .map(|(id, reader)| match reader {
                Reader::Index => (*id, FeedKind::Index),
                Reader::Stream => (*id, FeedKind::Stream),
            })
            .chain(sweeps.then_some((SWEEP, FeedKind::Sweep)));
        let wanted: Vec<(u64, FeedKind)> = wanted.collect();
        for (id, kind) in &wanted {
            if !self.state.feeds.iter().any(|feed| feed.id == *id) {
                change.set.push(Feed {
                    id: *id,
                    kind: *kind as i32,
                    ..Default::default()
                });
            }
        }
        let gone = |feed: &&Feed| !wanted.iter().any(|(id, _)| *id == feed.id);
        change.drop = self
            .state
            .feeds
            .iter()
            .filter(gone)
            .map(|feed| feed.id)
            .collect();
        (!change.set.is_empty() || !change.drop.is_empty()).then_some(change)
    }

    /// Proposes a change of the readers; false if it can't be proposed now.
    pub fn propose_feeds(&mut self, group: &mut Group, change: FeedsChange, now: Now) -> bool {
        if !self.serving || !group.may_propose() || self.is_splitting() {
            return false;
        }
        let stamp = self.stamp(now);
        let command = Command {
            term: group.term(),
            range_version: self.state.range_version,
            stamp: stamp.0,
            what: Some(Do::Feeds(change)),
            ..Default::default()
        };
        let proposed = group.propose(command.encode_entry()).is_some();
        if proposed {
            self.last_stamp = stamp;
        }
        proposed
    }

    pub(super) fn apply_feeds(&mut self, command: Command, entry: &Entry, fx: &mut Effects) {
        let Some(Do::Feeds(change)) = command.what else {
            return;
        };
        if command.term != entry.term || command.range_version != self.state.range_version {
            self.not_applied += 1;
            return;
        }
        self.state.stamp = self.state.stamp.max(command.stamp);
        for mut feed in change.set {
            match self.state.feeds.iter_mut().find(|old| old.id == feed.id) {
                Some(old) => {
                    if feed.at > old.at {
                        (old.at, old.logged) = (feed.at, feed.logged);
                    }
                    old.fill = old.fill.clone().max(feed.fill);
                }
                None => {
                    feed.at = position(self.state.range_version, entry.index, 0);
                    feed.began = feed.at.clone();
                    feed.logged = self.state.logged;
                    feed.fill = self.state.start.clone();
                    feed.since = self.state.range_version;
                    self.state.feeds.push(feed);
                }
            }
        }
        if change.settled {
            let sweeps = self.state.feeds.iter_mut().filter(|feed| feed.id == SWEEP);
            sweeps.for_each(|feed| feed.parent_group = 0);
        }
        self.state
            .feeds
            .retain(|feed| !change.drop.contains(&feed.id));
        if change.trim || !change.drop.is_empty() {
            self.trim(fx);
        }
    }

    /// Cuts the log behind the slowest reader.
    fn trim(&mut self, fx: &mut Effects) {
        // Readers of that kind keep everything.
        if !self.state.consumers.is_empty() {
            return;
        }
        let group = self.state.group();
        let least = self.state.feeds.iter().map(|feed| &feed.at).min();
        let end = least.map_or_else(|| log_end(group), |at| key_after(group, at));
        fx.batch.delete_range(KeyRange {
            keyspace: Keyspace::ChangeLog,
            start: key_at(group, &[]),
            end,
        });
    }

    /// The hybrid time that is surely past for every reader of this partition.
    pub fn applied_stamp(&self) -> Hybrid {
        Hybrid(self.state.stamp)
    }
}

/// What a split does to the readers of the parent's log, and what the child begins with. The entry `index` splits `parent` at `at`, and
/// both go on under `new_version`: the child with a log of its own, of which the parent's is the beginning.
pub fn split(parent: &mut ReplicaState, child: &mut ReplicaState, index: u64, new_version: u64) {
    let old_version = parent.range_version;
    child.logged = 0;
    child.feeds = parent.feeds.clone();
    for feed in &mut child.feeds {
        feed.at = Bytes::new();
        feed.began = Bytes::new();
        feed.logged = 0;
        feed.since = new_version;
        (feed.parent_group, feed.parent_version) = (parent.group, old_version);
        feed.closed.clear();
        feed.fill = feed.fill.clone().max(child.start.clone());
    }
    for feed in &mut parent.feeds {
        feed.closed.push(Closed {
            range_version: old_version,
            end: position(old_version, index, u32::MAX),
            stamp: parent.stamp,
            next: new_version,
            logged: parent.logged,
        });
        if feed.closed.len() > CLOSED_MAX {
            feed.closed.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_changes_happen() {
        let all = [(1, 5, 0), (1, 5, 1), (1, 6, 0), (1, 300, 0), (2, 1, 0)];
        let all = all.map(|(version, index, ordinal)| position(version, index, ordinal));
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        let group = GroupId(3);
        assert!(key_at(group, &all[0]) < key_after(group, &all[0]));
        assert!(key_after(group, &all[0]) < key_at(group, &all[1]));
        assert!(key_at(group, &all[4]) < log_end(group));
    }

    #[test]
    fn a_child_reads_on_where_its_parent_was_cut() {
        let feed = Feed {
            id: 9,
            at: position(1, 7, 0),
            logged: 70,
            fill: Bytes::from_static(b"m"),
            since: 1,
            ..Default::default()
        };
        let mut parent = ReplicaState {
            group: 4,
            range_version: 1,
            start: Bytes::from_static(b"a"),
            end: Bytes::from_static(b"p"),
            feeds: vec![feed],
            logged: 100,
            ..Default::default()
        };
        let mut child = ReplicaState {
            group: 5,
            start: Bytes::from_static(b"p"),
            end: Bytes::from_static(b"z"),
            ..Default::default()
        };
        split(&mut parent, &mut child, 20, 2);
        assert!(parent.feeds[0].is_filled(b"m") && !parent.feeds[0].is_filled(b"p"));
        assert_eq!(child.feeds[0].fill, "p");
        assert_eq!(
            (child.feeds[0].parent_group, child.feeds[0].parent_version),
            (4, 1)
        );
        assert!(child.feeds[0].at.is_empty() && child.logged == 0);
        assert_eq!(parent.feeds[0].closed[0].end, position(1, 20, u32::MAX));
        assert_eq!(parent.feeds[0].at, position(1, 7, 0));
        let mut log = LogState {
            feeds: parent.feeds.clone(),
            ..Default::default()
        };
        assert!(!has_sent(&log, 1));
        log.feeds[0].logged = 100;
        assert!(has_sent(&log, 1));
    }
}
