//! What the core has done, as Prometheus counts it.

use std::sync::atomic::AtomicU64;

use kv_core::shard::Counts;
use kv_core::store::Space;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Count = Gauge<u64, AtomicU64>;

/// Totals of the core, taken over about once a second. They are gauges here since the core does the counting.
#[derive(Clone, Debug, Default)]
pub struct NodeMetrics {
    elections: Count,
    applied: Count,
    flushes: Count,
    snapshots_sent: Count,
    snapshots_installed: Count,
    truncations: Count,
    read_indexes: Count,
    expired_leases: Count,
    stale_routes: Count,
    bad_frames: Count,
    replays: Count,
    replicas: Count,
    leaders: Count,
    leaderless: Count,
    log_memory: Count,
    remembered_requests: Count,
    requests_in_flight: Count,
    disk_free: Count,
    disk_size: Count,
}

/// What one shard reports: its counts; replicas, led and leaderless partitions; log bytes, remembered requests, requests under way.
pub type Report = (Counts, (u64, u64, u64), (usize, usize, usize));

impl NodeMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let mut count =
            |name: &str, help: &str, gauge: &Count| registry.register(name, help, gauge.clone());
        count(
            "raft_elections",
            "Elections won by replicas of this node since its start",
            &self.elections,
        );
        count(
            "raft_entries_applied",
            "Log entries applied since the start",
            &self.applied,
        );
        count(
            "raft_snapshots_sent",
            "Snapshots begun to be sent since the start",
            &self.snapshots_sent,
        );
        count(
            "raft_snapshots_installed",
            "Snapshots installed since the start",
            &self.snapshots_installed,
        );
        count(
            "raft_log_truncations",
            "Truncations of logs since the start",
            &self.truncations,
        );
        count(
            "raft_read_indexes",
            "Reads confirmed by a majority instead of a lease since the start",
            &self.read_indexes,
        );
        count(
            "raft_expired_leases",
            "Leases that ran out since the start",
            &self.expired_leases,
        );
        count(
            "stale_routes",
            "Requests refused for a stale route since the start",
            &self.stale_routes,
        );
        count(
            "bad_frames",
            "Frames of peers that could not be read since the start",
            &self.bad_frames,
        );
        count(
            "replays",
            "Forwarded requests that came a second time since the start",
            &self.replays,
        );
        count(
            "storage_flushes",
            "Flushes of the engine that were asked for since the start",
            &self.flushes,
        );
        count(
            "partition_replicas",
            "Partitions with a replica on this node",
            &self.replicas,
        );
        count(
            "partition_leaders",
            "Partitions that this node leads",
            &self.leaders,
        );
        count(
            "partitions_leaderless",
            "Partitions here whose leader is not known",
            &self.leaderless,
        );
        count(
            "requests_remembered",
            "Ids of applied requests that are remembered",
            &self.remembered_requests,
        );
        count(
            "core_requests_in_flight",
            "Requests under way in the core",
            &self.requests_in_flight,
        );
        let mut bytes = |name: &str, help: &str, gauge: &Count| {
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

    pub fn update(&self, reports: &[Report], space: Option<Space>) {
        let sum = |pick: &dyn Fn(&Report) -> u64| reports.iter().map(pick).sum::<u64>();
        self.elections.set(sum(&|r| r.0.elections));
        self.applied.set(sum(&|r| r.0.applied));
        self.flushes.set(sum(&|r| r.0.flushes));
        self.snapshots_sent.set(sum(&|r| r.0.snapshots_sent));
        self.snapshots_installed
            .set(sum(&|r| r.0.snapshots_installed));
        self.truncations.set(sum(&|r| r.0.truncations));
        self.read_indexes.set(sum(&|r| r.0.read_indexes));
        self.expired_leases.set(sum(&|r| r.0.expired_leases));
        self.stale_routes.set(sum(&|r| r.0.stale_routes));
        self.bad_frames.set(sum(&|r| r.0.bad_frames));
        self.replays.set(sum(&|r| r.0.replays));
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
