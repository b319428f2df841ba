//! Certificates on Kubernetes: CAs in the Secret of the identity, what a node should have loaded in the Secret of the node.
//!
//! A mounted Secret changes in a pod at the kubelet's next look at it, a minute or so later; any change of the pod makes that
//! seconds, so the pod is annotated with what was put before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kv_ring::NodeId;

use super::identity::Kept;
use super::objects::{self, NodeSeat};
use super::{Error, KubernetesPlatform, names};
use crate::platform::authorities::Offered;
use crate::platform::{Certify, pki};

/// For so long nothing is put before a node that was put before it already: it takes a while to load.
const GIVEN_KEPT: Duration = Duration::from_secs(10);

/// What was put before nodes, and when.
pub(super) type Given = BTreeMap<NodeId, (String, Instant)>;

/// A text of a Secret.
pub(super) fn text(secret: Option<&Secret>, key: &str) -> Option<String> {
    let data = secret?.data.as_ref()?.get(key)?;
    String::from_utf8(data.0.clone()).ok()
}

/// The files of a node's Secret: its configuration, and what it should have loaded. A certificate that is as it should be stays.
///
/// # Errors
/// The CA is damaged.
pub(super) fn files(
    kept: &Kept,
    there: Option<&Secret>,
    seat: &NodeSeat,
    wanted: &super::Wanted,
    config: String,
) -> Result<BTreeMap<String, ByteString>, Error> {
    let pair = text(there, "tls.crt").zip(text(there, "tls.key"));
    let pair = pair.map(|(cert, key)| pki::Pair { cert, key });
    let now = Timestamp::now().as_second();
    let good = pair.filter(|pair| kept.authorities().is_good(pair, &wanted.tls, now));
    let pair = match good {
        Some(pair) => pair,
        None => kept.issue(seat.id, &seat.name, &wanted.tls)?,
    };
    let files = [
        ("node.json", config),
        ("ca.crt", kept.authorities().bundle()),
        ("tls.crt", pair.cert),
        ("tls.key", pair.key),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
    Ok(files.into())
}

/// A CA that a Secret offered when it was read last.
#[derive(Debug)]
pub(super) struct Offer {
    secret_name: String,
    read: Instant,
    pair: Result<pki::Pair, String>,
}

/// The CA of a Secret, or why it can't be used.
fn judge(name: &str, secret: Option<&Secret>) -> Result<pki::Pair, String> {
    let Some(secret) = secret else {
        return Err(format!("the Secret {name} of spec.tls does not exist"));
    };
    let file = |key: &str| {
        text(Some(secret), key).ok_or_else(|| format!("the Secret {name} has no text in {key}"))
    };
    let now = Timestamp::now().as_second();
    pki::offered(&file("ca.crt")?, &file("ca.key")?, now)
        .map_err(|why| format!("the Secret {name} {why}"))
}

impl KubernetesPlatform {
    /// Reads the Secret that offers a CA, if the spec names one and it is time.
    ///
    /// # Errors
    /// What the API server says.
    pub(super) async fn read_offer(&mut self) -> Result<(), Error> {
        let Some(name) = self.wanted.tls.secret_name.clone() else {
            self.offer = None;
            return Ok(());
        };
        let is_fresh = |offer: &Offer| {
            offer.secret_name == name && offer.read.elapsed() < super::IDENTITY_KEPT
        };
        if !self.offer.as_ref().is_some_and(is_fresh) {
            let secret = self.writer.secret(&name).await?;
            self.offer = Some(Offer {
                pair: judge(&name, secret.as_ref()),
                secret_name: name,
                read: Instant::now(),
            });
        }
        Ok(())
    }

    /// The CA that is offered and can be used.
    pub(super) fn offered_pair(&self) -> Option<&pki::Pair> {
        self.offer.as_ref()?.pair.as_ref().ok()
    }

    /// What the planner is to know of it.
    pub(super) fn offered(&self) -> Option<Offered> {
        let offer = self.offer.as_ref()?;
        let fingerprint = |pair: &pki::Pair| match pki::facts(&pair.cert) {
            Ok(facts) => Offered::Fit(facts.fingerprint),
            Err(error) => Offered::Refused(error.to_string()),
        };
        let refused = |why: &String| Offered::Refused(why.clone());
        Some(offer.pair.as_ref().map_or_else(refused, fingerprint))
    }

    /// Takes a step of a rotation.
    ///
    /// # Errors
    /// What the API server says.
    pub(super) async fn certify(&mut self, step: &Certify) -> Result<(), Error> {
        let after = match step {
            Certify::Give(ids) => return self.give(ids).await,
            step => {
                let offered = self.offered_pair();
                // Where a Secret is named none is made in its place.
                let is_named = self.wanted.tls.secret_name.is_some();
                if *step == Certify::TrustNext && is_named && offered.is_none() {
                    return Ok(());
                }
                self.own()?.certified(step, &self.wanted, offered)?
            }
        };
        let Some(secret) = after else {
            return Ok(());
        };
        // In the place of the very one that was looked at: who has taken another step meanwhile is not overtaken.
        match self.writer.replace(&secret).await {
            Ok(replaced) => {
                self.identity = Some((Instant::now(), Some(Kept::read(replaced)?)));
                Ok(())
            }
            Err(error) => {
                self.identity = None;
                Err(error)
            }
        }
    }

    async fn give(&mut self, ids: &BTreeSet<NodeId>) -> Result<(), Error> {
        let mark = self.own()?.issue_mark();
        self.given.retain(|_, (_, at)| at.elapsed() < GIVEN_KEPT);
        let is_new = |id: &NodeId| self.given.get(id).is_none_or(|(given, _)| *given != mark);
        let due: Vec<NodeId> = ids.iter().copied().filter(is_new).collect();
        if due.is_empty() {
            return Ok(());
        }
        // Nodes must not be given what another operator has gone on from.
        self.read_identity().await?;
        let mark = self.own()?.issue_mark();
        let mut seats = self.seats();
        for id in due {
            if let Some(seat) = seats.remove(&id) {
                self.give_one(&seat, &mark).await?;
            }
            self.given.insert(id, (mark.clone(), Instant::now()));
        }
        Ok(())
    }

    async fn give_one(&mut self, seat: &NodeSeat, mark: &str) -> Result<(), Error> {
        let there = self.writer.secret(&seat.name).await?;
        // One without a configuration was never started: it gets all of it when it is.
        let Some(config) = text(there.as_ref(), "node.json") else {
            return Ok(());
        };
        let files = files(self.own()?, there.as_ref(), seat, &self.wanted, config)?;
        let secret = objects::node_secret(&self.wanted, seat, files);
        self.writer.apply(&secret, there.as_ref()).await?;
        let pod = names::pod(&seat.name);
        let annotated = self
            .cached(&self.caches.pods, &pod)
            .is_none_or(|pod| names::annotation(&pod.metadata, names::CERTIFICATES) == Some(mark));
        if annotated {
            return Ok(());
        }
        let annotations = [(names::CERTIFICATES, mark)];
        match self.writer.annotate::<Pod>(&pod, &annotations).await {
            // It loads them all the same, a little later.
            Err(error) => {
                tracing::debug!(
                    pod,
                    error = &error as &dyn std::error::Error,
                    "not annotated"
                );
                Ok(())
            }
            done => done,
        }
    }
}
