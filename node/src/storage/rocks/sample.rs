//! Where to cut a range into equal pieces, from the index of the files and a few seeks.
//!
//! The k-th cut is found by bisection: of the keys between two bounds the one in the middle *as a number* is sought, and the size of
//! what lies before it says which half to go on with. Small ranges are read and counted exactly.

use bytes::Bytes;
use kv_core::store::{KeyRange, Reader, Result};

use super::RocksStore;
use super::read::bounds;

/// Below this the range is read.
const READ_BYTES_MAX: u64 = 4 << 20;
/// Each step halves a 128-bit number.
const STEPS_MAX: usize = 160;
/// A piece may differ from its due size by this part of the whole.
const TOLERANCE: u64 = 50;

pub fn split_sample(store: &RocksStore, range: &KeyRange, count: usize) -> Result<Vec<Bytes>> {
    use kv_core::store::Store;
    let total = store.approximate_bytes(range)?;
    if total <= READ_BYTES_MAX {
        return by_reading(store, range, count);
    }
    let mut cuts: Vec<Bytes> = Vec::new();
    for piece in 1..=count as u64 {
        let due = total / (count as u64 + 1) * piece;
        if let Some(cut) = bisect(store, range, due, total / TOLERANCE)?
            && cuts.last().is_none_or(|last| *last < cut)
            && cut > range.start
        {
            cuts.push(cut);
        }
    }
    Ok(cuts)
}

/// One pass for the size, one for the cuts.
fn by_reading(store: &RocksStore, range: &KeyRange, count: usize) -> Result<Vec<Bytes>> {
    let snapshot = super::read::OwnedSnapshot::take(&store.db);
    let mut total = 0;
    snapshot.scan(range, false, &mut |key, value| {
        total += (key.len() + value.len()) as u64;
        true
    })?;
    let mut cuts: Vec<Bytes> = Vec::new();
    let mut before = 0;
    snapshot.scan(range, false, &mut |key, value| {
        let due = (before * (count as u64 + 1))
            .checked_div(total)
            .unwrap_or(0);
        if due as usize > cuts.len() {
            cuts.push(Bytes::copy_from_slice(key));
        }
        before += (key.len() + value.len()) as u64;
        cuts.len() < count
    })?;
    Ok(cuts)
}

/// A key before which about `due` bytes of the range lie.
fn bisect(store: &RocksStore, range: &KeyRange, due: u64, tolerance: u64) -> Result<Option<Bytes>> {
    use kv_core::store::Store;
    let (Some(mut low), Some(mut high)) = (edge(store, range, false)?, edge(store, range, true)?)
    else {
        return Ok(None);
    };
    let mut best = None;
    for _ in 0..STEPS_MAX {
        let Some(middle) = middle(&low, &high) else {
            break;
        };
        let rest = KeyRange {
            start: middle.clone(),
            ..range.clone()
        };
        let Some(key) = edge(store, &rest, false)?.filter(|key| *key < high) else {
            // No key between the middle and the upper bound.
            high = middle;
            continue;
        };
        let before = store.approximate_bytes(&KeyRange {
            end: key.clone(),
            ..range.clone()
        })?;
        best = Some(key.clone());
        if before.abs_diff(due) <= tolerance {
            break;
        }
        if before < due {
            low = key;
        } else {
            high = middle;
        }
    }
    Ok(best)
}

/// The first or the last key of a range.
fn edge(store: &RocksStore, range: &KeyRange, last: bool) -> Result<Option<Bytes>> {
    let Some(options) = bounds(range) else {
        return Ok(None);
    };
    let mut found = None;
    let iterator = store
        .db
        .raw_iterator_cf_opt(super::family(&store.db, range.keyspace), options);
    super::read::visit(iterator, last, &mut |key, _| {
        found = Some(Bytes::copy_from_slice(key));
        false
    })?;
    Ok(found)
}

/// A string between two, halfway if their first 16 differing bytes are read as numbers; none if these are next to each other.
fn middle(low: &[u8], high: &[u8]) -> Option<Bytes> {
    let shared = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let mut digits = [0; 16];
        let tail = &key[shared..key.len().min(shared + 16)];
        digits[..tail.len()].copy_from_slice(tail);
        u128::from_be_bytes(digits)
    };
    let (a, b) = (number(low), number(high));
    let half = a + b.checked_sub(a)? / 2;
    let middle = [&low[..shared], &half.to_be_bytes()].concat();
    (middle.as_slice() > low && middle.as_slice() < high).then(|| middle.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_middle_lies_between(a: Vec<u8>, b: Vec<u8>) {
            let (low, high) = (a.clone().min(b.clone()), a.max(b));
            if let Some(middle) = middle(&low, &high) {
                prop_assert!(low < middle && middle < high);
            }
        }
    }
}
