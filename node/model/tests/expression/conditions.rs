//! What conditions say about items, by hand and against a naive rival.

use kv_model::expression::{Kind, parse_condition};
use kv_model::{AttributeValue, Item};
use proptest::prelude::*;

use super::{b, bs, item, l, m, n, ns, placeholders, s, ss};

fn holds(text: &str, item: &Item, values: &[(&str, AttributeValue)]) -> bool {
    let mut placeholders = placeholders(&[("#and", "and")], values);
    let parsed = parse_condition(Kind::Condition, text, &mut placeholders);
    parsed
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .matches(Some(item))
}

fn check(of: &Item, cases: &[(&str, AttributeValue, bool)]) {
    for (text, value, expected) in cases {
        assert_eq!(
            holds(text, of, &[(":v", value.clone())]),
            *expected,
            "{text} {value:?}"
        );
    }
}

#[test]
fn comparisons() {
    let of = item(&[
        ("a", n("1")),
        ("b", s("cat")),
        ("c", b(b"cat")),
        ("x", l(&[n("1")])),
    ]);
    check(
        &of,
        &[
            ("a = :v", n("1.0"), true),
            ("a = :v", s("1"), false),
            ("a <> :v", s("1"), true),
            ("a <> :v", n("1"), false),
            ("q = :v", n("1"), false),
            ("q <> :v", n("1"), true),
            ("q = z OR a = :v", n("2"), false),
            ("q <> z AND a = :v", n("1"), true),
            ("a < :v", n("10"), true),
            ("a < :v", n("1"), false),
            ("a <= :v", n("1"), true),
            ("b > :v", s("aardvark"), true),
            ("b >= :v", s("dog"), false),
            ("c < :v", b(b"dog"), true),
            ("c < :v", s("dog"), false),
            (":v < x", n("0"), false),
            ("NOT :v < x", n("0"), true),
            (":v > q", n("0"), false),
            ("NOT q < :v", n("0"), true),
            ("x = :v", l(&[n("1.00")]), true),
            ("x = :v", l(&[s("1")]), false),
        ],
    );
    let sets = item(&[("s", ss(&["a", "b"])), ("m", m(&[("k", ns(&["1", "2"]))]))]);
    check(
        &sets,
        &[
            ("s = :v", ss(&["a", "b"]), true),
            ("s = :v", ss(&["a"]), false),
            ("m = :v", m(&[("k", ns(&["1", "2"]))]), true),
            ("m.k = :v", ns(&["1", "2"]), true),
        ],
    );
}

#[test]
fn between_and_in() {
    let of = item(&[("a", n("5")), ("lo", n("1")), ("hi", n("9")), ("t", s("5"))]);
    check(
        &of,
        &[
            ("a BETWEEN lo AND :v", n("5"), true),
            ("a BETWEEN :v AND hi", n("5"), true),
            ("a BETWEEN :v AND hi", n("6"), false),
            ("a BETWEEN hi AND :v", n("1"), false),
            ("a BETWEEN lo AND :v", s("9"), false),
            ("t BETWEEN lo AND :v", n("9"), false),
            ("q BETWEEN lo AND :v", n("9"), false),
            ("a between q and :v", n("9"), false),
            ("a IN (:v)", n("5"), true),
            ("a IN (q, t, :v)", n("6"), false),
            ("a IN (q, t, :v, hi)", n("5"), true),
            ("q IN (:v, z)", n("5"), false),
            (
                "b BETWEEN lo AND hi OR a BETWEEN lo AND hi AND t = :v",
                s("5"),
                true,
            ),
        ],
    );
}

#[test]
fn functions() {
    let of = item(&[
        ("str", s("hello")),
        ("utf", s("grün")),
        ("bin", b(b"hi there")),
        ("ss", ss(&["x", "y"])),
        ("ns", ns(&["2", "4"])),
        ("bs", bs(&[b"p", b"q"])),
        ("lst", l(&[s("hi"), ns(&["1"]), l(&[n("3")])])),
        (
            "doc",
            m(&[
                ("k", AttributeValue::Null),
                ("j", AttributeValue::Bool(true)),
            ]),
        ),
        ("num", n("5")),
    ]);
    check(
        &of,
        &[
            ("attribute_exists(doc.k) AND str <> :v", n("0"), true),
            ("attribute_exists(lst[2][0]) AND str <> :v", n("0"), true),
            ("attribute_exists(lst[3]) AND str <> :v", n("0"), false),
            ("attribute_not_exists(doc.k.x) AND str <> :v", n("0"), true),
            ("attribute_not_exists(str) AND str <> :v", n("0"), false),
            ("attribute_type(doc.k, :v)", s("NULL"), true),
            ("attribute_type(doc.j, :v)", s("BOOL"), true),
            ("attribute_type(bs, :v)", s("BS"), true),
            ("attribute_type(nothing, :v)", s("S"), false),
            ("attribute_type(size(str), :v)", s("N"), true),
            ("attribute_type(:v, :v)", s("S"), true),
            ("begins_with(str, :v)", s("hell"), true),
            ("begins_with(str, :v)", s(""), true),
            ("begins_with(str, :v)", b(b"hell"), false),
            ("begins_with(bin, :v)", b(b"hi"), true),
            ("begins_with(:v, str)", s("hello world"), true),
            ("begins_with(num, :v)", s("5"), false),
            ("contains(str, :v)", s("ell"), true),
            ("contains(str, :v)", n("5"), false),
            ("contains(bin, :v)", b(b"here"), true),
            ("contains(bin, :v)", b(b""), true),
            ("contains(bin, :v)", b(b"hereafter"), false),
            ("contains(ss, :v)", s("y"), true),
            ("contains(ss, :v)", s("z"), false),
            ("contains(ns, :v)", n("4.0"), true),
            ("contains(bs, :v)", b(b"q"), true),
            ("contains(ns, :v)", ns(&["2"]), false),
            ("contains(lst, :v)", ns(&["1"]), true),
            ("contains(lst, :v)", l(&[n("3")]), true),
            ("contains(lst, :v)", s("h"), false),
            ("contains(:v, str)", s("say hello"), true),
            ("contains(num, :v)", n("5"), false),
            ("contains(nothing, :v)", n("5"), false),
            ("size(str) = :v", n("5"), true),
            ("size(str) = num AND size(:v) = num", s("12345"), true),
            ("size(utf) = :v", n("5"), true),
            ("size(bin) > :v", n("7"), true),
            ("size(ss) = :v", n("2"), true),
            ("size(lst) BETWEEN :v AND num", n("3"), true),
            ("size(doc) IN (num, :v)", n("2"), true),
            ("size(num) = :v", n("1"), false),
            ("size(num) <> :v", n("1"), true),
            ("size(doc.k) < :v", n("9"), false),
            ("size(nothing) = :v", n("0"), false),
            ("size(str) = :v", s("5"), false),
        ],
    );
}

#[test]
fn precedence() {
    let of = item(&[("a", n("1")), ("b", n("2")), ("c", n("3")), ("and", n("4"))]);
    for (text, expected) in [
        ("a < b OR c < b AND b < c", true),
        ("a < b OR c < b AND b > c", true),
        ("(a < b OR c < b) AND b > c", false),
        ("NOT a < b AND c < b", false),
        ("NOT (a < b AND c < b)", true),
        ("NOT a < b OR b < c", true),
        ("b BETWEEN a AND c AND a < b", true),
        ("nOt a > b aNd b < c Or a > b", true),
        ("NOT NOT NOT a < b", false),
        ("#and > c", true),
    ] {
        assert_eq!(holds(text, &of, &[]), expected, "{text}");
    }
}

#[test]
fn an_item_that_is_not_there_has_no_attributes() {
    let parse = |text| {
        let mut none = placeholders(&[], &[]);
        parse_condition(Kind::Condition, text, &mut none).expect("valid")
    };
    assert!(parse("attribute_not_exists(a)").matches(None));
    assert!(parse("a <> b").matches(None));
    assert!(!parse("a = b").matches(None));
    assert!(!parse("attribute_exists(a)").matches(None));
}

/// A comparison as the documentation has it, one operator and one type at a time.
fn naive(operator: &str, left: Option<&AttributeValue>, right: Option<&AttributeValue>) -> bool {
    let (Some(left), Some(right)) = (left, right) else {
        return operator == "<>";
    };
    let (less, equal) = match (left, right) {
        (AttributeValue::N(left), AttributeValue::N(right)) => {
            let parse =
                |number: &kv_model::Number| number.to_string().parse::<i64>().expect("small");
            (parse(left) < parse(right), parse(left) == parse(right))
        }
        (AttributeValue::S(left), AttributeValue::S(right)) => {
            (left.as_bytes() < right.as_bytes(), left == right)
        }
        (AttributeValue::B(left), AttributeValue::B(right)) => (left < right, left == right),
        (AttributeValue::Bool(left), AttributeValue::Bool(right)) => {
            return (operator == "=") == (left == right) && ["=", "<>"].contains(&operator);
        }
        _ => return operator == "<>",
    };
    match operator {
        "=" => equal,
        "<>" => !equal,
        "<" => less,
        "<=" => less || equal,
        ">" => !less && !equal,
        ">=" => !less,
        other => panic!("{other}"),
    }
}

fn small_value() -> impl Strategy<Value = Option<AttributeValue>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|value| Some(AttributeValue::Bool(value))),
        (-3i64..3).prop_map(|value| Some(AttributeValue::N(value.into()))),
        "[ab]{0,2}".prop_map(|text| Some(AttributeValue::S(text))),
        prop::collection::vec(0u8..3, 0..3).prop_map(|bytes| Some(b(&bytes))),
    ]
}

proptest! {
    #[test]
    fn comparisons_agree_with_the_naive_rival(left in small_value(), right in small_value()) {
        let mut of = Item::new();
        of.extend(left.clone().map(|value| ("x".to_owned(), value)));
        of.extend(right.clone().map(|value| ("y".to_owned(), value)));
        for operator in ["=", "<>", "<", "<=", ">", ">="] {
            let expected = naive(operator, left.as_ref(), right.as_ref());
            prop_assert_eq!(holds(&format!("x {operator} y"), &of, &[]), expected);
            prop_assert_eq!(holds(&format!("NOT (x) {operator} (y)"), &of, &[]), !expected);
        }
        let between = naive(">=", of.get("x"), of.get("y")) && naive("<=", of.get("x"), of.get("z"));
        prop_assert_eq!(holds("x BETWEEN y AND z", &of, &[]), between);
        prop_assert_eq!(holds("x IN (z, y)", &of, &[]), naive("=", of.get("x"), of.get("y")));
    }
}
