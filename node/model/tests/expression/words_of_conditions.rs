//! Refused conditions in the service's words. Most cases are those that dynalite recorded from it.

use kv_model::AttributeValue;
use kv_model::expression::{Kind, parse_condition};

use super::{b, bs, l, m, message, n, ns, placeholders, s, ss};

/// What the service says about a filter, without the expression's name.
fn refused(text: &str, names: &[(&str, &str)], values: &[(&str, AttributeValue)]) -> String {
    let mut placeholders = placeholders(names, values);
    let message = message(parse_condition(Kind::Filter, text, &mut placeholders));
    let stripped = message.strip_prefix("Invalid FilterExpression: ");
    stripped
        .unwrap_or_else(|| panic!("{text}: {message}"))
        .to_owned()
}

#[test]
fn errors_name_the_expression() {
    let refused = |kind| message(parse_condition(kind, " ", &mut placeholders(&[], &[])));
    let tail = ": The expression can not be empty;";
    assert_eq!(
        refused(Kind::Condition),
        format!("Invalid ConditionExpression{tail}")
    );
    assert_eq!(
        refused(Kind::Filter),
        format!("Invalid FilterExpression{tail}")
    );
}

#[test]
fn syntax_errors() {
    let cases = [
        ("things are not gonna be ok", "are", "things are not"),
        ("a > 4", "4", "> 4"),
        (
            "attribute_exists(Pictures-RearView)",
            "-",
            "Pictures-RearView",
        ),
        (
            "attribute_exists(\"Pictures.RearView\")",
            "\"",
            "(\"Pictures",
        ),
        ("attribute_exists(Pictures..RearView)", ".", "..RearView"),
        (
            "attribute_exists(Pi#ctures.RearView)",
            "#ctures",
            "Pi#ctures.",
        ),
        ("attribute_exists(asdf[a])", "a", "[a]"),
        ("attribute_type()", ")", "()"),
        ("a.:a < b.:b", ":a", ".:a <"),
        ("a in b, c", "b", "in b,"),
        ("a > between", "between", "> between"),
        ("a in b", "b", "in b"),
        ("a in (b,c,)", ")", ",)"),
        ("a IN ()", ")", "()"),
        ("(a)between(b.(c.d))and(c)", "(", ".(c"),
        ("(a)between(b.c.d)and((c)", "<EOF>", ")"),
        ("#$.b > a", "#", "#$"),
        ("a > :things.stuff", ".", ":things.stuff"),
        ("b[:a] > a", ":a", "[:a]"),
        ("b[#_] > a", "#_", "[#_]"),
        ("ü > a", "ü", "ü >"),
        ("(a)between(b.c[4.5].#d)and(:a)", ".", "4.5"),
        ("size(a).b > a", ".", ").b"),
        ("(size(a)).b > a", ".", ").b"),
        ("size(a)[0] > a", "[", ")[0"),
        ("(size(a))[0] > a", "[", ")[0"),
        ("attribute_not_exists(_c)", "_", "(_c"),
        ("attribute_not_exists(c._d)", "_", "._d"),
        ("NOT #flag", "<EOF>", "#flag"),
        ("a", "<EOF>", "a"),
        (":a", "<EOF>", ":a"),
        ("a AND b = c", "AND", "a AND b"),
        ("(a) AND b = c", "AND", ") AND b"),
        ("a = b = c", "=", "b = c"),
        ("a = (b = c)", "=", "b = c"),
        ("contains(a, b = c)", "=", "b = c"),
        ("contains(a, NOT b)", "NOT", ", NOT b"),
        ("a != b", "!", "a !="),
        ("a = b)", ")", "b)"),
        ("a = b OR", "<EOF>", "OR"),
        ("between = a", "between", "between ="),
        ("AND", "AND", "AND"),
    ];
    for (text, token, near) in cases {
        let expected = format!("Syntax error; token: \"{token}\", near: \"{near}\"");
        assert_eq!(refused(text, &[], &[]), expected, "{text}");
    }
}

#[test]
fn redundant_parentheses_come_before_unknown_functions() {
    for text in [
        "a=a and a > ((views))",
        "(a)between(((b.c)).d)and(c)",
        "a > whatever((:things), ((a)))",
        "a=a AND ((a=a AND a=a)) AND a=a",
        "a=a OR ((a=a OR a=a)) OR a=a",
        "a=a AND ((a=a AND (a=a AND a=a)))",
        "a=a OR ((a=a OR (a=a OR a=a)))",
        "((a = b))",
        "((a)) = b",
    ] {
        assert_eq!(
            refused(text, &[], &[]),
            "The expression has redundant parentheses;",
            "{text}"
        );
    }
}

#[test]
fn needed_parentheses_are_accepted() {
    for text in [
        "(a = b)",
        "((a = b) AND (c = d))",
        "(a = b AND (c = d))",
        "((a) = b)",
        "(a).b = (c)",
        "((a).b[1]) = c",
        "NOT (NOT (a = b))",
        "(size(a)) > (b)",
        "contains((a), (b))",
        "(contains(a, b)) AND NOT NOT NOT (a = b OR c = d)",
        "\t(a)between(b)and(c)\r\n",
    ] {
        let parsed = parse_condition(Kind::Condition, text, &mut placeholders(&[], &[]));
        assert!(parsed.is_ok(), "{text}: {parsed:?}");
    }
}

#[test]
fn unknown_misplaced_and_misused_functions() {
    let unknown = [
        ("a=a and whatever((:things)) > a", "whatever"),
        ("attRIbute_exIsts((views), #a)", "attRIbute_exIsts"),
        ("if_not_exists(a, b) = c AND f(a)", "f"),
    ];
    for (text, name) in unknown {
        let expected = format!("Invalid function name; function: {name}");
        assert_eq!(refused(text, &[], &[]), expected, "{text}");
    }
    assert_eq!(
        refused("if_not_exists(a, b) = size(c)", &[], &[]),
        "The function is not allowed in a condition expression; function: if_not_exists"
    );
    let misused = [
        (
            "a=a and attribute_exists((views), (#a)) > b",
            "attribute_exists",
        ),
        ("attribute_not_exists(things) > b", "attribute_not_exists"),
        ("attribute_type(things, :a) > b", "attribute_type"),
        ("begins_with(things, a) > b", "begins_with"),
        ("contains(:things, c) > b", "contains"),
        ("size(contains(a, b)) > a", "contains"),
        ("size(things)", "size"),
        ("NOT size(things)", "size"),
        (
            "a between b and attribute_exists(things)",
            "attribute_exists",
        ),
        ("a in (b, attribute_exists(things))", "attribute_exists"),
    ];
    for (text, name) in misused {
        let expected = format!(
            "The function is not allowed to be used this way in an expression; function: {name}"
        );
        assert_eq!(refused(text, &[], &[]), expected, "{text}");
    }
}

#[test]
fn reserved_words_come_before_placeholders() {
    for (text, word) in [
        ("attribute_exists(views, #a)", "views"),
        (":a < abOrT", "abOrT"),
        ("a.b.Comment = :a", "Comment"),
        ("size(Size) = :a", "Size"),
    ] {
        let expected = format!("Attribute name is a reserved keyword; reserved keyword: {word}");
        assert_eq!(refused(text, &[], &[]), expected);
    }
}

#[test]
fn undefined_placeholders_in_the_order_of_the_text() {
    for (text, name) in [
        (
            "attribute_exists(#Pictures.RearView, :a) and a=a",
            "#Pictures",
        ),
        ("begins_with(Pictures.#RearView)", "#RearView"),
        ("(#P between :lo and :hi) and (#PC in (:cat1, :cat2))", "#P"),
        ("#4g > a", "#4g"),
        ("#_ > a", "#_"),
        ("(a)between(b.c[45].#d)and(:a)", "#d"),
    ] {
        let expected = format!(
            "An expression attribute name used in the document path is not defined; attribute name: {name}"
        );
        assert_eq!(refused(text, &[("#b", "b")], &[]), expected);
    }
    for (text, name) in [
        ("begins_with(:hello, #a, #b)", ":hello"),
        (":a < :b", ":a"),
        (":_ > a", ":_"),
        ("#b = :c", ":c"),
    ] {
        let expected = format!(
            "An expression attribute value used in expression is not defined; attribute value: {name}"
        );
        assert_eq!(refused(text, &[("#b", "b")], &[]), expected);
    }
}

#[test]
fn conditions_are_checked_one_after_the_other() {
    let values = [(":n", n("1"))];
    let undefined =
        "An expression attribute value used in expression is not defined; attribute value: :x";
    let operand = "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N";
    assert_eq!(
        refused("a = :x AND begins_with(b, :n)", &[], &values),
        undefined
    );
    assert_eq!(
        refused("begins_with(b, :n) AND a = :x", &[], &values),
        operand
    );
    assert_eq!(refused("begins_with(:n, :x)", &[], &values), undefined);
}

#[test]
fn numbers_of_operands() {
    for (text, function, count) in [
        ("attribute_exists(things, a) and a=a", "attribute_exists", 2),
        ("attribute_not_exists(things, b)", "attribute_not_exists", 2),
        ("attribute_type(things)", "attribute_type", 1),
        ("begins_with(things)", "begins_with", 1),
        ("begins_with(things, size(a), b)", "begins_with", 3),
        ("contains(things)", "contains", 1),
        ("size(things, a) > b", "size", 2),
        ("attribute_exists(size(a, b), c)", "size", 2),
    ] {
        let expected = format!(
            "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
        );
        assert_eq!(refused(text, &[], &[]), expected);
    }
}

fn one_of_each_type() -> Vec<(&'static str, AttributeValue)> {
    vec![
        ("S", s("1")),
        ("N", n("1")),
        ("B", b(b"a")),
        ("BOOL", AttributeValue::Bool(true)),
        ("NULL", AttributeValue::Null),
        ("L", l(&[])),
        ("M", m(&[])),
        ("SS", ss(&["1"])),
        ("NS", ns(&["1"])),
        ("BS", bs(&[b"a"])),
    ]
}

#[test]
fn types_of_constant_operands() {
    let texts: [(&str, &str, &[&str]); 10] = [
        ("begins_with(a, :a)", "begins_with", &["S", "B"]),
        ("begins_with(:a, a)", "begins_with", &["S", "B"]),
        (
            "size(:a) > a",
            "size",
            &["S", "B", "L", "M", "SS", "NS", "BS"],
        ),
        ("a < :a", "<", &["S", "N", "B"]),
        (":a >= a", ">=", &["S", "N", "B"]),
        ("a <= :a", "<=", &["S", "N", "B"]),
        (":a > a", ">", &["S", "N", "B"]),
        ("a BETWEEN :a AND :a", "BETWEEN", &["S", "N", "B"]),
        ("a BETWEEN b AND :a", "BETWEEN", &["S", "N", "B"]),
        (
            "attribute_type(a, size(a)) and a=a and a=:a",
            "attribute_type",
            &[],
        ),
    ];
    for (text, operator, fitting) in texts {
        for (name, value) in one_of_each_type() {
            let values = [(":a", value)];
            if fitting.contains(&name) {
                let mut placeholders = placeholders(&[], &values);
                let parsed = parse_condition(Kind::Filter, text, &mut placeholders);
                assert!(parsed.is_ok(), "{text} with {name}");
                continue;
            }
            let found = if operator == "attribute_type" {
                "N"
            } else {
                name
            };
            let expected = format!(
                "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {found}"
            );
            assert_eq!(refused(text, &[], &values), expected, "{text}");
        }
    }
    let size = "Incorrect operand type for operator or function; operator or function: size, operand type: N";
    let values = [(":a", n("1"))];
    assert_eq!(refused("size(size(a)) > :a", &[], &values), size);
    assert_eq!(
        refused("attribute_not_exists(size(:a))", &[], &values),
        size
    );
}

#[test]
fn the_second_operand_of_attribute_type() {
    for (found, value) in one_of_each_type()
        .into_iter()
        .filter(|(name, _)| *name != "S")
    {
        let expected = format!(
            "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {found}"
        );
        assert_eq!(
            refused("attribute_type(a, :a)", &[], &[(":a", value)]),
            expected
        );
    }
    let path = refused("attribute_type(ab.bc[1].a, SS)", &[], &[]);
    assert!(path.ends_with("attribute_type, operand type: {S,SS,N,NS,B,BS,BOOL,NULL,L,M,HD,DOUBLE,FLOAT,HDS,FS,DOUBLESET,DICT,DECIMAL,INT,DECIMALSET,INTSET}"), "{path}");
    assert_eq!(
        refused("attribute_type(a, :a)", &[], &[(":a", s("STRING"))]),
        "Invalid attribute type name found; type: STRING, valid types: {S,SS,N,NS,B,BS,BOOL,NULL,L,M}"
    );
}

#[test]
fn values_where_paths_must_stand() {
    for (text, function) in [
        ("attribute_exists(:a) and a=a", "attribute_exists"),
        ("attribute_not_exists(size(:a))", "attribute_not_exists"),
        ("attribute_exists(size(a))", "attribute_exists"),
    ] {
        let expected = format!(
            "Operator or function requires a document path; operator or function: {function}"
        );
        assert_eq!(refused(text, &[], &[(":a", s("1"))]), expected);
    }
}

#[test]
fn operands_that_are_the_same_path() {
    for (text, operator, path) in [
        ("a = a AND #a = b AND :views > a", "=", "[a]"),
        ("#a <> a", "<>", "[a]"),
        ("a > #a", ">", "[a]"),
        ("((a=a) OR (a=a))", "=", "[a]"),
        ("((a=a) AND (a=a))", "=", "[a]"),
        (
            "contains(ab.bc[1].a, ab.bc[1].#a)",
            "contains",
            "[ab, bc, [1], a]",
        ),
        (
            "attribute_type(ab.bc[1].#a, ab.bc[1].a)",
            "attribute_type",
            "[ab, bc, [1], a]",
        ),
        (
            "begins_with(ab.bc[1].a, ab.bc[1].#a)",
            "begins_with",
            "[ab, bc, [1], a]",
        ),
        ("ab.a IN (b, ab.#a)", "IN", "[ab, a]"),
    ] {
        let expected = format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {path}"
        );
        assert_eq!(refused(text, &[("#a", "a")], &[]), expected);
    }
    let mut same_value = placeholders(&[], &[(":a", n("1"))]);
    assert!(parse_condition(Kind::Filter, ":a = :a", &mut same_value).is_ok());
}

#[test]
fn bounds_of_between() {
    let cases = [
        (
            n("5"),
            n("4"),
            "upper bound to be greater than or equal to lower bound",
            "N:5",
            "N:4",
        ),
        (
            s("z"),
            s("a"),
            "upper bound to be greater than or equal to lower bound",
            "S:z",
            "S:a",
        ),
        (
            b(b"z"),
            b(b"a"),
            "upper bound to be greater than or equal to lower bound",
            "B:eg==",
            "B:YQ==",
        ),
        (
            n("1"),
            s("a"),
            "same data type for lower and upper bounds",
            "N:1",
            "S:a",
        ),
    ];
    for (lower, upper, requires, low, high) in cases {
        let values = [(":l", lower), (":u", upper)];
        let expected = format!(
            "The BETWEEN operator requires {requires}; lower bound operand: AttributeValue: {{{low}}}, upper bound operand: AttributeValue: {{{high}}}"
        );
        assert_eq!(refused("a between :l and :u", &[], &values), expected);
    }
}

#[test]
fn list_indexes_have_a_range() {
    for index in ["2147483648", "99999999999999999999"] {
        let expected = format!("List index is not within the allowable range; index: [{index}]");
        assert_eq!(refused(&format!("a[{index}] = b"), &[], &[]), expected);
    }
    let mut none = placeholders(&[], &[]);
    assert!(parse_condition(Kind::Filter, "a[2147483647] = b[007]", &mut none).is_ok());
}
