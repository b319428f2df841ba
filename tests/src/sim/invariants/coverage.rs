//! Splits lose no rows: when all faults are over, the ranges of a table's partitions, as their leaders have them, follow each other from
//! the table's first row to its last, and so do those that the metadata record (DESIGN §2: a partition is a contiguous range of one table).

use bytes::Bytes;
use kv_core::meta::state::{table_end, table_start};

use super::Result;

/// Checks that the ranges tile a keyspace.
pub fn check(keyspace: u64, mut ranges: Vec<(Bytes, Bytes)>, whose: &str) -> Result {
    ranges.sort();
    let mut at = table_start(keyspace);
    for (start, end) in &ranges {
        if *start != at {
            return Err(format!(
                "of keyspace {keyspace}, after {at:?} comes a partition from {start:?}, by {whose}"
            ));
        }
        at = end.clone();
    }
    match at == table_end(keyspace) {
        true => Ok(()),
        false => Err(format!(
            "the partitions of keyspace {keyspace} end at {at:?}, by {whose}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_overlaps_are_caught() {
        let row = |n: u8| Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, 3, n]);
        let whole = |a: u8, b: u8| vec![(table_start(3), row(a)), (row(b), table_end(3))];
        check(3, whole(5, 5), "test").unwrap();
        assert!(check(3, whole(5, 6), "test").is_err());
        assert!(check(3, whole(6, 5), "test").is_err());
        assert!(check(3, vec![(table_start(3), row(5))], "test").is_err());
    }
}
