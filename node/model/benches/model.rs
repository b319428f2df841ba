//! The model's hot paths on an item of 1 KB: what a PutItem reads, what a GetItem writes.

use divan::Bencher;
use divan::counter::BytesCount;
use kv_model::encoding::item;
use kv_model::json::{Checked, write_item};
use kv_model::{AttributeValue, Item, Number};

fn main() {
    divan::main();
}

/// Ten attributes of several types, 1 KB in all.
fn item_1kb() -> Item {
    let mut item = Item::from([
        (
            "id".to_owned(),
            AttributeValue::S("user#0000000001".to_owned()),
        ),
        (
            "at".to_owned(),
            AttributeValue::N(Number::from(1_712_345_678)),
        ),
        ("active".to_owned(), AttributeValue::Bool(true)),
        (
            "price".to_owned(),
            AttributeValue::N("1234.56".parse().unwrap()),
        ),
        (
            "tags".to_owned(),
            AttributeValue::Ss(vec!["blue".into(), "green".into()]),
        ),
    ]);
    for field in 0..5 {
        item.insert(format!("field{field}"), AttributeValue::S("x".repeat(180)));
    }
    item
}

fn json_1kb() -> Vec<u8> {
    let mut json = Vec::new();
    write_item(&item_1kb(), &mut json);
    json
}

#[divan::bench(sample_size = 100)]
fn read_json(bencher: Bencher) {
    let json = json_1kb();
    bencher
        .counter(BytesCount::new(json.len()))
        .bench(|| serde_json::from_slice::<Checked<Item>>(divan::black_box(&json)).unwrap());
}

#[divan::bench(sample_size = 100)]
fn encode(bencher: Bencher) {
    let item = item_1kb();
    bencher.bench(|| item::encode(divan::black_box(&item)));
}

#[divan::bench(sample_size = 100)]
fn decode(bencher: Bencher) {
    let bytes = item::encode(&item_1kb());
    bencher.bench(|| item::decode(divan::black_box(&bytes)));
}

#[divan::bench(sample_size = 100)]
fn write_json_from_encoding(bencher: Bencher) {
    let bytes = item::encode(&item_1kb());
    let mut out = Vec::with_capacity(2048);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| {
            out.clear();
            item::write_json(divan::black_box(&bytes), &mut out).unwrap();
            out.len()
        });
}

#[divan::bench(sample_size = 100)]
fn write_json_from_value(bencher: Bencher) {
    let item = item_1kb();
    let mut out = Vec::with_capacity(2048);
    bencher.bench_local(|| {
        out.clear();
        write_item(divan::black_box(&item), &mut out);
        out.len()
    });
}

#[divan::bench(sample_size = 100)]
fn size_of_encoding(bencher: Bencher) {
    let bytes = item::encode(&item_1kb());
    bencher.bench(|| item::size(divan::black_box(&bytes)));
}

#[divan::bench(sample_size = 100)]
fn get_one_attribute(bencher: Bencher) {
    let bytes = item::encode(&item_1kb());
    bencher.bench(|| item::get(divan::black_box(&bytes), "price"));
}

#[divan::bench(args = ["1", "1712345678", "-1234.5678", "3.1415926535897932384626433832795028841"])]
fn parse_number(text: &str) -> Number {
    divan::black_box(text).parse().unwrap()
}
