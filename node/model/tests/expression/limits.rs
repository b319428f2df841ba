//! Sizes and counts at their limits and one beyond.

use kv_model::AttributeValue;
use kv_model::expression::{
    Error, Kind, MAX_BYTES, MAX_DEPTH, Reason, parse_condition, parse_key_condition,
    parse_projection, parse_update,
};

use super::{item, message, n, placeholders};

fn condition(text: &str, values: &[(&str, AttributeValue)]) -> Result<(), Error> {
    parse_condition(Kind::Condition, text, &mut placeholders(&[], values)).map(|_| ())
}

fn long_name(len: usize) -> String {
    format!("a{}", "z".repeat(len - 1))
}

#[test]
fn texts_end_at_4096_bytes() {
    let none = || placeholders(&[], &[]);
    let values = [(":v", n("1"))];
    let name = long_name(MAX_BYTES);
    assert!(parse_projection(&name, &mut none()).is_ok());
    let tail = "Expression size has exceeded the maximum allowed size;";
    assert_eq!(
        message(parse_projection(&format!("{name}z"), &mut none())),
        format!("Invalid ProjectionExpression: {tail}")
    );
    let set = format!("SET {name} = :v");
    assert_eq!(
        message(parse_update(&set, &mut placeholders(&[], &values))),
        format!("Invalid UpdateExpression: {tail}")
    );
    let equal = format!("{name} = :v");
    assert_eq!(
        message(parse_key_condition(&equal, &mut placeholders(&[], &values))),
        format!("Invalid KeyConditionExpression: {tail}")
    );
    assert_eq!(
        message(condition(&equal, &values)),
        format!(
            "Invalid ConditionExpression: {tail} expression size: {}",
            equal.len()
        )
    );
}

#[test]
fn names_behind_placeholders_do_not_count() {
    let long = long_name(60_000);
    let mut placeholders = placeholders(&[("#a", &long)], &[]);
    assert!(parse_projection("#a", &mut placeholders).is_ok());
}

#[test]
fn empty_texts() {
    let none = || placeholders(&[], &[]);
    for text in ["", "  \t\r\n"] {
        let tail = "The expression can not be empty;";
        let refused = message(parse_update(text, &mut none()));
        assert_eq!(refused, format!("Invalid UpdateExpression: {tail}"));
        let refused = message(parse_projection(text, &mut none()));
        assert_eq!(refused, format!("Invalid ProjectionExpression: {tail}"));
        let refused = message(parse_key_condition(text, &mut none()));
        assert_eq!(refused, format!("Invalid KeyConditionExpression: {tail}"));
    }
}

#[test]
fn three_hundred_operators_are_the_most() {
    // `a<b` with an OR before each but the first: an odd number of operators.
    let chain = |comparisons: usize| vec!["a<b"; comparisons].join(" OR ");
    assert!(condition(&chain(150), &[]).is_ok());
    assert!(condition(&format!("NOT {}", chain(150)), &[]).is_ok());
    let refused = "Invalid ConditionExpression: The expression contains too many operators; operator count: 301";
    assert_eq!(message(condition(&chain(151), &[])), refused);
    assert_eq!(message(condition(&chain(400), &[])), refused);

    let sums = |count: usize| {
        let sums: Vec<_> = (0..count).map(|i| format!("a{i}=a+:v")).collect();
        parse_update(
            &format!("SET {}", sums.join(",")),
            &mut placeholders(&[], &[(":v", n("1"))]),
        )
    };
    assert!(sums(300).is_ok());
    assert_eq!(
        message(sums(301)),
        "Invalid UpdateExpression: The expression contains too many operators; operator count: 301"
    );
}

#[test]
fn in_takes_a_hundred_operands() {
    let values: Vec<(String, AttributeValue)> = (0..101)
        .map(|i| (format!(":v{i}"), n(&i.to_string())))
        .collect();
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let names = |count: usize| -> Vec<&str> { values[..count].iter().map(|(n, _)| *n).collect() };
    let text = format!("a IN ({})", names(100).join(","));
    let parsed = parse_condition(Kind::Condition, &text, &mut placeholders(&[], &values));
    assert!(
        parsed
            .expect("valid")
            .matches(Some(&item(&[("a", n("99"))])))
    );
    assert_eq!(
        message(condition(
            &format!("a IN ({})", names(101).join(",")),
            &values
        )),
        "Invalid ConditionExpression: The IN operator is provided with too many operands; number of operands: 101"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}a<b{}", "(c<d OR ".repeat(depth), ")".repeat(depth));
    assert!(condition(&nested(149), &[]).is_ok());
    let deepest = "(".repeat(MAX_DEPTH) + "a = b" + &")".repeat(MAX_DEPTH);
    let redundant = "Invalid ConditionExpression: The expression has redundant parentheses;";
    assert_eq!(message(condition(&deepest, &[])), redundant);
    for text in [
        "(".repeat(MAX_DEPTH + 1),
        "(".repeat(MAX_BYTES),
        "size(".repeat(MAX_BYTES / 5),
        "NOT (".repeat(MAX_BYTES / 5),
        format!("a IN ({}", "f(".repeat(2000)),
    ] {
        let refused = condition(&text, &[]).expect_err("too deep");
        let reason = Reason::TooDeep { max: MAX_DEPTH };
        assert_eq!(
            refused,
            Error::Invalid {
                kind: Kind::Condition,
                reason
            }
        );
    }
    let calls = format!("SET a = {}", "if_not_exists(a,".repeat(MAX_DEPTH));
    let refused = message(parse_update(&calls, &mut placeholders(&[], &[])));
    assert_eq!(
        refused,
        "Invalid UpdateExpression: Syntax error; token: \"<EOF>\", near: \",\""
    );
    let nots = "NOT ".repeat(300) + "attribute_exists(a)";
    assert!(message(condition(&nots, &[])).ends_with("operator count: 301"));
}

/// A thread's stack is 2 MiB; this much must do even without optimization.
#[test]
fn the_deepest_texts_fit_on_a_small_stack() {
    let run = || {
        let nested = format!("{}a<b{}", "NOT (c<d OR ".repeat(99), ")".repeat(99));
        let mut none = placeholders(&[], &[]);
        let parsed = parse_condition(Kind::Condition, &nested, &mut none).expect("valid");
        // The innermost condition is false, and it is negated 99 times.
        assert!(parsed.matches(None));
        let printed = parsed.to_source();
        assert_eq!(printed.text.matches('(').count(), 99);
        drop(parsed);
        for text in ["(".repeat(MAX_BYTES), "size(".repeat(MAX_BYTES / 5)] {
            assert!(condition(&text, &[]).is_err());
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run);
    thread
        .expect("a thread starts")
        .join()
        .expect("no overflow");
}
