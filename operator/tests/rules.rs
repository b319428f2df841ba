//! Every rule twice: its CEL as an API server evaluates it, and its check here. Verdicts and words must be the same.

use kube::core::cel::Validator;
use kv_operator::crd::rules::{self, Violation};
use kv_operator::crd::{Auth, AuthMode, KvCluster, KvClusterSpec, definition};
use proptest::prelude::*;
use serde_json::Value;

fn schema() -> Value {
    let crd = definition();
    let schema = crd.spec.versions[0]
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    serde_json::to_value(schema.expect("schema")).expect("JSON")
}

fn object(name: &str, spec: &KvClusterSpec) -> Value {
    serde_json::to_value(KvCluster::new(name, spec.clone())).expect("JSON")
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

fn here(new: &KvClusterSpec, old: Option<&KvClusterSpec>) -> Vec<(String, String)> {
    let broken = rules::violations(new, old).into_iter();
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

fn spec(nodes: i32) -> KvClusterSpec {
    KvClusterSpec {
        nodes,
        replication_factor: None,
        zones: None,
        auth: None,
    }
}

fn specs() -> impl Strategy<Value = KvClusterSpec> {
    let zone = prop_oneof![
        Just("a"),
        Just("b"),
        Just("eu-1"),
        Just(""),
        Just("-a"),
        Just("A"),
        Just("a_b"),
        Just("a-"),
    ];
    let zones = prop::option::of(prop::collection::vec(zone.prop_map(String::from), 0..24));
    let auth = prop::option::of((any::<bool>(), prop::option::of(Just("keys".to_owned()))));
    let numbers = (-1_i32..1003, prop::option::of(-1_i32..9));
    let small = (-1_i32..4, prop::option::of(-1_i32..9));
    (prop_oneof![numbers, small], zones, auth).prop_map(
        |((nodes, replication_factor), zones, auth)| KvClusterSpec {
            nodes,
            replication_factor,
            zones,
            auth: auth.map(|(open, secret_name)| Auth {
                mode: if open {
                    AuthMode::None
                } else {
                    AuthMode::Secret
                },
                secret_name,
            }),
        },
    )
}

#[test]
fn each_row_is_broken_by_some_spec_and_says_the_same_both_ways() {
    let schema = schema();
    let zones = |zones: &[&str]| Some(zones.iter().map(|&zone| zone.to_owned()).collect());
    let auth = |mode, name: Option<&str>| {
        Some(Auth {
            mode,
            secret_name: name.map(String::from),
        })
    };
    let many: Vec<String> = (0..21).map(|index| format!("z{index}")).collect();
    let base = spec(3);
    let cases: [(KvClusterSpec, Option<KvClusterSpec>); 14] = [
        (spec(0), None),
        (spec(1001), None),
        (
            KvClusterSpec {
                replication_factor: Some(0),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                replication_factor: Some(8),
                ..spec(9)
            },
            None,
        ),
        (
            KvClusterSpec {
                replication_factor: Some(4),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                zones: zones(&[]),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                zones: Some(many),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                zones: zones(&["a", "B"]),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                zones: zones(&["a", "b", "a"]),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                auth: auth(AuthMode::Secret, None),
                ..spec(3)
            },
            None,
        ),
        (
            KvClusterSpec {
                auth: auth(AuthMode::None, Some("s")),
                ..spec(3)
            },
            None,
        ),
        (spec(5), Some(base.clone())),
        (
            KvClusterSpec {
                replication_factor: Some(1),
                ..spec(3)
            },
            Some(base.clone()),
        ),
        (
            KvClusterSpec {
                zones: zones(&["x"]),
                ..spec(3)
            },
            Some(base),
        ),
    ];
    assert_eq!(cases.len(), rules::RULES.len(), "a case for each row");
    for ((new, old), rule) in cases.iter().zip(rules::RULES) {
        let said = here(new, old.as_ref());
        assert!(
            said.len() == 1
                && said[0].0.ends_with(rule.field)
                && said[0].1.starts_with(rule.message),
            "{rule:?} gave {said:?}"
        );
        let old = old.as_ref().map(|old| object("rides", old));
        assert_eq!(by_cel(&schema, &object("rides", new), old.as_ref()), said);
    }
}

#[test]
fn names_are_judged_the_same_both_ways() {
    let schema = schema();
    let long = "a".repeat(41);
    for name in [
        "rides",
        "r2-d2",
        "a",
        "",
        "2x",
        "-a",
        "a-",
        "Rides",
        "a.b",
        "a b",
        &long,
        &long[1..],
    ] {
        let is_bad = rules::name_violation(name).is_some();
        assert_eq!(
            !by_cel(&schema, &object(name, &spec(3)), None).is_empty(),
            is_bad,
            "{name:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn cel_and_rust_agree(new in specs(), old in prop::option::of(specs())) {
        let old_object = old.as_ref().map(|old| object("rides", old));
        let said = by_cel(&schema(), &object("rides", &new), old_object.as_ref());
        prop_assert_eq!(said, here(&new, old.as_ref()));
    }
}
