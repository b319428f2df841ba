//! Second stage: the spec as a type that can't be wrong. Later stages never look at the raw spec again.

use std::time::Duration;

use kv_proto::admin::Settings;
use kv_ring::Token;

use crate::crd::rules::{self, Violation};
use crate::crd::{AuthMode, KvCluster, KvClusterSpec, NodeGroup, StoragePolicy, duration};
use crate::plan::windows::{self, Window};
use crate::platform::Defaults;
use crate::platform::authorities::Policy;

/// The group of all nodes where the spec has none.
pub const GROUP_DEFAULT: &str = "default";
/// For how many seconds a node that is told to stop serves on where the spec says nothing.
pub const DRAIN_SECONDS_DEFAULT: u32 = 10;
const REPAIR_AFTER_DEFAULT: Duration = Duration::from_secs(600);
const SOAK_DEFAULT: Duration = Duration::from_secs(600);

/// A valid cluster, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// How many nodes it should have, at least 1.
    pub nodes: u32,
    /// At least one.
    pub zones: Vec<String>,
    /// At least one; their counts add up to `nodes`.
    pub groups: Vec<Group>,
    /// What the data plane is told, the number of copies (`1..=nodes`) among it.
    pub settings: Settings,
    /// For how long a node that is told to stop serves on.
    pub drain_seconds: u32,
    /// How long a node may be gone until it is replaced.
    pub repair_after: Duration,
    /// Whether a planned restart may cost a group its quorum.
    pub allow_unavailable: bool,
    /// Whether disks of nodes that left are deleted.
    pub deletes_disks: bool,
    /// How large disks may become by themselves.
    pub disk_limit_bytes: Option<u64>,
    /// How long a newer version must run everywhere before it is used.
    pub soak: Duration,
    /// How long certificates last, and when they are turned.
    pub tls: Policy,
    /// When planned work that disrupts may begin; none: at any time.
    pub windows: Vec<Window>,
}

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many nodes.
    pub count: u32,
    /// How much each bears, at least 1.
    pub weight: u32,
    /// Where they all are; `None`: spread over the zones.
    pub zone: Option<String>,
    /// Digest of all that takes a restart to change.
    pub revision: String,
}

impl Cluster {
    /// Copies of each item, `1..=nodes`.
    #[must_use]
    pub const fn replication_factor(&self) -> u32 {
        self.settings.replication_factor
    }

    /// The group of a name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

/// A spec that admission should not have let through.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.path, .0.message)]
pub struct Error(pub Violation);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Checks an object by itself.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(object: &KvCluster, defaults: Defaults) -> Result<Cluster, Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let broken = rules::name_violation(&name);
    if let Some(violation) =
        broken.or_else(|| rules::violations(&object.spec, None).into_iter().next())
    {
        return Err(Error(violation));
    }
    let spec = &object.spec;
    let time =
        |text: Option<&String>, default| text.and_then(|text| duration(text)).unwrap_or(default);
    let repair_after = time(
        spec.repair
            .as_ref()
            .and_then(|repair| repair.after.as_ref()),
        REPAIR_AFTER_DEFAULT,
    );
    let zones = spec.zones.clone();
    let disruption = spec.disruption.as_ref();
    let storage = spec.storage.as_ref();
    let policy = storage.and_then(|storage| storage.policy);
    let growth = storage.and_then(|storage| storage.growth.as_ref());
    Ok(Cluster {
        name,
        nodes: count(spec.nodes),
        zones: zones
            .unwrap_or_else(|| defaults.zones.iter().map(|&zone| zone.to_owned()).collect()),
        groups: groups(spec, defaults),
        settings: settings(spec, repair_after),
        drain_seconds: spec.drain_seconds.map_or(DRAIN_SECONDS_DEFAULT, count),
        repair_after,
        allow_unavailable: disruption
            .and_then(|disruption| disruption.allow_unavailable)
            .unwrap_or(false),
        deletes_disks: policy == Some(StoragePolicy::Delete),
        disk_limit_bytes: growth.and_then(|growth| growth.limit.get()),
        soak: time(
            spec.upgrade
                .as_ref()
                .and_then(|upgrade| upgrade.soak.as_ref()),
            SOAK_DEFAULT,
        ),
        tls: Policy::of(spec),
        windows: windows::windows(spec),
    })
}

/// Rules keep numbers of a spec within bounds; none is negative.
fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn settings(spec: &KvClusterSpec, repair_after: Duration) -> Settings {
    let rebalance = spec.rebalance.clone().unwrap_or_default();
    let bytes = spec
        .partitions
        .as_ref()
        .and_then(|partitions| partitions.max_bytes.as_ref());
    Settings {
        replication_factor: count(spec.replication_factor()),
        repair_after_ms: u64::try_from(repair_after.as_millis()).unwrap_or(u64::MAX),
        move_bytes_per_second: rebalance
            .bytes_per_second
            .and_then(|rate| u64::try_from(rate).ok())
            .unwrap_or(0),
        moves_per_node: rebalance.moves_per_node.map_or(0, count),
        partition_bytes_max: bytes.and_then(crate::crd::Bytes::get).unwrap_or(0),
        leader_zones: spec.leader_zones.clone().unwrap_or_default(),
        rebalance_paused: rebalance.paused.unwrap_or(false),
        split_paused: false,
    }
}

fn groups(spec: &KvClusterSpec, defaults: Defaults) -> Vec<Group> {
    let all = NodeGroup {
        name: GROUP_DEFAULT.to_owned(),
        ..NodeGroup::default()
    };
    let named = spec.node_groups.clone().unwrap_or_else(|| vec![all]);
    let given: u32 = named
        .iter()
        .filter_map(|group| group.count)
        .map(count)
        .sum();
    let rest = count(spec.nodes).saturating_sub(given);
    let make = |group: NodeGroup| {
        let revision = revision(spec, &group, defaults);
        let NodeGroup {
            name,
            count: wanted,
            weight,
            zone,
            resources: _,
        } = group;
        Group {
            name,
            count: wanted.map_or(rest, count),
            weight: weight.map_or(crate::plan::seats::WEIGHT_DEFAULT, count),
            zone,
            revision,
        }
    };
    named.into_iter().map(make).collect()
}

/// What takes a restart: whom the API serves, the resources, and the wish itself. Nothing of the operator's own is in it.
fn revision(spec: &KvClusterSpec, group: &NodeGroup, defaults: Defaults) -> String {
    // The default, spelt out or not.
    let auth = spec
        .auth
        .as_ref()
        .filter(|auth| !defaults.is_open || auth.mode != AuthMode::None);
    let mut parts = serde_json::json!({
        "auth": auth,
        "resources": group.resources.as_ref().or(spec.resources.as_ref()),
        "restartedAt": spec.restarted_at,
    });
    // What came later is in it only where it is said: else nodes of before would count as outdated.
    if let Some(image) = &spec.image {
        parts["image"] = serde_json::json!(image);
    }
    if let Some(pod) = &spec.pod {
        parts["pod"] = serde_json::json!(pod);
    }
    Token::of(parts.to_string().as_bytes()).to_string()
}
