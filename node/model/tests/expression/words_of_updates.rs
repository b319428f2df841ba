//! Refused updates and projections in the service's words. Most cases are those that dynalite recorded.

use kv_model::AttributeValue;
use kv_model::expression::{parse_projection, parse_update};

use super::{b, bs, l, m, message, n, ns, placeholders, s, ss};

/// What the service says about an update, without the expression's name.
fn refused(text: &str, names: &[(&str, &str)], values: &[(&str, AttributeValue)]) -> String {
    let message = message(parse_update(text, &mut placeholders(names, values)));
    let stripped = message.strip_prefix("Invalid UpdateExpression: ");
    stripped
        .unwrap_or_else(|| panic!("{text}: {message}"))
        .to_owned()
}

fn refused_projection(text: &str, names: &[(&str, &str)]) -> String {
    let message = message(parse_projection(text, &mut placeholders(names, &[])));
    let stripped = message.strip_prefix("Invalid ProjectionExpression: ");
    stripped
        .unwrap_or_else(|| panic!("{text}: {message}"))
        .to_owned()
}

#[test]
fn syntax_errors() {
    let cases = [
        ("whatever", "whatever", "whatever"),
        ("INVALID SYNTAX HERE", "INVALID", "INVALID SYNTAX"),
        ("set a", "<EOF>", "a"),
        ("add a", "<EOF>", "a"),
        ("DELETE setx", "<EOF>", "setx"),
        ("SET", "<EOF>", "SET"),
        ("SET note = :v +", "<EOF>", "+"),
        ("set a=set", "set", "=set"),
        ("remove a = b", "=", "a = b"),
        ("add a = b", "=", "a = b"),
        ("delete a b", "b", "a b"),
        (
            "delete a if_not_exist(b)",
            "if_not_exist",
            "a if_not_exist(",
        ),
        ("ADD numx 1", "1", "numx 1"),
        ("ADD hits : incr", ":", "hits : incr"),
        ("remove a b", "b", "a b"),
        ("set a b", "b", "a b"),
        ("set :a = b", ":a", "set :a ="),
        ("remove :a", ":a", "remove :a"),
        ("set a = b / c", "/", "b / c"),
        ("SET numx = numx * :v", "*", "numx * :v"),
        ("set a[1] = \"eight\"", "\"", "= \"eight"),
        ("set a[1] = 1", "1", "= 1"),
        ("SET a = if_not_exist(a, 100)", "100", ", 100)"),
        ("SET if_not_exist(a, b) = a", "(", "if_not_exist(a"),
        ("set (a = (b + c))", "(", "set (a"),
        ("set a = (b.c).d + e", ".", ").d"),
        ("set a = (b.c)[0] + e", "[", ")[0"),
        ("set a = b + c + d", "+", "c + d"),
        ("set a = (b + c) + d", "+", ") + d"),
        ("set a = if_not_exists(a, b + c)", "+", "b + c"),
        ("SET _123 = :val1", "_", "SET _123"),
        ("SET 123a = :val1", "123", "SET 123a"),
        ("SET hi-there = :v", "-", "hi-there"),
        ("SET # = :val1", "#", "SET # ="),
        ("SET a = :", ":", "= :"),
        ("SET a[:xyz] = :v", ":xyz", "[:xyz]"),
        ("SET a[#xyz] = :v", "#xyz", "[#xyz]"),
        ("SET a = _f(b)", "_", "= _f"),
        ("SET a = :a,", "<EOF>", ","),
        ("SET a = :a, REMOVE b", "REMOVE", ", REMOVE b"),
        ("SET a = :a AND b = :b", "AND", ":a AND b"),
        ("SET a = :a remove", "<EOF>", "remove"),
    ];
    for (text, token, near) in cases {
        let expected = format!("Syntax error; token: \"{token}\", near: \"{near}\"");
        assert_eq!(refused(text, &[], &[]), expected, "{text}");
    }
    for (text, token, near) in [
        ("a.b.", "<EOF>", "."),
        ("a b", "b", "a b"),
        ("[1]", "[", "[1"),
        ("l[]", "]", "[]"),
        ("l[a]", "a", "[a]"),
        ("l[-1]", "-", "[-1"),
        ("a,,b", ",", ",,b"),
        (":a", ":a", ":a"),
        ("(a)", "(", "(a"),
        ("whatever(a)", "(", "whatever(a"),
    ] {
        let expected = format!("Syntax error; token: \"{token}\", near: \"{near}\"");
        assert_eq!(refused_projection(text, &[]), expected, "{text}");
    }
}

#[test]
fn parentheses_around_values() {
    let values = [(":a", n("1"))];
    for text in [
        "set a = (b + :a)",
        "set a = ((b.c.d)+(:a))",
        "set a = if_not_exists((b), (:a)) - (:a)",
    ] {
        assert!(
            parse_update(text, &mut placeholders(&[], &values)).is_ok(),
            "{text}"
        );
    }
    for text in ["set a = ((b + :a))", "set a = ((:a))", "set a = f(((b)))"] {
        let expected = "The expression has redundant parentheses;";
        assert_eq!(refused(text, &[], &values), expected, "{text}");
    }
}

#[test]
fn reserved_words_come_first() {
    for (text, word) in [
        (" set #c = :c set abOrt = true ", "abOrt"),
        (" remove Absolute ", "Absolute"),
        ("set a = unknown(a.Data)", "Data"),
        ("set a.and = :a", "and"),
    ] {
        let expected = format!("Attribute name is a reserved keyword; reserved keyword: {word}");
        assert_eq!(refused(text, &[], &[]), expected);
    }
    assert_eq!(
        refused("remove a[4294967295]", &[], &[]),
        "List index is not within the allowable range; index: [4294967295]"
    );
    let projected = "Attribute name is a reserved keyword; reserved keyword: abORt";
    assert_eq!(refused_projection("#a, a.abORt", &[]), projected);
}

#[test]
fn functions_come_before_sections() {
    assert_eq!(
        refused("set #c = if_not_exist(:c) set c = d", &[], &[]),
        "Invalid function name; function: if_not_exist"
    );
    for name in ["contains", "size"] {
        let expected =
            format!("The function is not allowed in an update expression; function: {name}");
        assert_eq!(
            refused(&format!("SET #r = {name}(s, :needle)"), &[], &[]),
            expected
        );
    }
    let misused =
        "The function is not allowed to be used this way in an expression; function: list_append";
    for text in [
        "SET r = list_append(list_append(l, :a), :b)",
        "SET r = if_not_exists(r, list_append(l, :a))",
    ] {
        assert_eq!(refused(text, &[], &[]), misused);
    }
}

#[test]
fn sections_come_once_before_placeholders_are_looked_up() {
    for (text, section) in [
        ("set a = #c set c = :d", "SET"),
        ("remove #d set a = b remove e", "REMOVE"),
        ("add #d :e set a = b add e :f", "ADD"),
        ("delete #d :e set a = b delete #e :f", "DELETE"),
    ] {
        let expected =
            format!("The \"{section}\" section can only be used once in an update expression;");
        assert_eq!(refused(text, &[], &[]), expected);
    }
}

#[test]
fn undefined_names_come_before_undefined_values() {
    let names = [("#a", "a")];
    let name =
        "An expression attribute name used in the document path is not defined; attribute name: #c";
    let value =
        "An expression attribute value used in expression is not defined; attribute value: :c";
    assert_eq!(refused("SET #c = if_not_exists(:c)", &names, &[]), name);
    assert_eq!(refused("SET #a = :c, b = #c", &names, &[]), name);
    assert_eq!(refused("SET #a = if_not_exists(:c)", &names, &[]), value);
    assert_eq!(refused("SET a = b, a = :c", &names, &[]), value);
    assert_eq!(refused_projection("a,b,a,#c", &names), name);
}

#[test]
fn overlapping_paths() {
    let names = [("#c", "c"), ("#d", "[3]"), ("#a", "a")];
    let overlap = |one: &str, two: &str| {
        format!(
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    for (text, one, two) in [
        (
            "set d[1] = a, d.b = a, c[1].a = a, #c = if_not_exists(a)",
            "[c, [1], a]",
            "[c]",
        ),
        ("set c.b.#c = a, c = a, #d = a", "[c, b, c]", "[c]"),
        ("set a = b remove a, #c, #d", "[a]", "[a]"),
        ("set #c[3].#d = a, #c[3] = a", "[c, [3], [3]]", "[c, [3]]"),
        ("remove c, #c.a, #d", "[c]", "[c, a]"),
        ("remove a, #c, a, #d", "[a]", "[a]"),
        ("remove i, h, g, f, e, d, c, b, a, a.b, i", "[a]", "[a, b]"),
    ] {
        assert_eq!(refused(text, &names, &[]), overlap(one, two), "{text}");
    }
    for (text, one, two) in [
        ("b[1], b.a, #a.b, a", "[a, b]", "[a]"),
        ("a, #a[1]", "[a]", "[a, [1]]"),
    ] {
        assert_eq!(
            refused_projection(text, &names),
            overlap(one, two),
            "{text}"
        );
    }
}

#[test]
fn conflicting_paths() {
    let names = [("#c", "c"), ("#d", "[3]"), ("#a", "a"), ("#b", "[3]")];
    let conflict = |one: &str, two: &str| {
        format!(
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    for (text, one, two) in [
        (
            "set #c[3].#d = a, #c.#d[3] = if_not_exists(a)",
            "[c, [3], [3]]",
            "[c, [3], [3]]",
        ),
        ("remove a.#c set a[1] = #d", "[a, c]", "[a, [1]]"),
        (
            "remove i, h, g, f, e, d[1], c, b, a, d.a, d.b",
            "[d, [1]]",
            "[d, a]",
        ),
    ] {
        assert_eq!(refused(text, &names, &[]), conflict(one, two), "{text}");
    }
    for (text, one, two) in [
        ("a.b, #a[1], #b", "[a, b]", "[a, [1]]"),
        ("a.b[1], #a[1], #b", "[a, b, [1]]", "[a, [1]]"),
        ("a[3].b, #a.#b.b", "[a, [3], b]", "[a, [3], b]"),
    ] {
        assert_eq!(
            refused_projection(text, &names),
            conflict(one, two),
            "{text}"
        );
    }
}

#[test]
fn operands_of_add_and_delete_come_before_those_of_functions() {
    let scalars = [
        (s("a"), "STRING"),
        (AttributeValue::Null, "NULL"),
        (AttributeValue::Bool(false), "BOOLEAN"),
        (b(b"a"), "BINARY"),
        (m(&[("a", l(&[n("1")]))]), "MAP"),
        (l(&[n("1")]), "LIST"),
    ];
    let message = |operator: &str, found: &str| {
        format!(
            "Incorrect operand type for operator or function; operator: {operator}, operand type: {found}, typeSet: ALLOWED_FOR_{operator}_OPERAND"
        )
    };
    for (value, found) in scalars {
        let values = [(":a", value)];
        let text = "set b = list_append(:a, a), c = if_not_exists(a) add a.b :a";
        assert_eq!(refused(text, &[], &values), message("ADD", found));
        assert_eq!(
            refused("delete a.b :a", &[], &values),
            message("DELETE", found)
        );
    }
    assert_eq!(
        refused("delete a.b :a", &[], &[(":a", n("1"))]),
        message("DELETE", "NUMBER")
    );
    for value in [ss(&["a"]), ns(&["1"]), bs(&[b"a"])] {
        let mut placeholders = placeholders(&[], &[(":a", value)]);
        assert!(parse_update("add a :a delete b :a", &mut placeholders).is_ok());
    }
    assert!(parse_update("add a :a", &mut placeholders(&[], &[(":a", n("1"))])).is_ok());
}

#[test]
fn operands_of_functions() {
    for (text, function, count) in [
        ("set a = if_not_exists(c)", "if_not_exists", 1),
        ("set a = list_append(c)", "list_append", 1),
        ("set a = list_append(:a, :a, :a)", "list_append", 3),
    ] {
        let expected = format!(
            "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
        );
        assert_eq!(refused(text, &[], &[(":a", n("1"))]), expected);
    }
    for text in [
        "set a = if_not_exists(:a, c)",
        "set a = if_not_exists(if_not_exists(a, b), c)",
    ] {
        let expected =
            "Operator or function requires a document path; operator or function: if_not_exists";
        assert_eq!(refused(text, &[], &[(":a", n("1"))]), expected);
    }
    let all = [
        ("S", s("a")),
        ("N", n("1")),
        ("B", b(b"a")),
        ("BOOL", AttributeValue::Bool(true)),
        ("NULL", AttributeValue::Null),
        ("SS", ss(&["a"])),
        ("NS", ns(&["1"])),
        ("BS", bs(&[b"a"])),
        ("M", m(&[])),
        ("L", l(&[])),
    ];
    for (operator, text, fitting) in [
        ("list_append", "set a = list_append(:a, a)", "L"),
        ("list_append", "set a = list_append(a, :a)", "L"),
        ("+", "set a = a + :a", "N"),
        ("+", "set a = :a + a", "N"),
        ("-", "set a = if_not_exists(a, :a) - :a", "N"),
    ] {
        for (found, value) in &all {
            let values = [(":a", value.clone())];
            if *found == fitting {
                let parsed = parse_update(text, &mut placeholders(&[], &values));
                assert!(parsed.is_ok(), "{text} with {found}");
                continue;
            }
            let expected = format!(
                "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {found}"
            );
            assert_eq!(refused(text, &[], &values), expected);
        }
    }
}

#[test]
fn key_attributes_cannot_be_updated() {
    let values = [(":n", n("1")), (":s", ns(&["1"]))];
    for text in [
        "add a.b :n",
        "delete a :s",
        "remove d set b = :n, a = :n",
        "delete b :s remove a",
        "set a = a.b + a[1]",
    ] {
        let update = parse_update(text, &mut placeholders(&[], &values)).expect("valid");
        assert_eq!(
            message(update.check_spares_keys(&["x", "a"])),
            "One or more parameter values were invalid: Cannot update attribute a. This attribute is part of the key"
        );
        assert!(update.check_spares_keys(&["x"]).is_ok());
    }
}
