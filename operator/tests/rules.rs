//! Every rule twice: its CEL as an API server evaluates it, and its check here. Verdicts and words must be the same.

use kube::core::cel::Validator;
use kv_operator::crd::rules::{self, Violation};
use kv_operator::crd::{
    Auth, AuthMode, Bytes, Day, Growth, KvCluster, KvClusterSpec, Maintenance, MaintenanceWindow,
    NodeGroup, Partitions, Rebalance, Repair, Storage, Tls, Upgrade, definition,
};
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
        ..KvClusterSpec::default()
    }
}

fn groups() -> impl Strategy<Value = Vec<NodeGroup>> {
    let name = prop_oneof![Just("big"), Just("small"), Just("Big"), Just("")];
    let zone = prop::option::of(prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("eu-1".to_owned())
    ]);
    let group = (
        name,
        prop::option::of(-1_i32..4),
        prop::option::of(-1_i32..3),
        zone,
    );
    let group = group.prop_map(|(name, count, weight, zone)| NodeGroup {
        name: name.into(),
        count,
        weight,
        zone,
        resources: None,
    });
    prop::collection::vec(group, 0..5)
}

fn texts() -> impl Strategy<Value = Option<String>> {
    let text = prop_oneof![
        Just("10m"),
        Just("0s"),
        Just("2h"),
        Just("1d"),
        Just("m"),
        Just(""),
        Just("1234567s"),
        Just("-1s")
    ];
    prop::option::of(text.prop_map(String::from))
}

fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    let number = prop_oneof![
        Just(0_i64),
        Just(-5),
        Just(65_536),
        Just(99_999),
        Just(100_000),
        Just(1 << 40)
    ];
    let text = prop_oneof![
        Just("10Gi"),
        Just("1Mi"),
        Just("100k"),
        Just("99k"),
        Just("064Mi"),
        Just("1Mb"),
        Just(""),
        Just("5000000"),
        Just("20M"),
        Just("20000000"),
        Just("1.5Gi")
    ];
    prop::option::of(prop_oneof![
        number.prop_map(Bytes::Number),
        text.prop_map(|text| Bytes::Text(text.into()))
    ])
}

fn growths() -> impl Strategy<Value = Option<Growth>> {
    let limit = prop_oneof![
        Just(Bytes::Number(99_999)),
        Just(Bytes::Number(1 << 40)),
        Just(Bytes::Text("20M".into())),
        Just(Bytes::Text("9Gi".into())),
        Just(Bytes::Text("10Gi".into())),
        Just(Bytes::Text("064Gi".into())),
        Just(Bytes::Text("1Zi".into())),
    ];
    let at = prop::option::of(prop_oneof![Just(49), Just(50), Just(95), Just(96)]);
    let step = prop_oneof![
        Just("1%"),
        Just("100%"),
        Just("101%"),
        Just("0%"),
        Just("05%"),
        Just("%"),
        Just("10Gi"),
        Just("1Mi"),
        Just(""),
    ];
    let step = prop::option::of(step.prop_map(String::from));
    prop::option::of((limit, at, step).prop_map(|(limit, at, step)| Growth { limit, at, step }))
}

fn maintenances() -> impl Strategy<Value = Option<Maintenance>> {
    let day = prop_oneof![Just(Day::Mon), Just(Day::Sun)];
    let days = prop::option::of(prop::collection::vec(day, 0..9));
    let start = prop_oneof![
        Just("00:00"),
        Just("23:59"),
        Just("24:00"),
        Just("9:00"),
        Just("12:60"),
        Just(""),
    ];
    let duration = prop_oneof![
        Just("1m"),
        Just("999m"),
        Just("1399m"),
        Just("1440m"),
        Just("1441m"),
        Just("0m"),
        Just("060m"),
        Just("3600s"),
        Just("24h"),
        Just("25h"),
        Just("m"),
    ];
    let window = (days, start, duration).prop_map(|(days, start, duration)| MaintenanceWindow {
        days,
        start: start.into(),
        duration: duration.into(),
    });
    let windows = prop_oneof![
        prop::collection::vec(window.clone(), 0..3),
        prop::collection::vec(window, 20..22)
    ];
    prop::option::of(windows.prop_map(|windows| Maintenance { windows }))
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
    let zone = zone.prop_map(String::from);
    let zones = prop::option::of(prop::collection::vec(zone.clone(), 0..24));
    let leader_zones = prop::option::of(prop::collection::vec(zone, 0..3));
    let auth = prop::option::of((any::<bool>(), prop::option::of(Just("keys".to_owned()))));
    let numbers = (-1_i32..1003, prop::option::of(-1_i32..9));
    let small = (-1_i32..6, prop::option::of(-1_i32..9));
    let rest = (
        prop::option::of(prop_oneof![Just(-1), Just(0), Just(3600), Just(3601)]),
        texts(),
        texts(),
        prop::option::of(-1_i64..2),
        prop::option::of(prop_oneof![Just(0), Just(1), Just(64), Just(65)]),
        bytes(),
        (
            bytes(),
            prop::option::of(Just("fast".to_owned())),
            growths(),
            maintenances(),
        ),
    );
    (
        prop_oneof![numbers, small],
        zones,
        leader_zones,
        prop::option::of(groups()),
        auth,
        rest,
    )
        .prop_map(
            |((nodes, replication_factor), zones, leader_zones, node_groups, auth, rest)| {
                let (
                    drain_seconds,
                    after,
                    soak,
                    bytes_per_second,
                    moves_per_node,
                    max_bytes,
                    (size, class_name, growth, maintenance),
                ) = rest;
                KvClusterSpec {
                    nodes,
                    replication_factor,
                    zones,
                    leader_zones,
                    node_groups,
                    drain_seconds,
                    repair: Some(Repair { after }),
                    upgrade: Some(Upgrade { soak }),
                    rebalance: Some(Rebalance {
                        bytes_per_second,
                        moves_per_node,
                        paused: None,
                    }),
                    partitions: Some(Partitions { max_bytes }),
                    maintenance,
                    storage: Some(Storage {
                        size,
                        class_name,
                        growth,
                        ..Storage::default()
                    }),
                    auth: auth.map(|(open, secret_name)| Auth {
                        mode: if open {
                            AuthMode::None
                        } else {
                            AuthMode::Secret
                        },
                        secret_name,
                    }),
                    ..KvClusterSpec::default()
                }
            },
        )
}

fn group(name: &str, count: Option<i32>) -> NodeGroup {
    NodeGroup {
        name: name.into(),
        count,
        ..NodeGroup::default()
    }
}

fn zones(zones: &[&str]) -> Option<Vec<String>> {
    Some(zones.iter().map(|&zone| zone.to_owned()).collect())
}

/// A spec for each row, in the order of the rows, that breaks that row alone.
fn broken() -> Vec<(KvClusterSpec, Option<KvClusterSpec>)> {
    let auth = |mode, name: Option<&str>| {
        Some(Auth {
            mode,
            secret_name: name.map(String::from),
        })
    };
    let many: Vec<String> = (0..21).map(|index| format!("z{index}")).collect();
    let base = || spec(3);
    let factor = |nodes, factor| KvClusterSpec {
        replication_factor: Some(factor),
        ..spec(nodes)
    };
    let zoned = |names: &[&str]| KvClusterSpec {
        zones: zones(names),
        ..spec(3)
    };
    let grouped = |groups: Vec<NodeGroup>| KvClusterSpec {
        node_groups: Some(groups),
        ..spec(3)
    };
    let in_zone = |name: &str, zone: &str| NodeGroup {
        zone: Some(zone.into()),
        ..group(name, Some(3))
    };
    let stored = |size: Option<&str>, class: Option<&str>| KvClusterSpec {
        storage: Some(Storage {
            size: size.map(|size| Bytes::Text(size.into())),
            class_name: class.map(String::from),
            ..Storage::default()
        }),
        ..spec(3)
    };
    let grown = |limit: &str, at: Option<i32>, step: Option<&str>| KvClusterSpec {
        storage: Some(Storage {
            growth: Some(Growth {
                limit: Bytes::Text(limit.into()),
                at,
                step: step.map(String::from),
            }),
            ..Storage::default()
        }),
        ..spec(3)
    };
    let maintained = |windows: Vec<MaintenanceWindow>| KvClusterSpec {
        maintenance: Some(Maintenance { windows }),
        ..spec(3)
    };
    let window = |days: Option<Vec<Day>>, start: &str, duration: &str| {
        vec![MaintenanceWindow {
            days,
            start: start.into(),
            duration: duration.into(),
        }]
    };
    let alone = |spec| (spec, None);
    vec![
        alone(spec(0)),
        alone(spec(1001)),
        alone(factor(3, 0)),
        alone(factor(9, 8)),
        alone(factor(3, 4)),
        alone(zoned(&[])),
        alone(KvClusterSpec {
            zones: Some(many.clone()),
            ..base()
        }),
        alone(zoned(&["a", "B"])),
        alone(zoned(&["a", "b", "a"])),
        alone(KvClusterSpec {
            auth: auth(AuthMode::Secret, None),
            ..base()
        }),
        alone(KvClusterSpec {
            auth: auth(AuthMode::None, Some("s")),
            ..base()
        }),
        alone(grouped(Vec::new())),
        alone(KvClusterSpec {
            nodes: 21,
            ..grouped(
                (0..21)
                    .map(|index| group(&format!("g{index}"), Some(1)))
                    .collect(),
            )
        }),
        alone(grouped(vec![group("Big", None)])),
        alone(grouped(vec![group("a", Some(1)), group("a", Some(2))])),
        alone(grouped(vec![NodeGroup {
            weight: Some(0),
            ..group("a", None)
        }])),
        alone(grouped(vec![group("a", Some(4)), group("b", Some(-1))])),
        alone(grouped(vec![group("a", None), group("b", None)])),
        alone(grouped(vec![group("a", Some(2))])),
        alone(KvClusterSpec {
            nodes: 6,
            zones: zones(&["a"]),
            ..grouped(vec![in_zone("a", "a"), in_zone("b", "x")])
        }),
        alone(KvClusterSpec {
            zones: zones(&["a", "b"]),
            ..grouped(vec![in_zone("a", "a")])
        }),
        alone(KvClusterSpec {
            zones: zones(&["a"]),
            leader_zones: Some(vec!["a".into(); 21]),
            ..base()
        }),
        alone(KvClusterSpec {
            leader_zones: zones(&["a"]),
            ..base()
        }),
        alone(KvClusterSpec {
            drain_seconds: Some(-1),
            ..base()
        }),
        alone(KvClusterSpec {
            repair: Some(Repair {
                after: Some("soon".into()),
            }),
            ..base()
        }),
        alone(KvClusterSpec {
            upgrade: Some(Upgrade {
                soak: Some("10".into()),
            }),
            ..base()
        }),
        alone(maintained(Vec::new())),
        alone(maintained(window(Some(Vec::new()), "22:00", "2h"))),
        alone(maintained(window(Some(vec![Day::Sat]), "24:00", "2h"))),
        alone(maintained(window(None, "22:00", "25h"))),
        alone(KvClusterSpec {
            tls: Some(Tls {
                certificate_life: Some("59s".into()),
                ..Tls::default()
            }),
            ..base()
        }),
        alone(KvClusterSpec {
            tls: Some(Tls {
                ca_life: Some("01h".into()),
                ..Tls::default()
            }),
            ..base()
        }),
        alone(KvClusterSpec {
            rebalance: Some(Rebalance {
                bytes_per_second: Some(0),
                ..Rebalance::default()
            }),
            ..base()
        }),
        alone(KvClusterSpec {
            rebalance: Some(Rebalance {
                moves_per_node: Some(65),
                ..Rebalance::default()
            }),
            ..base()
        }),
        alone(KvClusterSpec {
            partitions: Some(Partitions {
                max_bytes: Some(Bytes::Number(1000)),
            }),
            ..base()
        }),
        alone(stored(Some("1Mi"), None)),
        // What is no size can't be compared with one.
        alone(grown("100Zi", None, None)),
        alone(grown("9Gi", None, None)),
        alone(grown("20Gi", Some(40), None)),
        alone(grown("20Gi", None, Some("0%"))),
        (stored(Some("20M"), None), Some(stored(Some("1Gi"), None))),
        (stored(None, Some("fast")), Some(base())),
        (spec(1), Some(base())),
    ]
}

#[test]
fn each_row_is_broken_by_some_spec_and_says_the_same_both_ways() {
    let schema = schema();
    let cases = broken();
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
