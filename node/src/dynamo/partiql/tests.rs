use proptest::prelude::*;

use super::plan::{Keys, Reading, Wish};
use super::*;

fn keys() -> Keys {
    Keys {
        hash: vec!["pk".into()],
        range: vec!["sk".into()],
    }
}

fn select(text: &str, parameters: &[&str]) -> Select {
    match parse(text, parameters).expect("a statement") {
        Statement::Select(select) => select,
        other => panic!("no SELECT: {other:?}"),
    }
}

#[test]
fn a_fixed_partition_key_is_a_query() {
    let select = select(
        "SELECT a, b.c[1] FROM \"T\".\"by-b\" WHERE pk = ? AND begins_with(\"sk\", 'x') AND 3 < n ORDER BY sk DESC",
        &["{\"N\":\"7\"}"],
    );
    assert_eq!(
        plan::reading(&select, &keys()).expect("planned"),
        Reading::Queries(vec![None])
    );
    assert_eq!(
        plan::query(&select, &keys(), None, &Wish::default()),
        "{\"TableName\":\"T\",\"IndexName\":\"by-b\",\"ProjectionExpression\":\"#n0, #n1\",\
         \"KeyConditionExpression\":\"#n2 = :v0 AND begins_with(#n3, :v1)\",\"FilterExpression\":\"#n4 > :v2\",\
         \"ScanIndexForward\":\"false\",\"ExpressionAttributeNames\":{\"#n0\":\"a\",\"#n1\":\"b\",\"#n4\":\"n\",\"#n2\":\"pk\",\
         \"#n3\":\"sk\"},\"ExpressionAttributeValues\":{\":v0\":{\"N\":\"7\"},\":v1\":{\"S\":\"x\"},\":v2\":{\"N\":\"3\"}}}"
            .replace("\"false\"", "false")
    );
}

#[test]
fn a_list_of_partition_keys_is_a_query_each_and_anything_else_a_scan() {
    let many = select(
        "SELECT * FROM T WHERE pk IN ['a', 'b', 'a'] AND sk = 1",
        &[],
    );
    let Reading::Queries(values) = plan::reading(&many, &keys()).expect("planned") else {
        panic!("a scan");
    };
    assert_eq!(values.len(), 2);
    let body = plan::query(&many, &keys(), values[1].as_deref(), &Wish::default());
    assert!(body.contains("\"#n0 = :v0 AND #n1 = :v1\"") && !body.contains("Filter"));
    for text in [
        "SELECT * FROM T",
        "SELECT * FROM T WHERE pk = 'a' OR sk = 'b'",
        "SELECT * FROM T WHERE pk > 'a'",
        "SELECT * FROM T WHERE NOT pk = 'a'",
    ] {
        let select = select(text, &[]);
        assert_eq!(
            plan::reading(&select, &keys()).expect("planned"),
            Reading::Scan
        );
    }
}

#[test]
fn writes_need_the_whole_key() {
    let Statement::Update {
        table,
        changes,
        condition,
        returning,
    } = parse(
        "UPDATE T SET a = a + 1 SET l = list_append(l, [1, 'x']) REMOVE b.c SET s = set_add(s, <<1, -2>>) \
         WHERE pk = 'p' AND sk = 1 AND a IS NOT MISSING RETURNING MODIFIED NEW *",
        &[],
    )
    .expect("a statement")
    else {
        panic!("no UPDATE");
    };
    let plan = |condition: &Condition| {
        plan::update(
            &table,
            &changes,
            condition,
            returning,
            &keys(),
            &Wish::default(),
        )
    };
    let body = plan(&condition).expect("planned");
    for part in [
        "\"Key\":{\"pk\":{\"S\":\"p\"},\"sk\":{\"N\":\"1\"}}",
        "\"SET #n0 = #n0 + :v0, #n1 = list_append(#n1, :v1) REMOVE #n2.#n3 ADD #n4 :v2\"",
        "{\"L\":[{\"N\":\"1\"},{\"S\":\"x\"}]}",
        "{\"NS\":[\"1\",\"-2\"]}",
        "attribute_exists(#n5) AND (NOT (attribute_not_exists(#n0)))",
        "\"ReturnValues\":\"UPDATED_NEW\"",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    let Statement::Delete { condition, .. } =
        parse("DELETE FROM T WHERE pk = 'p' AND sk > 1", &[]).expect("a statement")
    else {
        panic!("no DELETE");
    };
    assert!(plan(&condition).is_err());
}

#[test]
fn what_is_no_statement_is_refused() {
    for text in [
        "",
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM T WHERE",
        "SELECT * FROM T WHERE a = 'x",
        "SELECT * FROM T WHERE a NOT = 1",
        "SELECT * FROM T extra",
        "INSERT INTO T VALUE {'a': 1, 'a': 2}",
        "INSERT INTO T VALUE {'a': <<1, 'x'>>}",
        "UPDATE T WHERE pk = 1",
        "UPDATE T SET a = set_add(b, <<1>>) WHERE pk = 1",
        "DELETE FROM T WHERE pk = 1 RETURNING ALL NEW *",
        "SELECT * FROM T WHERE a = ?",
    ] {
        assert!(parse(text, &[]).is_err(), "{text} passes");
    }
    let deep = format!("SELECT * FROM T WHERE {}a = 1", "(".repeat(4000));
    assert!(parse(&deep, &[]).is_err());
    let deep = format!("SELECT * FROM T WHERE a = {}", "[".repeat(4000));
    assert!(parse(&deep, &[]).is_err());
}

#[test]
fn quotes_are_doubled_and_names_may_be_words() {
    let select = select("select \"from\" from \"a-b\" where x = 'it''s'", &[]);
    assert_eq!(select.table, "a-b");
    assert_eq!(
        select.condition,
        Some(Condition::Compare(
            Operand::Path(Path(vec![Step::Name("x".into())])),
            "=",
            Operand::Value("{\"S\":\"it's\"}".into())
        ))
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse(&text, &[]);
    }

    #[test]
    fn any_row_of_words_is_read_or_refused(words in prop::collection::vec(
        prop::sample::select(vec![
            "SELECT", "*", "FROM", "T", "WHERE", "a", "=", "1", "AND", "OR", "NOT", "(", ")", "[", "]", "{", "}", "'x'", ":", ",",
            "IN", "BETWEEN", "IS", "MISSING", "UPDATE", "SET", "REMOVE", "size", "set_add", "<<", ">>", "-", ".", "RETURNING", "ALL",
            "OLD", "DELETE", "INSERT", "INTO", "VALUE", "ORDER", "BY", "\"q\"", "1e", "1.5e-7", "\u{e9}",
        ]), 0..24)
    ) {
        if let Ok(Statement::Select(select)) = parse(&words.join(" "), &[]) {
            let Ok(reading) = plan::reading(&select, &keys()) else { return Ok(()) };
            let body = match reading {
                Reading::Scan => plan::scan(&select, &Wish::default()),
                Reading::Queries(values) => plan::query(&select, &keys(), values[0].as_deref(), &Wish::default()),
            };
            prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        }
    }
}
