//! What ends a `local` command.

use std::path::PathBuf;

use crate::command;
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
    /// What does not depend on where the cluster is.
    #[error(transparent)]
    Command(#[from] command::Error),
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
            Self::Command(error) => error.exit(),
            Self::Reconcile(reconcile::Error::Validate(_)) => Exit::DataError,
            Self::Signals(_) => Exit::System,
            Self::NotConfirmed { .. } => Exit::Usage,
            Self::StillWorking { .. } => Exit::TemporaryFailure,
            Self::Interrupted { .. } => Exit::Interrupted,
        }
    }
}
