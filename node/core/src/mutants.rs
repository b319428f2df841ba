//! Classic bugs, brought back one at a time to prove that the simulation catches them.
//!
//! Without the feature `mutants` every question is answered by a constant `false` and the code behind it is not compiled in.

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A bug that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];
        }
    };
}

mutants! {
    /// Answers a write when it is proposed.
    AcknowledgesBeforeMajority,
    /// Never looks at the clock when it serves under its lease.
    ServesAfterLease,
    /// Evaluates writes as soon as it is leader, before it has applied an entry of its own term.
    EvaluatesBeforeOwnTerm,
    /// Proposes and applies what a leader evaluated that is one no longer.
    CommitsDeposedCommand,
    /// Grants votes right after a restart.
    VotesWithinLeaseAfterRestart,
    /// Sends as a snapshot's index the one of the moment when sending ends.
    SnapshotIndexApartFromData,
    /// Truncates the log up to the applied index.
    TruncatesAboveFlushed,
    /// Serves under its lease again after a transfer was aborted.
    LeaseAfterAbortedTransfer,
    /// Forgets request ids at once.
    ForgetsRequestIds,
    /// Applies entries of global indexes without looking at their versions.
    AppliesOlderEntries,
    /// Purges tombstones of global indexes at once.
    PurgesTombstonesEarly,
    /// Deletes an expired item whatever was written since it was seen.
    ExpiresNewerItems,
    /// Shows an item as it is though a transaction that has prepared it may have committed.
    ReadsPastIntents,
    /// Commits a transaction whose intents others may have aborted.
    CommitsWithoutRecord,
    /// Lets a plain write change an item that a transaction has prepared.
    WritesPastIntents,
    /// Gives the id of a new replica to the next one as well.
    ReplicaIdUsedAgain,
    /// A newcomer votes before the one that it replaces is demoted.
    FourVoters,
    /// The one that is replaced goes before the newcomer votes.
    RemovesBeforeJoint,
    /// Keeps its lease from proposing a split until it is applied.
    LeaseKeptOverSplit,
    /// A partition that is split off remembers no requests.
    RequestIdsLostAtSplit,
    /// Replaying a split begins the log of the partition that it made anew.
    SplitReplayedOverChild,
    /// A replica that voted before its parent was split here forgets its vote.
    ChildForgetsVote,
    /// Says with a snapshot the range and index of the moment when sending ends, where the range has changed meanwhile.
    SnapshotAcrossRangeChange,
}

/// Whether this build has them at all.
pub const COMPILED_IN: bool = cfg!(feature = "mutants");

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<super::Mutant>> = const { Cell::new(None) };
    }

    /// Switches a bug on for this thread, or all off.
    pub fn activate(mutant: Option<super::Mutant>) {
        ACTIVE.set(mutant);
    }

    pub(crate) fn active(mutant: super::Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use switch::activate;
#[cfg(feature = "mutants")]
pub(crate) use switch::active;

/// Whether the bug is switched on; always false in what is shipped.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn active(_: Mutant) -> bool {
    false
}
