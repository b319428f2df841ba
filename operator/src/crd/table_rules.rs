//! What a `KvTable`'s spec must fulfil, in rows as those of [`super::rules`]. `tests/table_rules.rs` feeds CEL and checks with the same specs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;

use super::condition::Reason;
use super::rules::{self, Check, NAME_CHARS_MAX, Rule, Violation};
use super::table::{BillingMode, KvTableSpec, TableBilling, TableKey};

/// The longest name of an attribute.
const ATTRIBUTE_CHARS_MAX: usize = 255;
/// Units a second that the API takes.
const UNITS_MAX: i64 = 1_000_000_000_000;

/// All rows. Order is that of complaints.
pub const RULES: &[Rule<KvTableSpec>] = &[
    Rule {
        field: "clusterName",
        cel: "size(self.clusterName) <= 40 && self.clusterName.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "must be the name of a KvCluster: at most 40 of a-z, 0-9 and '-', a letter first, no '-' last",
        got: None,
        check: Check::Spec(|spec| is_cluster_name(&spec.cluster_name)),
    },
    Rule {
        field: "tableName",
        cel: "!has(self.tableName) || self.tableName.matches('^[a-zA-Z0-9_.-]{3,255}$')",
        message: "must be 3 to 255 of a-z, A-Z, 0-9, '_', '.' and '-'",
        got: None,
        check: Check::Spec(|spec| spec.table_name.as_deref().is_none_or(is_table_name)),
    },
    Rule {
        field: "keys",
        cel: "size(self.keys.partition.name) >= 1 && size(self.keys.partition.name) <= 255 && \
              (!has(self.keys.sort) || (size(self.keys.sort.name) >= 1 && size(self.keys.sort.name) <= 255))",
        message: "must have names of 1 to 255 characters",
        got: None,
        check: Check::Spec(|spec| keys(spec).all(|key| is_attribute(&key.name))),
    },
    Rule {
        field: "keys",
        cel: "!has(self.keys.sort) || self.keys.sort.name != self.keys.partition.name",
        message: "must have another attribute for sort than for partition",
        got: None,
        check: Check::Spec(|spec| {
            let sort = spec.keys.sort.as_ref();
            sort.is_none_or(|sort| sort.name != spec.keys.partition.name)
        }),
    },
    Rule {
        field: "billing",
        cel: "!has(self.billing) || self.billing.mode != 'Provisioned' || \
              (has(self.billing.readUnits) && has(self.billing.writeUnits))",
        message: "must have readUnits and writeUnits when mode is Provisioned",
        got: None,
        check: Check::Spec(|spec| {
            spec.billing.is_none_or(|billing| {
                billing.mode != BillingMode::Provisioned || units(&billing).count() == 2
            })
        }),
    },
    Rule {
        field: "billing",
        cel: "!has(self.billing) || self.billing.mode != 'PayPerRequest' || \
              (!has(self.billing.readUnits) && !has(self.billing.writeUnits))",
        message: "must have neither readUnits nor writeUnits when mode is PayPerRequest",
        got: None,
        check: Check::Spec(|spec| {
            spec.billing.is_none_or(|billing| {
                billing.mode != BillingMode::PayPerRequest || units(&billing).count() == 0
            })
        }),
    },
    Rule {
        field: "billing",
        cel: "!has(self.billing) || \
              ((!has(self.billing.readUnits) || (self.billing.readUnits >= 1 && self.billing.readUnits <= 1000000000000)) && \
              (!has(self.billing.writeUnits) || (self.billing.writeUnits >= 1 && self.billing.writeUnits <= 1000000000000)))",
        message: "must have 1 to 1000000000000 units",
        got: None,
        check: Check::Spec(|spec| {
            spec.billing
                .is_none_or(|billing| units(&billing).all(|units| (1..=UNITS_MAX).contains(&units)))
        }),
    },
    Rule {
        field: "timeToLive",
        cel: "!has(self.timeToLive) || (size(self.timeToLive) >= 1 && size(self.timeToLive) <= 255)",
        message: "must be the name of an attribute, 1 to 255 characters",
        got: None,
        check: Check::Spec(|spec| spec.time_to_live.as_deref().is_none_or(is_attribute)),
    },
    Rule {
        field: "clusterName",
        cel: "self.clusterName == oldSelf.clusterName",
        message: "must stay as it was: a table can't move to another cluster; make another KvTable",
        got: None,
        check: Check::Change(|new, old| new.cluster_name == old.cluster_name),
    },
    Rule {
        field: "tableName",
        cel: "(has(self.tableName) ? self.tableName : '') == (has(oldSelf.tableName) ? oldSelf.tableName : '')",
        message: "must stay as it was: a table can't get another name; make another KvTable",
        got: None,
        check: Check::Change(|new, old| {
            let name = |spec: &KvTableSpec| spec.table_name.clone().unwrap_or_default();
            name(new) == name(old)
        }),
    },
    Rule {
        field: "keys",
        cel: "self.keys == oldSelf.keys",
        message: "must stay as they were: a table can't get other keys; make another KvTable and copy the data",
        got: None,
        check: Check::Change(|new, old| new.keys == old.keys),
    },
];

/// Every rule that `new` breaks, by itself or as a change from `old`.
#[must_use]
pub fn violations(new: &KvTableSpec, old: Option<&KvTableSpec>) -> Vec<Violation> {
    rules::broken(RULES, new, old)
}

const NAME_MESSAGE: &str =
    "must have at least 3 characters where spec.tableName is left out, as names of tables have";

/// The rule on `metadata.name`; it stands at the root of the object.
#[must_use]
pub fn name_rule() -> ValidationRule {
    ValidationRule {
        rule: "has(self.spec.tableName) || size(self.metadata.name) >= 3".into(),
        message: Some(format!("metadata.name {NAME_MESSAGE}")),
        ..ValidationRule::default()
    }
}

/// What is wrong with the name of a `KvTable`. The API server sees to what names of all objects must be.
#[must_use]
pub fn name_violation(name: &str, spec: &KvTableSpec) -> Option<Violation> {
    let is_short = spec.table_name.is_none() && name.chars().count() < 3;
    is_short.then(|| Violation {
        path: "metadata.name".into(),
        message: format!("{NAME_MESSAGE}, got {name:?}"),
        reason: Reason::InvalidSpec,
    })
}

fn keys(spec: &KvTableSpec) -> impl Iterator<Item = &TableKey> {
    std::iter::once(&spec.keys.partition).chain(&spec.keys.sort)
}

fn units(billing: &TableBilling) -> impl Iterator<Item = i64> {
    billing.read_units.into_iter().chain(billing.write_units)
}

fn is_attribute(name: &str) -> bool {
    (1..=ATTRIBUTE_CHARS_MAX).contains(&name.chars().count())
}

fn is_table_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (3..=255).contains(&name.len()) && name.bytes().all(fits)
}

fn is_cluster_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(fits)
}
