//! The expressions against recorded answers of the service, against naive rivals, and against noise.

mod conditions;
mod hostile;
mod key_conditions;
mod limits;
mod placeholders;
mod projections;
mod round_trip;
mod updates;
mod words_of_conditions;
mod words_of_updates;

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::expression::{Error, Placeholders};
use kv_model::{AttributeValue, Item, Number};

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(number(text))
}

fn number(text: &str) -> Number {
    text.parse().expect("a number")
}

fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Bytes::copy_from_slice(bytes))
}

fn ss(members: &[&str]) -> AttributeValue {
    AttributeValue::Ss(members.iter().map(|m| (*m).to_owned()).collect())
}

fn ns(members: &[&str]) -> AttributeValue {
    AttributeValue::Ns(members.iter().map(|m| number(m)).collect())
}

fn bs(members: &[&[u8]]) -> AttributeValue {
    AttributeValue::Bs(members.iter().map(|m| Bytes::copy_from_slice(m)).collect())
}

fn l(elements: &[AttributeValue]) -> AttributeValue {
    AttributeValue::L(elements.to_vec())
}

fn m(members: &[(&str, AttributeValue)]) -> AttributeValue {
    AttributeValue::M(item(members))
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn name_map(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|(key, name)| ((*key).to_owned(), (*name).to_owned()))
        .collect()
}

/// Placeholders of a request that leaves empty maps out.
fn placeholders(names: &[(&str, &str)], values: &[(&str, AttributeValue)]) -> Placeholders {
    let names = (!names.is_empty()).then(|| name_map(names));
    let values = (!values.is_empty()).then(|| item(values));
    Placeholders::new(names, values).expect("placeholders are valid")
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result
        .expect_err("the expression must be refused")
        .to_string()
}
