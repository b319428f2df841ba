//! Conditions and the bounded list of their reasons. `operator/DESIGN.md` has a row for each: what it means, what to do.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message kept: a status is bounded.
pub const MESSAGE_CHARS_MAX: usize = 1024;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// Every node serves and every partition that they know of has a leader.
    Ready,
    /// From a change of the spec to the end of what it takes.
    Progressing,
    /// Something needs attention, though the cluster may serve.
    Degraded,
    /// The identity was kept, but no disk holds anything.
    DataLost,
    /// One key takes more requests than a partition can serve.
    HotKey,
    /// Nodes run as an earlier operator made them; their next restart brings what it makes now. On Kubernetes only.
    RestartPending,
    /// Of a `KvTable`: the table differs from what is declared.
    Drifted,
}

impl ConditionType {
    /// Those of a `KvCluster`.
    pub const OF_CLUSTERS: [Self; 6] = [
        Self::Ready,
        Self::Progressing,
        Self::Degraded,
        Self::DataLost,
        Self::HotKey,
        Self::RestartPending,
    ];
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name),*
        }

        impl Reason {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

reasons! {
    /// Ready: all nodes have joined, all partitions have leaders.
    Serving,
    /// Ready: nodes are missing, starting or not answering.
    NodesNotUp,
    /// Ready: the cluster has not been made yet.
    NotBootstrapped,
    /// Ready: partitions have no leader.
    Leaderless,
    /// Ready: its nodes were stopped on purpose.
    Stopped,
    /// Progressing: the cluster is being made.
    Creating,
    /// Progressing: nodes come or go.
    Scaling,
    /// Progressing: nodes that are lost, or that a person wants away, are replaced.
    Replacing,
    /// Progressing: replicas are on their way to where they should be.
    Rebalancing,
    /// Progressing: nodes are restarted one by one.
    Restarting,
    /// Progressing: all nodes run a newer version, whose formats will be used after the soak time.
    Upgrading,
    /// Progressing: settings or weights are brought to the nodes.
    Configuring,
    /// Progressing: certificates are renewed, or the CA is turned.
    RotatingCertificates,
    /// Progressing: a step can't be taken yet; the message says what it waits for.
    Waiting,
    /// Progressing: what is to be done waits for a maintenance window.
    OutsideWindow,
    /// Progressing: what the spec asks for is there.
    UpToDate,
    /// Progressing: the file has a mistake; the spec before it stays in force.
    InvalidSpec,
    /// Progressing: this change is not supported once the cluster is made; the spec before it stays in force.
    ChangeNotSupported,
    /// Progressing: a condition that a person must resolve stands in the way.
    Blocked,
    /// Degraded: nothing is wrong.
    AsExpected,
    /// Degraded: processes end by themselves and are started again.
    NodesDown,
    /// Degraded: a process runs but does not answer.
    NodesUnresponsive,
    /// Degraded: a node can't be started.
    CannotStart,
    /// Degraded: a node's disk is empty though the cluster counts on it.
    IdentityLost,
    /// Degraded: nodes have data, but the cluster's identity is missing.
    IdentityMissing,
    /// Degraded: volumes of an earlier cluster of this name were kept.
    OrphanedVolumes,
    /// Degraded: nodes are gone for good and are being replaced.
    NodesLost,
    /// Degraded: partitions have no quorum.
    QuorumLost,
    /// Degraded: partitions have fewer healthy replicas than they should.
    UnderReplicated,
    /// Degraded: disks are nearly full and refuse writes.
    WritesRefused,
    /// Degraded: volumes are nearly full and as large as they may become by themselves.
    VolumesAtLimit,
    /// Degraded: the CA that a Secret offers can't be used; the one before stays.
    CertificateRefused,
    /// Degraded: a step failed and is tried again.
    StepFailed,
    /// DataLost: the identity was kept, but every disk is empty.
    EveryDiskEmpty,
    /// DataLost: there is data, or there never was any.
    DataPresent,
    /// HotKey: one key alone is too much for its partition, which no split can help.
    KeyTooHot,
    /// HotKey: no key is.
    NoHotKey,
    /// RestartPending: nodes run another image than the one that is the default now.
    OlderImage,
    /// RestartPending: nodes run from another template than they would be made from now.
    OlderTemplate,
    /// RestartPending: every node runs as it would be made now.
    AllCurrent,
    /// Ready of a table: it is there, as declared, and serves.
    TableActive,
    /// Ready of a table: it is being made.
    TableCreating,
    /// Ready of a table: it is being deleted.
    TableDeleting,
    /// Ready of a table: its `KvCluster` is not there, or is being deleted.
    ClusterMissing,
    /// Ready of a table: its `KvCluster` does not serve yet.
    ClusterNotReady,
    /// Ready of a table: an older `KvTable` declares the same one.
    DeclaredTwice,
    /// Ready of a table: the nodes did not answer.
    NodesNotAnswering,
    /// Ready of a table: the DynamoDB API refuses what is declared.
    Refused,
    /// Ready and Drifted: a table of that name has other keys.
    KeysDiffer,
    /// Drifted: settings differ, and the DynamoDB API refuses to change them.
    SettingsDiffer,
    /// Drifted: the table is as declared.
    AsDeclared,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is about.
    pub type_: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// For people: what is the case and, where something is wrong, what to do.
    pub message: String,
}

impl Verdict {
    /// A verdict that holds.
    pub fn yes(type_: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            holds: true,
            reason,
            message: message.into(),
        }
    }

    /// A verdict that does not hold.
    pub fn no(type_: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            holds: false,
            reason,
            message: message.into(),
        }
    }

    /// As a condition: the transition time stays that of `previous` unless the status differs.
    #[must_use]
    pub fn into_condition(
        self,
        previous: &[Condition],
        generation: i64,
        now: Timestamp,
    ) -> Condition {
        let Self {
            type_,
            holds,
            reason,
            message,
        } = self;
        let status = if holds { "True" } else { "False" };
        let before = find(previous, type_).filter(|before| before.status == status);
        let since = before.map_or(now, |before| before.last_transition_time.0);
        Condition {
            type_: type_.to_string(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
            observed_generation: Some(generation),
            last_transition_time: Time(since),
        }
    }
}

/// The condition of a type.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    let name = type_.to_string();
    conditions.iter().find(|condition| condition.type_ == name)
}

/// Whether a condition of this type is there and holds.
#[must_use]
pub fn holds(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_changes_with_the_status_only() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let first = Verdict::no(ConditionType::Ready, Reason::NotBootstrapped, "a").into_condition(
            &[],
            1,
            at(1),
        );
        let second = Verdict::no(ConditionType::Ready, Reason::NodesNotUp, "b").into_condition(
            std::slice::from_ref(&first),
            2,
            at(2),
        );
        assert_eq!(
            (second.last_transition_time.0, second.reason.as_str()),
            (at(1), "NodesNotUp")
        );
        let third = Verdict::yes(ConditionType::Ready, Reason::Serving, "c").into_condition(
            &[second],
            2,
            at(3),
        );
        assert_eq!(
            (third.last_transition_time.0, third.status.as_str()),
            (at(3), "True")
        );
    }

    #[test]
    fn every_reason_is_explained_in_the_design() {
        let design = include_str!("../../DESIGN.md");
        for reason in Reason::ALL {
            assert!(
                design.contains(&format!("`{reason}`")),
                "operator/DESIGN.md does not explain {reason}"
            );
        }
    }
}
