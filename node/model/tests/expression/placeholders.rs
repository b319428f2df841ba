//! The maps of names and values.

use std::collections::BTreeMap;

use kv_model::expression::{Kind, Placeholders, parse_condition, parse_projection, parse_update};

use super::{item, message, n, name_map, placeholders};

#[test]
fn maps_are_checked_before_any_expression() {
    let new = Placeholders::new;
    let bad_value = || Some(item(&[("b", n("1"))]));
    let cases = [
        (
            new(Some(BTreeMap::new()), bad_value()),
            "ExpressionAttributeNames must not be empty",
        ),
        (
            new(Some(name_map(&[("a", "a")])), Some(BTreeMap::new())),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\"",
        ),
        (
            new(Some(name_map(&[("#a-b", "a")])), None),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#a-b\"",
        ),
        (
            new(Some(name_map(&[("#", "a")])), None),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#\"",
        ),
        (
            new(Some(name_map(&[("#a", "")])), None),
            "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a",
        ),
        (
            new(None, Some(BTreeMap::new())),
            "ExpressionAttributeValues must not be empty",
        ),
        (
            new(None, bad_value()),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \"b\"",
        ),
        (
            new(None, Some(item(&[(":ü", n("1"))]))),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \":ü\"",
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(message(result), expected);
    }
}

#[test]
fn unused_placeholders_are_told_after_all_expressions() {
    let names = [("#a", "a"), ("#b", "b"), ("#c", "c")];
    let values = [(":a", n("1")), (":b", n("2")), (":c", n("3"))];
    let mut shared = placeholders(&names, &values);
    parse_update("SET x = :b", &mut shared).expect("valid");
    assert_eq!(
        message(shared.check_all_used()),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b, #c}"
    );
    parse_projection("#a, #b, #c", &mut shared).expect("valid");
    assert_eq!(
        message(shared.check_all_used()),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:a, :c}"
    );
    // Whether a part of a condition is ever evaluated does not matter.
    parse_condition(Kind::Condition, "x = :a OR x = :c", &mut shared).expect("valid");
    assert_eq!(shared.check_all_used(), Ok(()));
}

#[test]
fn names_may_hold_anything_and_start_with_digits() {
    let silly = "3can include any character!.#=";
    let item = item(&[(silly, n("4"))]);
    for key in ["#Alpha_Numeric_123", "#123a", "#123", "#_"] {
        let mut placeholders = placeholders(&[(key, silly)], &[(":1_", n("4"))]);
        let text = format!("{key} = :1_");
        let condition = parse_condition(Kind::Filter, &text, &mut placeholders).expect("valid");
        assert!(condition.matches(Some(&item)), "{key}");
    }
}
