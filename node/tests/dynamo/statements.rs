//! PartiQL statements.

use serde_json::{Value, json};

use crate::support::Server;

async fn run(server: &Server, statement: &str, parameters: Value) -> Value {
    let mut body = json!({"Statement": statement});
    if parameters != json!([]) {
        body["Parameters"] = parameters;
    }
    server.call("ExecuteStatement", body).await
}

async fn filled() -> Server {
    let server = Server::start().await;
    server.range_table().await;
    for (hash, range, n) in [("p", "1", 1), ("p", "2", 2), ("p", "3", 3), ("q", "1", 4)] {
        let statement = format!(
            "INSERT INTO \"range\" VALUE {{'a': '{hash}', 'b': {range}, 'n': {n}, 'm': {{'x': [{n}, 'y']}}}}"
        );
        assert_eq!(
            run(&server, &statement, json!([])).await,
            json!({"Items": []})
        );
    }
    server
}

fn numbers(answer: &Value) -> Vec<&str> {
    let items = answer["Items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["n"]["N"].as_str().expect("a number"))
        .collect()
}

#[tokio::test]
async fn selects_read_what_they_name() {
    let server = filled().await;
    for (statement, expected) in [
        ("SELECT * FROM \"range\" WHERE a = 'p'", vec!["1", "2", "3"]),
        (
            "SELECT n FROM \"range\" WHERE a = 'p' ORDER BY b DESC",
            vec!["3", "2", "1"],
        ),
        (
            "SELECT n FROM \"range\" WHERE a = 'p' AND b > 1 AND n < 3",
            vec!["2"],
        ),
        (
            "SELECT n FROM \"range\" WHERE a = 'p' AND b <> 2",
            vec!["1", "3"],
        ),
        (
            "SELECT n FROM \"range\" WHERE a IN ['q', 'p'] AND b = 1",
            vec!["4", "1"],
        ),
        ("SELECT n FROM \"range\" WHERE n BETWEEN 4 AND 9", vec!["4"]),
        ("SELECT n FROM \"range\" WHERE m.x[0] = 2", vec!["2"]),
        (
            "SELECT n FROM \"range\" WHERE z IS MISSING AND contains(a, 'q')",
            vec!["4"],
        ),
    ] {
        let answer = run(&server, statement, json!([])).await;
        assert_eq!(numbers(&answer), expected, "{statement}");
    }
    let inner = run(
        &server,
        "SELECT m.x[1], a FROM \"range\" WHERE a = ? AND b = ?",
        json!([{"S": "p"}, {"N": "1"}]),
    );
    assert_eq!(
        inner.await,
        json!({"Items": [{"a": {"S": "p"}, "x[1]": {"S": "y"}}]})
    );
}

#[tokio::test]
async fn pages_go_on_where_they_stopped_and_tokens_are_of_their_statement() {
    let server = filled().await;
    for statement in [
        "SELECT n FROM \"range\" WHERE a = 'p'",
        "SELECT n FROM \"range\" WHERE a IN ('p', 'q')",
        "SELECT n FROM \"range\"",
    ] {
        let whole = run(&server, statement, json!([])).await;
        let mut seen = Vec::new();
        let mut body = json!({"Statement": statement, "Limit": 1});
        loop {
            let page = server.call("ExecuteStatement", body.clone()).await;
            seen.extend(page["Items"].as_array().expect("items").clone());
            match &page["NextToken"] {
                Value::Null => break,
                token => body["NextToken"] = token.clone(),
            }
            assert!(seen.len() < 10, "{statement} has no end");
        }
        assert_eq!(Value::from(seen), whole["Items"], "{statement}");
        if body["NextToken"] != Value::Null {
            body["Statement"] = json!("SELECT * FROM \"range\"");
            server
                .invalid(
                    "ExecuteStatement",
                    body,
                    "Given NextToken is invalid for this statement",
                )
                .await;
        }
    }
}

#[tokio::test]
async fn writes_change_one_item_that_is_there() {
    let server = filled().await;
    let changed = run(
        &server,
        "UPDATE \"range\" SET n = n + 10 SET s = ? REMOVE m WHERE a = 'p' AND b = 1 AND n = 1 RETURNING ALL NEW *",
        json!([{"SS": ["x"]}]),
    );
    assert_eq!(
        changed.await,
        json!({"Items": [{"a": {"S": "p"}, "b": {"N": "1"}, "n": {"N": "11"}, "s": {"SS": ["x"]}}]})
    );
    for (statement, exception) in [
        (
            "UPDATE \"range\" SET n = 1 WHERE a = 'none' AND b = 1",
            "ConditionalCheckFailedException",
        ),
        (
            "INSERT INTO \"range\" VALUE {'a': 'p', 'b': 1}",
            "DuplicateItemException",
        ),
    ] {
        let body = json!({"Statement": statement});
        let (kind, _) = server.refused("ExecuteStatement", body).await;
        assert!(kind.ends_with(exception), "{statement}: {kind}");
    }
    let gone = run(
        &server,
        "DELETE FROM \"range\" WHERE a = 'p' AND b = 2 RETURNING ALL OLD *",
        json!([]),
    );
    assert_eq!(numbers(&gone.await), ["2"]);
    let nothing = run(
        &server,
        "DELETE FROM \"range\" WHERE a = 'p' AND b = 2",
        json!([]),
    );
    assert_eq!(nothing.await, json!({"Items": []}));
    let never = run(
        &server,
        "DELETE FROM \"range\" WHERE a = 'none' AND b = 2 AND n = 1",
        json!([]),
    );
    assert_eq!(never.await, json!({"Items": []}));
    let (kind, _) = server
        .refused(
            "ExecuteStatement",
            json!({"Statement": "DELETE FROM \"range\" WHERE a = 'p' AND b = 3 AND n = 1"}),
        )
        .await;
    assert_eq!(kind, "ConditionalCheckFailedException");
    for (statement, words) in [
        (
            "DELETE FROM \"range\" WHERE a = 'p'",
            "Where clause does not contain a mandatory equality on all key attributes",
        ),
        (
            "SELECT * FROM \"range\" WHERE a = ?",
            "Number of parameters in request and statement don't match.",
        ),
        (
            "SELECT * FROM \"range\" ORDER BY b",
            "Must have WHERE clause in the statement when using ORDER BY clause.",
        ),
        (
            "DELETE FROM \"range\"",
            "Where clause does not contain a mandatory equality on all key attributes",
        ),
        (
            "SELECT * FROM \"range\" WHERE b = 1 ORDER BY b",
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
    ] {
        server
            .invalid("ExecuteStatement", json!({"Statement": statement}), words)
            .await;
    }
}

#[tokio::test]
async fn a_batch_answers_for_each_statement() {
    let server = filled().await;
    let batch = |statements: &[&str]| {
        let all: Vec<Value> = statements
            .iter()
            .map(|text| json!({"Statement": text}))
            .collect();
        json!({ "Statements": all })
    };
    let read = batch(&[
        "SELECT n FROM \"range\" WHERE a = 'p' AND b = 1",
        "SELECT * FROM \"range\" WHERE a = 'none' AND b = 1",
        "SELECT * FROM \"range\" WHERE a = 'p'",
        "SELECT * FROM nowhere WHERE a = 'p'",
    ]);
    assert_eq!(
        server.call("BatchExecuteStatement", read).await,
        json!({"Responses": [
            {"TableName": "range", "Item": {"n": {"N": "1"}}},
            {"TableName": "range"},
            {"TableName": "range", "Error": {
                "Code": "ValidationError",
                "Message": "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
            }},
            {"TableName": "nowhere", "Error": {
                "Code": "ResourceNotFound",
                "Message": "Requested resource not found",
            }},
        ]})
    );
    let write = batch(&[
        "INSERT INTO \"range\" VALUE {'a': 'p', 'b': 1}",
        "DELETE FROM \"range\" WHERE a = 'p' AND b = 2",
    ]);
    let answer = server.call("BatchExecuteStatement", write).await;
    assert_eq!(answer["Responses"][0]["Error"]["Code"], "DuplicateItem");
    assert_eq!(answer["Responses"][1], json!({"TableName": "range"}));
    let mixed = batch(&[
        "SELECT * FROM \"range\" WHERE a = 'p' AND b = 1",
        "DELETE FROM \"range\" WHERE a = 'p' AND b = 1",
    ]);
    server
        .invalid(
            "BatchExecuteStatement",
            mixed,
            "Batch statements must be either all reads or all writes",
        )
        .await;
}
