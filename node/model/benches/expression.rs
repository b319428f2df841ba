//! How long expressions take to parse, to check and to apply.
//!
//! `cargo bench -p kv-model --bench expression`

use std::collections::BTreeMap;

use divan::{Bencher, black_box};
use kv_model::expression::{Kind, Placeholders, parse_condition, parse_projection, parse_update};
use kv_model::{AttributeValue, Item};

fn main() {
    divan::main();
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.into())
}

fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn values(pairs: &[(&str, AttributeValue)]) -> BTreeMap<String, AttributeValue> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.clone()))
        .collect()
}

const UPDATE: &str =
    "SET #status = :status, updated = :now, hits = if_not_exists(hits, :zero) + :one REMOVE lease";
const CONDITION: &str = "attribute_exists(id) AND version = :version";

fn update_request() -> (BTreeMap<String, String>, BTreeMap<String, AttributeValue>) {
    (
        names(&[("#status", "status")]),
        values(&[
            (":status", string("done")),
            (":now", number(1_700_000_000)),
            (":zero", number(0)),
            (":one", number(1)),
            (":version", number(7)),
        ]),
    )
}

fn item() -> Item {
    values(&[
        ("id", string("order-17")),
        ("status", string("open")),
        ("updated", number(1_600_000_000)),
        ("hits", number(41)),
        ("lease", string("worker-3")),
        ("version", number(7)),
    ])
}

/// Both expressions of an `UpdateItem`, with their placeholders.
#[divan::bench]
fn parse_update_item(bencher: Bencher) {
    bencher
        .with_inputs(update_request)
        .bench_values(|(names, values)| {
            let mut placeholders = Placeholders::new(Some(names), Some(values)).expect("valid");
            let update = parse_update(black_box(UPDATE), &mut placeholders).expect("valid");
            let condition =
                parse_condition(Kind::Condition, black_box(CONDITION), &mut placeholders);
            placeholders.check_all_used().expect("all used");
            (update, condition)
        });
}

#[divan::bench]
fn parse_projection_of_five(bencher: Bencher) {
    bencher.bench(|| {
        parse_projection(
            black_box("id, a.b[3].c, d, e[0], f.g"),
            &mut Placeholders::default(),
        )
    });
}

#[divan::bench]
fn evaluate_condition(bencher: Bencher) {
    let (names, values) = update_request();
    let mut placeholders = Placeholders::new(Some(names), Some(values)).expect("valid");
    let condition = parse_condition(Kind::Condition, CONDITION, &mut placeholders).expect("valid");
    let item = item();
    bencher.bench_local(|| condition.matches(Some(black_box(&item))));
}

#[divan::bench]
fn apply_update(bencher: Bencher) {
    let (names, values) = update_request();
    let mut placeholders = Placeholders::new(Some(names), Some(values)).expect("valid");
    let update = parse_update(UPDATE, &mut placeholders).expect("valid");
    let (item, key) = (item(), Item::from([("id".to_owned(), string("order-17"))]));
    bencher.bench_local(|| update.apply(Some(black_box(&item)), &key).expect("fits"));
}

/// The largest text of all: many assignments that clash with none.
#[divan::bench]
fn parse_largest_update(bencher: Bencher) {
    let paths: Vec<String> = (0..500).map(|i| format!("n{i:03}=:v")).collect();
    let text = format!("SET {}", paths.join(","));
    assert!(text.len() <= 4096, "{}", text.len());
    bencher
        .with_inputs(|| values(&[(":v", number(1))]))
        .bench_values(|values| {
            let mut placeholders = Placeholders::new(None, Some(values)).expect("valid");
            parse_update(black_box(&text), &mut placeholders).expect("valid")
        });
}
