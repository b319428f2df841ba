//! A table: from what is declared and what nodes describe to the next step. Pure.
//!
//! ```text
//!                 ┌ none ───────────────► Create, with the tag of this KvTable
//!  DescribeTable ─┤ CREATING, DELETING ─► Wait
//!                 │ other keys ─────────► Drifted: never touched
//!                 └ same keys ──────────► Change one setting that differs, then the next; Done
//! ```
//! A table is *owned* if it carries the tag, whose value is the `KvTable`'s UID: the DynamoDB API makes table and tag in one step, so a lost
//! reply leaves no doubt. Any other table of equal keys is *adopted*: its declared settings are brought about, it is never deleted.
//! What a `KvTable` does not declare is not looked at.

use crate::crd::{BillingMode, KvTable, TableBilling, TableKey, TableKeys, TableOrigin};
use kube::ResourceExt;

/// What is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Name of the table.
    pub name: String,
    /// Its primary key.
    pub keys: TableKeys,
    /// Its billing, where it is declared.
    pub billing: Option<TableBilling>,
    /// The attribute by which items expire, where it is declared.
    pub time_to_live: Option<String>,
    /// Whether it is protected, where that is declared.
    pub deletion_protection: Option<bool>,
    /// UID of the `KvTable`, the value of the tag.
    pub owner: String,
}

/// Status of a table, as the API has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not there yet.
    Creating,
    /// It serves.
    Active,
    /// It serves, and changes.
    Updating,
    /// It goes.
    Deleting,
}

/// What nodes describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Id of the table.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its status.
    pub state: State,
    /// Its primary key.
    pub keys: TableKeys,
    /// Its billing.
    pub billing: TableBilling,
    /// Whether it is protected.
    pub deletion_protection: bool,
    /// UID of the `KvTable` that it was made for, as far as it is tagged; tables that are being made or deleted show no tags.
    pub owner: Option<String>,
    /// The attribute by which items expire; only looked at where one is declared.
    pub time_to_live: Option<String>,
}

/// A setting that is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// How throughput is reckoned.
    Billing(TableBilling),
    /// Whether the table is protected.
    Protection(bool),
    /// Items no longer expire by this attribute: the API takes another one only then.
    StopExpiry(String),
    /// Items expire by this attribute.
    StartExpiry(String),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the table.
    Create,
    /// Look again before long.
    Wait,
    /// Nothing may be done: why.
    Drifted(String),
    /// Put a setting right.
    Change(Change),
    /// All is as declared.
    Done,
}

/// What is to be done with the table of a `KvTable` that goes and whose policy is `Delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Delete it.
    Delete,
    /// Take its protection away first, as is declared by now.
    Unprotect,
    /// Look again before long.
    Wait,
    /// The `KvTable` may go: there is no table of its own.
    Release,
}

impl Declared {
    /// What a `KvTable` declares.
    #[must_use]
    pub fn of(object: &KvTable) -> Self {
        let spec = &object.spec;
        Self {
            name: object.table_name(),
            keys: spec.keys.clone(),
            billing: spec.billing,
            time_to_live: spec.time_to_live.clone(),
            deletion_protection: spec.deletion_protection,
            owner: object.uid().unwrap_or_default(),
        }
    }

    /// Whether a table was made for this very `KvTable`.
    #[must_use]
    pub fn is_owned(&self, found: &Found) -> bool {
        !self.owner.is_empty() && found.owner.as_ref() == Some(&self.owner)
    }

    /// Where a table of equal keys comes from.
    #[must_use]
    pub fn origin(&self, found: &Found) -> TableOrigin {
        if self.is_owned(found) {
            TableOrigin::Created
        } else {
            TableOrigin::Adopted
        }
    }

    /// The next step.
    #[must_use]
    pub fn step(&self, found: Option<&Found>) -> Step {
        let Some(found) = found else {
            return Step::Create;
        };
        if found.state == State::Deleting {
            return Step::Wait;
        }
        if found.keys != self.keys {
            return Step::Drifted(format!(
                "table {} has {}, spec.keys declares {}: delete one of them, or declare another tableName",
                self.name,
                in_words(&found.keys),
                in_words(&self.keys)
            ));
        }
        match (found.state, self.difference(found)) {
            (State::Active, Some(change)) => Step::Change(change),
            (State::Active | State::Updating, None) => Step::Done,
            _ => Step::Wait,
        }
    }

    /// The first declared setting that differs.
    fn difference(&self, found: &Found) -> Option<Change> {
        if let Some(wanted) = self.deletion_protection
            && wanted != found.deletion_protection
        {
            return Some(Change::Protection(wanted));
        }
        if let Some(wanted) = self.billing
            && wanted != found.billing
        {
            return Some(Change::Billing(wanted));
        }
        match (&self.time_to_live, &found.time_to_live) {
            (Some(wanted), Some(there)) if wanted != there => {
                Some(Change::StopExpiry(there.clone()))
            }
            (Some(wanted), None) => Some(Change::StartExpiry(wanted.clone())),
            _ => None,
        }
    }

    /// The next step when the `KvTable` goes.
    #[must_use]
    pub fn end(&self, found: Option<&Found>) -> End {
        let Some(found) = found else {
            return End::Release;
        };
        match found.state {
            // Whose it is shows when it is there.
            State::Creating => End::Wait,
            // Until it is gone, so that the next KvTable of the name starts from nothing.
            State::Deleting if found.keys == self.keys => End::Wait,
            State::Active | State::Updating if self.is_owned(found) => {
                if found.deletion_protection && self.deletion_protection == Some(false) {
                    End::Unprotect
                } else {
                    End::Delete
                }
            }
            State::Active | State::Updating | State::Deleting => End::Release,
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Billing(TableBilling {
                mode: BillingMode::PayPerRequest,
                ..
            }) => f.write_str("billing to PayPerRequest"),
            Self::Billing(billing) => write!(
                f,
                "billing to Provisioned with {} read and {} write units",
                billing.read_units.unwrap_or_default(),
                billing.write_units.unwrap_or_default()
            ),
            Self::Protection(true) => f.write_str("deletion protection to on"),
            Self::Protection(false) => f.write_str("deletion protection to off"),
            Self::StopExpiry(attribute) => {
                write!(f, "time to live by {attribute} to off")
            }
            Self::StartExpiry(attribute) => write!(f, "time to live to {attribute}"),
        }
    }
}

impl State {
    /// As the API says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

fn in_words(keys: &TableKeys) -> String {
    let key = |key: &TableKey| format!("{} ({})", key.name, key.type_.code());
    let partition = key(&keys.partition);
    match &keys.sort {
        Some(sort) => format!("partition key {partition} and sort key {}", key(sort)),
        None => format!("partition key {partition} and no sort key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::KeyType;

    fn key(name: &str, type_: KeyType) -> TableKey {
        TableKey {
            name: name.into(),
            type_,
        }
    }

    fn provisioned(read: i64, write: i64) -> TableBilling {
        TableBilling {
            mode: BillingMode::Provisioned,
            read_units: Some(read),
            write_units: Some(write),
        }
    }

    fn declared() -> Declared {
        Declared {
            name: "orders".into(),
            keys: TableKeys {
                partition: key("pk", KeyType::String),
                sort: None,
            },
            billing: None,
            time_to_live: None,
            deletion_protection: None,
            owner: "uid-1".into(),
        }
    }

    fn found(state: State, owner: Option<&str>) -> Found {
        Found {
            id: "id-1".into(),
            arn: "arn".into(),
            state,
            keys: declared().keys,
            billing: TableBilling::default(),
            deletion_protection: false,
            owner: owner.map(String::from),
            time_to_live: None,
        }
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_equal_is_taken() {
        let wanted = declared();
        assert_eq!(wanted.step(None), Step::Create);
        for (owner, origin) in [
            (Some("uid-1"), TableOrigin::Created),
            (Some("uid-0"), TableOrigin::Adopted),
            (None, TableOrigin::Adopted),
        ] {
            let there = found(State::Active, owner);
            assert_eq!(wanted.step(Some(&there)), Step::Done);
            assert_eq!(wanted.origin(&there), origin, "{owner:?}");
        }
        // Without an UID nothing is owned, whatever its tag says.
        let nobody = Declared {
            owner: String::new(),
            ..declared()
        };
        assert!(!nobody.is_owned(&found(State::Active, Some(""))));
    }

    #[test]
    fn other_keys_are_told_and_left_alone_whatever_else_differs() {
        let wanted = Declared {
            billing: Some(provisioned(5, 5)),
            ..declared()
        };
        let others = [
            (key("id", KeyType::String), None),
            (key("pk", KeyType::Number), None),
            (key("pk", KeyType::String), Some(key("sk", KeyType::String))),
        ];
        for (partition, sort) in others {
            for state in [State::Creating, State::Active, State::Updating] {
                let there = Found {
                    keys: TableKeys {
                        partition: partition.clone(),
                        sort: sort.clone(),
                    },
                    ..found(state, Some("uid-1"))
                };
                let Step::Drifted(why) = wanted.step(Some(&there)) else {
                    panic!("{there:?} was not told");
                };
                assert!(why.contains("pk (S) and no sort key"), "{why}");
                assert!(why.contains(&in_words(&there.keys)), "{why}");
            }
        }
    }

    #[test]
    fn declared_settings_are_put_right_one_by_one_and_others_are_left() {
        let wanted = Declared {
            billing: Some(provisioned(5, 6)),
            time_to_live: Some("until".into()),
            deletion_protection: Some(true),
            ..declared()
        };
        let mut there = found(State::Active, None);
        there.time_to_live = Some("old".into());
        let mut done = Vec::new();
        while let Step::Change(change) = wanted.step(Some(&there)) {
            match &change {
                Change::Billing(billing) => there.billing = *billing,
                Change::Protection(on) => there.deletion_protection = *on,
                Change::StopExpiry(_) => there.time_to_live = None,
                Change::StartExpiry(name) => there.time_to_live = Some(name.clone()),
            }
            done.push(change.to_string());
            assert!(done.len() <= 4, "{done:?} has no end");
        }
        assert_eq!(
            done,
            [
                "deletion protection to on",
                "billing to Provisioned with 5 read and 6 write units",
                "time to live by old to off",
                "time to live to until"
            ]
        );
        assert_eq!(wanted.step(Some(&there)), Step::Done);
        // What is not declared is not looked at.
        assert_eq!(declared().step(Some(&there)), Step::Done);
    }

    #[test]
    fn nothing_is_changed_while_a_table_changes() {
        let wanted = Declared {
            deletion_protection: Some(true),
            ..declared()
        };
        for state in [State::Creating, State::Updating, State::Deleting] {
            let there = found(state, Some("uid-1"));
            assert_eq!(wanted.step(Some(&there)), Step::Wait, "{state:?}");
        }
        let serving = found(State::Updating, None);
        assert_eq!(declared().step(Some(&serving)), Step::Done);
        let coming = found(State::Creating, None);
        assert_eq!(declared().step(Some(&coming)), Step::Wait);
    }

    #[test]
    fn only_an_owned_table_goes_with_its_kvtable() {
        let wanted = declared();
        for (there, end) in [
            (None, End::Release),
            (Some(found(State::Creating, None)), End::Wait),
            (Some(found(State::Deleting, None)), End::Wait),
            (Some(found(State::Active, None)), End::Release),
            (Some(found(State::Active, Some("uid-0"))), End::Release),
            (Some(found(State::Active, Some("uid-1"))), End::Delete),
            (Some(found(State::Updating, Some("uid-1"))), End::Delete),
        ] {
            assert_eq!(wanted.end(there.as_ref()), end, "{there:?}");
        }
        // One that is protected is only deleted once a person has said that it is not any more.
        let mut safe = found(State::Active, Some("uid-1"));
        safe.deletion_protection = true;
        assert_eq!(wanted.end(Some(&safe)), End::Delete, "the API refuses it");
        let open = Declared {
            deletion_protection: Some(false),
            ..declared()
        };
        assert_eq!(open.end(Some(&safe)), End::Unprotect);
        let mut other = found(State::Deleting, None);
        other.keys.partition.name = "id".into();
        assert_eq!(wanted.end(Some(&other)), End::Release);
    }
}
