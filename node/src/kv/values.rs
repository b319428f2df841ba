//! Values between messages, the JSON of requests, and the data model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_model::value::{self, AttributeValue};
use kv_proto::kv::value::Kind;
use kv_proto::kv::{Binaries, Item, List, Strings, Value};

use crate::dynamo::output::{array, object, string};

/// Appends an item's JSON. Nesting is bounded by the decoder of the messages.
pub(super) fn write_item(item: &Item, out: &mut Vec<u8>) {
    object(out, |o| {
        for (name, value) in &item.attributes {
            o.value_of(name, |out| write_value(value, out));
        }
    });
}

/// Appends a value's JSON; one without a kind is written so that the operation refuses it.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    let texts = |texts: &Strings, out: &mut Vec<u8>| {
        array(out, &texts.values, |text, out| string(text, out));
    };
    object(out, |o| match &value.kind {
        None => {}
        Some(Kind::S(text)) => o.string("S", text),
        Some(Kind::N(text)) => o.string("N", text),
        Some(Kind::B(bytes)) => o.value("B", |out| write_binary(bytes, out)),
        Some(Kind::Bool(flag)) => o.bool("BOOL", *flag),
        Some(Kind::Null(flag)) => o.bool("NULL", *flag),
        Some(Kind::M(item)) => o.value("M", |out| write_item(item, out)),
        Some(Kind::L(list)) => o.array("L", &list.values, write_value),
        Some(Kind::Ss(members)) => o.value("SS", |out| texts(members, out)),
        Some(Kind::Ns(members)) => o.value("NS", |out| texts(members, out)),
        Some(Kind::Bs(members)) => {
            o.array("BS", &members.values, |bytes, out| write_binary(bytes, out));
        }
    });
}

fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    string(&STANDARD.encode(bytes), out);
}

/// The message of an item.
pub(super) fn item(item: value::Item) -> Item {
    Item {
        attributes: item
            .into_iter()
            .map(|(name, value)| (name, message(value)))
            .collect(),
    }
}

fn message(value: AttributeValue) -> Value {
    let kind = match value {
        AttributeValue::S(text) => Kind::S(text),
        AttributeValue::N(number) => Kind::N(number.to_string()),
        AttributeValue::B(bytes) => Kind::B(bytes),
        AttributeValue::Bool(flag) => Kind::Bool(flag),
        AttributeValue::Null => Kind::Null(true),
        AttributeValue::M(map) => Kind::M(item(map)),
        AttributeValue::L(list) => Kind::L(List {
            values: list.into_iter().map(message).collect(),
        }),
        AttributeValue::Ss(values) => Kind::Ss(Strings { values }),
        AttributeValue::Ns(numbers) => Kind::Ns(Strings {
            values: numbers.iter().map(ToString::to_string).collect(),
        }),
        AttributeValue::Bs(values) => Kind::Bs(Binaries { values }),
    };
    Value { kind: Some(kind) }
}
