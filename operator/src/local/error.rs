//! What ends a `local` command.

use std::path::PathBuf;

use crate::crd::manifest::Mistake;
use crate::dataplane;
use crate::exit::Exit;
use crate::platform::local;
use crate::reconcile;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or its processes.
    #[error(transparent)]
    Platform(#[from] local::Error),
    /// A round could not be done.
    #[error(transparent)]
    Reconcile(#[from] reconcile::Error<local::Error>),
    /// The file has mistakes.
    #[error("{}", lines(file, mistakes))]
    Mistakes {
        /// The file, as it was named.
        file: PathBuf,
        /// All that were found.
        mistakes: Vec<Mistake>,
    },
    /// The file is not there.
    #[error("{} does not exist: write a KvCluster into it, or copy examples/cluster.yaml", file.display())]
    NoFile {
        /// The file, as it was named.
        file: PathBuf,
    },
    /// The nodes refuse, or can't be asked.
    #[error(transparent)]
    DataPlane(#[from] dataplane::Error),
    /// Nobody can be asked.
    #[error("no node of the cluster in {} answers: start it with `kv-operator local -f FILE`", dir.display())]
    NobodyAnswers {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such node.
    #[error("there is no node {name}: it is one of {}", nodes.join(", "))]
    NoNode {
        /// What was named.
        name: String,
        /// What there is.
        nodes: Vec<String>,
    },
    /// A confirmation that names another cluster.
    #[error("the cluster there has the id {found}, not {wanted}: confirm with its own id")]
    OtherIdentity {
        /// What was said.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// Signals can't be caught.
    #[error("can't catch signals")]
    Signals(#[source] std::io::Error),
    /// Nobody said yes.
    #[error("nothing was deleted: say --yes to delete {} with all data of its cluster", dir.display())]
    NotConfirmed {
        /// The directory.
        dir: PathBuf,
    },
    /// The operator did not end in time.
    #[error("kv-operator (pid {pid}) was told to stop, but still works on {} after {seconds} s: look at its terminal", dir.display())]
    StillWorking {
        /// The directory.
        dir: PathBuf,
        /// Its pid.
        pid: u32,
        /// How long was waited.
        seconds: u64,
    },
    /// Left by a second Ctrl-C.
    #[error("left without waiting: {} may still run; `kv-operator local stop --dir {}` ends them", nodes.join(", "), dir.display())]
    Interrupted {
        /// The nodes that were not seen to end.
        nodes: Vec<String>,
        /// The directory.
        dir: PathBuf,
    },
    /// The output can't be written.
    #[error("can't write the output")]
    Output(#[source] std::io::Error),
    /// The output can't be made.
    #[error("can't make JSON of the status")]
    Json(#[source] serde_json::Error),
    /// The output can't be made.
    #[error("can't make YAML of the status")]
    Yaml(#[source] serde_yaml::Error),
}

impl Error {
    /// What to do, where the text does not say it yet.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Platform(error) | Self::Reconcile(reconcile::Error::Observe(error)) => {
                error.advice()
            }
            _ => None,
        }
    }

    /// The exit status that ends the program with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Platform(error) | Self::Reconcile(reconcile::Error::Observe(error)) => {
                error.exit()
            }
            Self::Reconcile(reconcile::Error::Validate(_)) | Self::Mistakes { .. } => {
                Exit::DataError
            }
            Self::NoFile { .. } => Exit::NoInput,
            Self::DataPlane(_) | Self::NobodyAnswers { .. } => Exit::Unavailable,
            Self::NoNode { .. } | Self::OtherIdentity { .. } => Exit::Usage,
            Self::Signals(_) => Exit::System,
            Self::NotConfirmed { .. } => Exit::Usage,
            Self::StillWorking { .. } => Exit::TemporaryFailure,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Output(_) => Exit::Io,
            Self::Json(_) | Self::Yaml(_) => Exit::Software,
        }
    }
}

fn lines(file: &std::path::Path, mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes
        .iter()
        .map(|mistake| format!("{}:{mistake}", file.display()))
        .collect();
    lines.join("\n")
}
