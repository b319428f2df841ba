//! The CAs of a cluster, as both platforms keep them, and what is to be known of them for a rotation ([`crate::plan::rotation`]).
//!
//! ```text
//! {A} ── next made ──► {A, B}, A issues ── all trust both ──► {A, B}, B issues ── all have one of B ──► {B}
//! ```
//!
//! All of it is kept with the identity, so that whoever dies between two steps goes on from what is there. What was kept
//! before there were rotations is `{A}`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pki::{self, Authority, Error, Pair, Subject};
use crate::crd::{KvClusterSpec, duration};

/// How long certificates of nodes and of the operator are good for where the spec says nothing.
const CERTIFICATE_LIFE_DEFAULT: Duration = Duration::from_hours(8_760);
/// The same of CAs.
const CA_LIFE_DEFAULT: Duration = Duration::from_hours(87_600);

/// What a spec says of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long those of nodes and of the operator are good for.
    pub certificate_life: Duration,
    /// How long a CA is.
    pub ca_life: Duration,
    /// The wish to have the CA turned; another one than that of the last time is a new wish.
    pub rotated_at: Option<String>,
    /// The Secret that offers a CA.
    pub secret_name: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(&KvClusterSpec::default())
    }
}

impl Policy {
    /// Reads a spec that was validated.
    #[must_use]
    pub fn of(spec: &KvClusterSpec) -> Self {
        let tls = spec.tls.clone().unwrap_or_default();
        let life = |text: Option<String>, default| {
            text.and_then(|text| duration(&text)).unwrap_or(default)
        };
        Self {
            certificate_life: life(tls.certificate_life, CERTIFICATE_LIFE_DEFAULT),
            ca_life: life(tls.ca_life, CA_LIFE_DEFAULT),
            rotated_at: tls.rotated_at,
            secret_name: tls.secret_name,
        }
    }
}

/// The CAs with their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorities {
    /// The CA, until the next one takes its place.
    pub current: Pair,
    /// Trusted besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Pair>,
    /// Whether the next one issues.
    #[serde(default)]
    pub is_issuing: bool,
    /// The wish ([`Policy::rotated_at`]) that was met last, or is being met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_for: Option<String>,
}

/// A CA without its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ca {
    /// SHA-256 of the certificate, as nodes report it.
    pub fingerprint: String,
    /// When it ends, Unix seconds.
    pub expires: i64,
}

/// A CA that somebody offers, to be used instead of one that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Its fingerprint.
    Fit(String),
    /// Why it can't be used.
    Refused(String),
}

/// What is to be known of the CAs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// As [`Authorities::current`].
    pub current: Ca,
    /// As [`Authorities::next`].
    pub next: Option<Ca>,
    /// As [`Authorities::is_issuing`].
    pub is_issuing: bool,
    /// As [`Authorities::turned_for`].
    pub turned_for: Option<String>,
    /// Which CA has issued the operator's certificate; empty if none of these.
    pub operator_issuer: String,
    /// When the operator's certificate ends, Unix seconds.
    pub operator_expires: i64,
    /// The CA that a Secret offers, if one is named.
    pub offered: Option<Offered>,
}

impl Authorities {
    /// A first CA, for a cluster that is made: the one that is offered, if there is one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(cluster_id: &str, policy: &Policy, offered: Option<&Pair>) -> Result<Self, Error> {
        let current = match offered {
            Some(pair) => pair.clone(),
            None => Authority::generate(cluster_id, policy.ca_life)?.1,
        };
        Ok(Self {
            turned_for: policy.rotated_at.clone(),
            ..Self::of(current)
        })
    }

    /// The one CA that was kept before there were rotations.
    #[must_use]
    pub const fn of(current: Pair) -> Self {
        Self {
            current,
            next: None,
            is_issuing: false,
            turned_for: None,
        }
    }

    /// All CAs that are trusted, one after another.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map_or("", |next| next.cert.as_str());
        format!("{}{next}", self.current.cert)
    }

    fn issuing(&self) -> &Pair {
        self.next
            .as_ref()
            .filter(|_| self.is_issuing)
            .unwrap_or(&self.current)
    }

    /// Issues a certificate by the CA whose turn it is.
    ///
    /// # Errors
    /// The CA is damaged.
    pub fn issue(
        &self,
        cluster_id: &str,
        subject: Subject<'_>,
        policy: &Policy,
    ) -> Result<Pair, Error> {
        Authority::load(self.issuing())?.issue(cluster_id, subject, policy.certificate_life)
    }

    /// Whether a certificate is as one that would be issued now, and has its key.
    #[must_use]
    pub fn is_good(&self, pair: &Pair, policy: &Policy, now: i64) -> bool {
        let is_young = |facts: &pki::Facts| !is_due(facts.expires, policy.certificate_life, now);
        pki::facts(&pair.cert).as_ref().is_ok_and(is_young)
            && pki::is_issued_by(&pair.cert, &self.issuing().cert)
            && pki::fits(pair)
    }

    /// With one more CA, that is trusted and does not issue yet.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn with_next(
        &self,
        cluster_id: &str,
        policy: &Policy,
        offered: Option<&Pair>,
    ) -> Result<Self, Error> {
        let is_there = |pair: &Pair| pair.cert == self.current.cert;
        if self.next.is_some() || offered.is_some_and(is_there) {
            return Ok(self.clone());
        }
        let next = match offered {
            Some(pair) => pair.clone(),
            None => Authority::generate(cluster_id, policy.ca_life)?.1,
        };
        Ok(Self {
            current: self.current.clone(),
            next: Some(next),
            is_issuing: false,
            turned_for: policy.rotated_at.clone(),
        })
    }

    /// With the next CA issuing.
    #[must_use]
    pub fn issuing_by_next(&self) -> Self {
        Self {
            is_issuing: self.next.is_some(),
            ..self.clone()
        }
    }

    /// With the next CA alone, once it issues.
    #[must_use]
    pub fn without_old(&self) -> Self {
        match &self.next {
            Some(next) if self.is_issuing => Self {
                turned_for: self.turned_for.clone(),
                ..Self::of(next.clone())
            },
            _ => self.clone(),
        }
    }

    /// What is to be known of them.
    ///
    /// # Errors
    /// One is no certificate.
    pub fn trust(&self, operator: &Pair) -> Result<Trust, Error> {
        let ca = |pair: &Pair| {
            pki::facts(&pair.cert).map(|facts| Ca {
                fingerprint: facts.fingerprint,
                expires: facts.expires,
            })
        };
        let current = ca(&self.current)?;
        let next = self.next.as_ref().map(ca).transpose()?;
        let has_issued = |pair: &Pair| pki::is_issued_by(&operator.cert, &pair.cert);
        let operator_issuer = match (&self.next, &next) {
            (Some(pair), Some(ca)) if has_issued(pair) => ca.fingerprint.clone(),
            _ if has_issued(&self.current) => current.fingerprint.clone(),
            _ => String::new(),
        };
        // One that can't be read is made anew as one that has ended.
        let operator_expires = pki::facts(&operator.cert).map_or(0, |facts| facts.expires);
        Ok(Trust {
            current,
            next,
            is_issuing: self.is_issuing,
            turned_for: self.turned_for.clone(),
            operator_issuer,
            operator_expires,
            offered: None,
        })
    }
}

/// Whether it is time for a certificate to be renewed: in the last third of its life, or if it would last much longer than is wanted
/// now. Times in Unix seconds.
#[must_use]
pub fn is_due(expires: i64, life: Duration, now: i64) -> bool {
    /// Clocks of two operators differ.
    const SLACK: i64 = 60;
    let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX / 4);
    let left = expires.saturating_sub(now);
    left <= life / 3 || left > life.saturating_add(life / 10).saturating_add(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: fn() -> Policy = Policy::default;

    fn now() -> i64 {
        jiff::Timestamp::now().as_second()
    }

    #[test]
    fn a_certificate_is_renewed_in_the_last_third_of_its_life() {
        let life = Duration::from_secs(300);
        let due = |left: i64| is_due(1_000 + left, life, 1_000);
        assert_eq!(
            [300, 101, 100, 0, -5].map(due),
            [false, false, true, true, true]
        );
        assert!(due(4_000), "a shorter life is wanted now");
        assert!(!due(380), "clocks differ");
    }

    #[test]
    fn a_ca_takes_the_place_of_another_step_by_step() {
        let policy = Policy {
            rotated_at: Some("now".into()),
            ..POLICY()
        };
        let first = Authorities::new("c-1", &POLICY(), None).expect("made");
        let issue = |from: &Authorities| {
            from.issue("c-1", Subject::Operator, &policy)
                .expect("issued")
        };
        let old = issue(&first);
        assert!(first.is_good(&old, &policy, now()));

        let both = first.with_next("c-1", &policy, None).expect("made");
        let again = both.with_next("c-1", &policy, None);
        assert_eq!(again.expect("kept"), both);
        assert!(both.is_good(&old, &policy, now()), "the old one issues yet");
        assert_eq!(both.bundle().matches("BEGIN").count(), 2);
        assert_eq!(both.without_old(), both, "nothing is dropped before");

        let turning = both.issuing_by_next();
        assert!(!turning.is_good(&old, &policy, now()));
        let new = issue(&turning);
        assert!(turning.is_good(&new, &policy, now()));
        let trust = turning.trust(&new).expect("read");
        assert_eq!(
            trust.next.map(|ca| ca.fingerprint),
            Some(trust.operator_issuer)
        );

        let last = turning.without_old();
        assert_eq!((&last.next, last.is_issuing), (&None, false));
        assert_eq!(last.turned_for.as_deref(), Some("now"));
        assert!(last.is_good(&new, &policy, now()) && !last.is_good(&old, &policy, now()));
        let mixed = Pair {
            cert: new.cert,
            key: old.key,
        };
        assert!(!last.is_good(&mixed, &policy, now()), "the key of another");
    }

    #[test]
    fn what_was_kept_before_there_were_rotations_is_read() {
        let text = r#"{"current": {"cert": "c", "key": "k"}}"#;
        let read: Authorities = serde_json::from_str(text).expect("read");
        let pair = Pair {
            cert: "c".into(),
            key: "k".into(),
        };
        assert_eq!(read, Authorities::of(pair));
    }
}
