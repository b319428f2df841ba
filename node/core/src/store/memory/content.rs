//! The pairs of a store as four ordered maps, copied on the first write after a snapshot took them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::{Batch, KeyRange, Keyspace, Op, Visitor};

type Map = BTreeMap<Bytes, Bytes>;

/// A clone costs four reference counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    maps: [Arc<Map>; Keyspace::ALL.len()],
}

impl Content {
    pub(super) fn map(&self, keyspace: Keyspace) -> &Arc<Map> {
        &self.maps[keyspace as usize]
    }

    fn map_mut(&mut self, keyspace: Keyspace) -> &mut Map {
        Arc::make_mut(&mut self.maps[keyspace as usize])
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put {
                    keyspace,
                    key,
                    value,
                } => self.put(*keyspace, key.clone(), value.clone()),
                Op::Delete { keyspace, key } => {
                    self.map_mut(*keyspace).remove(key);
                }
                Op::DeleteRange(range) => self.clear(range),
            }
        }
    }

    pub(super) fn put(&mut self, keyspace: Keyspace, key: Bytes, value: Bytes) {
        self.map_mut(keyspace).insert(key, value);
    }

    pub(super) fn clear(&mut self, range: &KeyRange) {
        let Some(bounds) = bounds(range) else { return };
        let keys: Vec<Bytes> = self
            .map(range.keyspace)
            .range::<[u8], _>(bounds)
            .map(|(key, _)| key.clone())
            .collect();
        if keys.is_empty() {
            return; // a copy of the map would be for nothing
        }
        let map = self.map_mut(range.keyspace);
        for key in keys {
            map.remove(&key);
        }
    }

    pub(super) fn pairs<'a>(
        &'a self,
        range: &'a KeyRange,
    ) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Bytes)> {
        bounds(range)
            .into_iter()
            .flat_map(|bounds| self.map(range.keyspace).range::<[u8], _>(bounds))
    }

    pub(super) fn scan(&self, range: &KeyRange, reverse: bool, visit: &mut Visitor<'_>) {
        let visit = |(key, value): (&Bytes, &Bytes)| visit(key, value);
        // `all` stops at the first false, as the visitor wants it.
        let mut pairs = self.pairs(range);
        let _ = if reverse {
            pairs.rev().all(visit)
        } else {
            pairs.all(visit)
        };
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Bounds that `BTreeMap::range` takes without panicking; none for an empty range.
fn bounds(range: &KeyRange) -> Option<Bounds<'_>> {
    if range.end.is_empty() {
        return Some((Bound::Included(&range.start), Bound::Unbounded));
    }
    (range.start < range.end).then(|| {
        (
            Bound::Included(&range.start[..]),
            Bound::Excluded(&range.end[..]),
        )
    })
}
