//! What the local platform runs into. Every text is a sentence that says what to do, or the system's own words.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Exit;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("can't {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another operator works here.
    #[error(
        "{} is in use by another kv-operator{}: stop that one first (Ctrl-C there, or `kv-operator local stop --dir {}`)",
        dir.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), dir.display()
    )]
    Locked {
        /// The cluster's directory.
        dir: PathBuf,
        /// Who holds the lock.
        pid: Option<u32>,
    },
    /// A second process for a node.
    #[error("another process{} runs the node in {} already", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), dir.display())]
    NodeRuns {
        /// The node's directory.
        dir: PathBuf,
        /// Who holds its lock.
        pid: Option<u32>,
    },
    /// A file of ours that is not as we write it.
    #[error("{} is damaged: restore it from a backup, or delete the cluster and make it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A file of a newer operator.
    #[error("{} has format {found}, this kv-operator knows formats up to {known}: use the newer kv-operator", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The directory belongs to a cluster of another name.
    #[error("{} holds cluster {found:?}, not {wanted:?}: choose another --dir, or put the name back", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster that lives there.
        found: String,
        /// The cluster that was asked for.
        wanted: String,
    },
    /// An identity is never replaced.
    #[error("{} already holds the identity of another cluster: choose another --dir", path.display())]
    IdentityTaken {
        /// The file.
        path: PathBuf,
    },
    /// A step came before the identity.
    #[error("{} is missing: put it back from a backup; without it nothing is known of the cluster", path.display())]
    IdentityMissing {
        /// The file.
        path: PathBuf,
    },
    /// A certificate can't be made.
    #[error("can't make the certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: rcgen::Error,
    },
    /// Another program listens where a node should.
    #[error(
        "port {port} of {node} is taken by another program: end that one; {node} then starts by itself"
    )]
    PortTaken {
        /// The node.
        node: String,
        /// The port.
        port: u16,
    },
    /// No port is left.
    #[error("no free port was found on 127.0.0.1")]
    NoFreePort(#[source] io::Error),
    /// The program that runs nodes is not there.
    #[error(
        "kv-node was not found beside kv-operator nor in PATH: build it (`cargo build -p kv-node`) or say --node-binary PATH"
    )]
    NoNodeBinary,
    /// What was named as the program that runs nodes is none.
    #[error("{} is not a program: say --node-binary with the path of kv-node", path.display())]
    NotAProgram {
        /// What was named.
        path: PathBuf,
    },
    /// Nodes run that should not.
    #[error("{} still runs: stop the cluster first with `kv-operator local stop --dir {}`", nodes.join(", "), dir.display())]
    StillRunning {
        /// Their names.
        nodes: Vec<String>,
        /// The cluster's directory.
        dir: PathBuf,
    },
    /// No cluster lives there.
    #[error("{} holds no cluster: give the directory that `kv-operator local` printed", dir.display())]
    NoCluster {
        /// The directory.
        dir: PathBuf,
    },
    /// A process can't be signalled.
    #[error("can't signal {node} (pid {pid})")]
    Signal {
        /// The node.
        node: String,
        /// Its process.
        pid: u32,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Makes an I/O error of the system's word.
    pub fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// The exit status that ends the program with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => Exit::from_io(source),
            Self::Locked { .. } | Self::NodeRuns { .. } | Self::StillRunning { .. } => {
                Exit::TemporaryFailure
            }
            Self::Damaged { .. } => Exit::DataError,
            Self::Newer { .. }
            | Self::OtherCluster { .. }
            | Self::IdentityTaken { .. }
            | Self::IdentityMissing { .. } => Exit::Configuration,
            Self::Certificate { .. } => Exit::Software,
            Self::PortTaken { .. }
            | Self::NoFreePort(_)
            | Self::NoNodeBinary
            | Self::NotAProgram { .. } => Exit::Unavailable,
            Self::NoCluster { .. } => Exit::NoInput,
            Self::Signal { .. } => Exit::NoPermission,
        }
    }

    /// What to do, where the text does not say it yet.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let Self::Io { source, .. } = self else {
            return None;
        };
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space on that disk and try again")
            }
            io::ErrorKind::PermissionDenied => {
                Some("give this user the right to it, or choose another --dir")
            }
            io::ErrorKind::ReadOnlyFilesystem => Some("choose a --dir that can be written"),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Some("choose a --dir that is a directory")
            }
            io::ErrorKind::NotFound => Some("check the path"),
            _ => Some("check the disk and the kernel's log"),
        }
    }
}
