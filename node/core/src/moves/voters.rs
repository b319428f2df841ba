//! Which nodes vote on the metadata (DESIGN §5): one, three or five, over zones, then hosts; whoever votes stays while it can.

use crate::meta::records::{Node, NodeState};

/// Voters for so many nodes.
pub fn wanted(nodes: usize) -> usize {
    match nodes {
        0..=2 => 1,
        3..=8 => 3,
        _ => 5,
    }
}

/// The nodes that should vote, ascending; fewer than wanted where not enough are fit. `votes` are those that do now; `may` says who is fit to.
pub fn voters<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    votes: &[u64],
    may: impl Fn(&Node) -> bool,
) -> Vec<u64> {
    let all: Vec<&Node> = nodes.filter(|n| stays(n)).collect();
    let wanted = wanted(all.len());
    let mut left: Vec<&Node> = all.into_iter().filter(|n| may(n)).collect();
    left.sort_by_key(|n| n.id);
    let mut chosen: Vec<&Node> = Vec::new();
    while chosen.len() < wanted && !left.is_empty() {
        let count =
            |n: &Node, same: fn(&Node, &Node) -> bool| chosen.iter().filter(|c| same(c, n)).count();
        let best = (0..left.len()).min_by_key(|&i| {
            (
                count(left[i], |a, b| a.zone == b.zone),
                count(left[i], |a, b| a.host == b.host),
                !votes.contains(&left[i].id),
                left[i].id,
            )
        });
        chosen.push(left.remove(best.unwrap_or(0)));
    }
    let mut ids: Vec<u64> = chosen.iter().map(|n| n.id).collect();
    ids.sort_unstable();
    ids
}

/// Whether a node counts: it is not leaving, though it may be away.
fn stays(node: &Node) -> bool {
    matches!(
        node.state(),
        NodeState::Joining | NodeState::Up | NodeState::Down
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, zone: &str, state: NodeState) -> Node {
        Node {
            id,
            zone: zone.into(),
            host: format!("h{id}"),
            state: state as i32,
            ..Default::default()
        }
    }

    fn up_now(node: &Node) -> bool {
        node.state() == NodeState::Up
    }

    #[test]
    fn voters_spread_over_zones_and_stay() {
        let up = |id, zone| node(id, zone, NodeState::Up);
        let nodes = [up(1, "a"), up(2, "a"), up(3, "b"), up(4, "c"), up(5, "c")];
        assert_eq!(voters(nodes.iter(), &[], up_now), [1, 3, 4]);
        assert_eq!(voters(nodes.iter(), &[2, 3, 5], up_now), [2, 3, 5]);
        assert_eq!(voters(nodes[..2].iter(), &[2], up_now), [2]);
    }

    #[test]
    fn who_leaves_or_is_down_does_not_vote() {
        let nodes = [
            node(1, "a", NodeState::Draining),
            node(2, "b", NodeState::Up),
            node(3, "c", NodeState::Down),
            node(4, "a", NodeState::Up),
            node(5, "c", NodeState::Up),
        ];
        assert_eq!(voters(nodes.iter(), &[1, 2, 3], up_now), [2, 4, 5]);
    }
}
