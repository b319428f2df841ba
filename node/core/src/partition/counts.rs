//! How many items and entries of local indexes a partition holds, and their bytes: part of its state, changed by what it applies.
//!
//! The leader knows what a write replaces and says so in its command; so replicas add, and read nothing. Only the sum over a table's
//! partitions is meant: at a split one side keeps the counts of both, and what it then loses to the other makes its own less than
//! nothing there.

use prost::Message;

/// Items (index 0) or entries of a local index: how many there are, or how many more.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Count {
    /// Number of a local index within its table; 0: the items themselves, or the entries of a global index.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(sint64, tag = "2")]
    pub items: i64,
    /// By the service's rules for sizes.
    #[prost(sint64, tag = "3")]
    pub bytes: i64,
}

impl Count {
    /// What becomes more, or less, when an item or entry of `old` bytes, if any, becomes one of `new` bytes, if any.
    pub fn of_change(index: u32, old: Option<u64>, new: Option<u64>) -> Option<Count> {
        let count = |size: Option<u64>| i64::from(size.is_some());
        let bytes = |size: Option<u64>| size.unwrap_or(0) as i64;
        let change = Count {
            index,
            items: count(new) - count(old),
            bytes: bytes(new) - bytes(old),
        };
        (change.items != 0 || change.bytes != 0).then_some(change)
    }
}

/// Adds changes to counts, one for each index.
pub fn add(counts: &mut Vec<Count>, changes: &[Count]) {
    for change in changes {
        match counts.iter_mut().find(|count| count.index == change.index) {
            Some(count) => {
                count.items = count.items.saturating_add(change.items);
                count.bytes = count.bytes.saturating_add(change.bytes);
            }
            None => counts.push(*change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_replacements_and_deletes_add_up() {
        let mut counts = Vec::new();
        let steps = [
            (0, None, Some(10)),
            (1, None, Some(4)),
            (0, None, Some(20)),
            (0, Some(10), Some(15)),
            (1, Some(4), Some(4)),
            (0, Some(20), None),
            (1, Some(4), None),
        ];
        for (index, old, new) in steps {
            add(
                &mut counts,
                &Vec::from_iter(Count::of_change(index, old, new)),
            );
        }
        let count = |index, items, bytes| Count {
            index,
            items,
            bytes,
        };
        assert_eq!(counts, [count(0, 1, 15), count(1, 0, 0)]);
        assert_eq!(Count::of_change(0, None, None), None);
    }
}
