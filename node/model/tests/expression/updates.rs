//! What updates make of items.

use kv_model::expression::{ApplyError, Update, parse_update};
use kv_model::{AttributeValue, Item};

use super::{b, bs, item, l, m, n, ns, placeholders, s, ss};

fn update(text: &str, values: &[(&str, AttributeValue)]) -> Update {
    parse_update(text, &mut placeholders(&[("#1", "1")], values)).expect("valid")
}

fn key() -> Item {
    item(&[("a", s("key"))])
}

/// `attributes` and the key, updated.
fn apply(
    text: &str,
    attributes: &[(&str, AttributeValue)],
    values: &[(&str, AttributeValue)],
) -> Result<Item, ApplyError> {
    let mut old = item(attributes);
    old.extend(key());
    let mut new = update(text, values).apply(Some(&old), &key())?;
    assert_eq!(new.remove("a"), Some(s("key")), "the key stays");
    Ok(new)
}

fn numbers(numbers: &[i32]) -> AttributeValue {
    l(&numbers
        .iter()
        .map(|i| n(&i.to_string()))
        .collect::<Vec<_>>())
}

#[test]
fn a_new_item_starts_with_its_key() {
    let values = [
        (":c", ss(&["a", "b"])),
        (":d", n("5")),
        (":e", ss(&["a", "b"])),
        (":f", l(&[s("a"), n("1")])),
    ];
    let update = update(
        "REMOVE b DELETE c :c ADD d :d, e :e SET f = :f, g = if_not_exists(g, a)",
        &values,
    );
    let new = update.apply(None, &key()).expect("fits");
    let written = [
        ("d", n("5")),
        ("e", ss(&["a", "b"])),
        ("f", l(&[s("a"), n("1")])),
        ("g", s("key")),
    ];
    let mut expected = item(&written);
    assert_eq!(update.project(&new), expected);
    assert_eq!(update.project(&key()), item(&[]));
    expected.extend(key());
    assert_eq!(new, expected);
}

/// The case of dynalite's "should update nested attributes".
#[test]
fn lists_count_from_the_old_item() {
    let old = [
        ("b", m(&[("a", n("1")), ("b", n("2")), ("c", n("3"))])),
        ("c", l(&[n("1"), n("3")])),
    ];
    let text = "set b.c=((c[1])+(b.a)),b.a = a,c[1] = a, c[4] = b.a - b.b, c[2] = b.c add c[8] :b, c[6] :a";
    let values = [(":a", n("2")), (":b", ss(&["a"]))];
    let new = apply(text, &old, &values).expect("fits");
    let list = l(&[n("1"), s("key"), n("3"), n("-1"), n("2"), ss(&["a"])]);
    let expected = [
        ("b", m(&[("a", s("key")), ("b", n("2")), ("c", n("4"))])),
        ("c", list),
    ];
    assert_eq!(new, item(&expected));
    let projected = [
        ("b", m(&[("a", s("key")), ("c", n("4"))])),
        ("c", l(&[s("key"), n("3"), n("2")])),
    ];
    assert_eq!(update(text, &values).project(&new), item(&projected));
}

#[test]
fn elements_are_set_removed_and_appended() {
    let value = [(":v", n("17"))];
    let cases: [(&str, &[i32]); 9] = [
        ("REMOVE c[1] SET c[3] = :v", &[2, 4, 17, 6, 7]),
        ("SET c[3] = :v REMOVE c[1]", &[2, 4, 17, 6, 7]),
        ("REMOVE c[0], c[5], c[2]", &[3, 5, 6]),
        ("REMOVE c[17]", &[2, 3, 4, 5, 6, 7]),
        ("SET c[9] = :v REMOVE c[6], c[0]", &[3, 4, 5, 6, 7, 17]),
        ("REMOVE c[6] SET c[9] = :v", &[2, 3, 4, 5, 6, 7, 17]),
        (
            "SET c[84] = c[0], c[37] = c[1] ADD c[17] :v",
            &[2, 3, 4, 5, 6, 7, 17, 3, 2],
        ),
        ("ADD c[0] :v", &[19, 3, 4, 5, 6, 7]),
        ("REMOVE c[0], c[1], c[2], c[3], c[4], c[5]", &[]),
    ];
    for (text, expected) in cases {
        let value: &[_] = if text.contains(":v") { &value } else { &[] };
        let new = apply(text, &[("c", numbers(&[2, 3, 4, 5, 6, 7]))], value);
        assert_eq!(new, Ok(item(&[("c", numbers(expected))])), "{text}");
    }
}

#[test]
fn lists_in_lists_keep_their_places() {
    let old = || l(&[numbers(&[0, 1, 2]), numbers(&[10, 11]), numbers(&[20])]);
    let text = "REMOVE c[0], c[1][0], c[2][0] SET c[1][7] = :v, c[5] = :v";
    let new = apply(text, &[("c", old())], &[(":v", n("9"))]);
    let expected = l(&[numbers(&[11, 9]), numbers(&[]), n("9")]);
    assert_eq!(new, Ok(item(&[("c", expected)])));
}

#[test]
fn right_sides_see_the_old_item() {
    let old = [("b", n("1")), ("c", n("2"))];
    let new = apply("SET b = c, c = b REMOVE d", &old, &[]);
    assert_eq!(new, Ok(item(&[("b", n("2")), ("c", n("1"))])));
    let new = apply("REMOVE b SET d = b + c, e = b - c", &old, &[]);
    assert_eq!(
        new,
        Ok(item(&[("c", n("2")), ("d", n("3")), ("e", n("-1"))]))
    );
    let written_now = apply("SET x = :v, y = x", &old, &[(":v", n("1"))]);
    assert_eq!(written_now, Err(ApplyError::MissingAttribute));
}

#[test]
fn functions_of_right_sides() {
    let old = [("b", n("1")), ("lst", numbers(&[1]))];
    let list = [(":l", numbers(&[8, 9])), (":e", l(&[]))];
    let cases = [
        ("SET r = if_not_exists(b, :e)", n("1")),
        ("SET r = if_not_exists(x, b)", n("1")),
        (
            "SET r = if_not_exists(x, if_not_exists(y, :l))",
            numbers(&[8, 9]),
        ),
        ("SET r = list_append(lst, :l)", numbers(&[1, 8, 9])),
        ("SET r = list_append(:l, lst)", numbers(&[8, 9, 1])),
        (
            "SET r = list_append(if_not_exists(x, :e), :l)",
            numbers(&[8, 9]),
        ),
        ("SET r = if_not_exists(x, b) + b", n("2")),
    ];
    for (text, expected) in cases {
        let new = apply(text, &old, &list).expect("fits");
        assert_eq!(new.get("r"), Some(&expected), "{text}");
    }
    for (text, error) in [
        ("SET r = x", ApplyError::MissingAttribute),
        ("SET r = b.x", ApplyError::MissingAttribute),
        ("SET r = list_append(x, :l)", ApplyError::MissingAttribute),
        ("SET r = list_append(b, x)", ApplyError::OperandType),
        ("SET r = list_append(:l, b)", ApplyError::OperandType),
        ("SET r = b + a", ApplyError::OperandType),
        ("SET r = list_append(lst, :l) + b", ApplyError::OperandType),
        ("SET r = x, b.c = b", ApplyError::MissingAttribute),
    ] {
        assert_eq!(apply(text, &old, &list), Err(error), "{text}");
    }
}

#[test]
fn numbers_and_sets_are_added() {
    let old = [
        ("n", n("1.5")),
        ("ss", ss(&["b", "d"])),
        ("ns", ns(&["-1", "2", "10"])),
        ("bs", bs(&[b"\x01\x02", b"\x02"])),
        ("m", m(&[("k", n("1"))])),
    ];
    let values = [
        (":n", n("-2.5")),
        (":ss", ss(&["a", "b", "c"])),
        (":ns", ns(&["2", "3"])),
        (":bs", bs(&[b"\x01", b"\x02"])),
    ];
    let new = apply(
        "ADD n :n, ss :ss, ns :ns, bs :bs, m.k :n, m.j :n",
        &old,
        &values,
    );
    let expected = [
        ("n", n("-1")),
        ("ss", ss(&["a", "b", "c", "d"])),
        ("ns", ns(&["-1", "2", "3", "10"])),
        ("bs", bs(&[b"\x01", b"\x01\x02", b"\x02"])),
        ("m", m(&[("j", n("-2.5")), ("k", n("-1.5"))])),
    ];
    assert_eq!(new, Ok(item(&expected)));
}

#[test]
fn members_are_deleted_and_empty_sets_vanish() {
    let old = [
        ("ss", ss(&["a", "b", "c"])),
        ("ns", ns(&["1", "2"])),
        ("bs", bs(&[b"x"])),
        ("l", l(&[ss(&["a"]), n("1"), ss(&["a", "z"])])),
    ];
    let values = [
        (":ss", ss(&["a", "c", "x"])),
        (":ns", ns(&["1", "2", "3"])),
        (":bs", bs(&[b"y"])),
    ];
    let text = "DELETE ss :ss, ns :ns, bs :bs, l[0] :ss, l[2] :ss, l[9] :ss, nothing :ss";
    let expected = [
        ("ss", ss(&["b"])),
        ("bs", bs(&[b"x"])),
        ("l", l(&[n("1"), ss(&["z"])])),
    ];
    assert_eq!(apply(text, &old, &values), Ok(item(&expected)));
}

#[test]
fn operands_of_another_type_are_refused() {
    let old = [
        ("b", m(&[("a", ss(&["1"]))])),
        ("c", n("1")),
        ("d", ns(&["1"])),
    ];
    let values = [
        (":ss", ss(&["1"])),
        (":ns", ns(&["1"])),
        (":bs", bs(&[b"a"])),
        (":n", n("1")),
    ];
    for text in [
        "delete d :ss",
        "delete b :ns",
        "delete b.a :ns",
        "delete b.a :bs",
        "delete c :ns",
        "add b :ns",
        "add d :n",
        "add c :ns",
        "set e = a + :n",
        "set e = b - :n",
        "set e = d + :n",
    ] {
        assert_eq!(
            apply(text, &old, &values),
            Err(ApplyError::OperandType),
            "{text}"
        );
    }
}

#[test]
fn paths_must_lead_somewhere() {
    let old = [
        ("b", s("text")),
        ("c", m(&[("1", s("a"))])),
        ("d", l(&[s("a"), s("b")])),
    ];
    let value = [(":a", ss(&["a"]))];
    for path in [
        "b.a", "b[1]", "y.a", "y[1]", "c[1]", "d.#1", "d[5].x", "c.x.y", "d[0][0]",
    ] {
        for action in ["set {} = :a", "remove {}", "delete {} :a", "add {} :a"] {
            let text = action.replace("{}", path);
            assert_eq!(
                apply(&text, &old, &value),
                Err(ApplyError::InvalidPath),
                "{text}"
            );
        }
    }
    // A leaf need not be there, only what holds it.
    for text in [
        "remove c.y",
        "remove d[7]",
        "remove y",
        "delete c.y :a",
        "delete d[7] :a",
    ] {
        assert_eq!(apply(text, &old, &value), Ok(item(&old)), "{text}");
    }
}

#[test]
fn removing_from_an_item_that_is_not_there() {
    for text in ["REMOVE x.y", "REMOVE x[0]", "REMOVE x"] {
        assert_eq!(update(text, &[]).apply(None, &key()), Ok(key()), "{text}");
    }
    let set = update("SET x.y = :v", &[(":v", n("1"))]);
    assert_eq!(set.apply(None, &key()), Err(ApplyError::InvalidPath));
    let delete = update("DELETE x.y :v", &[(":v", ss(&["1"]))]);
    assert_eq!(delete.apply(None, &key()), Err(ApplyError::InvalidPath));
}

#[test]
fn values_replace_values_of_any_type() {
    let old = [(
        "x",
        m(&[
            ("b", n("3")),
            ("c", l(&[s("hi"), m(&[("y", numbers(&[3, 5, 7]))])])),
        ]),
    )];
    let new = apply("SET x.c[1].y[1] = :v, x.b = :v", &old, &[(":v", b(b"new"))]);
    let inner = l(&[n("3"), b(b"new"), n("7")]);
    let expected = [(
        "x",
        m(&[("b", b(b"new")), ("c", l(&[s("hi"), m(&[("y", inner)])]))]),
    )];
    assert_eq!(new, Ok(item(&expected)));
    let emptied = apply("REMOVE x.b, x.c", &old, &[]);
    assert_eq!(emptied, Ok(item(&[("x", m(&[]))])));
}

#[test]
fn sums_stay_in_the_range_of_numbers() {
    let old = [("big", n("9e125")), ("one", n("1"))];
    let error = |text: &str| apply(text, &old, &[(":v", n("9e125"))]).expect_err("no such number");
    let overflow =
        "Number overflow. Attempting to store a number with magnitude larger than supported range";
    assert_eq!(error("SET r = big + :v").to_string(), overflow);
    assert_eq!(error("ADD big :v").to_string(), overflow);
    assert!(matches!(error("SET r = one - :v"), ApplyError::Number(_)));
}
