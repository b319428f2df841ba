//! What is under way, as the status and its conditions tell it. Rounded: a status is written on change only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kv_ring::NodeId;

use super::apply::Applied;
use crate::crd::condition::{ConditionType, Reason, Verdict};
use crate::crd::{PlanStatus, UpgradeStatus};
use crate::dataplane::ClusterView;
use crate::plan::{Activity, Plan};

/// How many nodes a plan names.
const NAMES_MAX: usize = 20;

/// The plan's status, or none while nothing is under way.
#[must_use]
pub fn plan(plan: &Plan, applied: &Applied, view: &ClusterView) -> Option<PlanStatus> {
    plan.activity?;
    let progress = view.progress.clone().unwrap_or_default();
    let waiting: Vec<String> = plan
        .waiting
        .iter()
        .chain(applied.waiting())
        .cloned()
        .collect();
    let names = |names: &[String]| names.iter().take(NAMES_MAX).cloned().collect();
    let rate = progress.bytes_per_second.max(0.0);
    let left = progress.bytes_left;
    Some(PlanStatus {
        step: step(plan, view),
        joining: names(&plan.joining),
        leaving: names(&plan.leaving),
        moves_left: view.cluster.as_ref().map_or(0, |known| known.moves_left),
        bytes_done: two_digits(progress.bytes_done),
        bytes_left: two_digits(left),
        bytes_per_second: two_digits(whole(rate)),
        eta_seconds: (left > 0 && rate >= 1.0)
            .then(|| two_digits(whole(lossy(left) / rate).max(1))),
        waiting_for: (!waiting.is_empty()).then(|| waiting.join("; ")),
    })
}

/// The step under way, in words.
#[must_use]
pub fn step(plan: &Plan, view: &ClusterView) -> String {
    let moves = view.cluster.as_ref().map_or(0, |known| known.moves_left);
    let mut parts = Vec::new();
    if !plan.joining.is_empty() {
        parts.push(format!("{} coming", named(&plan.joining)));
    }
    if !plan.leaving.is_empty() {
        parts.push(format!("{} leaving", named(&plan.leaving)));
    }
    if moves > 0 {
        let partitions = if moves == 1 {
            "partition"
        } else {
            "partitions"
        };
        parts.push(format!("{moves} {partitions} to move"));
    }
    parts.extend(plan.certificates.map(str::to_owned));
    if parts.is_empty() && plan.activity == Some(Activity::OutsideWindow) {
        parts.push("waiting for a maintenance window".to_owned());
    }
    if parts.is_empty() {
        let activity = plan.activity.map_or_else(
            || "nothing".to_owned(),
            |activity| format!("{activity:?}").to_lowercase(),
        );
        parts.push(activity);
    }
    parts.join(", ")
}

fn named(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

/// Since when all nodes can write a newer version.
#[must_use]
pub fn upgrade(
    newer: Option<u32>,
    before: Option<&UpgradeStatus>,
    now: Timestamp,
) -> Option<UpgradeStatus> {
    let version = newer?;
    let since = before
        .filter(|before| before.version == version)
        .map(|before| before.since.clone());
    Some(UpgradeStatus {
        version,
        since: since.unwrap_or(Time(now)),
    })
}

/// What the metadata leader says is weak, once it has heard all leaders.
#[must_use]
pub fn weakness(
    plan: &Plan,
    view: &ClusterView,
    name: impl Fn(NodeId) -> String,
) -> Option<Verdict> {
    let degraded =
        |reason, message: String| Some(Verdict::yes(ConditionType::Degraded, reason, message));
    let known = view.cluster.as_ref()?;
    if known.is_informed && known.without_quorum > 0 {
        let message = format!(
            "{} partitions have no quorum: start the nodes that hold them",
            known.without_quorum
        );
        return degraded(Reason::QuorumLost, message);
    }
    if !plan.lost.is_empty() {
        let names: Vec<String> = plan.lost.iter().map(|&id| name(id)).collect();
        let message = format!(
            "{} is gone for good and is being replaced; what lies on its disk is not needed any more",
            names.join(", ")
        );
        return degraded(Reason::NodesLost, message);
    }
    if known.is_informed && known.weakened > 0 {
        let message = format!("{} partitions lack a healthy replica", known.weakened);
        return degraded(Reason::UnderReplicated, message);
    }
    None
}

/// Whether a key is too hot for any split to help.
#[must_use]
pub fn hot_key(view: &ClusterView) -> Verdict {
    let keys = view.cluster.iter().flat_map(|known| &known.hot_keys);
    let told: Vec<String> = keys
        .map(|key| format!("{} in table {}", key.key_hash, key.table))
        .collect();
    if told.is_empty() {
        return Verdict::no(ConditionType::HotKey, Reason::NoHotKey, "");
    }
    let message = format!(
        "one key alone takes more than a partition can serve, which no split helps: {}; `kv-operator local top keys` names it",
        told.join(", ")
    );
    Verdict::yes(ConditionType::HotKey, Reason::KeyTooHot, message)
}

/// A number rounded to its first two digits.
fn two_digits(number: u64) -> u64 {
    let mut unit = 1_u64;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn lossy(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, never negative"
)]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_two_digits() {
        assert_eq!(
            [0, 7, 99, 100, 129, 98_765].map(two_digits),
            [0, 7, 99, 100, 120, 98_000]
        );
    }
}
