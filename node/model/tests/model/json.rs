//! Values as the service's JSON.

use kv_model::json::{Checked, Error, write_item, write_value};
use kv_model::value::Error as Invalid;
use kv_model::{AttributeValue, Item};
use proptest::prelude::*;

use crate::arbitrary::{self, nested};

fn read(text: &str) -> Result<AttributeValue, Error> {
    let checked: Checked<AttributeValue> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    checked.into_result()
}

fn written(value: &AttributeValue) -> String {
    let mut out = Vec::new();
    write_value(value, &mut out);
    String::from_utf8(out).unwrap()
}

fn serialization(text: &str) -> String {
    match read(text) {
        Err(Error::Serialization(error)) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

fn validation(text: &str) -> String {
    match read(text) {
        Err(Error::Validation(error)) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_type_round_trips() {
    for text in [
        r#"{"S":"a\"b\\c\n\u0001é"}"#,
        r#"{"N":"-1.5"}"#,
        r#"{"B":"AAEC/w=="}"#,
        r#"{"BOOL":true}"#,
        r#"{"BOOL":false}"#,
        r#"{"NULL":true}"#,
        r#"{"M":{"a":{"L":[]},"b":{"M":{}}}}"#,
        r#"{"L":[{"S":""},{"NULL":true}]}"#,
        r#"{"SS":["a","b"]}"#,
        r#"{"NS":["-1","2"]}"#,
        r#"{"BS":["AA==","AAE="]}"#,
    ] {
        assert_eq!(written(&read(text).unwrap()), text);
    }
}

#[test]
fn numbers_are_normalized_and_sets_sorted() {
    assert_eq!(
        written(&read(r#"{"N":"001.50e1"}"#).unwrap()),
        r#"{"N":"15"}"#
    );
    assert_eq!(
        written(&read(r#"{"NS":["10","9"]}"#).unwrap()),
        r#"{"NS":["9","10"]}"#
    );
}

#[test]
fn a_value_has_exactly_one_known_type() {
    const NONE: &str =
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    for text in [
        "{}",
        r#"{"a":""}"#,
        r#"{"S":null}"#,
        r#"{"M":{"a":{}}}"#,
        r#"{"L":[{}]}"#,
        r#"{"L":[{"a":{}}]}"#,
        r#"{"L":[null]}"#,
        "null",
    ] {
        assert_eq!(validation(text), NONE, "{text}");
    }
    assert_eq!(
        validation(r#"{"S":"a","N":"1"}"#),
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    );
    assert!(read(r#"{"S":"a","N":null,"x":{"y":[1]}}"#).is_ok());
}

#[test]
fn bad_values_are_refused_in_the_services_words() {
    for (text, words) in [
        (
            r#"{"NULL":"no"}"#,
            "One or more parameter values were invalid: Null attribute value types must have the value of true",
        ),
        (
            r#"{"SS":[]}"#,
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
        (
            r#"{"NS":[]}"#,
            "One or more parameter values were invalid: An number set  may not be empty",
        ),
        (
            r#"{"BS":[]}"#,
            "One or more parameter values were invalid: Binary sets should not be empty",
        ),
        (
            r#"{"SS":["a","a"]}"#,
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
        ),
        (
            r#"{"BS":["Yg==","Yg=="]}"#,
            "One or more parameter values were invalid: Input collection [Yg==, Yg==]of type BS contains duplicates.",
        ),
        (
            r#"{"NS":["1","1"]}"#,
            "Input collection contains duplicates",
        ),
        (
            r#"{"S":"","N":""}"#,
            "The parameter cannot be converted to a numeric value",
        ),
        (
            r#"{"S":"a","N":"b"}"#,
            "The parameter cannot be converted to a numeric value: b",
        ),
        (
            r#"{"NS":["1","b"]}"#,
            "The parameter cannot be converted to a numeric value: b",
        ),
        (
            r#"{"N":"1e126"}"#,
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
    ] {
        assert_eq!(validation(text), words, "{text}");
    }
}

#[test]
fn other_tokens_are_refused_in_the_services_words() {
    const MAP: &str = "Start of structure or map found where not expected";
    for (text, words) in [
        ("23", "Unexpected value type in payload"),
        (
            "[]",
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue",
        ),
        (r#"{"S":true}"#, "TRUE_VALUE cannot be converted to String"),
        (
            r#"{"S":false}"#,
            "FALSE_VALUE cannot be converted to String",
        ),
        (r#"{"N":23}"#, "NUMBER_VALUE cannot be converted to String"),
        (
            r#"{"N":-2147483648}"#,
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            r#"{"N":34.56}"#,
            "DECIMAL_VALUE cannot be converted to String",
        ),
        (
            r#"{"S":[{"a":1}]}"#,
            "Unrecognized collection type class java.lang.String",
        ),
        (r#"{"S":{"a":[1]}}"#, MAP),
        (
            r#"{"B":true}"#,
            "only base-64-encoded strings are convertible to bytes",
        ),
        (
            r#"{"B":[]}"#,
            "Unrecognized collection type class java.nio.ByteBuffer",
        ),
        (
            r#"{"B":"23456"}"#,
            "Base64 encoded length is expected a multiple of 4 bytes but found: 5",
        ),
        (
            r#"{"B":"=+/="}"#,
            "Invalid last non-pad Base64 character dectected",
        ),
        (
            r#"{"B":"+/+="}"#,
            "Invalid last non-pad Base64 character dectected",
        ),
        (r#"{"B":"a!bc"}"#, "Invalid Base64 character: '!'"),
        (r#"{"B":"abé"}"#, "Invalid Base64 character: 'é'"),
        (r#"{"BOOL":"23"}"#, "Unexpected token received from parser"),
        (
            r#"{"BOOL":23}"#,
            "NUMBER_VALUE cannot be converted to Boolean",
        ),
        (
            r#"{"BOOL":34.56}"#,
            "DECIMAL_VALUE cannot be converted to Boolean",
        ),
        (
            r#"{"BOOL":[]}"#,
            "Unrecognized collection type class java.lang.Boolean",
        ),
        (r#"{"NULL":{}}"#, MAP),
        (r#"{"SS":"a"}"#, "Unexpected field type"),
        (r#"{"SS":{}}"#, MAP),
        (
            r#"{"SS":[1]}"#,
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            r#"{"BS":[1]}"#,
            "only base-64-encoded strings are convertible to bytes",
        ),
        (r#"{"L":"a"}"#, "Unexpected field type"),
        (r#"{"L":[1]}"#, "Unexpected value type in payload"),
        (r#"{"M":1}"#, "Unexpected field type"),
        (r#"{"M":{"a":true}}"#, "Unexpected value type in payload"),
        (
            r#"{"M":[]}"#,
            "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
        ),
    ] {
        assert_eq!(serialization(text), words, "{text}");
    }
}

/// The service deserializes the whole request before it validates.
#[test]
fn a_wrong_type_anywhere_comes_before_an_invalid_value() {
    assert_eq!(
        serialization(r#"{"L":[{"N":"x"},{},{"S":1}]}"#),
        "NUMBER_VALUE cannot be converted to String"
    );
    assert_eq!(
        validation(r#"{"L":[{"N":"x"},{}]}"#),
        "The parameter cannot be converted to a numeric value: x"
    );
}

#[test]
fn depth_is_bounded_while_reading() {
    let wrapped = |levels: usize| {
        let open = r#"{"M":{"n":"#.repeat(levels - 1);
        let close = "}}".repeat(levels - 1);
        format!(r#"{open}{{"S":"leaf"}}{close}"#)
    };
    assert!(read(&wrapped(32)).is_ok());
    for levels in [33, 40, 100, 100_000] {
        assert_eq!(
            read(&wrapped(levels)),
            Err(Invalid::TooDeep.into()),
            "{levels}"
        );
    }
    assert_eq!(read(&written(&nested(32))), Ok(nested(32)));
}

#[test]
fn an_item_is_a_part_of_a_request() {
    let text = r#"{"id":{"S":"1"},"n":{"N":"2"}}"#;
    let Checked(item) = serde_json::from_str::<Checked<Item>>(text).unwrap();
    let mut out = Vec::new();
    write_item(&item.unwrap(), &mut out);
    assert_eq!(out, text.as_bytes());
    let Checked(item) = serde_json::from_str::<Checked<Item>>("7").unwrap();
    assert_eq!(item.unwrap_err().to_string(), "Unexpected field type");
    assert!(serde_json::from_str::<Checked<Item>>(r#"{"id":{"S":"1"}"#).is_err());
}

proptest! {
    #[test]
    fn items_round_trip(item in arbitrary::item()) {
        let mut out = Vec::new();
        write_item(&item, &mut out);
        let Checked(read) = serde_json::from_slice::<Checked<Item>>(&out).unwrap();
        prop_assert_eq!(read, Ok(item));
    }

    #[test]
    fn strings_are_escaped_as_serde_json_would(text in arbitrary::text()) {
        let expected = serde_json::json!({ "S": text }).to_string();
        prop_assert_eq!(written(&AttributeValue::S(text)), expected);
    }

    #[test]
    fn hostile_json_never_panics(text in r#"[\[\]{}",:SNBMLOU01.ea \\]{0,80}"#) {
        if let Ok(Checked(Ok(value))) = serde_json::from_str::<Checked<AttributeValue>>(&text) {
            prop_assert_eq!(read(&written(&value)), Ok(value));
        }
    }
}
