//! Exit statuses of `kv-node`: one number a cause, as in BSD's `sysexits.h`, and one sentence that says what to do.
//!
//! `node/DESIGN.md` lists them. Whoever starts nodes (the operator, Kubernetes, a person) tells from the number whether starting again can help:
//! see [`ExitStatus::may_restart`].

use std::io;
use std::process::ExitCode;

/// Why the process ends. The numbers are documented and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// It was asked to stop and did so in order.
    Ok = 0,
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_DATAERR`: the data directory is damaged; this identity is retired (DESIGN §7).
    Corrupt = 65,
    /// `EX_NOHOST`: an address to listen on is taken or not this machine's.
    Address = 68,
    /// `EX_UNAVAILABLE`: the data directory is in use by another process.
    InUse = 69,
    /// `EX_SOFTWARE`: a bug.
    Internal = 70,
    /// `EX_OSERR`: the system refuses threads, files or memory.
    System = 71,
    /// `EX_CANTCREAT`: the data directory can't be made or written.
    CantCreate = 73,
    /// `EX_IOERR`: the disk fails.
    Io = 74,
    /// `EX_TEMPFAIL`: something that passes.
    Temporary = 75,
    /// `EX_PROTOCOL`: the data or the certificate belong to another cluster or node, the id was removed, the disk
    /// was rolled back, or a newer version wrote it.
    WrongIdentity = 76,
    /// `EX_NOPERM`'s number, used for a full disk: nothing can be written, not even what recovery needs.
    DiskFull = 77,
    /// `EX_CONFIG`: configuration or certificates are wrong.
    Config = 78,
}

impl ExitStatus {
    pub const ALL: [ExitStatus; 13] = [
        ExitStatus::Ok,
        ExitStatus::Usage,
        ExitStatus::Corrupt,
        ExitStatus::Address,
        ExitStatus::InUse,
        ExitStatus::Internal,
        ExitStatus::System,
        ExitStatus::CantCreate,
        ExitStatus::Io,
        ExitStatus::Temporary,
        ExitStatus::WrongIdentity,
        ExitStatus::DiskFull,
        ExitStatus::Config,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The status that a process ended with, if it is one of these.
    pub fn from_code(code: i32) -> Option<Self> {
        ExitStatus::ALL
            .into_iter()
            .find(|status| i32::from(status.code()) == code)
    }

    /// What to do about it, in one sentence; printed after the cause.
    pub fn advice(self) -> &'static str {
        match self {
            ExitStatus::Ok => "Nothing needs to be done.",
            ExitStatus::Usage => "Run `kv-node --help` and mend the command line.",
            ExitStatus::Corrupt => {
                "Replace the node by one with a new id and an empty disk; its data is rebuilt from its peers."
            }
            ExitStatus::Address => {
                "Stop the program that holds the address, or choose another one with --listen (port 0 takes a free one)."
            }
            ExitStatus::InUse => {
                "Stop the kv-node that runs on this data directory, or choose another one with --data-dir."
            }
            ExitStatus::Internal => {
                "This is a bug: please report it with the log's last lines; starting again is safe."
            }
            ExitStatus::System => {
                "Raise the limits of the process (open files, threads, memory) and start it again."
            }
            ExitStatus::CantCreate => {
                "Give this user the right to write to the data directory, or choose another one with --data-dir."
            }
            ExitStatus::Io => {
                "Check the disk and the kernel's log; if the disk is failing, replace the node by one with a new id."
            }
            ExitStatus::Temporary => "Start it again in a while.",
            ExitStatus::WrongIdentity => {
                "Start it with the disk, certificate and build that belong together, or with an empty disk under a new node id."
            }
            ExitStatus::DiskFull => {
                "Free space on the data directory's disk or enlarge it, then start the node again."
            }
            ExitStatus::Config => {
                "Mend the configuration or certificate that is named above and start the node again."
            }
        }
    }

    /// Whether the same process with the same disk may succeed without a person's doing.
    pub fn may_restart(self) -> bool {
        match self {
            ExitStatus::Internal
            | ExitStatus::System
            | ExitStatus::Temporary
            | ExitStatus::Io
            | ExitStatus::DiskFull
            | ExitStatus::Address
            | ExitStatus::InUse => true,
            ExitStatus::Ok
            | ExitStatus::Usage
            | ExitStatus::Corrupt
            | ExitStatus::CantCreate
            | ExitStatus::WrongIdentity
            | ExitStatus::Config => false,
        }
    }

    /// For an error of the data directory.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExitStatus::DiskFull,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::NotFound => ExitStatus::CantCreate,
            io::ErrorKind::OutOfMemory => ExitStatus::System,
            _ => ExitStatus::Io,
        }
    }

    /// For an error of listening.
    pub fn of_listen(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied => ExitStatus::Address,
            _ => ExitStatus::System,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_status_has_its_own_number_and_one_sentence() {
        let codes: HashSet<u8> = ExitStatus::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(codes.len(), ExitStatus::ALL.len());
        for status in ExitStatus::ALL {
            assert_eq!(ExitStatus::from_code(status.code().into()), Some(status));
            let advice = status.advice();
            assert!(
                advice.ends_with('.') && !advice.trim_end_matches('.').contains(". "),
                "{advice}"
            );
        }
        assert_eq!(ExitStatus::from_code(1), None);
    }

    #[test]
    fn every_status_is_documented() {
        let design = include_str!("../DESIGN.md");
        for status in ExitStatus::ALL {
            let row = format!("| {} |", status.code());
            assert!(
                design.contains(&row),
                "node/DESIGN.md lacks exit status {row}"
            );
        }
    }

    #[test]
    fn errors_of_the_system_find_their_status() {
        let of = |kind: io::ErrorKind| ExitStatus::of_io(&kind.into());
        assert_eq!(of(io::ErrorKind::StorageFull), ExitStatus::DiskFull);
        assert_eq!(of(io::ErrorKind::PermissionDenied), ExitStatus::CantCreate);
        assert_eq!(of(io::ErrorKind::Other), ExitStatus::Io);
        assert_eq!(
            ExitStatus::of_listen(&io::ErrorKind::AddrInUse.into()),
            ExitStatus::Address
        );
    }
}
