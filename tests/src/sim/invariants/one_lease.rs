//! Leases exclude each other (Ongaro's thesis, §6.4.1; DESIGN §6): at no true moment do two nodes serve strong reads of one group by
//! themselves, whatever their clocks show.

use std::collections::BTreeMap;

use kv_core::ids::GroupId;

use super::Result;

#[derive(Debug, Default)]
pub struct OneLease {
    /// By group and node: the true moment at which the lease ends.
    held: BTreeMap<GroupId, BTreeMap<u64, u64>>,
}

impl OneLease {
    pub fn check(&mut self, node: u64, group: GroupId, at_us: u64, until_us: u64) -> Result {
        let held = self.held.entry(group).or_default();
        if until_us <= at_us {
            held.remove(&node);
            return Ok(());
        }
        held.insert(node, until_us);
        if held.len() == 1 {
            return Ok(());
        }
        match held
            .iter()
            .find(|(other, until)| **other != node && **until > at_us)
        {
            Some((other, until)) => Err(format!(
                "nodes {other} and {node} both hold the lease of group {group}, for {} and {} µs more",
                until - at_us,
                until_us - at_us
            )),
            None => Ok(()),
        }
    }

    pub fn forget(&mut self, node: u64) {
        for held in self.held.values_mut() {
            held.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_are_caught_and_one_after_the_other_is_not() {
        let mut leases = OneLease::default();
        leases.check(1, GroupId(2), 0, 100).unwrap();
        leases.check(2, GroupId(3), 50, 150).unwrap();
        leases.check(2, GroupId(2), 100, 200).unwrap();
        assert!(leases.check(3, GroupId(2), 199, 300).is_err());
        leases.forget(2);
        leases.check(3, GroupId(2), 199, 300).unwrap();
    }
}
