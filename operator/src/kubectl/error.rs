//! What ends a command of the plugin.

use std::sync::Arc;

use kube::config::{InferConfigError, KubeconfigError};

use crate::command;
use crate::exit::Exit;
use crate::platform::kubernetes;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What does not depend on where the cluster is.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The identity is damaged, or objects are not as they should be.
    #[error(transparent)]
    Platform(#[from] kubernetes::Error),
    /// The file that says where the API server is.
    #[error("can't use the kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// There is no such file, and this is no pod.
    #[error("there is no API server to be found: set KUBECONFIG, or say --kubeconfig")]
    NoServer(#[source] Box<InferConfigError>),
    /// What the file says makes no client.
    #[error("can't make a client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// The person may not do that.
    #[error(
        "no permission to {verb} {resource} in namespace {namespace}: a Role there must allow {verb} on {resource}; {said}"
    )]
    Forbidden {
        /// The verb of the rule that is missing.
        verb: &'static str,
        /// Its resource, with a name where it is about one object.
        resource: String,
        /// The namespace.
        namespace: String,
        /// The API server's own words.
        said: String,
    },
    /// The API server refused or did not answer.
    #[error("can't {verb} {resource} in namespace {namespace}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what.
        resource: String,
        /// The namespace.
        namespace: String,
        /// What it said.
        source: Arc<kube::Error>,
    },
    /// The API server took too long.
    #[error("the API server took more than {seconds} s to {verb} {resource}")]
    Slow {
        /// What was tried.
        verb: &'static str,
        /// On what.
        resource: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The definition is missing.
    #[error("the API server does not know KvClusters: install the operator first")]
    NotInstalled,
    /// There is no such cluster.
    #[error(
        "there is no KvCluster {name} in namespace {namespace}{}",
        others(there)
    )]
    NoCluster {
        /// What was named.
        name: String,
        /// The namespace.
        namespace: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// There is no cluster at all.
    #[error("there is no KvCluster in namespace {namespace}: say --namespace")]
    NoClusters {
        /// The namespace.
        namespace: String,
    },
    /// There are several.
    #[error(
        "namespace {namespace} has several KvClusters: say --cluster with one of {}",
        listed(there)
    )]
    Which {
        /// The namespace.
        namespace: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// The same thing was said twice, and differently.
    #[error("two {what} are named, {one} and {other}: name one")]
    Two {
        /// Clusters or namespaces.
        what: &'static str,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// The operator has not begun.
    #[error(
        "cluster {name} is not made yet: there is no Secret {secret}; see `kubectl ringkv status`"
    )]
    NotMade {
        /// The cluster.
        name: String,
        /// The Secret of its identity.
        secret: String,
    },
    /// What is there is of an earlier cluster of the same name.
    #[error(
        "Secret {secret} belongs to an earlier KvCluster {name}: see its conditions, and set spec.storage.adopt to {found} to take it over"
    )]
    Orphaned {
        /// The cluster.
        name: String,
        /// The Secret of the identity.
        secret: String,
        /// The id of the cluster that it is of.
        found: String,
    },
    /// Somebody wrote what the operator can't read either.
    #[error("the annotation {annotation} of {name} can't be read: mend or remove it")]
    Orders {
        /// The annotation.
        annotation: &'static str,
        /// The cluster.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Orders that make no JSON.
    #[error("can't make JSON of the orders")]
    Json(#[source] serde_json::Error),
    /// Others write all the time.
    #[error(
        "{name} was changed by others each of {tries} times that the order was to be written: try again"
    )]
    Conflict {
        /// The cluster.
        name: String,
        /// How often it was tried.
        tries: usize,
    },
    /// The system refuses.
    #[error("can't start")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// The exit status that ends the program with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(error) => error.exit(),
            Self::Platform(_) | Self::Orders { .. } => Exit::DataError,
            Self::Kubeconfig(error) => of_kubeconfig(error),
            Self::NoServer(_) | Self::NoCluster { .. } | Self::NoClusters { .. } => Exit::NoInput,
            Self::Forbidden { .. } => Exit::NoPermission,
            Self::Client(_)
            | Self::Api { .. }
            | Self::Slow { .. }
            | Self::NotInstalled
            | Self::NotMade { .. }
            | Self::Orphaned { .. } => Exit::Unavailable,
            Self::Which { .. } | Self::Two { .. } => Exit::Usage,
            Self::Json(_) => Exit::Software,
            Self::Conflict { .. } => Exit::TemporaryFailure,
            Self::Runtime(_) => Exit::System,
        }
    }
}

fn of_kubeconfig(error: &KubeconfigError) -> Exit {
    match error {
        KubeconfigError::ReadConfig(source, _) => Exit::from_io(source),
        KubeconfigError::FindPath => Exit::NoInput,
        KubeconfigError::CurrentContextNotSet | KubeconfigError::LoadContext(_) => Exit::Usage,
        _ => Exit::DataError,
    }
}

/// How many names a message has.
const NAMES_MAX: usize = 20;

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

fn others(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(": there is {}", listed(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_bounded() {
        let names: Vec<String> = (1..=25).map(|number| format!("c{number}")).collect();
        assert_eq!(listed(&names[..2]), "c1, c2");
        assert!(listed(&names).ends_with("c20 and 5 more"));
        assert_eq!(others(&[]), "");
    }
}
