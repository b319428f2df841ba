//! What ends a command.

use std::path::PathBuf;

use crate::crd::manifest::Mistake;
use crate::dataplane;
use crate::exit::Exit;
use crate::reconcile::validate;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// The file is there, but can't be read.
    #[error("can't read {}", file.display())]
    Read {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The spec is not what admission lets through.
    #[error(transparent)]
    Invalid(#[from] validate::Error),
    /// The nodes refuse, or can't be asked.
    #[error(transparent)]
    DataPlane(#[from] dataplane::Error),
    /// Nobody can be asked.
    #[error("no node of the cluster {place} answers: {advice}")]
    NobodyAnswers {
        /// Where the cluster is.
        place: String,
        /// What to do.
        advice: String,
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
    /// The output can't be written.
    #[error("can't write the output")]
    Output(#[source] std::io::Error),
    /// The output can't be made.
    #[error("can't make JSON of the output")]
    Json(#[source] serde_json::Error),
    /// The output can't be made.
    #[error("can't make YAML of the output")]
    Yaml(#[source] serde_yaml::Error),
}

impl Error {
    /// The exit status that ends the program with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Mistakes { .. } | Self::Invalid(_) => Exit::DataError,
            Self::NoFile { .. } => Exit::NoInput,
            Self::Read { source, .. } => Exit::from_io(source),
            Self::DataPlane(_) | Self::NobodyAnswers { .. } => Exit::Unavailable,
            Self::NoNode { .. } | Self::OtherIdentity { .. } => Exit::Usage,
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
