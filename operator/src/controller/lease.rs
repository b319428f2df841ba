//! One operator at a time does the work: a Lease, as client-go keeps it.
//!
//! ```text
//! nobody holds it, or its record has not changed for DURATION by our own clock ──► replace ──► leader, renews every RENEW
//!                                                                                                │ no success for DEADLINE
//!                                                                                                ▼
//!                                                                                      the process ends and stands by anew
//! ```
//!
//! It spares work and noise; safety does not rest on it: two at once do no harm (permits, epochs and preconditions see to that).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

/// For how long a record counts that nobody renews.
const DURATION: Duration = Duration::from_secs(15);
/// Without success for so long the leader gives up: one more pause and one more attempt end before the others may begin.
const DEADLINE: Duration = Duration::from_secs(7);
const RENEW: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The lease of one installation.
#[derive(Clone)]
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// The record that was seen last, and since when by our own clock.
    seen: Option<(Option<String>, Option<MicroTime>, Instant)>,
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elector")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Elector {
    /// `identity` must differ between processes.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Returns once this process holds the lease.
    pub async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease can't be had"
                ),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews the lease; returns when it is lost.
    pub async fn hold(&mut self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            match self.attempt().await {
                Ok(true) => last = Instant::now(),
                // Somebody else took it.
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease can't be renewed"
                    );
                    if last.elapsed() >= DEADLINE {
                        return;
                    }
                }
            }
        }
    }

    /// Lets the next one begin at once.
    pub async fn release(&mut self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = None;
            // Who can't be reached now takes the lease when it lapses.
            let _ = self
                .api
                .replace(&self.name, &PostParams::default(), &lease)
                .await;
        }
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.try_once()).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service("no answer in 5 s".into())),
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.record(None, &now)),
            };
            return taken(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty());
        let is_ours = holder.as_ref() == Some(&self.identity);
        if holder.is_some() && !is_ours {
            let since = match &self.seen {
                Some((seen, renewed, since)) if *seen == holder && *renewed == spec.renew_time => {
                    *since
                }
                _ => Instant::now(),
            };
            self.seen = Some((holder, spec.renew_time.clone(), since));
            let lasts = spec
                .lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or(DURATION, Duration::from_secs);
            if since.elapsed() < lasts {
                return Ok(false);
            }
        }
        lease.spec = Some(self.record(Some((&spec, is_ours)), &now));
        taken(
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await,
        )
    }

    fn record(&self, before: Option<(&LeaseSpec, bool)>, now: &MicroTime) -> LeaseSpec {
        let transitions = before.and_then(|(spec, _)| spec.lease_transitions);
        let is_ours = before.is_some_and(|(_, is_ours)| is_ours);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(15),
            acquire_time: match before {
                Some((spec, true)) => spec.acquire_time.clone(),
                _ => Some(now.clone()),
            },
            renew_time: Some(now.clone()),
            lease_transitions: Some(
                transitions.map_or(0, |count| count.saturating_add(i32::from(!is_ours))),
            ),
            ..LeaseSpec::default()
        }
    }
}

/// Whether the write was ours: who came second holds nothing.
fn taken(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
