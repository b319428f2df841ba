//! Certificates that are renewed, and CAs that are turned, while everything serves.
//!
//! ```text
//! {A} ─ wanted, or A is old ─► TrustNext ─ every node reports {A, B} ─► IssueByNext ─ every node reports one of B ─► DropOld ─► {B}
//!                                   └──────────── Give: what a node does not report yet is put before it ───────────┘
//! ```
//!
//! Invariant: a CA issues only once every node trusts it, and is dropped only once nobody shows a certificate of it, both by
//! the nodes' own word on what they have loaded. So a node that does not say so blocks, until it is back or replaced.

use std::collections::{BTreeMap, BTreeSet};

use kv_ring::NodeId;

use super::{Activity, Plan, Step, World};
use crate::platform::authorities::{Offered, Policy, Trust, is_due};
use crate::platform::{Certify, Presence};

/// How many nodes a message names.
const NAMES_MAX: usize = 5;

/// A node as far as certificates go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    name: String,
    state: State,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It has just said what it has loaded.
    Reports(Report),
    /// It answers, but not in time just now.
    Late,
    /// Its process runs and does not answer.
    Silent,
    /// Its process does not run, or nobody knows.
    Away,
    /// It is too old to say what it has loaded.
    Mute,
}

/// What a node says that it has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    /// Fingerprints of the CAs that it trusts.
    cas: BTreeSet<String>,
    /// The one of them that vouches for its certificate.
    issuer: String,
    /// When that ends, Unix seconds.
    expires: i64,
}

/// What to do, and why no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    steps: Vec<Certify>,
    /// What is under way, in words.
    told: Option<&'static str>,
    waiting: Option<String>,
}

/// Plans the next step.
pub(super) fn rotate(world: &World<'_>, plan: &mut Plan) {
    let is_formed = world.inventory.identity.as_ref();
    let is_formed = is_formed.is_some_and(|identity| identity.is_formed);
    let Some(trust) = world.inventory.trust.as_ref().filter(|_| is_formed) else {
        return;
    };
    if let Some(Offered::Refused(why)) = &trust.offered {
        plan.ca_refused = Some(why.clone());
    }
    let now = i64::try_from(world.now_ms / 1_000).unwrap_or(i64::MAX);
    let Decision {
        steps,
        told,
        waiting,
    } = decide(trust, &world.cluster.tls, &holders(world), now);
    plan.steps.extend(steps.into_iter().map(Step::Certify));
    plan.certificates = told;
    if told.is_some() {
        let certificates = Activity::Certificates;
        let first = plan
            .activity
            .map_or(certificates, |was| was.min(certificates));
        plan.activity = Some(first);
        plan.waiting.extend(waiting);
    }
}

/// Nodes that have certificates and may use them again.
fn holders(world: &World<'_>) -> BTreeMap<NodeId, Holder> {
    let members = world.view.cluster.iter().flat_map(|known| &known.nodes);
    let (gone, members): (Vec<_>, Vec<_>) =
        members.partition(|member| member.state == "Removed" || member.lost);
    let gone: BTreeSet<u64> = gone.into_iter().map(|member| member.id).collect();
    // That the platform does not show a node does not mean that it does not run.
    let unseen = members.into_iter().filter(|member| {
        member.incarnation > 0 && !world.inventory.nodes.contains_key(&NodeId(member.id))
    });
    let unseen = unseen.map(|member| {
        let name = member.name.clone();
        let state = State::Away;
        (NodeId(member.id), Holder { name, state })
    });
    let staying = world.inventory.nodes.iter();
    staying
        .filter(|(id, _)| !gone.contains(&id.0))
        .map(|(&id, object)| {
            let answer = world.view.nodes.get(&id);
            let state = match (answer, object.presence) {
                (Some(node), _) if node.is_late => State::Late,
                (Some(node), _) => node.status.as_ref().map_or(State::Late, |status| {
                    let cas: BTreeSet<String> = status.ca_fingerprints.iter().cloned().collect();
                    if cas.is_empty() {
                        return State::Mute;
                    }
                    State::Reports(Report {
                        cas,
                        issuer: status.certificate_issuer.clone(),
                        expires: status.certificate_expires_unix_seconds,
                    })
                }),
                (None, Presence::Running) => State::Silent,
                (None, _) => State::Away,
            };
            let name = object.name.clone();
            (id, Holder { name, state })
        })
        .chain(unseen)
        .collect()
}

/// The next step of all that there are to take.
fn decide(
    trust: &Trust,
    policy: &Policy,
    holders: &BTreeMap<NodeId, Holder>,
    now: i64,
) -> Decision {
    let all = [Some(&trust.current), trust.next.as_ref()];
    let trusted: BTreeSet<String> = { all.into_iter().flatten() }
        .map(|ca| ca.fingerprint.clone())
        .collect();
    let issuing = trust.next.as_ref().filter(|_| trust.is_issuing);
    let issuer = &issuing.unwrap_or(&trust.current).fingerprint;

    let is_young = |expires| !is_due(expires, policy.certificate_life, now);
    let has_own = |report: &Report| report.issuer == *issuer && report.cas.contains(&report.issuer);
    let is_right =
        |report: &Report| report.cas == trusted && has_own(report) && is_young(report.expires);
    let behind = |of: fn(&State) -> bool, is_fine: &dyn Fn(&Report) -> bool| -> BTreeSet<NodeId> {
        let is_behind = |holder: &Holder| match &holder.state {
            State::Reports(report) => !is_fine(report),
            other => of(other),
        };
        let chosen = holders.iter().filter(|(_, holder)| is_behind(holder));
        chosen.map(|(&id, _)| id).collect()
    };

    let mut decision = Decision::default();
    let reported_wrong = behind(|_| false, &is_right);
    // Whom nobody hears may be silent because what it has is too old. That alone is no rotation to tell of.
    let give = behind(|state| *state == State::Silent, &is_right);
    if trust.operator_issuer != *issuer || !is_young(trust.operator_expires) {
        decision.steps.push(Certify::RenewOperator);
    }
    if !give.is_empty() {
        decision.steps.push(Certify::Give(give));
    }

    let trust_all = |report: &Report| trusted.is_subset(&report.cas);
    let (step, told, behind) = match &trust.next {
        None if wants_another(trust, policy, now) => (
            Some(Certify::TrustNext),
            "the next CA is made",
            BTreeSet::new(),
        ),
        None if reported_wrong.is_empty() => return decision,
        None if !behind(|_| false, &|report| report.cas == trusted).is_empty() => {
            (None, "nodes drop the old CA", BTreeSet::new())
        }
        None => (None, "certificates are renewed", BTreeSet::new()),
        Some(_) if !trust.is_issuing => (
            Some(Certify::IssueByNext),
            "nodes take to the next CA",
            behind(|_| true, &trust_all),
        ),
        Some(_) => (
            Some(Certify::DropOld).filter(|_| trust.operator_issuer == *issuer),
            "nodes get certificates of the next CA",
            behind(|_| true, &|report| trust_all(report) && has_own(report)),
        ),
    };
    decision.told = Some(told);
    decision.steps.extend(step.filter(|_| behind.is_empty()));
    decision.waiting = waiting(&behind, holders);
    decision
}

/// Whether another CA is to take the place of the one there is. When one of a Secret does, is for who writes that Secret to say.
fn wants_another(trust: &Trust, policy: &Policy, now: i64) -> bool {
    match &trust.offered {
        Some(Offered::Fit(fingerprint)) => *fingerprint != trust.current.fingerprint,
        Some(Offered::Refused(_)) => false,
        None => {
            let is_wanted = policy.rotated_at.is_some() && policy.rotated_at != trust.turned_for;
            is_wanted || is_due(trust.current.expires, policy.ca_life, now)
        }
    }
}

/// What a rotation waits for that may take a person to mend.
fn waiting(behind: &BTreeSet<NodeId>, holders: &BTreeMap<NodeId, Holder>) -> Option<String> {
    let of = |state: &State| -> Vec<&str> {
        let found = behind.iter().filter_map(|id| holders.get(id));
        found
            .filter(|holder| holder.state == *state)
            .map(|holder| holder.name.as_str())
            .collect()
    };
    let down: Vec<&str> = [of(&State::Away), of(&State::Silent)].concat();
    if !down.is_empty() {
        return Some(format!(
            "the CA is turned once {} is back or replaced",
            named(&down)
        ));
    }
    let mute = of(&State::Mute);
    (!mute.is_empty()).then(|| {
        format!(
            "the CA is turned once {} runs a version that tells what it has loaded",
            named(&mute)
        )
    })
}

fn named(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
