//! Key conditions: the service's words, and what becomes of the right ones.

use kv_model::AttributeValue;
use kv_model::encoding::key::{Part, SortCondition};
use kv_model::expression::{Error, KeyCondition, RangeCondition, parse_key_condition};
use kv_model::schema::{KeyAttribute, KeyKind};

use super::{b, message, n, placeholders, s};

fn key(name: &str, kind: KeyKind) -> KeyAttribute {
    KeyAttribute {
        name: name.to_owned(),
        kind,
    }
}

fn values() -> Vec<(&'static str, AttributeValue)> {
    vec![
        (":p", s("x")),
        (":n", n("1")),
        (":m", n("2")),
        (":t", AttributeValue::Bool(true)),
        (":b", b(b"x")),
    ]
}

fn bind(text: &str, range: Option<KeyKind>) -> Result<KeyCondition, Error> {
    let names = [("#p", "p"), ("#c", "c")];
    let expression = parse_key_condition(text, &mut placeholders(&names, &values()))?;
    let range = range.map(|kind| key("c", kind));
    expression
        .clauses()?
        .bind(&key("p", KeyKind::S), range.as_ref())
}

fn refused(text: &str) -> String {
    message(bind(text, Some(KeyKind::N)))
}

#[test]
fn accepted_conditions() {
    let (one, two) = (n("1"), n("2"));
    let cases = [
        ("p = :p", None),
        (":p = p", None),
        ("(p = :p)", None),
        (
            "p = :p AND c = :n",
            Some(RangeCondition::Equal(one.clone())),
        ),
        (
            "#c < :n AND #p = :p",
            Some(RangeCondition::Less(one.clone())),
        ),
        (
            "((c<=:n) AND (p=:p))",
            Some(RangeCondition::LessOrEqual(one.clone())),
        ),
        ("p=:p and :n<c", Some(RangeCondition::Greater(one.clone()))),
        (
            "p=:p and :n<=c",
            Some(RangeCondition::GreaterOrEqual(one.clone())),
        ),
        ("p=:p and :n>c", Some(RangeCondition::Less(one.clone()))),
        (
            "p=:p and :n>=c",
            Some(RangeCondition::LessOrEqual(one.clone())),
        ),
        (
            "p=:p and c > :n",
            Some(RangeCondition::Greater(one.clone())),
        ),
        (
            "p=:p and c >= :n",
            Some(RangeCondition::GreaterOrEqual(one.clone())),
        ),
        (
            "p=:p AnD c BeTwEeN :n aNd :m",
            Some(RangeCondition::Between(one, two)),
        ),
    ];
    for (text, range) in cases {
        let expected = KeyCondition {
            hash: s("x"),
            range,
        };
        assert_eq!(bind(text, Some(KeyKind::N)), Ok(expected), "{text}");
    }
    assert_eq!(
        bind("p = :p", None),
        Ok(KeyCondition {
            hash: s("x"),
            range: None
        })
    );
    let prefix = RangeCondition::BeginsWith(s("x"));
    assert_eq!(
        bind("begins_with(c, :p) AND p = :p", Some(KeyKind::S)),
        Ok(KeyCondition {
            hash: s("x"),
            range: Some(prefix)
        })
    );
}

#[test]
fn wrong_as_an_expression() {
    for (text, tail) in [
        (
            "things are not gonna be ok",
            "Syntax error; token: \"are\", near: \"things are not\"",
        ),
        (
            "p=:p AND c!=:n",
            "Syntax error; token: \"!\", near: \"c!=\"",
        ),
        (
            "((c=:n) AND ((p=:p)))",
            "The expression has redundant parentheses;",
        ),
        (
            "p=:p AND dog(c, :n)",
            "Invalid function name; function: dog",
        ),
        (
            "p = :p AND begins_with(c, :n)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "p = :p AND :t >= c",
            "Incorrect operand type for operator or function; operator or function: >=, operand type: BOOL",
        ),
        (
            "p = :p AND c BETWEEN :t AND :t",
            "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: BOOL",
        ),
        (
            "c between :m and :n",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
        ),
        (
            "p = :p AND c > :n AND c < :m",
            "KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "(a > :n and b > :n) and (b > :n and c > :n)",
            "KeyConditionExpressions must only contain one condition per key",
        ),
    ] {
        assert_eq!(
            refused(text),
            format!("Invalid KeyConditionExpression: {tail}"),
            "{text}"
        );
    }
}

#[test]
fn wrong_as_a_key_condition() {
    let operator = "Invalid operator used in KeyConditionExpression: ";
    let condition = "Invalid condition in KeyConditionExpression: ";
    let cases = [
        ("a > b and size(b) > c or a > c", format!("{operator}OR")),
        ("a in (b, size(c), d)", format!("{operator}IN")),
        ("attribute_exists(a)", format!("{operator}attribute_exists")),
        (
            "attribute_not_exists(a)",
            format!("{operator}attribute_not_exists"),
        ),
        ("contains(a.d, b)", format!("{operator}contains")),
        ("not a > b", format!("{operator}NOT")),
        ("a <> b", format!("{operator}<>")),
        (
            ":n between size(b) and size(a) and b > :n",
            format!("{condition}BETWEEN operator must have the key attribute as its first operand"),
        ),
        (
            "begins_with(:p, b) and a > :n",
            format!(
                "{condition}begins_with operator must have the key attribute as its first operand"
            ),
        ),
        (
            "b > a.b",
            format!("{condition}Multiple attribute names used in one condition"),
        ),
        (
            "b between c[1] and d",
            format!("{condition}Multiple attribute names used in one condition"),
        ),
        (
            "a between b and size(a)",
            format!("{condition}Multiple attribute names used in one condition"),
        ),
        (
            "begins_with(a, b)",
            format!("{condition}Multiple attribute names used in one condition"),
        ),
        (
            ":n > :m AND a < :n",
            format!("{condition}No key attribute specified"),
        ),
        (
            ":n > b AND :n < :m",
            format!("{condition}No key attribute specified"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
    for text in [
        "size(b) > a AND a.b > b AND b > c",
        "a > size(b.d)",
        "a between size(b) and size(a)",
    ] {
        assert_eq!(
            refused(text),
            "KeyConditionExpressions cannot contain nested operations"
        );
    }
    for text in [
        "b.d > a AND c.d > e.f",
        "a.d > c",
        "b[0] > a",
        "p=:p AND c.b<:n",
        ":n < c.b",
    ] {
        assert_eq!(
            refused(text),
            "KeyConditionExpressions cannot have conditions on nested attributes"
        );
    }
}

#[test]
fn wrong_for_the_schema() {
    let type_error = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    let cases = [
        (
            "z between :n and :m",
            "Query condition missed key schema element: p",
        ),
        ("c = :n", "Query condition missed key schema element: p"),
        (
            "p = :p AND z = :n",
            "Query condition missed key schema element: c",
        ),
        ("p = :n", type_error),
        ("p = :p AND c = :b", type_error),
        ("p = :p AND c = :t", type_error),
        ("p = :p AND begins_with(c, :p)", type_error),
        ("p > :p AND c = :n", "Query key condition not supported"),
        ("begins_with(p, :p)", "Query key condition not supported"),
        (
            "p = :p AND c > :n AND extra = :m",
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
    let extra = message(bind("p = :p AND c = :n", None));
    assert_eq!(extra, "Query key condition not supported");
}

#[test]
fn range_conditions_test_values() {
    let all = [
        (RangeCondition::Equal(n("2")), [false, true, false]),
        (RangeCondition::Less(n("2")), [true, false, false]),
        (RangeCondition::LessOrEqual(n("2")), [true, true, false]),
        (RangeCondition::Greater(n("2")), [false, false, true]),
        (RangeCondition::GreaterOrEqual(n("2")), [false, true, true]),
        (RangeCondition::Between(n("1"), n("2")), [true, true, false]),
        (RangeCondition::BeginsWith(n("2")), [false; 3]),
    ];
    for (condition, expected) in all {
        let found = ["1", "2", "3"].map(|value| condition.matches(&n(value)));
        assert_eq!(found, expected, "{condition:?}");
        assert!(!condition.matches(&s("2")));
    }
    let between = RangeCondition::Between(s("a"), s("b"));
    let encoded = SortCondition::Between(Part::S("a"), Part::S("b"));
    assert_eq!(between.on_sort_keys(), Some(encoded));
    assert_eq!(
        RangeCondition::Less(AttributeValue::Null).on_sort_keys(),
        None
    );
    assert!(RangeCondition::BeginsWith(s("ab")).matches(&s("abc")));
    assert!(RangeCondition::BeginsWith(b(b"ab")).matches(&b(b"ab")));
}
