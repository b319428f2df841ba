//! Expressions: what parses prints to a text that parses to the same tree, and evaluates without panic.

use std::collections::BTreeMap;

use kv_model::expression::{
    Error, Kind, MAX_BYTES, Placeholders, Source, parse_condition, parse_key_condition,
    parse_projection, parse_update,
};
use kv_model::{AttributeValue, Item};

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn list(values: &[AttributeValue]) -> AttributeValue {
    AttributeValue::L(values.to_vec())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.into())
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// What the placeholders in a corpus stand for.
fn placeholders() -> Placeholders {
    let names = [
        ("#a", "a"),
        ("#b", "and"),
        ("#c", "c"),
        ("#0", "[3]"),
        ("#x", "m"),
    ];
    let values = [
        (":a", number(1)),
        (":n", number(-7)),
        (":b", string("x")),
        (":s", string("N")),
        (":c", AttributeValue::Ss(vec!["x".into()])),
        (":d", list(&[number(1)])),
        (":t", AttributeValue::Bool(true)),
        (":u", AttributeValue::Null),
        (":y", AttributeValue::B(vec![0, 255].into())),
    ];
    let names = names.map(|(name, of)| (name.to_owned(), of.to_owned()));
    let values = values.map(|(name, of)| (name.to_owned(), of));
    Placeholders::new(Some(BTreeMap::from(names)), Some(BTreeMap::from(values)))
        .expect("these placeholders are valid")
}

fn item() -> Item {
    let map = Item::from([("a".to_owned(), number(4)), ("m".to_owned(), string(""))]);
    Item::from([
        ("a".to_owned(), list(&[number(1), string("x")])),
        ("b".to_owned(), AttributeValue::Ss(vec!["x".into()])),
        ("c".to_owned(), number(3)),
        ("m".to_owned(), AttributeValue::M(map)),
    ])
}

/// Parses what was printed; `None` where placeholders made it longer than an expression may be.
fn again<T>(
    source: &Source,
    parse: impl FnOnce(&str, &mut Placeholders) -> Result<T, Error>,
) -> Option<T> {
    if source.text.len() > MAX_BYTES {
        return None;
    }
    let mut placeholders = source.placeholders().expect("fresh placeholders are valid");
    let parsed = parse(&source.text, &mut placeholders);
    let parsed = parsed.unwrap_or_else(|error| panic!("{source:?} does not parse: {error}"));
    assert_eq!(placeholders.check_all_used(), Ok(()), "{source:?}");
    Some(parsed)
}

pub fn condition(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for kind in [Kind::Condition, Kind::Filter] {
        let mut used = placeholders();
        let Ok(condition) = parse_condition(kind, text, &mut used) else {
            continue;
        };
        let matches = condition.matches(Some(&item()));
        condition.matches(None);
        let _ = condition.check_spares_keys(&["a", "c"]);
        if let Some(again) = again(&condition.to_source(), |text, p| {
            parse_condition(kind, text, p)
        }) {
            assert_eq!(again, condition);
            assert_eq!(again.matches(Some(&item())), matches);
        }
    }
}

pub fn key_condition(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(condition) = parse_key_condition(text, &mut placeholders()) else {
        return;
    };
    if let Some(again) = again(&condition.to_source(), parse_key_condition) {
        assert_eq!(again, condition);
    }
    let Ok(clauses) = condition.clauses() else {
        return;
    };
    let key = |name: &str, kind| kv_model::schema::KeyAttribute {
        name: name.into(),
        kind,
    };
    use kv_model::schema::KeyKind::{N, S};
    let _ = clauses.clone().bind(&key("a", N), Some(&key("c", S)));
    let hash = [key("a", N), key("b", S)];
    let range = [key("c", S), key("m", N)];
    let _ = clauses.bind_many(&hash, &range);
}

pub fn update(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(update) = parse_update(text, &mut placeholders()) else {
        return;
    };
    let key = Item::from([("k".to_owned(), string("k"))]);
    for old in [Some(item()), None] {
        if let Ok(new) = update.apply(old.as_ref(), &key) {
            update.project(&new);
        }
    }
    let _ = update.check_spares_keys(&["k", "a"]);
    if let Some(again) = again(&update.to_source(), parse_update) {
        // Printing gathers what belongs to one section; order within each stays.
        assert_eq!(again.to_source(), update.to_source());
        assert_eq!(
            again.apply(Some(&item()), &key),
            update.apply(Some(&item()), &key)
        );
    }
}

pub fn projection(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(projection) = parse_projection(text, &mut placeholders()) else {
        return;
    };
    projection.apply(&item());
    if let Some(again) = again(&projection.to_source(), parse_projection) {
        assert_eq!(again, projection);
    }
}
