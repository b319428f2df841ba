//! Noise, half-right texts and texts made to cost: nothing panics, and everything ends soon.

use std::time::{Duration, Instant};

use kv_model::expression::{
    Error, Kind, MAX_BYTES, Placeholders, Reason, parse_condition, parse_key_condition,
    parse_projection, parse_update,
};
use kv_model::{AttributeValue, Item};
use proptest::prelude::*;

use super::{b, item, l, n, placeholders, s, ss};

fn some_placeholders() -> Placeholders {
    let names = [("#a", "a"), ("#b", "and"), ("#0", "[3]")];
    let values = [
        (":a", n("1")),
        (":b", s("x")),
        (":c", ss(&["x"])),
        (":d", l(&[n("1")])),
    ];
    placeholders(&names, &values)
}

/// Parses `text` as everything that it could be, and uses what comes out.
fn exercise(text: &str) {
    let of = item(&[
        ("a", l(&[n("1"), s("x")])),
        ("b", ss(&["x"])),
        ("c", n("3")),
    ]);
    let mut used = some_placeholders();
    let parsed = parse_condition(Kind::Condition, text, &mut used);
    check_span(text, &parsed);
    if let Ok(condition) = parsed {
        condition.matches(Some(&of));
        condition.matches(None);
    }
    let parsed = parse_key_condition(text, &mut used);
    check_span(text, &parsed);
    if let Ok(expression) = parsed {
        let _ = expression.clauses();
    }
    let parsed = parse_update(text, &mut used);
    check_span(text, &parsed);
    if let Ok(update) = parsed {
        let _ = update.apply(Some(&of), &Item::new());
        let _ = update.apply(None, &Item::new());
    }
    let parsed = parse_projection(text, &mut used);
    check_span(text, &parsed);
    if let Ok(projection) = parsed {
        projection.apply(&of);
    }
    let _ = used.check_all_used();
}

/// A syntax error points at the token that it names.
fn check_span<T>(text: &str, parsed: &Result<T, Error>) {
    if let Err(Error::Invalid {
        reason: Reason::Syntax { token, near, span },
        ..
    }) = parsed
    {
        if token == "<EOF>" {
            assert_eq!(*span, text.len()..text.len());
        } else {
            assert_eq!(&text[span.clone()], token);
            assert!(near.contains(token.as_str()), "{near}");
        }
        assert!(text.contains(near.as_str()), "{near}");
    }
}

fn scrap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "c",
        "#a",
        "#b",
        "#0",
        "#x",
        ":a",
        ":b",
        ":c",
        ":d",
        ":x",
        "(",
        ")",
        "[",
        "]",
        "[0]",
        "[1]",
        "[9]",
        "[99999999999]",
        ".",
        ".a",
        ".#a",
        ",",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IN (",
        "BETWEEN",
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "size(",
        "contains(",
        "begins_with(",
        "attribute_exists(",
        "attribute_type(",
        "if_not_exists(",
        "list_append(",
        "data",
        "#",
        ":",
        "_",
        "é",
        "\u{0}",
        "7",
        "!",
        "\"",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_text(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn scraps_of_expressions(scraps in prop::collection::vec(scrap(), 0..14), gap in "[ \t\n]?") {
        exercise(&scraps.join(&gap));
        exercise(&format!("SET {}", scraps.join(&gap)));
    }
}

#[test]
fn truncated_and_damaged_texts() {
    let texts = [
        "NOT (a = :a OR contains(b[0].#a, :b)) AND size(c) BETWEEN :a AND #b.c",
        "SET a[1] = if_not_exists(a[0], :a) + :a, b = list_append(:d, d) REMOVE c ADD e :c",
        "a, b[3].c, #a.#b",
    ];
    for text in texts {
        for cut in 0..=text.len() {
            exercise(&text[..cut]);
            exercise(&text[cut..]);
            exercise(&format!("{}){}", &text[..cut], &text[cut..]));
        }
    }
}

/// What takes the longest for its size; each must stay far below what a request may take.
#[test]
fn costly_texts_end_soon() {
    let fill = |part: &str| part.repeat(MAX_BYTES / part.len());
    let paths = |count: usize| -> String {
        let paths: Vec<_> = (0..count).map(|i| format!("a{i:x}")).collect();
        paths.join(",")
    };
    let started = Instant::now();
    for text in [
        fill("("),
        fill(")"),
        fill("a."),
        fill("a[0]"),
        format!("a{}", fill(".a")),
        format!("a{}", fill("[0]")),
        fill("NOT "),
        fill("size("),
        fill("(a)"),
        fill("a=b "),
        fill("#a,"),
        fill("a,"),
        fill(":a"),
        fill("é"),
        paths(750),
        format!("REMOVE {}", paths(750)),
        format!("REMOVE {},a1", paths(740)),
        format!("a IN ({})", fill("a,")),
    ] {
        exercise(&text);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn costly_values_end_soon() {
    let started = Instant::now();
    // A search that restarts at every byte would take 10^10 steps.
    let (hay, needle) = (b(&[0; 400_000]), b(&[vec![0; 100_000], vec![1]].concat()));
    let mut used = placeholders(&[], &[(":v", needle)]);
    let filter = parse_condition(Kind::Filter, "contains(a, :v)", &mut used).expect("valid");
    assert!(!filter.matches(Some(&item(&[("a", hay)]))));

    // Removing elements one by one would move the list as often.
    let elements = 100_000;
    let list = AttributeValue::L(vec![AttributeValue::Null; elements]);
    let removed: Vec<_> = (0..500).map(|i| format!("a[{i}]")).collect();
    let text = format!("REMOVE {}", removed.join(","));
    let update = parse_update(&text, &mut placeholders(&[], &[])).expect("valid");
    let new = update
        .apply(Some(&item(&[("a", list)])), &Item::new())
        .expect("fits");
    assert!(matches!(new.get("a"), Some(AttributeValue::L(left)) if left.len() == elements - 500));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
