//! What a ring refuses, and how it changes.

use crate::common::{join, node, ring_of, specs, zones};
use kv_ring::diff::{Move, moved_fraction, moves};
use kv_ring::{
    Error, Host, Member, MemberState, NodeId, NodeSpec, Ring, RingDelta, Token, Zone, member, plan,
    ring,
};

fn up(id: u64, tokens: &[u128]) -> Member {
    node(id, 0, id as usize, 1).member(MemberState::Up, tokens.iter().copied().map(Token).collect())
}

#[test]
fn bad_rings_are_refused() {
    let refused = |members: Vec<Member>| Ring::new(1, members).unwrap_err();
    assert_eq!(refused(vec![up(0, &[])]), Error::ZeroNodeId);
    assert_eq!(
        refused(vec![up(1, &[]), up(1, &[5])]),
        Error::DuplicateNode { node: NodeId(1) }
    );
    assert_eq!(
        refused(vec![up(1, &[5]), up(2, &[5])]),
        Error::DuplicateToken { token: Token(5) }
    );
    assert_eq!(
        refused(vec![up(1, &[5, 5])]),
        Error::DuplicateToken { token: Token(5) }
    );
    let with = |change: fn(&mut Member)| {
        let mut member = up(1, &[1]);
        change(&mut member);
        refused(vec![member])
    };
    let node = NodeId(1);
    assert_eq!(
        with(|member| member.weight = 0),
        Error::BadWeight { node, weight: 0 }
    );
    assert_eq!(
        with(|member| member.weight = u32::MAX),
        Error::BadWeight {
            node,
            weight: u32::MAX
        }
    );
    assert_eq!(
        with(|member| member.zone = Zone::from("")),
        Error::BadName { node }
    );
    assert_eq!(
        with(|member| member.host = Host::from("h".repeat(member::MAX_NAME_BYTES + 1))),
        Error::BadName { node }
    );
    let count = ring::MAX_TOKENS_PER_NODE + 1;
    let many = (0..count as u128).map(Token).collect();
    assert_eq!(
        refused(vec![Member {
            tokens: many,
            ..up(1, &[])
        }]),
        Error::TooManyTokensOnNode { node, count }
    );
    let crowd = (1..=ring::MAX_MEMBERS as u64 + 1)
        .map(|id| up(id, &[]))
        .collect();
    assert_eq!(
        refused(crowd),
        Error::TooManyMembers {
            count: ring::MAX_MEMBERS + 1
        }
    );
}

#[test]
fn an_empty_ring_places_nothing() {
    for ring in [
        Ring::new(1, Vec::new()).unwrap(),
        Ring::new(1, vec![up(1, &[])]).unwrap(),
    ] {
        assert!(ring.placement(Token(7), 3).is_empty());
        assert_eq!(ring.first(Token(7)), None);
        assert!(kv_ring::shares(&ring).is_empty() && kv_ring::loads(&ring, 3).is_empty());
        assert_eq!(plan::leave(&ring, &[], 3), Err(Error::NoNodes));
    }
}

#[test]
fn text_is_validated_as_it_is_read() {
    let ring = Ring::new(9, vec![up(2, &[7, 3]), up(1, &[u128::MAX])]).unwrap();
    let text = serde_json::to_string(&ring).unwrap();
    assert!(text.contains(r#"{"id":1,"zone":"z0","host":"h1","weight":1,"state":"Up","tokens":["ffffffffffffffffffffffffffffffff"]}"#));
    assert_eq!(serde_json::from_str::<Ring>(&text).unwrap(), ring);
    for (from, to) in [
        (r#""id":1"#, r#""id":0"#),
        (r#""id":1"#, r#""id":2"#),
        (r#""weight":1"#, r#""weight":0"#),
        (
            "ffffffffffffffffffffffffffffffff",
            "00000000000000000000000000000003",
        ),
        ("ffffffffffffffffffffffffffffffff", "f"),
        (r#""zone":"z0""#, r#""zone":"""#),
        (r#""epoch""#, r#""era""#),
    ] {
        assert!(
            serde_json::from_str::<Ring>(&text.replacen(from, to, 1)).is_err(),
            "{from} -> {to}"
        );
    }
}

#[test]
fn deltas_apply_at_their_epoch_only_and_whole_or_not_at_all() {
    let ring = Ring::new(4, vec![up(1, &[10, 20]), up(2, &[])]).unwrap();
    let delta = |add: &[(u64, u128)], remove: &[u128]| RingDelta {
        base_epoch: 4,
        add: add
            .iter()
            .map(|&(id, token)| (NodeId(id), Token(token)))
            .collect(),
        remove: remove.iter().copied().map(Token).collect(),
    };
    let next = ring.apply(&delta(&[(2, 10), (2, 15)], &[10])).unwrap();
    assert_eq!(next.epoch(), 5);
    assert_eq!(
        next.member(NodeId(2)).unwrap().tokens,
        [Token(10), Token(15)],
        "a token changed its owner"
    );
    assert_eq!(
        next.apply(&delta(&[], &[])),
        Err(Error::StaleDelta {
            planned: 4,
            current: 5
        })
    );
    assert_eq!(
        ring.apply(&delta(&[(3, 1)], &[])),
        Err(Error::UnknownNode { node: NodeId(3) })
    );
    assert_eq!(
        ring.apply(&delta(&[], &[11])),
        Err(Error::UnknownToken { token: Token(11) })
    );
    assert_eq!(
        ring.apply(&delta(&[], &[10, 10])),
        Err(Error::DuplicateToken { token: Token(10) })
    );
    assert_eq!(
        ring.apply(&delta(&[(2, 20)], &[])),
        Err(Error::DuplicateToken { token: Token(20) })
    );
    let last = Ring::new(u64::MAX, Vec::new()).unwrap();
    assert_eq!(
        last.apply(&RingDelta {
            base_epoch: u64::MAX,
            ..RingDelta::default()
        }),
        Err(Error::EpochExhausted)
    );
}

#[test]
fn impossible_plans_are_refused() {
    let ring = ring_of(&zones(&[1, 1, 1]), 3);
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    assert_eq!(plan::initial(&[], 3), Err(Error::NoNodes));
    assert_eq!(
        plan::initial(&zones(&[1]), 0),
        Err(Error::BadReplicas { replicas: 0 })
    );
    assert_eq!(
        plan::initial(&zones(&[1]), 17),
        Err(Error::BadReplicas { replicas: 17 })
    );
    assert_eq!(
        plan::initial(&[node(1, 0, 0, 1), node(1, 0, 1, 1)], 3),
        Err(Error::DuplicateNode { node: NodeId(1) })
    );
    assert_eq!(
        plan::join(&ring, &[node(2, 0, 0, 1)], 3),
        Err(Error::HasTokens { node: NodeId(2) })
    );
    assert_eq!(
        plan::join(&ring, &[node(4, 0, 0, 0)], 3),
        Err(Error::BadWeight {
            node: NodeId(4),
            weight: 0
        })
    );
    assert_eq!(
        plan::leave(&ring, &ids(&[9]), 3),
        Err(Error::UnknownNode { node: NodeId(9) })
    );
    assert_eq!(plan::leave(&ring, &ids(&[1, 2, 3]), 3), Err(Error::NoNodes));
    assert_eq!(
        plan::reweight(&ring, NodeId(9), 1, 3),
        Err(Error::UnknownNode { node: NodeId(9) })
    );
}

/// A drain empties the node before its tokens go; the plan is the same, and the node's state does not matter.
#[test]
fn draining_nodes_leave_like_others() {
    let ring = ring_of(&zones(&[2, 2, 2]), 3);
    let drained = |ring: &Ring| {
        let member = ring.member(NodeId(3)).unwrap().clone();
        ring.with_member(Member {
            state: MemberState::Draining,
            ..member
        })
        .unwrap()
    };
    let draining = drained(&ring);
    assert!(kv_ring::shares(&draining).keys().all(|&id| id != NodeId(3)));
    let (a, b) = (
        plan::leave(&ring, &[NodeId(3)], 3).unwrap(),
        plan::leave(&draining, &[NodeId(3)], 3).unwrap(),
    );
    assert_eq!(
        (&a.add, &a.remove, b.base_epoch),
        (&b.add, &b.remove, draining.epoch())
    );
    let left = draining.apply(&b).unwrap();
    assert!(left.member(NodeId(3)).unwrap().tokens.is_empty());
    assert_eq!(left.without_member(NodeId(3)).unwrap().members().len(), 5);
    // While it drains, others can join: its tokens are kept off.
    let joined = join(&draining, &node(50, 1, 50, 1), 3);
    assert_eq!(
        joined.member(NodeId(3)).unwrap().tokens,
        ring.member(NodeId(3)).unwrap().tokens
    );
}

#[test]
fn several_nodes_join_an_empty_or_a_running_ring_at_once() {
    let new: Vec<NodeSpec> = (10..13)
        .map(|id| node(id, id as usize % 3, id as usize, 1))
        .collect();
    for mut ring in [
        Ring::new(1, Vec::new()).unwrap(),
        ring_of(&zones(&[1, 1, 1]), 3),
    ] {
        for node in &new {
            ring = ring
                .with_member(node.member(MemberState::Joining, Vec::new()))
                .unwrap();
        }
        let next = ring.apply(&plan::join(&ring, &new, 3).unwrap()).unwrap();
        assert!(
            crate::common::worst_load(&next, 3) <= 1.02
                && crate::common::worst_share(&next) <= 1.10
        );
        let nodes = specs(&next).len();
        assert_eq!(
            moved_fraction(&ring, &next, 3) > 1.4,
            nodes == 6 || nodes == 3
        );
        let even = plan::even_out(&next, 3, 0.05).unwrap();
        assert!(moved_fraction(&next, &next.apply(&even).unwrap(), 3) <= 0.05);
    }
}

#[test]
fn moves_pair_nodes_of_a_zone() {
    let at = |id: u64, zone: usize, token: u128| {
        node(id, zone, id as usize, 1).member(MemberState::Up, vec![Token(token)])
    };
    let old = Ring::new(1, vec![at(1, 0, 10), at(2, 1, 20), at(3, 2, 30)]).unwrap();
    // A node of each of two zones comes before the one that was there.
    let new = Ring::new(
        2,
        vec![
            at(1, 0, 10),
            at(2, 1, 20),
            at(3, 2, 30),
            at(4, 2, 5),
            at(5, 1, 6),
        ],
    )
    .unwrap();
    let key = "p";
    assert_eq!(
        moves(&old, &new, [(key, Token(0)), (key, Token(15))], 3),
        [
            Move {
                key,
                from: Some(NodeId(2)),
                to: Some(NodeId(5))
            },
            Move {
                key,
                from: Some(NodeId(3)),
                to: Some(NodeId(4))
            },
        ]
    );
    assert_eq!(
        moves(&old, &new, [(key, Token(0))], 1),
        [Move {
            key,
            from: Some(NodeId(1)),
            to: Some(NodeId(4))
        }]
    );
    let alone = Ring::new(1, vec![at(1, 0, 10)]).unwrap();
    assert_eq!(
        moves(&alone, &old, [(key, Token(0))], 2),
        [Move {
            key,
            from: None,
            to: Some(NodeId(2))
        }]
    );
    assert_eq!(
        moves(&old, &alone, [(key, Token(0))], 2),
        [Move {
            key,
            from: Some(NodeId(2)),
            to: None
        }]
    );
}
