//! Preference lists against their definition.

use std::collections::BTreeSet;

use crate::common::{config, node};
use kv_ring::{Member, MemberState, NodeId, Ring, Token, Zone, loads, shares};
use proptest::prelude::*;

/// The rule of `kv_ring::placement`, word for word.
fn by_definition(ring: &Ring, position: Token, n: usize) -> Vec<NodeId> {
    let placeable: Vec<&Member> = ring
        .members()
        .iter()
        .filter(|member| member.is_placeable())
        .collect();
    let distance = |member: &Member| {
        member
            .tokens
            .iter()
            .map(|token| token.0.wrapping_sub(position.0))
            .min()
            .unwrap()
    };
    let mut chosen: Vec<&Member> = Vec::new();
    while chosen.len() < n.min(placeable.len()) {
        let next = placeable
            .iter()
            .filter(|member| !chosen.contains(member))
            .min_by_key(|member| {
                let in_zone = chosen.iter().filter(|other| other.zone == member.zone);
                let on_host = in_zone
                    .clone()
                    .filter(|other| other.host == member.host)
                    .count();
                (in_zone.count(), on_host, distance(member))
            });
        chosen.push(next.unwrap());
    }
    chosen.iter().map(|member| member.id).collect()
}

fn states() -> impl Strategy<Value = MemberState> {
    use MemberState::{Down, Draining, Joining, Removed, Up};
    prop_oneof![6 => Just(Up), 1 => Just(Joining), 1 => Just(Down), 1 => Just(Draining), 1 => Just(Removed)]
}

/// Rings of random tokens: few zones and hosts, so that all rules apply; sometimes many tokens in one zone and few in others.
fn rings() -> impl Strategy<Value = Ring> {
    let member = (0..4_usize, 0..4_usize, states(), 0..6_usize, any::<bool>());
    prop::collection::vec((member, any::<u64>()), 0..14).prop_map(|members| {
        let members = members.into_iter().zip(1..).map(
            |(((zone, host, state, count, is_crowded), seed), id)| {
                let count = if is_crowded && zone == 0 {
                    80 * count
                } else {
                    count
                };
                let token = |index: usize| {
                    Token::of(&[seed.to_be_bytes(), (index as u64).to_be_bytes()].concat())
                };
                node(id, zone, host, 1).member(state, (0..count).map(token).collect())
            },
        );
        Ring::new(7, members.collect()).unwrap()
    })
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn lists_follow_the_definition(ring in rings(), positions in prop::collection::vec(any::<u128>(), 8), n in 0..9_usize) {
        let at_tokens = ring.tokens().map(|(token, _)| token).take(4);
        for position in positions.into_iter().map(Token).chain(at_tokens) {
            let list = ring.placement(position, n);
            prop_assert_eq!(&list, &by_definition(&ring, position, n));
            prop_assert_eq!(&list[..], &ring.placement(position, 16)[..list.len()], "a shorter list is a prefix");
            prop_assert_eq!(list.first().copied(), if n == 0 { None } else { ring.first(position) });
        }
    }

    #[test]
    fn zones_are_even_and_nodes_distinct(ring in rings(), position in any::<u128>(), n in 1..9_usize) {
        let list = ring.placement(Token(position), n);
        let placeable = || ring.members().iter().filter(|member| member.is_placeable());
        prop_assert_eq!(list.len(), n.min(placeable().count()));
        prop_assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len());
        let zones: BTreeSet<_> = placeable().map(|member| &member.zone).collect();
        let used: BTreeSet<_> = list.iter().map(|&id| &ring.member(id).unwrap().zone).collect();
        prop_assert_eq!(used.len(), list.len().min(zones.len()), "distinct zones while zones suffice");
        let in_zone = |zone: &Zone| list.iter().filter(|&&id| ring.member(id).unwrap().zone == *zone).count();
        let spare = |zone: &Zone| placeable().filter(|member| member.zone == *zone).count() > in_zone(zone);
        let most = zones.iter().map(|zone| in_zone(zone)).max().unwrap_or(0);
        for zone in zones.iter().filter(|zone| spare(zone)) {
            prop_assert!(in_zone(zone) + 1 >= most, "a zone with a node to spare is at most one behind");
        }
    }

    #[test]
    fn a_new_token_swaps_at_most_one_node_in(ring in rings(), id in 1..14_u64, token in any::<u128>(), n in 1..9_usize) {
        let Some(member) = ring.member(NodeId(id)).filter(|member| member.is_placeable()).cloned() else { return Ok(()) };
        let mut grown = member;
        grown.tokens.push(Token(token));
        let Ok(next) = ring.with_member(grown) else { return Ok(()) };
        let edges = next.tokens().map(|(token, _)| token);
        for position in edges {
            let (before, after) = (ring.placement(position, n), next.placement(position, n));
            let added: Vec<NodeId> = after.iter().copied().filter(|other| !before.contains(other)).collect();
            prop_assert!(added.is_empty() || added == [NodeId(id)], "{added:?}");
        }
    }

    #[test]
    fn shares_and_loads_add_up(ring in rings(), n in 1..6_usize) {
        let placeable = ring.members().iter().filter(|member| member.is_placeable()).count();
        let (share, load): (f64, f64) = (shares(&ring).values().sum(), loads(&ring, n).values().sum());
        let whole = if placeable == 0 { 0.0 } else { 1.0 };
        prop_assert!((share - whole).abs() < 1e-9);
        prop_assert!((load - n.min(placeable) as f64).abs() < 1e-9);
        prop_assert_eq!(loads(&ring, 1).len(), placeable);
        for (id, share) in shares(&ring) {
            prop_assert!((loads(&ring, 1)[&id] - share).abs() < 1e-9, "with one replica the load is the share");
        }
    }
}

#[test]
fn second_replicas_relax_zone_by_zone_and_host_by_host() {
    // Clockwise: a1 (host 1), a2 (host 1), a3 (host 2), b4, then around.
    let members = [(1, 0, 1, 10), (2, 0, 1, 20), (3, 0, 2, 30), (4, 1, 1, 40)];
    let members = members.map(|(id, zone, host, token)| {
        node(id, zone, host, 1).member(MemberState::Up, vec![Token(token)])
    });
    let ring = Ring::new(1, members.to_vec()).unwrap();
    let list = |position, n| {
        ring.placement(Token(position), n)
            .iter()
            .map(|id| id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list(0, 2),
        [1, 4],
        "the next zone, though another node comes first"
    );
    assert_eq!(
        list(0, 3),
        [1, 4, 3],
        "then the other host of the first zone"
    );
    assert_eq!(
        list(0, 9),
        [1, 4, 3, 2],
        "then whoever is left; never one twice"
    );
    assert_eq!(list(10, 1), [1], "a token at the position counts");
    assert_eq!(list(11, 1), [2]);
    assert_eq!(list(41, 2), [1, 4], "around the circle");
}

#[test]
fn a_rare_zone_is_found_far_away() {
    let crowd = (1..=40).map(|id| {
        let tokens = (0..50_u128).map(|index| Token((u128::from(id) + 40 * index) << 100));
        node(id, (id % 2) as usize, id as usize, 1).member(MemberState::Up, tokens.collect())
    });
    let rare = node(99, 2, 99, 1).member(MemberState::Up, vec![Token(u128::MAX)]);
    let ring = Ring::new(1, crowd.chain([rare]).collect()).unwrap();
    for position in [0, 1 << 100, 1 << 108, u128::MAX] {
        let list = ring.placement(Token(position), 3);
        assert!(list.contains(&NodeId(99)));
        assert_eq!(list, by_definition(&ring, Token(position), 3));
    }
}
