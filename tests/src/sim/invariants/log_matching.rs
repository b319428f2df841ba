//! Log Matching (Ongaro, Ousterhout: *In Search of an Understandable Consensus Algorithm*, 2014, §5.3): two logs that have an entry
//! of the same index and term have the same entry there, and the same entries before it.

use std::collections::BTreeMap;

use kv_core::ids::GroupId;
use raft::eraftpb::Entry;

use super::Result;

/// By (group, index, term): a checksum of the entry, and the term of the one before where that is known.
#[derive(Debug, Default)]
pub struct LogMatching {
    entries: BTreeMap<(GroupId, u64, u64), (u32, Option<u64>)>,
}

impl LogMatching {
    pub fn check(&mut self, group: GroupId, entries: &[Entry]) -> Result {
        let mut before = None;
        for entry in entries {
            let sum = crc32fast::hash(&entry.data) ^ entry.get_entry_type() as u32;
            let known = self
                .entries
                .entry((group, entry.index, entry.term))
                .or_insert((sum, before));
            if known.0 != sum {
                return Err(format!(
                    "log matching: group {group} has two entries {} of term {}",
                    entry.index, entry.term
                ));
            }
            match (known.1, before) {
                (Some(a), Some(b)) if a != b => {
                    return Err(format!(
                        "log matching: before entry {} of term {} of group {group} stand terms {a} and {b}",
                        entry.index, entry.term
                    ));
                }
                (None, Some(_)) => known.1 = before,
                _ => {}
            }
            before = Some(entry.term);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, data: &'static str) -> Entry {
        Entry {
            index,
            term,
            data: data.into(),
            ..Default::default()
        }
    }

    #[test]
    fn other_content_and_another_past_are_caught() {
        let mut logs = LogMatching::default();
        let group = GroupId(3);
        logs.check(group, &[entry(1, 1, "a"), entry(2, 2, "b")])
            .unwrap();
        logs.check(group, &[entry(2, 2, "b")]).unwrap();
        logs.check(GroupId(4), &[entry(2, 2, "x")]).unwrap();
        assert!(logs.check(group, &[entry(2, 2, "c")]).is_err());
        assert!(
            logs.check(group, &[entry(1, 0, "z"), entry(2, 2, "b")])
                .is_err()
        );
    }
}
