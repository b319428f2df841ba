//! Strategies that the properties share.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_model::{AttributeValue, Item, Number};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

/// Numbers over the whole range, with few and with many digits, near each other and far apart.
pub fn number() -> impl Strategy<Value = Number> {
    let digits = prop_oneof![
        "[1-9][0-9]{0,37}",
        "[1-9]0{0,6}[0-9]{0,2}",
        Just("0".to_owned())
    ];
    let exponent = prop_oneof![-10i32..=10, -130i32..=125];
    (any::<bool>(), digits, exponent).prop_map(|(negative, digits, leading)| {
        let sign = if negative { "-" } else { "" };
        let exponent = match digits.as_str() {
            "0" => 0,
            _ => leading - (digits.len() as i32 - 1),
        };
        format!("{sign}{digits}e{exponent}").parse().unwrap()
    })
}

/// Short texts with what needs care: zeros, quotes, control and wide characters.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[\\x00-\\x02\"\\\\/\n\t\x7f a-z\u{e9}\u{ffff}\u{1f600}]{0,20}",
        ".{0,40}",
    ]
}

pub fn binary() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![0u8..3, 0xfeu8..=0xff, any::<u8>()], 0..12).prop_map(Bytes::from)
}

/// Values of all types, nested a few levels.
pub fn value() -> impl Strategy<Value = AttributeValue> {
    let members = 1..5usize;
    let leaf = prop_oneof![
        text().prop_map(AttributeValue::S),
        number().prop_map(AttributeValue::N),
        binary().prop_map(AttributeValue::B),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null),
        btree_set(text(), members.clone()).prop_map(|set| AttributeValue::Ss(sorted(set))),
        btree_set(number(), members.clone()).prop_map(|set| AttributeValue::Ns(sorted(set))),
        btree_set(binary(), members).prop_map(|set| AttributeValue::Bs(sorted(set))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            btree_map(text(), inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

pub fn item() -> impl Strategy<Value = Item> {
    btree_map(text(), value(), 0..6)
}

fn sorted<T>(set: BTreeSet<T>) -> Vec<T> {
    set.into_iter().collect()
}

/// A value of `levels` levels: lists around a string.
pub fn nested(levels: usize) -> AttributeValue {
    let leaf = AttributeValue::S("leaf".to_owned());
    (1..levels).fold(leaf, |inner, _| AttributeValue::L(vec![inner]))
}
