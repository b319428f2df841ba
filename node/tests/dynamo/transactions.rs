//! `TransactWriteItems`, `TransactGetItems` and `ExecuteTransaction`.

use serde_json::{Value, json};

use crate::support::Server;

fn put(key: &str, n: u32) -> Value {
    json!({"Put": {"TableName": "hash", "Item": {"a": {"S": key}, "n": {"N": n.to_string()}}}})
}

fn get(key: &str) -> Value {
    json!({"Get": {"TableName": "hash", "Key": {"a": {"S": key}}}})
}

async fn server() -> Server {
    let server = Server::start().await;
    server.hash_table().await;
    server
}

async fn write(server: &Server, items: Value) -> Value {
    server
        .call("TransactWriteItems", json!({"TransactItems": items}))
        .await
}

#[tokio::test]
async fn all_four_kinds_are_done_together() {
    let server = server().await;
    write(&server, json!([put("x", 1), put("y", 2), put("z", 3)])).await;
    let key = |key: &str| json!({"a": {"S": key}});
    let items = json!([
        {"ConditionCheck": {"TableName": "hash", "Key": key("x"), "ConditionExpression": "n = :one",
                            "ExpressionAttributeValues": {":one": {"N": "1"}}}},
        {"Update": {"TableName": "hash", "Key": key("y"), "UpdateExpression": "ADD n :one",
                    "ExpressionAttributeValues": {":one": {"N": "1"}}}},
        {"Delete": {"TableName": "hash", "Key": key("z")}},
        put("w", 9),
    ]);
    assert_eq!(write(&server, items).await, json!({}));
    let reads = json!({"TransactItems": [get("x"), get("y"), get("z"), get("w")], "ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(
        server.call("TransactGetItems", reads).await,
        json!({
            "ConsumedCapacity": [{"TableName": "hash", "CapacityUnits": 8.0, "ReadCapacityUnits": 8.0}],
            "Responses": [
                {"Item": {"a": {"S": "x"}, "n": {"N": "1"}}},
                {"Item": {"a": {"S": "y"}, "n": {"N": "3"}}},
                {},
                {"Item": {"a": {"S": "w"}, "n": {"N": "9"}}},
            ],
        })
    );
}

#[tokio::test]
async fn a_reason_is_given_for_each_item() {
    let server = server().await;
    write(&server, json!([put("x", 1)])).await;
    let mut new = put("x", 2);
    new["Put"]["ConditionExpression"] = json!("attribute_not_exists(a)");
    new["Put"]["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let body = json!({"TransactItems": [put("y", 5), new]}).to_string();
    let answer = server.call_text("TransactWriteItems", &body).await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            400,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "CancellationReasons": [
                    {"Code": "None"},
                    {"Code": "ConditionalCheckFailed", "Item": {"a": {"S": "x"}, "n": {"N": "1"}},
                     "Message": "The conditional request failed"},
                ],
                "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]",
            })
        )
    );
    let reads = json!({"TransactItems": [get("y")]});
    assert_eq!(
        server.call("TransactGetItems", reads).await,
        json!({"Responses": [{}]})
    );
    let wrong = json!({"TransactItems": [
        {"Put": {"TableName": "hash", "Item": {"a": {"N": "1"}}}}, put("y", 1),
    ]});
    let (name, message) = server.refused("TransactWriteItems", wrong).await;
    assert_eq!(name, "TransactionCanceledException");
    assert!(message.ends_with("[ValidationError, None]"), "{message}");
}

#[tokio::test]
async fn a_token_holds() {
    let server = server().await;
    let request = |n: u32| {
        json!({"TransactItems": [{"Update": {
            "TableName": "hash", "Key": {"a": {"S": "x"}}, "UpdateExpression": "ADD n :n",
            "ExpressionAttributeValues": {":n": {"N": n.to_string()}},
        }}], "ClientRequestToken": "token", "ReturnConsumedCapacity": "TOTAL"})
    };
    let first = server.call("TransactWriteItems", request(1)).await;
    assert_eq!(first["ConsumedCapacity"][0]["WriteCapacityUnits"], 2.0);
    let again = server.call("TransactWriteItems", request(1)).await;
    assert_eq!(again["ConsumedCapacity"][0]["ReadCapacityUnits"], 2.0);
    let (name, _) = server.refused("TransactWriteItems", request(2)).await;
    assert_eq!(name, "IdempotentParameterMismatchException");
    let reads = json!({"TransactItems": [get("x")]});
    let found = server.call("TransactGetItems", reads).await;
    assert_eq!(found["Responses"][0]["Item"]["n"]["N"], "1");
}

#[tokio::test]
async fn mistakes_are_told_in_the_services_words() {
    let server = server().await;
    let many: Vec<Value> = (0..101).map(|n| put(&n.to_string(), n)).collect();
    for (items, words) in [
        (
            json!([]),
            "1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            json!([{}]),
            "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
        ),
        (
            json!([{"Put": put("x", 1)["Put"], "Delete": {"TableName": "hash", "Key": {"a": {"S": "x"}}}}]),
            "TransactItems can only contain one of Check, Put, Update or Delete",
        ),
        (
            json!([put("x", 1), put("x", 2)]),
            "Transaction request cannot include multiple operations on one item",
        ),
        (
            json!([{"Put": {"TableName": "hash", "Item": {"a": {"S": "x"}}, "ConditionExpression": "b = :v"}}]),
            "Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :v",
        ),
        (
            json!([{"ConditionCheck": {"TableName": "hash", "Key": {"a": {"S": "x"}}}}]),
            "1 validation error detected: Value null at 'transactItems.1.member.conditionCheck.conditionExpression' failed to satisfy constraint: Member must not be null",
        ),
    ] {
        server
            .invalid("TransactWriteItems", json!({"TransactItems": items}), words)
            .await;
    }
    let (name, message) = server
        .refused("TransactWriteItems", json!({"TransactItems": many}))
        .await;
    assert_eq!(name, "ValidationException");
    assert!(
        message.ends_with("Member must have length less than or equal to 100"),
        "{message}"
    );
    let big = "x".repeat(390_000);
    let large: Vec<Value> = (0..12)
        .map(|n| json!({"Put": {"TableName": "hash", "Item": {"a": {"S": n.to_string()}, "x": {"S": big}}}}))
        .collect();
    let (_, message) = server
        .refused("TransactWriteItems", json!({"TransactItems": large}))
        .await;
    assert!(
        message.starts_with("Transaction payload size cannot exceed 4MB."),
        "{message}"
    );
    let (name, _) = server
        .refused(
            "TransactGetItems",
            json!({"TransactItems": [{"Get": {"TableName": "nope", "Key": {"a": {"S": "x"}}}}]}),
        )
        .await;
    assert_eq!(name, "ResourceNotFoundException");
    let twice = json!({"TransactItems": [get("x"), get("x")]});
    let words = "Transaction request cannot include multiple operations on one item";
    server.invalid("TransactGetItems", twice, words).await;
}

#[tokio::test]
async fn statements_are_planned_into_items() {
    let server = server().await;
    let run = |statements: &[&str]| {
        let statements: Vec<Value> = statements.iter().map(|s| json!({"Statement": s})).collect();
        json!({"TransactStatements": statements})
    };
    let insert = run(&[
        "INSERT INTO hash VALUE {'a': 'x', 'n': 1}",
        "INSERT INTO hash VALUE {'a': 'y', 'n': 2}",
    ]);
    assert_eq!(
        server.call("ExecuteTransaction", insert).await,
        json!({"Responses": []})
    );
    let change = run(&[
        "UPDATE hash SET n = 5 WHERE a = 'x'",
        "EXISTS(SELECT * FROM hash WHERE a = 'y' AND n = 2)",
        "DELETE FROM hash WHERE a = 'none'",
    ]);
    server.call("ExecuteTransaction", change).await;
    let select = run(&[
        "SELECT n FROM hash WHERE a = 'x'",
        "SELECT * FROM hash WHERE a = 'zz'",
    ]);
    assert_eq!(
        server.call("ExecuteTransaction", select).await,
        json!({"Responses": [{"Item": {"n": {"N": "5"}}}, {}]})
    );
    for (statements, code) in [
        (
            run(&[
                "INSERT INTO hash VALUE {'a': 'x'}",
                "UPDATE hash SET n = 7 WHERE a = 'y'",
            ]),
            "[DuplicateItem, None]",
        ),
        (
            run(&["UPDATE hash SET n = 7 WHERE a = 'none'"]),
            "[ConditionalCheckFailed]",
        ),
        (
            run(&[
                "UPDATE hash SET n = 7 WHERE a = 'y'",
                "EXISTS(SELECT * FROM hash WHERE a = 'x' AND n = 1)",
            ]),
            "[None, ConditionalCheckFailed]",
        ),
    ] {
        let (name, message) = server.refused("ExecuteTransaction", statements).await;
        assert_eq!(name, "TransactionCanceledException");
        assert!(message.ends_with(code), "{message}");
    }
    for (statements, words) in [
        (
            run(&[
                "SELECT * FROM hash WHERE a = 'x'",
                "DELETE FROM hash WHERE a = 'x'",
            ]),
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ),
        (
            run(&["SELECT * FROM hash"]),
            "Validation failed in TransactStatements[0]: Select statements within ExecuteTransaction must specify the primary key in the where clause.",
        ),
        (
            run(&["DELETE FROM hash WHERE a = 'x' RETURNING ALL OLD *"]),
            "Validation failed in TransactStatements[0]: RETURNING clause is not supported in ExecuteTransaction.",
        ),
    ] {
        server
            .invalid("ExecuteTransaction", statements, words)
            .await;
    }
}
