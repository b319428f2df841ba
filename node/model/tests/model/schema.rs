//! Keys taken from items and requests.

use bytes::Bytes;
use kv_model::encoding::key::{self, Part, RowKey};
use kv_model::schema::{Error, KeyAttribute, KeyKind, TableSchema};
use kv_model::{AttributeValue, Item, Number};

fn schema(hash: KeyKind, range: Option<KeyKind>) -> TableSchema {
    let attribute = |name: &str, kind| KeyAttribute {
        name: name.to_owned(),
        kind,
    };
    TableSchema {
        hash: attribute("id", hash),
        range: range.map(|kind| attribute("at", kind)),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(Number::from(value))
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    let owned = |(name, value): &(&str, AttributeValue)| ((*name).to_owned(), value.clone());
    attributes.iter().map(owned).collect()
}

#[test]
fn a_key_is_the_row_it_names() {
    let schema = schema(KeyKind::S, Some(KeyKind::N));
    let put = item(&[
        ("id", text("a")),
        ("at", number(5)),
        ("more", AttributeValue::Null),
    ]);
    let key = schema.extract_key(&put).unwrap();
    let named = item(&[("id", text("a")), ("at", number(5))]);
    assert_eq!(schema.validate_key(&named), Ok(key.clone()));
    let row = key.row(9);
    let parsed = RowKey::parse(&row).unwrap();
    assert_eq!(parsed.table, 9);
    assert_eq!(parsed.index, key::ITEM_INDEX);
    assert_eq!(parsed.token, key::token(parsed.partition_key));
    assert_eq!(parsed.partition_key, key::partition_key(&[Part::S("a")]));
    assert_eq!(key::decode_tuple(parsed.sort_key), Ok(vec![number(5)]));
}

#[test]
fn items_without_a_right_key_are_refused_in_the_services_words() {
    let table = schema(KeyKind::S, Some(KeyKind::B));
    let words = |attributes: &[(&str, AttributeValue)]| {
        table
            .extract_key(&item(attributes))
            .unwrap_err()
            .to_string()
    };
    let bytes = |len: usize| AttributeValue::B(Bytes::from(vec![7; len]));
    assert_eq!(
        words(&[("at", bytes(1))]),
        "One or more parameter values were invalid: Missing the key id in the item"
    );
    assert_eq!(
        words(&[("id", number(1)), ("at", bytes(1))]),
        "One or more parameter values were invalid: Type mismatch for key id expected: S actual: N"
    );
    assert_eq!(
        words(&[("id", text("a")), ("at", AttributeValue::Null)]),
        "One or more parameter values were invalid: Type mismatch for key at expected: B actual: NULL"
    );
    assert_eq!(
        words(&[("id", text("")), ("at", bytes(1))]),
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id"
    );
    assert_eq!(
        words(&[("id", text("a")), ("at", bytes(0))]),
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty binary value. Key: at"
    );
    assert_eq!(
        words(&[("id", text(&"x".repeat(2049))), ("at", bytes(1))]),
        "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
    );
    assert_eq!(
        words(&[("id", text("a")), ("at", bytes(1025))]),
        "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    );
    let longest = item(&[("id", text(&"x".repeat(2048))), ("at", bytes(1024))]);
    assert!(table.extract_key(&longest).is_ok());
}

#[test]
fn key_parameters_match_the_schema_exactly() {
    let table = schema(KeyKind::S, None);
    for attributes in [
        &[][..],
        &[("b", text("a"))],
        &[("id", text("a")), ("b", text("a"))],
        &[("id", number(1))],
        &[("id", AttributeValue::M(Item::new()))],
    ] {
        let error = table.validate_key(&item(attributes)).unwrap_err();
        assert_eq!(error, Error::Mismatch);
        assert_eq!(
            error.to_string(),
            "The provided key element does not match the schema"
        );
    }
    let with_range = schema(KeyKind::S, Some(KeyKind::N));
    assert_eq!(
        with_range.validate_key(&item(&[("id", text("a"))])),
        Err(Error::Mismatch)
    );
}
