//! Exit statuses, after BSD's `sysexits.h`. `operator/DESIGN.md` lists them.

use std::io;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// A file's content is wrong: a mistake in the `KvCluster`, a damaged file.
    DataError = 65,
    /// A file, directory or cluster that was named is not there.
    NoInput = 66,
    /// Something that is needed is not to be had: the program `kv-node`, a port, a node, the API server.
    Unavailable = 69,
    /// A bug.
    Software = 70,
    /// The operating system refused a thing that it always grants.
    System = 71,
    /// The disk is full, or reading or writing failed.
    Io = 74,
    /// Another process is at work there: try again later.
    TemporaryFailure = 75,
    /// Permission denied.
    NoPermission = 77,
    /// The directory belongs to another cluster or to a newer version.
    Configuration = 78,
    /// Left by a second Ctrl-C, nodes may still run.
    Interrupted = 130,
}

impl Exit {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Usage,
        Self::DataError,
        Self::NoInput,
        Self::Unavailable,
        Self::Software,
        Self::System,
        Self::Io,
        Self::TemporaryFailure,
        Self::NoPermission,
        Self::Configuration,
        Self::Interrupted,
    ];

    /// The status for an error of the system.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NoPermission
            }
            _ => Self::Io,
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_documented() {
        let design = include_str!("../DESIGN.md");
        for exit in Exit::ALL {
            assert!(
                design.contains(&format!("| {} |", exit.code())),
                "operator/DESIGN.md lacks exit status {}",
                exit.code()
            );
        }
    }
}
