//! Versions of the cluster: what may be written, and from when on (DESIGN §5).
//!
//! ```text
//!   all nodes can write n+1 ─► RaiseVersion in the metadata log ─► a node learns of it: by its replica, its view, or the first byte of a frame
//!        ─► Output::Mark, on stable storage ─► only then: formats, commands and messages of n+1, and frames that say so
//! ```
//! Invariant: nothing of a version is on a disk before that disk is marked with the version. So a build that can't read it finds the mark
//! at its start and leaves all alone. The mark goes before what is learned by a frame, too: a follower may get entries from a leader that knows of the raise
//! before its own view does.
//!
//! A field or a command that an older build must not meet is a [`Feature`]; whoever writes it asks `may_write` of the
//! [`MetaState`](crate::meta::MetaState) or the [`View`](crate::meta::View) first. It is read whatever the version is.

/// The newest version whose formats, commands and messages this build reads, and writes once the cluster has it.
#[cfg(not(feature = "next"))]
pub const NEWEST: u32 = 1;
#[cfg(feature = "next")]
pub const NEWEST: u32 = 2;

/// The first version, and that of whoever does not say.
pub const FIRST: u32 = 1;

/// What came after the first version and must not be written before the cluster has the version that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Commands of the metadata group name the node that proposed them.
    #[cfg(feature = "next")]
    ProposedBy,
    /// The cluster's record names who proposed its last change.
    #[cfg(feature = "next")]
    ChangedBy,
    /// Reports to the metadata leader say in which version their node writes.
    #[cfg(feature = "next")]
    ReportedVersion,
}

impl Feature {
    /// The version that it came with.
    pub const fn since(self) -> u32 {
        match self {
            #[cfg(feature = "next")]
            Feature::ProposedBy | Feature::ChangedBy | Feature::ReportedVersion => 2,
        }
    }
}

/// What a build is told that can't write what a cluster writes.
pub fn too_old(cluster: u32, build: u32) -> String {
    format!(
        "the cluster writes version {cluster}, and this build can write version {build} at most: it can't take part any more; start the newer build again"
    )
}
