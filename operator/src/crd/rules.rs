//! What a spec must fulfil. A rule is one row: its CEL goes into the CRD for the API server, its check runs here.
//! `tests/rules.rs` feeds both with the same specs and compares verdicts and words.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;

use super::condition::Reason;
use super::spec::{
    AuthMode, Bytes, Growth, KvClusterSpec, MaintenanceWindow, NodeGroup, duration, time_of_day,
};

/// The most nodes of a cluster.
pub const NODES_MAX: i32 = 1000;
/// The most copies of an item.
pub const REPLICATION_FACTOR_MAX: i32 = 7;
/// The most zones.
pub const ZONES_MAX: usize = 20;
/// The most groups of nodes.
pub const GROUPS_MAX: usize = 20;
/// The most maintenance windows.
pub const WINDOWS_MAX: usize = 20;
/// The largest weight of a node.
pub const WEIGHT_MAX: i32 = 1000;
/// The longest name of a cluster: names of its objects add to it and must stay DNS labels.
pub const NAME_CHARS_MAX: usize = 40;
/// The longest DNS label (RFC 1123).
const LABEL_CHARS_MAX: usize = 63;

/// One row.
#[derive(Debug)]
pub struct Rule<S = KvClusterSpec> {
    /// The field of `spec` that is to blame.
    pub field: &'static str,
    /// The rule in CEL, `self` being the spec, `oldSelf` the one before.
    pub cel: &'static str,
    /// What must be so, said of the field.
    pub message: &'static str,
    /// What is so instead: as CEL that yields a string, and the same here.
    pub got: Option<Got<S>>,
    /// The rule here.
    pub check: Check<S>,
}

/// The offending value in words. CEL's `format` makes them: the API server takes every `string(…)` that is joined to a text for endless, and
/// refuses the definition for what it could cost.
#[derive(Debug)]
pub struct Got<S = KvClusterSpec> {
    /// With a `%d` for each argument.
    pub format: &'static str,
    /// The arguments in CEL.
    pub cel: &'static str,
    /// Here.
    pub here: fn(&S) -> String,
}

/// The rule as a function.
#[derive(Debug)]
pub enum Check<S = KvClusterSpec> {
    /// Of a spec by itself.
    Spec(fn(&S) -> bool),
    /// Of a change: the new spec, the old one.
    Change(fn(&S, &S) -> bool),
}

/// A rule that a spec breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, from the root of the object: `spec.nodes`.
    pub path: String,
    /// What must be so and what is so.
    pub message: String,
    /// [`Reason::InvalidSpec`] or [`Reason::ChangeNotSupported`].
    pub reason: Reason,
}

/// All rows. Order is that of complaints.
pub const RULES: &[Rule] = &[
    Rule {
        field: "nodes",
        cel: "self.nodes >= 1",
        message: "must be at least 1",
        got: Some(GOT_NODES),
        check: Check::Spec(|spec| spec.nodes >= 1),
    },
    Rule {
        field: "nodes",
        cel: "self.nodes <= 1000",
        message: "must be at most 1000",
        got: Some(GOT_NODES),
        check: Check::Spec(|spec| spec.nodes <= NODES_MAX),
    },
    Rule {
        field: "replicationFactor",
        cel: "!has(self.replicationFactor) || self.replicationFactor >= 1",
        message: "must be at least 1",
        got: Some(GOT_FACTOR),
        check: Check::Spec(|spec| spec.replication_factor.is_none_or(|factor| factor >= 1)),
    },
    Rule {
        field: "replicationFactor",
        cel: "!has(self.replicationFactor) || self.replicationFactor <= 7",
        message: "must be at most 7",
        got: Some(GOT_FACTOR),
        check: Check::Spec(|spec| {
            spec.replication_factor
                .is_none_or(|factor| factor <= REPLICATION_FACTOR_MAX)
        }),
    },
    Rule {
        field: "replicationFactor",
        cel: "!has(self.replicationFactor) || self.nodes < 1 || self.replicationFactor <= self.nodes",
        message: "must be at most spec.nodes, since every copy needs a node of its own",
        got: Some(Got {
            format: "%d copies for %d nodes",
            cel: "self.replicationFactor, self.nodes",
            here: |spec| {
                format!(
                    "{} copies for {} nodes",
                    spec.replication_factor(),
                    spec.nodes
                )
            },
        }),
        check: Check::Spec(|spec| {
            spec.nodes < 1
                || spec
                    .replication_factor
                    .is_none_or(|factor| factor <= spec.nodes)
        }),
    },
    Rule {
        field: "zones",
        cel: "!has(self.zones) || size(self.zones) >= 1",
        message: "must name at least one zone; leave it out for the default",
        got: None,
        check: Check::Spec(|spec| zones(spec).is_none_or(|zones| !zones.is_empty())),
    },
    Rule {
        field: "zones",
        cel: "!has(self.zones) || size(self.zones) <= 20",
        message: "must name at most 20 zones",
        got: Some(Got {
            format: "%d",
            cel: "size(self.zones)",
            here: |spec| zones(spec).map_or(0, <[_]>::len).to_string(),
        }),
        check: Check::Spec(|spec| zones(spec).is_none_or(|zones| zones.len() <= ZONES_MAX)),
    },
    Rule {
        field: "zones",
        cel: "!has(self.zones) || self.zones.all(zone, size(zone) <= 63 && \
              zone.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
        message: "must be DNS labels: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
        got: None,
        check: Check::Spec(|spec| {
            zones(spec).is_none_or(|zones| zones.iter().all(|zone| is_label(zone)))
        }),
    },
    Rule {
        field: "zones",
        cel: "!has(self.zones) || self.zones.all(zone, self.zones.exists_one(other, other == zone))",
        message: "must not name a zone twice",
        got: None,
        check: Check::Spec(|spec| {
            zones(spec).is_none_or(|zones| {
                zones
                    .iter()
                    .enumerate()
                    .all(|(index, zone)| !zones[..index].contains(zone))
            })
        }),
    },
    Rule {
        field: "auth",
        cel: "!has(self.auth) || self.auth.mode != 'Secret' || has(self.auth.secretName)",
        message: "must name the Secret in secretName when mode is Secret",
        got: None,
        check: Check::Spec(|spec| {
            spec.auth
                .as_ref()
                .is_none_or(|auth| auth.mode != AuthMode::Secret || auth.secret_name.is_some())
        }),
    },
    Rule {
        field: "auth",
        cel: "!has(self.auth) || self.auth.mode != 'None' || !has(self.auth.secretName)",
        message: "must not have a secretName when mode is None",
        got: None,
        check: Check::Spec(|spec| {
            spec.auth
                .as_ref()
                .is_none_or(|auth| auth.mode != AuthMode::None || auth.secret_name.is_none())
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || size(self.nodeGroups) >= 1",
        message: "must name at least one group; leave it out for the default",
        got: None,
        check: Check::Spec(|spec| {
            spec.node_groups
                .as_ref()
                .is_none_or(|groups| !groups.is_empty())
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || size(self.nodeGroups) <= 20",
        message: "must name at most 20 groups",
        got: Some(Got {
            format: "%d",
            cel: "size(self.nodeGroups)",
            here: |spec| groups(spec).len().to_string(),
        }),
        check: Check::Spec(|spec| groups(spec).len() <= GROUPS_MAX),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || self.nodeGroups.all(group, size(group.name) <= 40 && \
              group.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
        message: "must have DNS labels for names: at most 40 of a-z, 0-9 and '-', with a letter or digit at both ends",
        got: None,
        check: Check::Spec(|spec| {
            let fits =
                |group: &NodeGroup| is_label(&group.name) && group.name.len() <= NAME_CHARS_MAX;
            groups(spec).iter().all(fits)
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || self.nodeGroups.all(group, self.nodeGroups.exists_one(other, other.name == group.name))",
        message: "must not have two groups of one name; rename one",
        got: None,
        check: Check::Spec(|spec| {
            let is_new = |(index, group): (usize, &NodeGroup)| {
                groups(spec)[..index]
                    .iter()
                    .all(|before| before.name != group.name)
            };
            groups(spec).iter().enumerate().all(is_new)
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || self.nodeGroups.all(group, !has(group.weight) || (group.weight >= 1 && group.weight <= 1000))",
        message: "must have weights from 1 to 1000; to take all data off a group's nodes set its count to 0",
        got: None,
        check: Check::Spec(|spec| {
            groups(spec).iter().all(|group| {
                group
                    .weight
                    .is_none_or(|weight| (1..=WEIGHT_MAX).contains(&weight))
            })
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || self.nodeGroups.all(group, !has(group.count) || (group.count >= 0 && group.count <= 1000))",
        message: "must have counts from 0 to 1000",
        got: None,
        check: Check::Spec(|spec| {
            groups(spec).iter().all(|group| {
                group
                    .count
                    .is_none_or(|count| (0..=NODES_MAX).contains(&count))
            })
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || size(self.nodeGroups.filter(group, !has(group.count))) <= 1",
        message: "may leave out count in one group only, which takes what spec.nodes leaves",
        got: None,
        check: Check::Spec(|spec| {
            groups(spec)
                .iter()
                .filter(|group| group.count.is_none())
                .count()
                <= 1
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || size(self.nodeGroups) == 0 || \
              (self.nodeGroups.exists(group, !has(group.count)) \
              ? self.nodeGroups.map(group, has(group.count) ? group.count : 0).sum() <= self.nodes \
              : self.nodeGroups.map(group, has(group.count) ? group.count : 0).sum() == self.nodes)",
        message: "must have counts that add up to spec.nodes, or to at most that where one group leaves count out; change a count or spec.nodes",
        got: Some(Got {
            format: "%d for %d nodes",
            cel: "self.nodeGroups.map(group, has(group.count) ? group.count : 0).sum(), self.nodes",
            here: |spec| format!("{} for {} nodes", counted(spec), spec.nodes),
        }),
        check: Check::Spec(|spec| {
            let is_open = groups(spec).iter().any(|group| group.count.is_none());
            let nodes = i64::from(spec.nodes);
            groups(spec).is_empty()
                || if is_open {
                    counted(spec) <= nodes
                } else {
                    counted(spec) == nodes
                }
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || self.nodeGroups.all(group, !has(group.zone) || (has(self.zones) && group.zone in self.zones))",
        message: "must name zones of spec.zones only; add the zone there, or mend its name here",
        got: None,
        check: Check::Spec(|spec| {
            groups(spec)
                .iter()
                .all(|group| group.zone.as_ref().is_none_or(|zone| has_zone(spec, zone)))
        }),
    },
    Rule {
        field: "nodeGroups",
        cel: "!has(self.nodeGroups) || !has(self.zones) || size(self.nodeGroups) == 0 || \
              self.nodeGroups.exists(group, !has(group.zone)) || \
              size(self.zones.filter(zone, self.nodeGroups.exists(group, has(group.zone) && group.zone == zone && \
              (!has(group.count) || group.count > 0)))) >= (size(self.zones) < (has(self.replicationFactor) ? self.replicationFactor : \
              (self.nodes < 3 ? self.nodes : 3)) ? size(self.zones) : (has(self.replicationFactor) ? self.replicationFactor : \
              (self.nodes < 3 ? self.nodes : 3)))",
        message: "must leave nodes in as many zones as there are copies, or in all zones; give more zones a group, or take them out of spec.zones",
        got: None,
        check: Check::Spec(covers_zones),
    },
    Rule {
        field: "leaderZones",
        cel: "!has(self.leaderZones) || size(self.leaderZones) <= 20",
        message: "must name at most 20 zones",
        got: None,
        check: Check::Spec(|spec| {
            spec.leader_zones
                .as_ref()
                .is_none_or(|zones| zones.len() <= ZONES_MAX)
        }),
    },
    Rule {
        field: "leaderZones",
        cel: "!has(self.leaderZones) || self.leaderZones.all(zone, has(self.zones) && zone in self.zones)",
        message: "must name zones of spec.zones only; add the zone there, or mend its name here",
        got: None,
        check: Check::Spec(|spec| {
            spec.leader_zones
                .iter()
                .flatten()
                .all(|zone| has_zone(spec, zone))
        }),
    },
    Rule {
        field: "drainSeconds",
        cel: "!has(self.drainSeconds) || (self.drainSeconds >= 0 && self.drainSeconds <= 3600)",
        message: "must be 0 to 3600",
        got: None,
        check: Check::Spec(|spec| {
            spec.drain_seconds
                .is_none_or(|seconds| (0..=3600).contains(&seconds))
        }),
    },
    Rule {
        field: "repair",
        cel: "!has(self.repair) || !has(self.repair.after) || self.repair.after.matches('^[0-9]{1,6}[smh]$')",
        message: "must have a time such as 30s, 10m or 2h in after",
        got: None,
        check: Check::Spec(|spec| {
            let after = spec
                .repair
                .as_ref()
                .and_then(|repair| repair.after.as_deref());
            after.is_none_or(|after| duration(after).is_some())
        }),
    },
    Rule {
        field: "upgrade",
        cel: "!has(self.upgrade) || !has(self.upgrade.soak) || self.upgrade.soak.matches('^[0-9]{1,6}[smh]$')",
        message: "must have a time such as 30s, 10m or 2h in soak",
        got: None,
        check: Check::Spec(|spec| {
            let soak = spec
                .upgrade
                .as_ref()
                .and_then(|upgrade| upgrade.soak.as_deref());
            soak.is_none_or(|soak| duration(soak).is_some())
        }),
    },
    Rule {
        field: "maintenance",
        cel: "!has(self.maintenance) || (size(self.maintenance.windows) >= 1 && size(self.maintenance.windows) <= 20)",
        message: "must have 1 to 20 windows; leave maintenance out to let work begin at any time",
        got: None,
        check: Check::Spec(|spec| {
            let count = spec
                .maintenance
                .as_ref()
                .map(|maintenance| maintenance.windows.len());
            count.is_none_or(|count| (1..=WINDOWS_MAX).contains(&count))
        }),
    },
    Rule {
        field: "maintenance",
        cel: "!has(self.maintenance) || self.maintenance.windows.all(window, !has(window.days) || \
              (size(window.days) >= 1 && size(window.days) <= 7))",
        message: "must have windows with 1 to 7 days; leave days out for all",
        got: None,
        check: Check::Spec(|spec| {
            let fits = |window: &MaintenanceWindow| {
                let count = window.days.as_ref().map(Vec::len);
                count.is_none_or(|count| (1..=7).contains(&count))
            };
            windows(spec).iter().all(fits)
        }),
    },
    Rule {
        field: "maintenance",
        cel: "!has(self.maintenance) || self.maintenance.windows.all(window, \
              window.start.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$'))",
        message: "must have windows with a time of the day in UTC for start, such as 02:30 or 22:00",
        got: None,
        check: Check::Spec(|spec| {
            let fits = |window: &MaintenanceWindow| time_of_day(&window.start).is_some();
            windows(spec).iter().all(fits)
        }),
    },
    Rule {
        field: "maintenance",
        cel: "!has(self.maintenance) || self.maintenance.windows.all(window, \
              window.duration.matches('^([1-9][0-9]{0,2}m|1[0-3][0-9]{2}m|14[0-3][0-9]m|1440m|[1-9]h|1[0-9]h|2[0-4]h)$'))",
        message: "must have windows of 1m to 24h in duration, such as 90m or 2h",
        got: None,
        check: Check::Spec(|spec| {
            let fits = |window: &MaintenanceWindow| is_window_duration(&window.duration);
            windows(spec).iter().all(fits)
        }),
    },
    Rule {
        field: "tls",
        cel: "!has(self.tls) || !has(self.tls.certificateLife) || \
              self.tls.certificateLife.matches('^([6-9][0-9]s|[1-9][0-9]{2,5}s|[1-9][0-9]{0,5}[mh])$')",
        message: "must have a time of at least 1m in certificateLife, such as 90m or 2160h",
        got: None,
        check: Check::Spec(|spec| {
            let tls = spec.tls.as_ref();
            tls.and_then(|tls| tls.certificate_life.as_deref())
                .is_none_or(is_life)
        }),
    },
    Rule {
        field: "tls",
        cel: "!has(self.tls) || !has(self.tls.caLife) || \
              self.tls.caLife.matches('^([6-9][0-9]s|[1-9][0-9]{2,5}s|[1-9][0-9]{0,5}[mh])$')",
        message: "must have a time of at least 1m in caLife, such as 2160h",
        got: None,
        check: Check::Spec(|spec| {
            let tls = spec.tls.as_ref();
            tls.and_then(|tls| tls.ca_life.as_deref())
                .is_none_or(is_life)
        }),
    },
    Rule {
        field: "rebalance",
        cel: "!has(self.rebalance) || !has(self.rebalance.bytesPerSecond) || self.rebalance.bytesPerSecond >= 1",
        message: "must have at least 1 for bytesPerSecond; to stop moves set paused: true",
        got: None,
        check: Check::Spec(|spec| {
            let rate = spec
                .rebalance
                .as_ref()
                .and_then(|rebalance| rebalance.bytes_per_second);
            rate.is_none_or(|rate| rate >= 1)
        }),
    },
    Rule {
        field: "rebalance",
        cel: "!has(self.rebalance) || !has(self.rebalance.movesPerNode) || \
              (self.rebalance.movesPerNode >= 1 && self.rebalance.movesPerNode <= 64)",
        message: "must have 1 to 64 for movesPerNode; to stop moves set paused: true",
        got: None,
        check: Check::Spec(|spec| {
            let moves = spec
                .rebalance
                .as_ref()
                .and_then(|rebalance| rebalance.moves_per_node);
            moves.is_none_or(|moves| (1..=64).contains(&moves))
        }),
    },
    Rule {
        field: "partitions",
        cel: "!has(self.partitions) || !has(self.partitions.maxBytes) || \
              string(self.partitions.maxBytes).matches('^([1-9][0-9]{5,14}|[1-9][0-9]{2,8}Ki|[1-9][0-9]{2,8}k|[1-9][0-9]{0,6}[MGT]i?)$')",
        message: "must have at least 100k for maxBytes, as a number of bytes or a quantity such as 512Mi or 10Gi",
        got: None,
        check: Check::Spec(|spec| {
            let bytes = spec
                .partitions
                .as_ref()
                .and_then(|partitions| partitions.max_bytes.as_ref());
            bytes.is_none_or(is_size)
        }),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.size) || \
              string(self.storage.size).matches('^([1-9][0-9]{7,14}|[1-9][0-9]{1,8}Mi|[1-9][0-9]{1,8}M|[1-9][0-9]{0,6}[GT]i?)$')",
        message: "must have at least 10M for size, as a number of bytes or a quantity such as 512Mi or 10Gi",
        got: None,
        check: Check::Spec(|spec| {
            let size = spec
                .storage
                .as_ref()
                .and_then(|storage| storage.size.as_ref());
            size.is_none_or(is_volume_size)
        }),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.growth) || \
              string(self.storage.growth.limit).matches('^([1-9][0-9]{7,14}|[1-9][0-9]{1,8}Mi|[1-9][0-9]{1,8}M|[1-9][0-9]{0,6}[GT]i?)$')",
        message: "must have at least 10M for growth.limit, as a number of bytes or a quantity such as 512Mi or 100Gi",
        got: None,
        check: Check::Spec(|spec| growth(spec).is_none_or(|growth| is_volume_size(&growth.limit))),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.growth) || \
              !string(self.storage.growth.limit).matches('^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$') || (has(self.storage.size) ? \
              (!string(self.storage.size).matches('^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$') || \
              quantity(string(self.storage.growth.limit)).compareTo(quantity(string(self.storage.size))) >= 0) : \
              quantity(string(self.storage.growth.limit)).compareTo(quantity('10Gi')) >= 0)",
        message: "must have a growth.limit of at least size, which is 10Gi where it is left out",
        got: None,
        check: Check::Spec(|spec| {
            let limit = growth(spec).and_then(|growth| growth.limit.get());
            let size = match spec
                .storage
                .as_ref()
                .and_then(|storage| storage.size.as_ref())
            {
                Some(size) => size.get(),
                None => Some(10 << 30),
            };
            limit.zip(size).is_none_or(|(limit, size)| limit >= size)
        }),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.growth) || !has(self.storage.growth.at) || \
              (self.storage.growth.at >= 50 && self.storage.growth.at <= 95)",
        message: "must have 50 to 95 percent for growth.at",
        got: None,
        check: Check::Spec(|spec| {
            let at = growth(spec).and_then(|growth| growth.at);
            at.is_none_or(|at| (50..=95).contains(&at))
        }),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.growth) || !has(self.storage.growth.step) || \
              self.storage.growth.step.matches('^([1-9][0-9]?%|100%|[1-9][0-9]{7,14}|[1-9][0-9]{1,8}Mi|[1-9][0-9]{1,8}M|[1-9][0-9]{0,6}[GT]i?)$')",
        message: "must have 1% to 100% for growth.step, or at least 10M, as a number of bytes or a quantity such as 512Mi or 10Gi",
        got: None,
        check: Check::Spec(|spec| {
            let step = growth(spec).and_then(|growth| growth.step.as_ref());
            step.is_none_or(|step| is_step(step))
        }),
    },
    Rule {
        field: "storage",
        cel: "!has(self.storage) || !has(self.storage.size) || !has(oldSelf.storage) || !has(oldSelf.storage.size) || \
              !string(self.storage.size).matches('^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$') || \
              !string(oldSelf.storage.size).matches('^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$') || \
              quantity(string(self.storage.size)).compareTo(quantity(string(oldSelf.storage.size))) >= 0",
        message: "must not have a smaller size than before: volumes can only grow",
        got: None,
        check: Check::Change(|new, old| {
            let size = |spec: &KvClusterSpec| spec.storage.as_ref()?.size.as_ref()?.get();
            size(new).zip(size(old)).is_none_or(|(new, old)| new >= old)
        }),
    },
    Rule {
        field: "storage",
        cel: "(has(self.storage) && has(self.storage.className) ? self.storage.className : '') == \
              (has(oldSelf.storage) && has(oldSelf.storage.className) ? oldSelf.storage.className : '')",
        message: "must keep its className: volumes can't change their class; make a new cluster and copy the data",
        got: None,
        check: Check::Change(|new, old| class_name(new) == class_name(old)),
    },
    Rule {
        field: "nodes",
        cel: "has(self.replicationFactor) || self.nodes >= (has(oldSelf.replicationFactor) ? oldSelf.replicationFactor : \
              (oldSelf.nodes < 3 ? oldSelf.nodes : 3))",
        message: "must not be less than the number of copies that the cluster keeps; say with replicationFactor how many it should keep",
        got: Some(GOT_NODES),
        check: Check::Change(|new, old| {
            new.replication_factor.is_some() || new.nodes >= old.replication_factor()
        }),
    },
];

const GOT_NODES: Got = Got {
    format: "%d",
    cel: "self.nodes",
    here: |spec| spec.nodes.to_string(),
};
const GOT_FACTOR: Got = Got {
    format: "%d",
    cel: "self.replicationFactor",
    here: |spec| spec.replication_factor().to_string(),
};

impl<S> Rule<S> {
    /// The rule for the API server.
    #[must_use]
    pub fn to_cel(&self) -> ValidationRule {
        let text = self.message.replace('\'', "\\'");
        ValidationRule {
            rule: self.cel.to_owned(),
            message: Some(self.message.to_owned()),
            message_expression: self
                .got
                .as_ref()
                .map(|got| format!("'{text}, got {}'.format([{}])", got.format, got.cel)),
            field_path: Some(format!(".{}", self.field)),
            ..ValidationRule::default()
        }
    }

    fn violation(&self, spec: &S) -> Violation {
        let message = match &self.got {
            Some(got) => format!("{}, got {}", self.message, (got.here)(spec)),
            None => self.message.to_owned(),
        };
        let reason = match self.check {
            Check::Spec(_) => Reason::InvalidSpec,
            Check::Change(_) => Reason::ChangeNotSupported,
        };
        Violation {
            path: format!("spec.{}", self.field),
            message,
            reason,
        }
    }
}

/// Every rule that `new` breaks, by itself or as a change from `old`.
#[must_use]
pub fn violations(new: &KvClusterSpec, old: Option<&KvClusterSpec>) -> Vec<Violation> {
    broken(RULES, new, old)
}

/// Of these rows those that `new` breaks, by itself or as a change from `old`.
#[must_use]
pub fn broken<S>(rules: &[Rule<S>], new: &S, old: Option<&S>) -> Vec<Violation> {
    let breaks = |rule: &&Rule<S>| match rule.check {
        Check::Spec(check) => !check(new),
        Check::Change(check) => old.is_some_and(|old| !check(new, old)),
    };
    rules
        .iter()
        .filter(breaks)
        .map(|rule| rule.violation(new))
        .collect()
}

/// At least a minute: shorter-lived certificates end before every node has the next one.
fn is_life(text: &str) -> bool {
    const LEAST: std::time::Duration = std::time::Duration::from_secs(60);
    !text.starts_with('0') && duration(text).is_some_and(|life| life >= LEAST)
}

fn windows(spec: &KvClusterSpec) -> &[MaintenanceWindow] {
    let maintenance = spec.maintenance.as_ref();
    maintenance.map_or(&[], |maintenance| &maintenance.windows)
}

/// A minute to a day, in minutes or hours.
fn is_window_duration(text: &str) -> bool {
    let is_plain = !text.starts_with('0') && !text.ends_with('s');
    let fits = |time: std::time::Duration| (60..=86_400).contains(&time.as_secs());
    is_plain && duration(text).is_some_and(fits)
}

const NAME_MESSAGE: &str =
    "must be a DNS label of at most 40 characters: a-z, 0-9 and '-', a letter first, no '-' last";

/// The rule on `metadata.name`; it stands at the root of the object.
#[must_use]
pub fn name_rule() -> ValidationRule {
    ValidationRule {
        rule: "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')".into(),
        message: Some(format!("metadata.name {NAME_MESSAGE}")),
        ..ValidationRule::default()
    }
}

/// What is wrong with a cluster's name.
#[must_use]
pub fn name_violation(name: &str) -> Option<Violation> {
    let fits = name.len() <= NAME_CHARS_MAX
        && is_label(name)
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    let message = format!("{NAME_MESSAGE}, got {name:?}");
    (!fits).then(|| Violation {
        path: "metadata.name".into(),
        message,
        reason: Reason::InvalidSpec,
    })
}

fn class_name(spec: &KvClusterSpec) -> &str {
    let storage = spec.storage.as_ref();
    storage
        .and_then(|storage| storage.class_name.as_deref())
        .unwrap_or_default()
}

fn growth(spec: &KvClusterSpec) -> Option<&Growth> {
    spec.storage.as_ref()?.growth.as_ref()
}

/// A part in percent, or a size.
fn is_step(step: &str) -> bool {
    match step.strip_suffix('%') {
        Some(percent) => {
            (1..=3).contains(&percent.len())
                && percent.bytes().all(|byte| byte.is_ascii_digit())
                && !percent.starts_with('0')
                && percent.parse().is_ok_and(|percent: u32| percent <= 100)
        }
        None => is_volume_size(&Bytes::Text(step.to_owned())),
    }
}

/// What the CEL of the size says, digit by digit.
fn is_volume_size(size: &Bytes) -> bool {
    let text = match size {
        Bytes::Number(number) => number.to_string(),
        Bytes::Text(text) => text.clone(),
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let lengths = match unit {
        "" => 8..=15,
        "M" | "Mi" => 2..=9,
        "G" | "Gi" | "T" | "Ti" => 1..=7,
        _ => return false,
    };
    lengths.contains(&number.len()) && !number.starts_with('0')
}

fn zones(spec: &KvClusterSpec) -> Option<&[String]> {
    spec.zones.as_deref()
}

fn groups(spec: &KvClusterSpec) -> &[NodeGroup] {
    spec.node_groups.as_deref().unwrap_or_default()
}

fn counted(spec: &KvClusterSpec) -> i64 {
    groups(spec)
        .iter()
        .map(|group| i64::from(group.count.unwrap_or(0)))
        .sum()
}

fn has_zone(spec: &KvClusterSpec, zone: &String) -> bool {
    zones(spec).is_some_and(|zones| zones.contains(zone))
}

/// Groups that are all bound to zones must not leave copies without a zone of their own.
fn covers_zones(spec: &KvClusterSpec) -> bool {
    let (groups, Some(zones)) = (groups(spec), zones(spec)) else {
        return true;
    };
    if groups.is_empty() || groups.iter().any(|group| group.zone.is_none()) {
        return true;
    }
    let has_nodes = |zone: &&String| {
        let is_there = |group: &NodeGroup| {
            group.zone.as_ref() == Some(*zone) && group.count.is_none_or(|count| count > 0)
        };
        groups.iter().any(is_there)
    };
    let copies = usize::try_from(spec.replication_factor()).unwrap_or(0);
    zones.iter().filter(has_nodes).count() >= copies.min(zones.len())
}

/// The shapes of the rule's regular expression: 100 kB and more.
fn is_size(bytes: &Bytes) -> bool {
    let text = match bytes {
        Bytes::Number(number) => number.to_string(),
        Bytes::Text(text) => text.clone(),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let fits = match unit {
        "" => (6..=15).contains(&digits),
        "k" | "Ki" => (3..=9).contains(&digits),
        "M" | "G" | "T" | "Mi" | "Gi" | "Ti" => (1..=7).contains(&digits),
        _ => false,
    };
    fits && !number.starts_with('0')
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_CHARS_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
