//! What projections leave of an item.

use kv_model::expression::{
    Kind, Projection, check_scalar_keys, parse_condition, parse_projection,
};

use super::{item, l, m, message, n, placeholders, s};

fn project(text: &str, names: &[(&str, &str)], of: &kv_model::Item) -> kv_model::Item {
    parse_projection(text, &mut placeholders(names, &[]))
        .expect("valid")
        .apply(of)
}

#[test]
fn members_and_elements() {
    let whole = item(&[
        ("a", s("key")),
        ("b", m(&[("a", s("a")), ("b", s("b")), ("c", s("c"))])),
        ("c", l(&[s("a"), s("b"), s("c")])),
        (
            "d",
            l(&[
                m(&[("x", n("1")), ("y", n("2"))]),
                n("0"),
                m(&[("x", n("3"))]),
            ]),
        ),
    ]);
    let nested = item(&[
        ("b", m(&[("b", s("b")), ("c", s("c"))])),
        ("c", l(&[s("b"), s("c")])),
    ]);
    assert_eq!(project("b.c,c[2],b.b,c[1],c[0].a", &[], &whole), nested);
    let names = [("#b", "b"), ("#c", "c")];
    assert_eq!(
        project("#b.#c,#c[2],#b.#b,#c[1],#c[0][1]", &names, &whole),
        nested
    );

    let elements = item(&[("d", l(&[m(&[("y", n("2"))]), m(&[("x", n("3"))])]))]);
    assert_eq!(project("d[2].x, d[0].y", &[], &whole), elements);
    assert_eq!(
        project("a, d[1]", &[], &whole),
        item(&[("a", s("key")), ("d", l(&[n("0")]))])
    );
}

#[test]
fn what_is_not_there_leaves_nothing() {
    let whole = item(&[("a", m(&[("b", n("1"))])), ("c", l(&[]))]);
    for text in [
        "x", "a.x", "a[0]", "a.b.c", "a.b[0]", "c[0]", "c.x", "x.y[1].z",
    ] {
        assert_eq!(project(text, &[], &whole), item(&[]), "{text}");
    }
    assert_eq!(project("c", &[], &whole), item(&[("c", l(&[]))]));
}

#[test]
fn attributes_to_get() {
    let projection = Projection::of_attributes(["b", "a", "b"].map(str::to_owned));
    let whole = item(&[("a", n("1")), ("b", n("2")), ("c", n("3"))]);
    assert_eq!(
        projection.apply(&whole),
        item(&[("a", n("1")), ("b", n("2"))])
    );
}

#[test]
fn keys_are_scalars() {
    let tail = "list random access '[]' and map lookup '.' are not allowed";
    let refused = |text: &str| {
        let projection = parse_projection(text, &mut placeholders(&[], &[])).expect("valid");
        check_scalar_keys(projection.paths().iter(), &["a", "b"], &["c", "d"])
    };
    for (text, key) in [
        ("x, a.b.c", "Key: a"),
        ("b[0], d.x", "Key: b"),
        ("d[0], a", "IndexKey: d"),
    ] {
        assert_eq!(
            message(refused(text)),
            format!("Key attributes must be scalars; {tail}: {key}")
        );
    }
    assert_eq!(refused("a, b, c, d, x.a"), Ok(()));

    let text = "attribute_exists(a.b.c) and x = b";
    let filter = parse_condition(Kind::Filter, text, &mut placeholders(&[], &[])).expect("valid");
    let paths: Vec<_> = filter.paths().into_iter().cloned().collect();
    assert!(check_scalar_keys(paths.iter(), &["a"], &[]).is_err());
    assert_eq!(
        message(filter.check_spares_keys(&["z", "x"])),
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: x"
    );
    assert_eq!(filter.check_spares_keys(&["z"]), Ok(()));
}
