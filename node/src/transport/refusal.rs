//! Why a node refuses a peer's stream: a fixed set of reasons for programs and metrics, a sentence for people.
//!
//! On the wire a refusal is the status `FAILED_PRECONDITION` with the sentence as its message and the reason in
//! the metadata entry `ringkv-refusal`. A reason that this build doesn't know reads as [`Reason::Other`].

use kv_core::ids::NodeId;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

const METADATA_KEY: &str = "ringkv-refusal";

/// Why a stream was refused, with what a person needs to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this node belongs to cluster {ours}, not to {theirs}: check the peer's certificate and address book"
    )]
    OtherCluster { ours: String, theirs: String },
    #[error("this is node {}, not node {}: the address used for node {} leads elsewhere", here.0, meant.0, meant.0)]
    WrongNode { meant: NodeId, here: NodeId },
    #[error("the certificate does not speak for node {}: it names {certificate}", claimed.0)]
    ForeignIdentity {
        claimed: NodeId,
        certificate: String,
    },
    #[error("node {} was removed from the cluster; its id is never used again: start it with an empty disk under a new id", node.0)]
    Removed { node: NodeId },
    #[error("incarnation {presented} of node {} is older than {known}, which is known: its disk was rolled back or cloned", node.0)]
    LowerIncarnation {
        node: NodeId,
        presented: u64,
        known: u64,
    },
    #[error(
        "messages of wire version {presented} can't be read here, only up to {readable}: upgrade this node first"
    )]
    NewerWireVersion { presented: u32, readable: u32 },
    #[error(
        "the cluster writes version {written}, and the build of node {} can write version {presented} at most: start the newer build there", node.0
    )]
    OldBuild {
        node: NodeId,
        presented: u32,
        written: u32,
    },
    #[error("the stream does not follow the protocol: {0}")]
    Malformed(&'static str),
}

/// The reason alone; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    OtherCluster,
    WrongNode,
    ForeignIdentity,
    Removed,
    LowerIncarnation,
    NewerWireVersion,
    OldBuild,
    Malformed,
    /// Said by a newer build.
    Other,
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::OtherCluster,
        Reason::WrongNode,
        Reason::ForeignIdentity,
        Reason::Removed,
        Reason::LowerIncarnation,
        Reason::NewerWireVersion,
        Reason::OldBuild,
        Reason::Malformed,
        Reason::Other,
    ];

    /// As it stands in the metadata; never changed once released.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::OtherCluster => "other-cluster",
            Reason::WrongNode => "wrong-node",
            Reason::ForeignIdentity => "foreign-identity",
            Reason::Removed => "removed",
            Reason::LowerIncarnation => "lower-incarnation",
            Reason::NewerWireVersion => "newer-wire-version",
            Reason::OldBuild => "old-build",
            Reason::Malformed => "malformed",
            Reason::Other => "other",
        }
    }

    /// Reads a refusal out of a status; `None` for any other failure.
    pub fn of(status: &Status) -> Option<Reason> {
        if status.code() != Code::FailedPrecondition {
            return None;
        }
        let text = status.metadata().get(METADATA_KEY)?.to_str().ok()?;
        Some(
            Reason::ALL
                .into_iter()
                .find(|reason| reason.as_str() == text)
                .unwrap_or(Reason::Other),
        )
    }
}

impl Refusal {
    pub fn reason(&self) -> Reason {
        match self {
            Refusal::OtherCluster { .. } => Reason::OtherCluster,
            Refusal::WrongNode { .. } => Reason::WrongNode,
            Refusal::ForeignIdentity { .. } => Reason::ForeignIdentity,
            Refusal::Removed { .. } => Reason::Removed,
            Refusal::LowerIncarnation { .. } => Reason::LowerIncarnation,
            Refusal::NewerWireVersion { .. } => Reason::NewerWireVersion,
            Refusal::OldBuild { .. } => Reason::OldBuild,
            Refusal::Malformed(_) => Reason::Malformed,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let mut status = Status::failed_precondition(refusal.to_string());
        status.metadata_mut().insert(
            METADATA_KEY,
            MetadataValue::from_static(refusal.reason().as_str()),
        );
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_the_wire() {
        let refusal = Refusal::Removed { node: NodeId(7) };
        let status = Status::from(refusal.clone());
        assert_eq!(Reason::of(&status), Some(refusal.reason()));
        assert!(
            status.message().contains("node 7 was removed"),
            "{}",
            status.message()
        );
    }

    #[test]
    fn names_are_distinct_and_unknown_ones_are_other() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());

        let mut status = Status::failed_precondition("from the future");
        assert_eq!(Reason::of(&status), None);
        status
            .metadata_mut()
            .insert(METADATA_KEY, MetadataValue::from_static("too-purple"));
        assert_eq!(Reason::of(&status), Some(Reason::Other));
    }
}
