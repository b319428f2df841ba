//! Frozen encodings: what a release has written, every later one reads, and writes the same.
//!
//! A fixture is lines of `JSON<tab>hex`. A file is never changed once released; a new version of a
//! format gets a new file, and the old one stays.

use kv_model::encoding::item;
use kv_model::encoding::key::{Part, decode_tuple, tuple};
use kv_model::encoding::record::Record;
use kv_model::json::Checked;
use kv_model::{AttributeValue, Item};
use serde::de::DeserializeOwned;

const ITEMS: &str = include_str!("../../fixtures/item-v1.tsv");
const KEYS: &str = include_str!("../../fixtures/key-v1.tsv");
const RECORDS: &str = include_str!("../../fixtures/record-v1.tsv");

fn lines(fixture: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    fixture.lines().map(|line| {
        let (json, bytes) = line.split_once('\t').expect("JSON, a tab, hex");
        (json, hex::decode(bytes).expect("hex"))
    })
}

fn read<T>(json: &str) -> T
where
    Checked<T>: DeserializeOwned,
{
    let Checked(value) = serde_json::from_str(json).expect("JSON");
    value.unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn items_of_version_1() {
    assert_eq!(ITEMS.lines().count(), 14);
    for (json, bytes) in lines(ITEMS) {
        let expected: Item = read(json);
        assert_eq!(
            hex::encode(item::encode(&expected)),
            hex::encode(&bytes),
            "{json}"
        );
        assert_eq!(item::decode(&bytes).as_ref(), Ok(&expected), "{json}");
        let mut written = Vec::new();
        item::write_json(&bytes, &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), json);
    }
}

#[test]
fn keys_of_version_1() {
    assert_eq!(KEYS.lines().count(), 12);
    for (json, bytes) in lines(KEYS) {
        let AttributeValue::L(values) = read(json) else {
            panic!("{json}: not a list");
        };
        let parts: Vec<_> = values
            .iter()
            .map(|value| Part::new(value).unwrap())
            .collect();
        assert_eq!(hex::encode(tuple(&parts)), hex::encode(&bytes), "{json}");
        assert_eq!(decode_tuple(&bytes).as_ref(), Ok(&values), "{json}");
    }
}

#[test]
fn records_of_version_1() {
    assert_eq!(RECORDS.lines().count(), 4);
    for (json, bytes) in lines(RECORDS) {
        let record = Record::parse(&bytes).unwrap();
        let Record {
            clock,
            origin,
            tombstone,
            intent,
            siblings,
            expiry_s,
            payload,
        } = record;
        let described = serde_json::json!([
            clock,
            origin,
            tombstone,
            intent,
            siblings,
            expiry_s,
            hex::encode(payload)
        ]);
        assert_eq!(described.to_string(), json);
        let mut again = Vec::new();
        record.encode_into(&mut again);
        assert_eq!(hex::encode(again), hex::encode(&bytes));
    }
}
