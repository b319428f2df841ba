//! Reads of the engine and of its snapshots. Every block's checksum is verified; a bad one is [`Error::Corrupt`].

use std::sync::Arc;

use bytes::Bytes;
use kv_core::store::{KeyRange, Keyspace, Reader, Result, Snapshot, Visitor};
use rocksdb::{DBAccess, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};
use self_cell::self_cell;

use super::{Db, family, store_error};

/// Calls `visit` for the pairs of `range` that `iterator` sees.
pub fn visit<D: DBAccess>(
    mut iterator: DBRawIteratorWithThreadMode<'_, D>,
    reverse: bool,
    visit: &mut Visitor<'_>,
) -> Result<()> {
    if reverse {
        iterator.seek_to_last()
    } else {
        iterator.seek_to_first()
    }
    while let Some((key, value)) = iterator.item() {
        if !visit(key, value) {
            break;
        }
        if reverse {
            iterator.prev()
        } else {
            iterator.next()
        }
    }
    // An iterator that meets a bad block just ends.
    iterator
        .status()
        .map_err(|error| store_error("scan", error))
}

/// Bounds of a scan; none for a range that holds nothing.
pub fn bounds(range: &KeyRange) -> Option<ReadOptions> {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.set_iterate_lower_bound(range.start.to_vec());
    if range.end.is_empty() {
        return Some(options);
    }
    options.set_iterate_upper_bound(range.end.to_vec());
    (range.start < range.end).then_some(options)
}

type EngineSnapshot<'a> = SnapshotWithThreadMode<'a, Db>;

self_cell!(
    /// A snapshot and the engine it reads, which it keeps open.
    pub struct OwnedSnapshot {
        owner: Arc<Db>,
        #[covariant]
        dependent: EngineSnapshot,
    }
);

impl OwnedSnapshot {
    pub fn take(db: &Arc<Db>) -> OwnedSnapshot {
        OwnedSnapshot::new(db.clone(), |db| db.snapshot())
    }
}

impl Reader for OwnedSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let family = family(self.borrow_owner(), keyspace);
        let found = self
            .borrow_dependent()
            .get_pinned_cf(family, key)
            .map_err(|error| store_error("get", error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, range: &KeyRange, reverse: bool, visitor: &mut Visitor<'_>) -> Result<()> {
        let Some(options) = bounds(range) else {
            return Ok(());
        };
        let family = family(self.borrow_owner(), range.keyspace);
        visit(
            self.borrow_dependent().raw_iterator_cf_opt(family, options),
            reverse,
            visitor,
        )
    }
}

impl Snapshot for OwnedSnapshot {}
