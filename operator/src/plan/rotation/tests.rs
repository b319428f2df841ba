use proptest::prelude::*;

use super::*;
use crate::platform::authorities::Ca;

const DAY: i64 = 86_400;
/// Well within the lives of all that is made at 0.
const NOW: i64 = DAY;

fn ca(number: u32, made: i64) -> Ca {
    Ca {
        fingerprint: format!("ca-{number}"),
        expires: made + 3_650 * DAY,
    }
}

fn wish(text: &str) -> Policy {
    Policy {
        rotated_at: Some(text.into()),
        ..Policy::default()
    }
}

/// What the files of one node say, and what it has loaded of them.
#[derive(Clone, Debug)]
struct Node {
    given: Report,
    loaded: Report,
    state: Option<State>,
}

/// A cluster whose CAs and nodes do what they are told, as far as they are not kept from it.
#[derive(Clone, Debug)]
struct Cluster {
    trust: Trust,
    nodes: Vec<Node>,
    made: u32,
    now: i64,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let first = ca(1, 0);
        let report = Report {
            cas: [first.fingerprint.clone()].into(),
            issuer: first.fingerprint.clone(),
            expires: 365 * DAY,
        };
        let node = Node {
            given: report.clone(),
            loaded: report.clone(),
            state: None,
        };
        Self {
            trust: Trust {
                operator_issuer: first.fingerprint.clone(),
                operator_expires: report.expires,
                current: first,
                ..Trust::default()
            },
            nodes: vec![node; nodes],
            made: 1,
            now: NOW,
        }
    }

    fn holders(&self) -> BTreeMap<NodeId, Holder> {
        let holder = |(id, node): (u64, &Node)| {
            let state = node.state.clone();
            let holder = Holder {
                name: format!("rides-{id}"),
                state: state.unwrap_or_else(|| State::Reports(node.loaded.clone())),
            };
            (NodeId(id), holder)
        };
        (1..).zip(&self.nodes).map(holder).collect()
    }

    fn decide(&self, policy: &Policy) -> Decision {
        decide(&self.trust, policy, &self.holders(), self.now)
    }

    fn issuer(&self) -> String {
        let issuing = self.trust.next.as_ref().filter(|_| self.trust.is_issuing);
        issuing.unwrap_or(&self.trust.current).fingerprint.clone()
    }

    /// What a node should have.
    fn wanted(&self) -> Report {
        let all = [Some(&self.trust.current), self.trust.next.as_ref()];
        let cas = { all.into_iter().flatten() }.map(|ca| ca.fingerprint.clone());
        Report {
            cas: cas.collect(),
            issuer: self.issuer(),
            expires: self.now + 365 * DAY,
        }
    }

    fn take(&mut self, step: &Certify, policy: &Policy) {
        match step {
            Certify::TrustNext => {
                assert!(self.trust.next.is_none(), "one at a time");
                self.made += 1;
                self.trust.next = Some(ca(self.made, self.now));
                self.trust.turned_for.clone_from(&policy.rotated_at);
            }
            Certify::IssueByNext => self.trust.is_issuing = true,
            Certify::DropOld => {
                assert!(self.trust.is_issuing, "a CA that issues is left");
                self.trust.current = self.trust.next.take().expect("another one");
                self.trust.is_issuing = false;
            }
            Certify::RenewOperator => {}
            Certify::Give(ids) => {
                let wanted = self.wanted();
                for id in ids {
                    let given = &mut self.nodes[usize::try_from(id.0).expect("small") - 1].given;
                    if *given != wanted {
                        *given = wanted.clone();
                    }
                }
            }
        }
        if matches!(step, Certify::IssueByNext | Certify::RenewOperator) {
            self.trust.operator_issuer = self.issuer();
            self.trust.operator_expires = self.now + 365 * DAY;
        }
    }

    /// Whoever shows a certificate is trusted by all others.
    fn check(&self) {
        let shown = self.nodes.iter().map(|node| &node.loaded.issuer);
        for issuer in shown.chain([&self.trust.operator_issuer]) {
            for node in &self.nodes {
                assert!(node.loaded.cas.contains(issuer), "{issuer}: {self:?}");
            }
            let known = self.wanted().cas;
            assert!(known.contains(issuer), "by the operator: {self:?}");
        }
    }

    /// A round that dies after some of its steps; then some nodes load what they were given.
    fn round(&mut self, policy: &Policy, steps: usize, loading: u8) {
        for step in self.decide(policy).steps.iter().take(steps) {
            self.take(step, policy);
            self.check();
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.state.is_none() && loading >> index & 1 == 1 {
                node.loaded = node.given.clone();
            }
        }
        self.check();
    }

    fn settle(&mut self, policy: &Policy) {
        for _ in 0..20 {
            self.round(policy, usize::MAX, u8::MAX);
        }
        assert_eq!(self.decide(policy), Decision::default(), "{self:?}");
    }
}

proptest! {
    #[test]
    fn nobody_is_shut_out_whenever_the_operator_dies_and_however_nodes_lag(
        rounds in prop::collection::vec((0_usize..4, any::<u8>(), 0_u8..20, 0_i64..200), 0..60),
    ) {
        let mut cluster = Cluster::new(3);
        let mut policy = Policy::default();
        for (steps, loading, wished, days) in rounds {
            if wished < 3 {
                policy = wish(&format!("wish {wished}"));
            }
            cluster.now += days / 50 * 10 * DAY;
            cluster.round(&policy, steps, loading);
        }
        cluster.settle(&policy);
        prop_assert_eq!(&cluster.trust.next, &None);
        if policy.rotated_at.is_some() {
            prop_assert_eq!(&cluster.trust.turned_for, &policy.rotated_at);
        }
    }
}

#[test]
fn a_ca_is_turned_in_three_steps_each_after_every_node_has_said_so() {
    let (mut cluster, policy) = (Cluster::new(3), wish("now"));
    assert_eq!(cluster.decide(&policy).steps, [Certify::TrustNext]);
    cluster.round(&policy, 1, 0);
    let all = Certify::Give([1, 2, 3].map(NodeId).into());
    assert_eq!(cluster.decide(&policy).steps, std::slice::from_ref(&all));
    // One lags.
    cluster.round(&policy, 1, 0b011);
    let third = Certify::Give([NodeId(3)].into());
    assert_eq!(cluster.decide(&policy).steps, std::slice::from_ref(&third));
    assert_eq!(cluster.decide(&policy).waiting, None, "it is on its way");
    cluster.round(&policy, 1, 0b100);
    assert_eq!(cluster.decide(&policy).steps, [Certify::IssueByNext]);
    cluster.round(&policy, 1, 0);
    assert_eq!(cluster.decide(&policy).steps, std::slice::from_ref(&all));
    cluster.round(&policy, 1, 0b111);
    assert_eq!(cluster.decide(&policy).steps, [Certify::DropOld]);
    cluster.round(&policy, 1, 0);
    assert_eq!(cluster.decide(&policy).steps, [all], "they drop it too");
    assert_eq!(cluster.decide(&policy).told, Some("nodes drop the old CA"));
    cluster.settle(&policy);
    assert_eq!(cluster.trust.current.fingerprint, "ca-2");
}

#[test]
fn a_node_that_is_down_blocks_until_it_is_back() {
    let policy = wish("now");
    for (state, why) in [
        (
            State::Away,
            "the CA is turned once rides-2 is back or replaced",
        ),
        (
            State::Silent,
            "the CA is turned once rides-2 is back or replaced",
        ),
        (
            State::Mute,
            "the CA is turned once rides-2 runs a version that tells what it has loaded",
        ),
    ] {
        let mut cluster = Cluster::new(3);
        cluster.nodes[1].state = Some(state);
        for _ in 0..10 {
            cluster.round(&policy, usize::MAX, u8::MAX);
        }
        let decision = cluster.decide(&policy);
        assert_eq!(decision.waiting.as_deref(), Some(why));
        assert!(!cluster.trust.is_issuing && cluster.trust.next.is_some());
        cluster.nodes[1].state = None;
        cluster.settle(&policy);
        assert_eq!(cluster.trust.current.fingerprint, "ca-2");
    }
}

#[test]
fn a_late_answer_holds_a_rotation_up_and_is_nothing_to_tell() {
    let policy = wish("now");
    let mut cluster = Cluster::new(3);
    cluster.round(&policy, usize::MAX, u8::MAX);
    cluster.round(&policy, usize::MAX, u8::MAX);
    cluster.nodes[1].state = Some(State::Late);
    let decision = cluster.decide(&policy);
    assert_eq!((decision.steps, decision.waiting), (Vec::new(), None));
}

#[test]
fn certificates_are_renewed_by_age_without_another_ca() {
    let (mut cluster, policy) = (Cluster::new(3), Policy::default());
    assert_eq!(cluster.decide(&policy), Decision::default());
    cluster.now = 250 * DAY;
    let decision = cluster.decide(&policy);
    let all = Certify::Give([1, 2, 3].map(NodeId).into());
    assert_eq!(decision.steps, [Certify::RenewOperator, all]);
    assert_eq!(decision.told, Some("certificates are renewed"));
    cluster.settle(&policy);
    assert_eq!(cluster.trust.current.fingerprint, "ca-1");
}

#[test]
fn a_ca_is_turned_by_age() {
    let (mut cluster, policy) = (Cluster::new(1), Policy::default());
    cluster.now = 2_500 * DAY;
    cluster.settle(&policy);
    assert_eq!(cluster.trust.current.fingerprint, "ca-2");
}

#[test]
fn who_does_not_say_what_it_has_is_left_alone_while_nothing_turns() {
    let mut cluster = Cluster::new(2);
    cluster.nodes[0].state = Some(State::Mute);
    cluster.nodes[1].state = Some(State::Away);
    assert_eq!(cluster.decide(&Policy::default()), Decision::default());
    cluster.nodes[1].state = Some(State::Silent);
    let decision = cluster.decide(&Policy::default());
    assert_eq!(decision.steps, [Certify::Give([NodeId(2)].into())]);
    assert_eq!(
        decision.told, None,
        "what it has may be too old to be heard"
    );
}

#[test]
fn a_ca_that_is_offered_is_taken_and_one_that_does_not_fit_changes_nothing() {
    let (mut cluster, policy) = (Cluster::new(3), wish("now"));
    cluster.trust.offered = Some(Offered::Refused("no CA".into()));
    assert_eq!(cluster.decide(&policy), Decision::default());
    cluster.trust.offered = Some(Offered::Fit("ca-1".into()));
    assert_eq!(cluster.decide(&policy), Decision::default(), "it is there");
    cluster.trust.offered = Some(Offered::Fit("ca-2".into()));
    cluster.settle(&policy);
    assert_eq!(cluster.trust.current.fingerprint, "ca-2");
    cluster.trust.offered = Some(Offered::Fit("ca-3".into()));
    cluster.round(&policy, usize::MAX, u8::MAX);
    // What has begun is ended, whatever is offered meanwhile.
    cluster.trust.offered = Some(Offered::Refused("no CA".into()));
    cluster.settle(&policy);
    assert_eq!(cluster.trust.current.fingerprint, "ca-3");
}
