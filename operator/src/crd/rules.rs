//! What a spec must fulfil. A rule is one row: its CEL goes into the CRD for the API server, its check runs here.
//! `tests/rules.rs` feeds both with the same specs and compares verdicts and words.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;

use super::condition::Reason;
use super::spec::{AuthMode, KvClusterSpec};

/// The most nodes of a cluster.
pub const NODES_MAX: i32 = 1000;
/// The most copies of an item.
pub const REPLICATION_FACTOR_MAX: i32 = 7;
/// The most zones.
pub const ZONES_MAX: usize = 20;
/// The longest name of a cluster: names of its objects add to it and must stay DNS labels.
pub const NAME_CHARS_MAX: usize = 40;
/// The longest DNS label (RFC 1123).
const LABEL_CHARS_MAX: usize = 63;

/// One row.
#[derive(Debug)]
pub struct Rule {
    /// The field of `spec` that is to blame.
    pub field: &'static str,
    /// The rule in CEL, `self` being the spec, `oldSelf` the one before.
    pub cel: &'static str,
    /// What must be so, said of the field.
    pub message: &'static str,
    /// What is so instead: as CEL that yields a string, and the same here.
    pub got: Option<Got>,
    /// The rule here.
    pub check: Check,
}

/// The offending value in words.
#[derive(Debug)]
pub struct Got {
    /// In CEL.
    pub cel: &'static str,
    /// Here.
    pub here: fn(&KvClusterSpec) -> String,
}

/// The rule as a function.
#[derive(Debug)]
pub enum Check {
    /// Of a spec by itself.
    Spec(fn(&KvClusterSpec) -> bool),
    /// Of a change: the new spec, the old one.
    Change(fn(&KvClusterSpec, &KvClusterSpec) -> bool),
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
            cel: "string(self.replicationFactor) + ' copies for ' + string(self.nodes) + ' nodes'",
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
            cel: "string(size(self.zones))",
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
        field: "nodes",
        cel: "self.nodes == oldSelf.nodes",
        message: "can't change once the cluster is made, scaling is not supported yet; put the old number back",
        got: Some(GOT_NODES),
        check: Check::Change(|new, old| new.nodes == old.nodes),
    },
    Rule {
        field: "replicationFactor",
        cel: "(has(self.replicationFactor) ? self.replicationFactor : (self.nodes < 3 ? self.nodes : 3)) == \
              (has(oldSelf.replicationFactor) ? oldSelf.replicationFactor : (oldSelf.nodes < 3 ? oldSelf.nodes : 3)) || \
              (!has(self.replicationFactor) && !has(oldSelf.replicationFactor))",
        message: "can't change once the cluster is made; put the old number back",
        got: None,
        check: Check::Change(|new, old| {
            new.replication_factor() == old.replication_factor()
                || (new.replication_factor.is_none() && old.replication_factor.is_none())
        }),
    },
    Rule {
        field: "zones",
        cel: "has(self.zones) == has(oldSelf.zones) && (!has(self.zones) || self.zones == oldSelf.zones)",
        message: "can't change once the cluster is made; put the old zones back",
        got: None,
        check: Check::Change(|new, old| new.zones == old.zones),
    },
];

const GOT_NODES: Got = Got {
    cel: "string(self.nodes)",
    here: |spec| spec.nodes.to_string(),
};
const GOT_FACTOR: Got = Got {
    cel: "string(self.replicationFactor)",
    here: |spec| spec.replication_factor().to_string(),
};

impl Rule {
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
                .map(|got| format!("'{text}, got ' + {}", got.cel)),
            field_path: Some(format!(".{}", self.field)),
            ..ValidationRule::default()
        }
    }

    fn violation(&self, spec: &KvClusterSpec) -> Violation {
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
    let breaks = |rule: &&Rule| match rule.check {
        Check::Spec(check) => !check(new),
        Check::Change(check) => old.is_some_and(|old| !check(new, old)),
    };
    RULES
        .iter()
        .filter(breaks)
        .map(|rule| rule.violation(new))
        .collect()
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

fn zones(spec: &KvClusterSpec) -> Option<&[String]> {
    spec.zones.as_deref()
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_CHARS_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
