//! Every rule of a `KvTable` twice: its CEL as an API server evaluates it, and its check here. Verdicts and words must be the same.

use kube::core::cel::Validator;
use kv_operator::crd::rules::Violation;
use kv_operator::crd::{
    BillingMode, KeyType, KvTable, KvTableSpec, TableBilling, TableKey, TableKeys, definitions,
    table_rules,
};
use proptest::prelude::*;
use serde_json::Value;

fn schema() -> Value {
    let tables = definitions()
        .into_iter()
        .find(|one| one.crd.spec.names.kind == "KvTable");
    let crd = tables.expect("a definition of KvTable").crd;
    let schema = crd.spec.versions[0]
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    serde_json::to_value(schema.expect("schema")).expect("JSON")
}

fn object(name: &str, spec: &KvTableSpec) -> Value {
    serde_json::to_value(KvTable::new(name, spec.clone())).expect("JSON")
}

/// What an API server says: paths and messages.
fn by_cel(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<(String, String)> {
    let errors = Validator::new()
        .validate(schema, new, old)
        .err()
        .map(|errors| errors.into_vec());
    let mut said: Vec<_> = errors
        .into_iter()
        .flatten()
        .map(|error| (error.field_path, error.message))
        .collect();
    said.sort();
    said
}

fn here(new: &KvTableSpec, old: Option<&KvTableSpec>) -> Vec<(String, String)> {
    let broken = table_rules::violations(new, old).into_iter();
    let mut said: Vec<_> = broken
        .map(
            |Violation {
                 path,
                 message,
                 reason: _,
             }| (path, message),
        )
        .collect();
    said.sort();
    said
}

fn key(name: &str, type_: KeyType) -> TableKey {
    TableKey {
        name: name.into(),
        type_,
    }
}

fn spec() -> KvTableSpec {
    KvTableSpec {
        cluster_name: "rides".into(),
        keys: TableKeys {
            partition: key("pk", KeyType::String),
            sort: None,
        },
        ..KvTableSpec::default()
    }
}

fn billed(mode: BillingMode, read_units: Option<i64>, write_units: Option<i64>) -> KvTableSpec {
    KvTableSpec {
        billing: Some(TableBilling {
            mode,
            read_units,
            write_units,
        }),
        ..spec()
    }
}

/// A spec for each row, in the order of the rows, that breaks that row alone.
fn broken() -> Vec<(KvTableSpec, Option<KvTableSpec>)> {
    let cluster = |name: &str| KvTableSpec {
        cluster_name: name.into(),
        ..spec()
    };
    let named = |name: &str| KvTableSpec {
        table_name: Some(name.into()),
        ..spec()
    };
    let keyed = |partition: &str, sort: Option<&str>| KvTableSpec {
        keys: TableKeys {
            partition: key(partition, KeyType::String),
            sort: sort.map(|name| key(name, KeyType::Number)),
        },
        ..spec()
    };
    let alone = |spec| (spec, None);
    vec![
        alone(cluster("Rides")),
        alone(named("a b c")),
        alone(keyed("pk", Some(""))),
        alone(keyed("pk", Some("pk"))),
        alone(billed(BillingMode::Provisioned, Some(1), None)),
        alone(billed(BillingMode::PayPerRequest, Some(1), None)),
        alone(billed(BillingMode::Provisioned, Some(1), Some(0))),
        alone(KvTableSpec {
            time_to_live: Some(String::new()),
            ..spec()
        }),
        (cluster("shops"), Some(spec())),
        (spec(), Some(named("orders"))),
        (keyed("pk", Some("sk")), Some(spec())),
    ]
}

#[test]
fn each_row_is_broken_by_some_spec_and_says_the_same_both_ways() {
    let schema = schema();
    let cases = broken();
    assert_eq!(cases.len(), table_rules::RULES.len(), "a case for each row");
    for ((new, old), rule) in cases.iter().zip(table_rules::RULES) {
        let said = here(new, old.as_ref());
        assert!(
            said.len() == 1
                && said[0].0.ends_with(rule.field)
                && said[0].1.starts_with(rule.message),
            "{rule:?} gave {said:?}"
        );
        let old = old.as_ref().map(|old| object("orders", old));
        assert_eq!(by_cel(&schema, &object("orders", new), old.as_ref()), said);
    }
}

#[test]
fn names_are_judged_the_same_both_ways() {
    let schema = schema();
    let named = KvTableSpec {
        table_name: Some("orders".into()),
        ..spec()
    };
    for name in ["a", "ab", "abc", "orders.of-2026"] {
        for spec in [spec(), named.clone()] {
            let is_bad = table_rules::name_violation(name, &spec).is_some();
            assert_eq!(
                !by_cel(&schema, &object(name, &spec), None).is_empty(),
                is_bad,
                "{name:?}"
            );
        }
    }
}

fn specs() -> impl Strategy<Value = KvTableSpec> {
    let cluster = prop::sample::select(vec!["rides", "r", "", "2r", "r-", "R", "a.b"]);
    let long = "n".repeat(256);
    let table = prop::sample::select(vec![
        "ab".to_owned(),
        "abc".into(),
        "A_b-c.9".into(),
        "a/b".into(),
        "äöü".into(),
        long.clone(),
        long[1..].to_owned(),
    ]);
    let attribute = prop::sample::select(vec![
        String::new(),
        "pk".into(),
        "sk".into(),
        long[1..].to_owned(),
        long,
    ]);
    let kind = prop::sample::select(vec![KeyType::String, KeyType::Number, KeyType::Binary]);
    let key = (attribute.clone(), kind).prop_map(|(name, type_)| TableKey { name, type_ });
    let units = prop::option::of(prop::sample::select(vec![
        -1_i64,
        0,
        1,
        1_000_000_000_000,
        1_000_000_000_001,
    ]));
    let mode = prop::sample::select(vec![BillingMode::PayPerRequest, BillingMode::Provisioned]);
    let billing =
        (mode, units.clone(), units).prop_map(|(mode, read_units, write_units)| TableBilling {
            mode,
            read_units,
            write_units,
        });
    (
        cluster,
        prop::option::of(table),
        (key.clone(), prop::option::of(key)),
        prop::option::of(billing),
        prop::option::of(attribute),
    )
        .prop_map(
            |(cluster, table_name, (partition, sort), billing, time_to_live)| KvTableSpec {
                cluster_name: cluster.into(),
                table_name,
                keys: TableKeys { partition, sort },
                billing,
                time_to_live,
                ..KvTableSpec::default()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn cel_and_rust_agree(new in specs(), old in prop::option::of(specs())) {
        let old_object = old.as_ref().map(|old| object("orders", old));
        let said = by_cel(&schema(), &object("orders", &new), old_object.as_ref());
        prop_assert_eq!(said, here(&new, old.as_ref()));
    }
}
