//! What the core has done, as Prometheus counts it.

use std::sync::atomic::{AtomicU64, Ordering};

use kv_core::shard::Counts;
use kv_core::store::Space;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Level = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;
/// The core counts, from 0 at each start; here its totals are taken over.
type Total = Counter<u64, AtomicU64>;

/// What the core counts, taken over about once a second.
#[derive(Clone, Debug, Default)]
pub struct NodeMetrics {
    elections: Total,
    applied: Total,
    flushes: Total,
    snapshots_sent: Total,
    snapshots_installed: Total,
    truncations: Total,
    read_indexes: Total,
    expired_leases: Total,
    stale_routes: Total,
    bad_frames: Total,
    replays: Total,
    index_entries: Total,
    expired_items: Total,
    transactions_committed: Total,
    transactions_aborted: Total,
    intents_resolved: Total,
    index_lag: Seconds,
    replicas: Level,
    leaders: Level,
    leaderless: Level,
    log_memory: Level,
    remembered_requests: Level,
    requests_in_flight: Level,
    disk_free: Level,
    disk_size: Level,
    waiting: Level,
    suspects: Level,
    #[cfg(feature = "next")]
    next: Next,
}

/// Seen of what the version after this one adds.
#[cfg(feature = "next")]
#[derive(Clone, Debug, Default)]
struct Next {
    commands: Total,
    records: Total,
    reports: Total,
}

#[cfg(feature = "next")]
impl Next {
    fn register(&self, registry: &mut Registry) {
        for (name, help, total) in [
            (
                "next_commands",
                "Commands of the metadata applied that name their proposer",
                &self.commands,
            ),
            (
                "next_records",
                "Pictures of the metadata whose record of the cluster names who changed it",
                &self.records,
            ),
            (
                "next_reports",
                "Reports to the metadata leader that say in which version their node writes",
                &self.reports,
            ),
        ] {
            registry.register(name, help, total.clone());
        }
    }
}

/// What one shard reports: its counts; replicas, led and leaderless partitions; log bytes, remembered requests, requests under way.
pub type Report = (Counts, (u64, u64, u64), (usize, usize, usize));

impl NodeMetrics {
    pub fn register(&self, registry: &mut Registry) {
        self.register_totals(registry);
        self.register_levels(registry);
        #[cfg(feature = "next")]
        self.next.register(registry);
    }

    fn register_totals(&self, registry: &mut Registry) {
        let mut count =
            |name: &str, help: &str, total: &Total| registry.register(name, help, total.clone());
        count(
            "raft_elections",
            "Elections won by replicas of this node",
            &self.elections,
        );
        count("raft_entries_applied", "Log entries applied", &self.applied);
        count(
            "raft_snapshots_sent",
            "Snapshots begun to be sent",
            &self.snapshots_sent,
        );
        count(
            "raft_snapshots_installed",
            "Snapshots installed",
            &self.snapshots_installed,
        );
        count(
            "raft_log_truncations",
            "Truncations of logs",
            &self.truncations,
        );
        count(
            "raft_read_indexes",
            "Reads confirmed by a majority instead of a lease",
            &self.read_indexes,
        );
        count(
            "raft_expired_leases",
            "Leases that ran out",
            &self.expired_leases,
        );
        count(
            "stale_routes",
            "Requests refused for a stale route",
            &self.stale_routes,
        );
        count(
            "bad_frames",
            "Frames of peers that could not be read",
            &self.bad_frames,
        );
        count(
            "replays",
            "Forwarded requests that came a second time",
            &self.replays,
        );
        count(
            "storage_flushes",
            "Flushes of the engine that were asked for",
            &self.flushes,
        );
        count(
            "index_requests",
            "Requests with entries of global indexes that were acknowledged",
            &self.index_entries,
        );
        count(
            "expired_items",
            "Items that expired and were deleted",
            &self.expired_items,
        );
        count(
            "transactions_committed",
            "Transactions that were committed by coordinators here",
            &self.transactions_committed,
        );
        count(
            "transactions_aborted",
            "Transactions that were given up by coordinators here: conditions, conflicts, time",
            &self.transactions_aborted,
        );
        count(
            "intents_resolved",
            "Prepared items whose coordinators were late or gone that were ended by leaders here",
            &self.intents_resolved,
        );
    }

    fn register_levels(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "index_lag",
            "Age of the oldest change that a global index may lack, of partitions led here",
            Unit::Seconds,
            self.index_lag.clone(),
        );
        let mut level =
            |name: &str, help: &str, gauge: &Level| registry.register(name, help, gauge.clone());
        level(
            "partition_replicas",
            "Partitions with a replica on this node",
            &self.replicas,
        );
        level(
            "partition_leaders",
            "Partitions that this node leads",
            &self.leaders,
        );
        level(
            "partitions_leaderless",
            "Partitions here whose leader is not known",
            &self.leaderless,
        );
        level(
            "requests_remembered",
            "Ids of applied requests that are remembered",
            &self.remembered_requests,
        );
        level(
            "core_requests_in_flight",
            "Requests under way in the core",
            &self.requests_in_flight,
        );
        level(
            "shard_queue_events",
            "Events that wait for the shard threads",
            &self.waiting,
        );
        level(
            "gossip_suspects",
            "Nodes that have fallen silent in gossip",
            &self.suspects,
        );
        let mut bytes = |name: &str, help: &str, gauge: &Level| {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone())
        };
        bytes(
            "raft_log_memory",
            "Memory that log entries take",
            &self.log_memory,
        );
        bytes(
            "disk_free",
            "Free space of the data directory's file system",
            &self.disk_free,
        );
        bytes(
            "disk_size",
            "Size of the data directory's file system",
            &self.disk_size,
        );
    }

    pub fn waiting(&self, events: usize) {
        self.waiting.set(events as u64);
    }

    pub fn suspects(&self, nodes: usize) {
        self.suspects.set(nodes as u64);
    }

    pub fn update(&self, reports: &[Report], space: Option<Space>) {
        let sum = |pick: &dyn Fn(&Report) -> u64| reports.iter().map(pick).sum::<u64>();
        take(&self.elections, sum(&|r| r.0.elections));
        take(&self.index_entries, sum(&|r| r.0.index_entries));
        take(&self.expired_items, sum(&|r| r.0.expired_items));
        take(
            &self.transactions_committed,
            sum(&|r| r.0.transactions_committed),
        );
        take(
            &self.transactions_aborted,
            sum(&|r| r.0.transactions_aborted),
        );
        take(&self.intents_resolved, sum(&|r| r.0.intents_resolved));
        let lag = reports.iter().map(|r| r.0.index_lag_ms).max();
        self.index_lag.set(lag.unwrap_or(0) as f64 / 1000.0);
        take(&self.applied, sum(&|r| r.0.applied));
        take(&self.flushes, sum(&|r| r.0.flushes));
        take(&self.snapshots_sent, sum(&|r| r.0.snapshots_sent));
        take(&self.snapshots_installed, sum(&|r| r.0.snapshots_installed));
        take(&self.truncations, sum(&|r| r.0.truncations));
        take(&self.read_indexes, sum(&|r| r.0.read_indexes));
        take(&self.expired_leases, sum(&|r| r.0.expired_leases));
        take(&self.stale_routes, sum(&|r| r.0.stale_routes));
        take(&self.bad_frames, sum(&|r| r.0.bad_frames));
        take(&self.replays, sum(&|r| r.0.replays));
        #[cfg(feature = "next")]
        {
            take(&self.next.commands, sum(&|r| r.0.next_commands));
            take(&self.next.records, sum(&|r| r.0.next_records));
            take(&self.next.reports, sum(&|r| r.0.next_reports));
        }
        self.replicas.set(sum(&|r| r.1.0));
        self.leaders.set(sum(&|r| r.1.1));
        self.leaderless.set(sum(&|r| r.1.2));
        self.log_memory.set(sum(&|r| r.2.0 as u64));
        self.remembered_requests.set(sum(&|r| r.2.1 as u64));
        self.requests_in_flight.set(sum(&|r| r.2.2 as u64));
        if let Some(space) = space {
            self.disk_free.set(space.free);
            self.disk_size.set(space.total);
        }
    }
}

fn take(total: &Total, value: u64) {
    total.inner().store(value, Ordering::Relaxed);
}
