//! What the Kubernetes platform runs into.

use crate::platform::pki;

/// How the API server took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something else changed it, or is there already: look again.
    Conflict,
    /// It is not there.
    NotFound,
    /// A PodDisruptionBudget holds an eviction.
    Disruption,
    /// It will be refused until somebody changes something: forbidden, invalid.
    Refused,
    /// It may pass: a timeout, too many requests, no connection.
    Passing,
}

impl Class {
    /// For a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Disruption => "disruption",
            Self::Refused => "refused",
            Self::Passing => "passing",
        }
    }
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("can't {verb} {kind} {name}: {}", said(source))]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The API server took too long.
    #[error("the API server took more than {seconds} s to {verb} {kind} {name}")]
    Slow {
        /// What was tried.
        verb: &'static str,
        /// On what kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A Secret of ours that is not as we write it.
    #[error("Secret {name} is damaged ({what}): restore it from a backup")]
    Damaged {
        /// The Secret.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A Secret of a newer operator.
    #[error(
        "Secret {name} has format {found}, this operator knows formats up to {known}: use the newer operator"
    )]
    Newer {
        /// The Secret.
        name: String,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// An identity is never replaced.
    #[error("Secret {name} already holds the identity of another cluster")]
    IdentityTaken {
        /// The Secret.
        name: String,
    },
    /// A step came before the identity.
    #[error("Secret {name} is missing: put it back from a backup")]
    IdentityMissing {
        /// The Secret.
        name: String,
    },
    /// The Secret with access keys that a person should have made.
    #[error(
        "Secret {name} of spec.auth.secretName must have AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: {what}"
    )]
    Credentials {
        /// The Secret.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A certificate can't be made.
    #[error("can't make certificates of cluster {cluster_id}")]
    Certificate {
        /// The cluster.
        cluster_id: String,
        /// Why.
        source: pki::Error,
    },
    /// A PodDisruptionBudget holds the eviction.
    #[error("{pod} is not evicted yet: {why}")]
    Held {
        /// The pod.
        pod: String,
        /// What the API server said.
        why: String,
    },
    /// An object of ours that makes no JSON.
    #[error("a {kind} makes no JSON")]
    Json {
        /// The kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// The API server's own words, without the client's.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    /// How the API server took it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Api { source, .. } => class(source),
            Self::Slow { .. } => Class::Passing,
            Self::Held { .. } => Class::Disruption,
            Self::IdentityTaken { .. } => Class::Conflict,
            Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::IdentityMissing { .. }
            | Self::Credentials { .. }
            | Self::Certificate { .. }
            | Self::Json { .. } => Class::Refused,
        }
    }
}

/// How the API server took a request.
#[must_use]
pub fn class(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => Class::NotFound,
            409 => Class::Conflict,
            400 | 401 | 403 | 405 | 413 | 415 | 422 => Class::Refused,
            _ => Class::Passing,
        },
        _ => Class::Passing,
    }
}
