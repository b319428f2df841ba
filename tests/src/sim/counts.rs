//! What happened in a run, or in many: proof that the simulation exercised what it claims to.

use kv_core::shard::Counts as Core;

use super::ledger;
use super::workload::Tally;

macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// Numbers of events.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $(pub $name: u64,)* }

        impl Counts {
            pub fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
            }

            /// Names and numbers.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counts! {
    events, writes_acknowledged, conditions_refused, outcomes_unknown, unavailable, strong_reads, ticket_reads, eventual_reads,
    elections, snapshots_sent, snapshots_installed, truncations, not_applied, duplicate_ids, expired_leases, read_indexes, votes_held,
    flushes, stale_routes, crashes, crashes_between_outputs, restarts, suspensions, torn_tails, disks_lost, bits_flipped_and_refused,
    disks_full, frames_lost, frames_duplicated, transfers, late_transfers, hand_overs, leaders_isolated, forgetful_followers,
    tables_created, tables_deleted, index_entries, tombstones_purged, expired_items, drains, drains_undone, member_changes,
    replicas_left, leads_moved, replays, transactions_committed, transactions_aborted, transactions_cancelled, transactions_in_conflict,
    transactions_unknown, transactions_repeated, transactional_reads, intents_resolved,
    splits_asked, splits, early_votes, children_met, children_replayed, children_declined, snapshots_held_back,
    splits_of_stuck_leaders, splits_of_mute_leaders, splits_of_absent_followers, splits_over_snapshots, splits_by_size,
}

impl Counts {
    /// Takes over what a shard counted in its life.
    pub fn add_core(&mut self, core: &Core) {
        let Core {
            elections,
            snapshots_sent,
            snapshots_installed,
            truncations,
            not_applied,
            duplicate_requests,
            expired_leases,
            read_indexes,
            votes_held,
            applied: _,
            flushes,
            stale_routes,
            bad_frames: _,
            replays,
            index_entries,
            expired_items,
            member_changes,
            replicas_left,
            leads_moved,
            splits,
            early_votes,
            children_met,
            children_replayed,
            children_declined,
            snapshots_held_back,
            tombstones_purged,
            index_lag_ms: _,
            transactions_committed,
            transactions_aborted,
            intents_resolved,
        } = core;
        self.transactions_committed += transactions_committed;
        self.transactions_aborted += transactions_aborted;
        self.intents_resolved += intents_resolved;
        self.tombstones_purged += tombstones_purged;
        self.expired_items += expired_items;
        self.elections += elections;
        self.index_entries += index_entries;
        self.snapshots_sent += snapshots_sent;
        self.snapshots_installed += snapshots_installed;
        self.truncations += truncations;
        self.not_applied += not_applied;
        self.duplicate_ids += duplicate_requests;
        self.expired_leases += expired_leases;
        self.read_indexes += read_indexes;
        self.votes_held += votes_held;
        self.flushes += flushes;
        self.stale_routes += stale_routes;
        self.replays += replays;
        self.member_changes += member_changes;
        self.replicas_left += replicas_left;
        self.leads_moved += leads_moved;
        self.splits += splits;
        self.early_votes += early_votes;
        self.children_met += children_met;
        self.children_replayed += children_replayed;
        self.children_declined += children_declined;
        self.snapshots_held_back += snapshots_held_back;
    }

    pub fn add_ledger(&mut self, tally: &ledger::Tally) {
        let ledger::Tally {
            committed: _,
            cancelled,
            conflicts,
            unknown,
            repeated,
            reads,
        } = tally;
        self.transactions_cancelled += cancelled;
        self.transactions_in_conflict += conflicts;
        self.transactions_unknown += unknown;
        self.transactions_repeated += repeated;
        self.transactional_reads += reads;
    }

    pub fn add_tally(&mut self, tally: &Tally) {
        let Tally {
            writes,
            refused,
            unknown,
            unavailable,
            reads,
            ticket_reads,
            eventual_reads,
        } = tally;
        self.writes_acknowledged += writes;
        self.conditions_refused += refused;
        self.outcomes_unknown += unknown;
        self.unavailable += unavailable;
        self.strong_reads += reads;
        self.ticket_reads += ticket_reads;
        self.eventual_reads += eventual_reads;
    }
}
