//! Ranges of row keys: a table, a span of tokens, a partition key, a condition on sort keys.
//!
//! All ends are exclusive or open: since a part is a prefix of no other part, "up to `v`,
//! inclusive" is "before the successor of `v` as a prefix", which takes in what follows `v` in the
//! tuple.

use std::ops::Bound;

use super::Part;
use super::row::row_key;

/// Keys from `start` up to `end`; empty when `start` lies behind `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Bound<Vec<u8>>,
    pub end: Bound<Vec<u8>>,
}

impl Range {
    /// All keys that begin with `prefix`.
    fn of_prefix(prefix: Vec<u8>) -> Self {
        let end = successor(prefix.clone());
        Self {
            start: Bound::Included(prefix),
            end,
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        let after_start = match &self.start {
            Bound::Included(start) => key >= start.as_slice(),
            Bound::Excluded(start) => key > start.as_slice(),
            Bound::Unbounded => true,
        };
        let before_end = match &self.end {
            Bound::Included(end) => key <= end.as_slice(),
            Bound::Excluded(end) => key < end.as_slice(),
            Bound::Unbounded => true,
        };
        after_start && before_end
    }
}

/// A condition on the first part of a sort key that is not fixed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortCondition<'a> {
    Equal(Part<'a>),
    Less(Part<'a>),
    LessOrEqual(Part<'a>),
    Greater(Part<'a>),
    GreaterOrEqual(Part<'a>),
    /// Both ends included.
    Between(Part<'a>, Part<'a>),
    /// For a number, which has no prefixes, equality.
    BeginsWith(Part<'a>),
}

/// All rows of all tables.
pub fn all_rows() -> Range {
    Range {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    }
}

/// All rows of a table.
pub fn table_rows(table: u64) -> Range {
    Range::of_prefix(table.to_be_bytes().to_vec())
}

/// A table's rows with tokens from `start` up to `end`, exclusive; to the last where that is `None`.
pub fn token_rows(table: u64, start: u128, end: Option<u128>) -> Range {
    let at = |token: u128| {
        let mut key = table.to_be_bytes().to_vec();
        key.extend_from_slice(&token.to_be_bytes());
        key
    };
    Range {
        start: Bound::Included(at(start)),
        end: match end {
            Some(end) => Bound::Excluded(at(end)),
            None => table_rows(table).end,
        },
    }
}

/// All rows of one partition key in one index.
pub fn partition_rows(table: u64, token: u128, partition_key: &[u8], index: u8) -> Range {
    Range::of_prefix(row_key(table, token, partition_key, index, &[]))
}

/// The rows of one partition key whose sort keys begin with the parts `equal` and whose next part
/// satisfies `condition`.
pub fn sort_rows(
    table: u64,
    token: u128,
    partition_key: &[u8],
    index: u8,
    equal: &[Part<'_>],
    condition: SortCondition<'_>,
) -> Range {
    let prefix = row_key(table, token, partition_key, index, &super::tuple(equal));
    let at = |part: Part<'_>| {
        let mut key = prefix.clone();
        part.encode_into(&mut key);
        key
    };
    let all = Range::of_prefix(prefix.clone());
    match condition {
        SortCondition::Equal(part) => Range::of_prefix(at(part)),
        SortCondition::Less(part) => Range {
            end: Bound::Excluded(at(part)),
            ..all
        },
        SortCondition::LessOrEqual(part) => Range {
            end: successor(at(part)),
            ..all
        },
        SortCondition::Greater(part) => Range {
            start: as_start(successor(at(part))),
            ..all
        },
        SortCondition::GreaterOrEqual(part) => Range {
            start: Bound::Included(at(part)),
            ..all
        },
        SortCondition::Between(low, high) => Range {
            start: Bound::Included(at(low)),
            end: successor(at(high)),
        },
        SortCondition::BeginsWith(part) => {
            let mut key = prefix.clone();
            part.encode_open(&mut key);
            Range::of_prefix(key)
        }
    }
}

/// The end of all keys that begin with `prefix`: the least key above them, if there is one.
fn successor(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Bound::Excluded(prefix);
        }
        prefix.pop();
    }
    Bound::Unbounded
}

/// Where one range ends the next begins.
fn as_start(end: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match end {
        Bound::Excluded(key) => Bound::Included(key),
        other => other,
    }
}
