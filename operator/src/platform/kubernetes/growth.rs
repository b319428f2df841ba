//! How large a node's volume should be. Pure.
//!
//! ```text
//! used ≥ at %, or writes refused ──► request + step, at most limit ──► (the class expands, the kubelet grows the file system) ──► settled
//!        ▲                                                                                                                   │
//!        └──────────────────── what the disk says counts only if it was asked while the claim was as it is now ◄──────────────┘
//! ```
//!
//! Invariants: a volume is never asked to shrink. It grows by itself only while nothing of an earlier growth is under way, by what its
//! disk said after that had ended, and never beyond the limit. Whoever asks twice, by whatever old cache, asks for the same size.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kv_proto::admin::GetNodeStatusReply;

use super::names;
use crate::crd::{self, Bytes};

/// How full a disk is when its volume grows, where the spec says nothing, percent.
const AT_PERCENT_DEFAULT: u64 = 80;
/// By how much a volume grows where the spec says nothing.
const STEP_DEFAULT: Step = Step::Percent(25);
const MEBIBYTE: u64 = 1 << 20;

/// When and how far volumes grow by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// No volume is asked to be larger, bytes.
    pub limit: u64,
    /// How full a disk is when its volume grows, percent.
    pub at_percent: u64,
    /// By how much.
    pub step: Step,
}

/// By how much a volume grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A part of what it is.
    Percent(u64),
    /// So many bytes.
    Bytes(u64),
}

/// A volume as its claim has it; two that are equal have the same file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Bytes asked for.
    pub request: u64,
    /// Bytes there, by who made it: below `request` while it grows. 0 while there is no volume.
    pub capacity: u64,
}

/// What a node says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of the file system.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// The node takes no more writes.
    pub refuses_writes: bool,
}

/// What a volume should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Bytes to ask for.
    pub bytes: u64,
    /// It should grow and may not.
    pub is_at_limit: bool,
}

impl Growth {
    /// Reads what was validated.
    #[must_use]
    pub fn of(spec: &crd::Growth) -> Self {
        let at = spec.at.and_then(|at| u64::try_from(at).ok());
        let step = spec.step.as_deref().and_then(Step::read);
        Self {
            limit: spec.limit.get().unwrap_or(0),
            at_percent: at.unwrap_or(AT_PERCENT_DEFAULT),
            step: step.unwrap_or(STEP_DEFAULT),
        }
    }

    /// The size after this one: more, in whole mebibytes, and within the limit.
    fn after(&self, size: u64) -> u64 {
        let more = match self.step {
            Step::Percent(percent) => size / 100 * percent,
            Step::Bytes(bytes) => bytes,
        };
        let next = size.saturating_add(more.max(1));
        next.div_ceil(MEBIBYTE)
            .saturating_mul(MEBIBYTE)
            .min(self.limit)
    }
}

impl Step {
    fn read(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => Bytes::Text(text.to_owned()).get().map(Self::Bytes),
        }
    }
}

impl Claim {
    /// As the API server has it.
    #[must_use]
    pub fn of(volume: &PersistentVolumeClaim) -> Self {
        let (spec, status) = (volume.spec.as_ref(), volume.status.as_ref());
        let request = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let capacity = status.and_then(|status| status.capacity.as_ref());
        Self {
            request: storage(request),
            capacity: storage(capacity),
        }
    }
}

impl Fill {
    /// What a node answered, if it could measure.
    #[must_use]
    pub const fn of(status: &GetNodeStatusReply) -> Option<Self> {
        if status.disk_total_bytes == 0 {
            return None;
        }
        Some(Self {
            total: status.disk_total_bytes,
            free: status.disk_free_bytes,
            refuses_writes: status.writes_refused,
        })
    }

    fn is_full(&self, at_percent: u64) -> bool {
        let used = u128::from(self.total.saturating_sub(self.free));
        self.refuses_writes || used * 100 >= u128::from(self.total) * u128::from(at_percent)
    }
}

/// What a volume of a cluster should be. `size` is what the spec asks for, bytes; `fill` must have been asked for while the claim was
/// as `claim` says.
#[must_use]
pub fn aim(size: u64, growth: Option<&Growth>, claim: Claim, fill: Option<Fill>) -> Aim {
    let stay = Aim {
        bytes: size.max(claim.request),
        is_at_limit: false,
    };
    let is_settled = size <= claim.request && claim.capacity >= claim.request;
    let (Some(growth), Some(fill), true) = (growth, fill, is_settled) else {
        return stay;
    };
    if !fill.is_full(growth.at_percent) {
        return stay;
    }
    // Who makes volumes may round up: a step must be one beyond what is there.
    let there = claim.request.max(claim.capacity);
    if there >= growth.limit {
        return Aim {
            is_at_limit: true,
            ..stay
        };
    }
    Aim {
        bytes: growth.after(there),
        is_at_limit: false,
    }
}

fn storage(quantities: Option<&BTreeMap<String, Quantity>>) -> u64 {
    let size = quantities.and_then(|all| all.get("storage"));
    size.map_or(0, |size| bytes(&size.0))
}

/// Bytes of a quantity, as far as volumes have them.
#[must_use]
pub fn bytes(quantity: &str) -> u64 {
    Bytes::Text(quantity.to_owned()).get().unwrap_or(0)
}

/// A number of bytes as people write it, if it is a round one.
#[must_use]
pub fn quantity(bytes: u64) -> String {
    let units = [("Gi", 1_u64 << 30), ("Mi", MEBIBYTE)];
    let unit = units.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    unit.map_or_else(
        || bytes.to_string(),
        |(name, unit)| format!("{}{name}", bytes / unit),
    )
}

/// What a pod is to be told of its volume: the kubelet grows a file system when it next looks at the pod, which is at once when that
/// changes and else within a minute or two.
#[must_use]
pub fn news(volume: &PersistentVolumeClaim, pod: &Pod) -> Option<String> {
    let conditions = volume.status.as_ref()?.conditions.as_ref()?;
    let waits = |name: &str| {
        conditions
            .iter()
            .any(|condition| condition.type_ == name && condition.status == "True")
    };
    if pod.metadata.deletion_timestamp.is_some() || !waits("FileSystemResizePending") {
        return None;
    }
    let size = Claim::of(volume).request.to_string();
    let is_told = names::annotation(&pod.metadata, names::VOLUME_BYTES) == Some(&size);
    (!is_told).then_some(size)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GIBIBYTE: u64 = 1 << 30;

    fn growth(limit: u64, step: Step) -> Growth {
        Growth {
            limit,
            at_percent: 80,
            step,
        }
    }

    fn settled(bytes: u64) -> Claim {
        Claim {
            request: bytes,
            capacity: bytes,
        }
    }

    /// A disk of so many bytes that is so full.
    fn fill(total: u64, percent: u64) -> Option<Fill> {
        Some(Fill {
            total,
            free: total - total / 100 * percent,
            refuses_writes: false,
        })
    }

    #[test]
    fn a_volume_grows_when_its_disk_is_full_enough_and_within_the_limit() {
        let quarter = growth(20 * GIBIBYTE, Step::Percent(25));
        let by_two = growth(9 * GIBIBYTE, Step::Bytes(2 * GIBIBYTE));
        let eight = settled(8 * GIBIBYTE);
        for (growth, percent, wanted, is_at_limit) in [
            (&quarter, 70, 8, false),
            (&quarter, 81, 10, false),
            (&by_two, 81, 9, false),
            (&growth(8 * GIBIBYTE, Step::Percent(25)), 81, 8, true),
            (&growth(8 * GIBIBYTE, Step::Percent(25)), 70, 8, false),
            (&growth(GIBIBYTE, Step::Percent(25)), 81, 8, true),
        ] {
            let found = aim(
                GIBIBYTE,
                Some(growth),
                eight,
                fill(8 * GIBIBYTE - 100 * MEBIBYTE, percent),
            );
            let expected = Aim {
                bytes: wanted * GIBIBYTE,
                is_at_limit,
            };
            assert_eq!(found, expected, "{growth:?} at {percent} %");
        }
        assert_eq!(
            aim(GIBIBYTE, None, eight, fill(8 * GIBIBYTE, 99)).bytes,
            8 * GIBIBYTE
        );
    }

    #[test]
    fn a_small_disk_that_refuses_writes_before_it_is_so_full_grows_too() {
        let small = Some(Fill {
            total: 900 * MEBIBYTE,
            free: 250 * MEBIBYTE,
            refuses_writes: true,
        });
        let growth = growth(4 * GIBIBYTE, Step::Percent(25));
        let found = aim(GIBIBYTE, Some(&growth), settled(GIBIBYTE), small);
        assert_eq!(found.bytes, 1280 * MEBIBYTE);
    }

    #[test]
    fn nothing_shrinks_and_a_person_may_ask_for_more_than_the_limit() {
        let growth = growth(2 * GIBIBYTE, Step::Percent(25));
        let grown = settled(3 * GIBIBYTE);
        for size in [1, 3, 5] {
            let found = aim(size * GIBIBYTE, Some(&growth), grown, None);
            assert_eq!(found.bytes, size.max(3) * GIBIBYTE);
        }
    }

    #[test]
    fn while_it_grows_and_while_nothing_is_known_nothing_more_is_asked() {
        let growth = growth(20 * GIBIBYTE, Step::Percent(25));
        let growing = Claim {
            request: 10 * GIBIBYTE,
            capacity: 8 * GIBIBYTE,
        };
        let full = fill(8 * GIBIBYTE, 99);
        assert_eq!(
            aim(GIBIBYTE, Some(&growth), growing, full).bytes,
            10 * GIBIBYTE
        );
        let unbound = Claim {
            request: 10 * GIBIBYTE,
            capacity: 0,
        };
        assert_eq!(
            aim(GIBIBYTE, Some(&growth), unbound, full).bytes,
            10 * GIBIBYTE
        );
        let settled = settled(10 * GIBIBYTE);
        assert_eq!(
            aim(GIBIBYTE, Some(&growth), settled, None).bytes,
            10 * GIBIBYTE
        );
        // A person's larger size first, and alone.
        assert_eq!(
            aim(11 * GIBIBYTE, Some(&growth), settled, full).bytes,
            11 * GIBIBYTE
        );
    }

    /// A world in which the operator sees claims late and dies at any time, and disks fill on: a volume ends within one step of what it needs.
    #[test]
    fn whatever_is_seen_late_a_volume_grows_by_one_step_at_a_time() {
        let growth = growth(40 * GIBIBYTE, Step::Percent(25));
        for lag in 0..4_usize {
            let (mut claim, mut past) = (settled(8 * GIBIBYTE), Vec::new());
            let (mut used, mut grown) = (6 * GIBIBYTE, 0);
            let mut seen_before = None;
            for round in 0..200_u64 {
                past.push(claim);
                let seen = past[past.len() - 1 - lag.min(past.len() - 1)];
                let disk = Fill {
                    total: claim.capacity,
                    free: claim.capacity - used,
                    refuses_writes: false,
                };
                let fill = seen_before
                    .filter(|&(of, _)| of == seen)
                    .map(|(_, fill)| fill);
                let aimed = aim(GIBIBYTE, Some(&growth), seen, fill).bytes;
                // The API server refuses what goes by an old claim.
                if aimed > seen.request && seen == claim {
                    assert!(used * 5 >= claim.capacity * 4, "grown without need");
                    (claim.request, grown) = (aimed, grown + 1);
                } else if round % 5 == 0 {
                    claim.capacity = claim.request;
                }
                seen_before = Some((seen, disk)).filter(|_| round % 7 != 0);
                used = (used + GIBIBYTE / 16)
                    .min(12 * GIBIBYTE)
                    .min(claim.capacity);
            }
            assert!(
                claim.capacity * 4 > used * 5 && grown <= 4,
                "{lag}: {claim:?}"
            );
        }
    }

    #[test]
    fn a_spec_is_read_with_its_defaults() {
        let read = |text| Growth::of(&serde_json::from_value(text).expect("a growth"));
        assert_eq!(
            read(json!({"limit": "4Gi"})),
            growth(4 * GIBIBYTE, Step::Percent(25))
        );
        let other = read(json!({"limit": 20_000_000, "at": 60, "step": "10M"}));
        assert_eq!(
            (other.limit, other.at_percent, other.step),
            (20_000_000, 60, Step::Bytes(10_000_000))
        );
        assert_eq!(
            [2560 * MEBIBYTE, 3 * GIBIBYTE, 20_000_000].map(quantity),
            ["2560Mi", "3Gi", "20000000"]
        );
    }

    #[test]
    fn a_pod_is_told_once_that_its_file_system_may_grow() {
        let volume = |conditions| -> PersistentVolumeClaim {
            serde_json::from_value(json!({
                "metadata": {"name": "data-rides-1"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}},
                "status": {"capacity": {"storage": "1Gi"}, "conditions": conditions}
            }))
            .expect("a claim")
        };
        let pod = |told: Option<&str>| -> Pod {
            let annotations = told.map(|told| json!({names::VOLUME_BYTES: told}));
            serde_json::from_value(json!({"metadata": {"annotations": annotations}}))
                .expect("a pod")
        };
        let pending = volume(json!([{"type": "FileSystemResizePending", "status": "True"}]));
        let size = (2 * GIBIBYTE).to_string();
        assert_eq!(Claim::of(&pending).capacity, GIBIBYTE);
        assert_eq!(news(&pending, &pod(None)), Some(size.clone()));
        assert_eq!(news(&pending, &pod(Some("1"))), Some(size.clone()));
        assert_eq!(news(&pending, &pod(Some(&size))), None);
        assert_eq!(news(&volume(json!([])), &pod(None)), None);
    }
}
