//! Whether the nodes that stay have room for what those that go hold. Pure.
//!
//! What lies where is taken from the bytes that the leaders report by node, spread evenly over the positions that the node has on the
//! ring. That is an estimate, and enough to refuse what can't work: a node whose disk fills up all the same takes no more, and the move waits.

use std::collections::{BTreeMap, BTreeSet};

use kv_proto::admin::GetNodeStatusReply;
use kv_ring::{Member, MemberState, NodeId, Ring, Token};

use super::tokens::{self, Wishes};

/// Free bytes below which a node takes no writes; of a larger disk [`RESERVE_PERCENT`].
const RESERVE_BYTES: u64 = 256 << 20;
const RESERVE_PERCENT: u64 = 2;
/// At so many positions the ring before is compared with the one after.
const SAMPLES: u32 = 4096;
/// How many nodes a message names.
const NAMED_MAX: usize = 3;
/// A disk's fill is told in steps of this, percent.
const PERCENT_STEP: u32 = 5;

/// A node that would get more than it has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The node.
    pub id: NodeId,
    /// Bytes that it would get.
    pub needs: u64,
    /// Bytes that it has room for.
    pub has: u64,
}

/// Bytes that a node can take before it refuses writes; none if it has not measured. `limit` is how large its disk may become by itself.
#[must_use]
pub fn room(status: &GetNodeStatusReply, limit: Option<u64>) -> Option<u64> {
    let (total, free) = (status.disk_total_bytes, status.disk_free_bytes);
    if total == 0 {
        return None;
    }
    let growth = limit.map_or(0, |limit| limit.saturating_sub(total));
    let reserve = RESERVE_BYTES.max(total.saturating_add(growth) / 100 * RESERVE_PERCENT);
    Some(free.saturating_add(growth).saturating_sub(reserve))
}

/// Bytes that each node gets when these leave the ring, by what every node holds now.
///
/// # Errors
/// What `kv-ring` refuses.
pub fn arrivals(
    ring: &Ring,
    leave: &BTreeSet<NodeId>,
    replicas: u32,
    held: &BTreeMap<NodeId, u64>,
) -> Result<BTreeMap<NodeId, u64>, kv_ring::Error> {
    // Who drains already has no place any more, but what it holds is still there.
    let there = |member: &Member| Member {
        state: if leave.contains(&member.id) {
            MemberState::Up
        } else {
            member.state
        },
        ..member.clone()
    };
    let before = Ring::new(ring.epoch(), ring.members().iter().map(there).collect())?;
    let wishes = Wishes {
        leave: leave.iter().copied().collect(),
        ..Wishes::default()
    };
    let after = match tokens::change(&before, &wishes, replicas)? {
        Some(change) => tokens::after(&before, &change)?,
        None => return Ok(BTreeMap::new()),
    };
    let copies = usize::try_from(replicas.max(1)).unwrap_or(usize::MAX);
    let mut positions: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut moves: BTreeMap<(NodeId, NodeId), u64> = BTreeMap::new();
    for at in Token::evenly_spaced(SAMPLES) {
        let (from, to) = (before.placement(at, copies), after.placement(at, copies));
        for &id in &from {
            *positions.entry(id).or_default() += 1;
        }
        let gone = from.iter().filter(|id| !to.contains(id));
        let new = to.iter().filter(|id| !from.contains(id));
        for (&gone, &new) in gone.zip(new) {
            *moves.entry((gone, new)).or_default() += 1;
        }
    }
    let mut arrivals: BTreeMap<NodeId, u64> = BTreeMap::new();
    for ((gone, new), count) in moves {
        let (all, held) = (
            positions.get(&gone).copied().unwrap_or(1),
            held.get(&gone).copied().unwrap_or(0),
        );
        let part = u128::from(held) * u128::from(count) / u128::from(all.max(1));
        *arrivals.entry(new).or_default() += u64::try_from(part).unwrap_or(u64::MAX);
    }
    Ok(arrivals)
}

/// Who would get more than it has room for, the worst first. Of whom nothing is known is not among them.
#[must_use]
pub fn short(arrivals: &BTreeMap<NodeId, u64>, rooms: &BTreeMap<NodeId, u64>) -> Vec<Short> {
    let lacking = arrivals.iter().filter_map(|(&id, &needs)| {
        let has = *rooms.get(&id)?;
        (needs > has).then_some(Short { id, needs, has })
    });
    let mut lacking: Vec<Short> = lacking.collect();
    lacking.sort_by_key(|short| (std::cmp::Reverse(short.needs - short.has), short.id));
    lacking
}

/// For people: who lacks how much.
#[must_use]
pub fn told(lacking: &[Short], name: impl Fn(NodeId) -> String) -> String {
    let one = |short: &Short| {
        format!(
            "{} would get {} MiB and has room for {} MiB",
            name(short.id),
            rounded(short.needs.div_ceil(1 << 20), true),
            rounded(short.has >> 20, false)
        )
    };
    let mut parts: Vec<String> = lacking.iter().take(NAMED_MAX).map(one).collect();
    if let Some(more) = lacking
        .len()
        .checked_sub(NAMED_MAX)
        .filter(|&more| more > 0)
    {
        parts.push(format!("{more} more nodes lack room"));
    }
    parts.join(", ")
}

/// Two digits: free space always changes a little, and a status is written on change only.
fn rounded(number: u64, up: bool) -> u64 {
    let mut unit = 1_u64;
    while number / unit >= 100 {
        unit *= 10;
    }
    if up {
        number.div_ceil(unit) * unit
    } else {
        number / unit * unit
    }
}

/// How full a disk is, for the status: in steps, and as it was told before while it is less than a step away.
#[must_use]
pub fn used_percent(status: &GetNodeStatusReply, before: Option<u32>) -> Option<u32> {
    let (total, free) = (status.disk_total_bytes, status.disk_free_bytes);
    if total == 0 {
        return None;
    }
    let used = u128::from(total.saturating_sub(free)) * 100 / u128::from(total);
    let used = u32::try_from(used).unwrap_or(100);
    Some(match before {
        Some(before) if before.abs_diff(used) < PERCENT_STEP => before,
        _ => (used + PERCENT_STEP / 2) / PERCENT_STEP * PERCENT_STEP,
    })
}

#[cfg(test)]
mod tests {
    use kv_ring::NodeSpec;

    use super::*;

    const MEBIBYTE: u64 = 1 << 20;

    fn disk(total: u64, free: u64) -> GetNodeStatusReply {
        GetNodeStatusReply {
            disk_total_bytes: total * MEBIBYTE,
            disk_free_bytes: free * MEBIBYTE,
            ..GetNodeStatusReply::default()
        }
    }

    fn ring(zones: &[&str]) -> Ring {
        let specs = (1..).zip(zones).map(|(id, &zone)| NodeSpec {
            id: NodeId(id),
            zone: zone.into(),
            host: format!("h{id}").into(),
            weight: 1,
        });
        let specs: Vec<NodeSpec> = specs.collect();
        let tokens = kv_ring::plan::initial(&specs, 3).expect("planned");
        let members = specs
            .iter()
            .map(|spec| spec.member(MemberState::Up, tokens[&spec.id].clone()));
        Ring::new(1, members.collect()).expect("a ring")
    }

    #[test]
    fn what_a_node_holds_goes_to_where_its_zone_has_another() {
        let ring = ring(&["a", "b", "c", "a"]);
        let held = (1..=4).map(|id| (NodeId(id), 1000 * MEBIBYTE)).collect();
        let leave = BTreeSet::from([NodeId(4)]);
        let found = arrivals(&ring, &leave, 3, &held).expect("planned");
        let to_first = found.get(&NodeId(1)).copied().unwrap_or(0);
        assert!(to_first.abs_diff(1000 * MEBIBYTE) < MEBIBYTE, "{found:?}");
        assert_eq!(found.len(), 1, "b and c hold all already: {found:?}");
        // One that has begun to drain still holds it all.
        let mut draining = ring.member(NodeId(4)).expect("there").clone();
        draining.state = MemberState::Draining;
        let ring = ring.with_member(draining).expect("a ring");
        assert_eq!(arrivals(&ring, &leave, 3, &held), Ok(found));
    }

    #[test]
    fn who_lacks_room_is_named_with_what_it_needs_and_has() {
        let id = NodeId;
        let arrivals = BTreeMap::from([
            (id(1), 1000 * MEBIBYTE),
            (id(2), 500 * MEBIBYTE),
            (id(3), 700 * MEBIBYTE),
            (id(4), 2),
        ]);
        let rooms = BTreeMap::from([
            (id(1), 1000 * MEBIBYTE),
            (id(2), 123 * MEBIBYTE),
            (id(3), 1),
        ]);
        let lacking = short(&arrivals, &rooms);
        assert_eq!(
            lacking.iter().map(|short| short.id.0).collect::<Vec<_>>(),
            [3, 2]
        );
        let told = told(&lacking, |id| format!("rides-{}", id.0));
        assert_eq!(
            told,
            "rides-3 would get 700 MiB and has room for 0 MiB, rides-2 would get 500 MiB and has room for 120 MiB"
        );
    }

    #[test]
    fn the_reserve_is_no_room_and_growth_to_come_is() {
        let mebibytes =
            |status, limit: Option<u64>| room(&status, limit.map(|limit| limit * MEBIBYTE));
        assert_eq!(mebibytes(disk(0, 0), None), None);
        assert_eq!(mebibytes(disk(1000, 200), None), Some(0));
        assert_eq!(mebibytes(disk(1000, 300), None), Some(44 * MEBIBYTE));
        assert_eq!(
            mebibytes(disk(1000, 200), Some(3000)),
            Some((2200 - 256) * MEBIBYTE)
        );
        assert_eq!(mebibytes(disk(1000, 300), Some(500)), Some(44 * MEBIBYTE));
    }

    #[test]
    fn a_fill_is_told_in_steps_and_does_not_waver() {
        let told = |used: u64, before| used_percent(&disk(1000, 1000 - used), before);
        assert_eq!(
            [told(0, None), told(419, None), told(430, None)],
            [Some(0), Some(40), Some(45)]
        );
        assert_eq!(
            [
                told(449, Some(45)),
                told(410, Some(45)),
                told(400, Some(45))
            ],
            [Some(45), Some(45), Some(40)]
        );
        assert_eq!(used_percent(&disk(0, 0), Some(45)), None);
    }
}
