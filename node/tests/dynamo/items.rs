//! Operations on single items.

use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn an_item_of_all_types_comes_back() {
    let server = Server::start().await;
    server.hash_table().await;
    let item = json!({
        "a": {"S": "k\u{e9}y \"quoted\"\n"},
        "n": {"N": "-12.5"},
        "b": {"B": "AP8="},
        "t": {"BOOL": true},
        "z": {"NULL": true},
        "m": {"M": {"x": {"L": [{"S": ""}, {"M": {}}]}}},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": ["AA==", "AQ=="]},
    });
    assert_eq!(
        server
            .call("PutItem", json!({"TableName": "hash", "Item": item}))
            .await,
        json!({})
    );
    let get = json!({"TableName": "hash", "Key": {"a": item["a"]}});
    assert_eq!(server.call("GetItem", get).await, json!({"Item": item}));
    let nothing = json!({"TableName": "hash", "Key": {"a": {"S": "other"}}});
    assert_eq!(server.call("GetItem", nothing).await, json!({}));
    let projected = json!({
        "TableName": "hash",
        "Key": {"a": item["a"]},
        "ProjectionExpression": "m.x[0], #n",
        "ExpressionAttributeNames": {"#n": "n"},
    });
    let expected = json!({"Item": {"n": {"N": "-12.5"}, "m": {"M": {"x": {"L": [{"S": ""}]}}}}});
    assert_eq!(server.call("GetItem", projected).await, expected);
    let legacy =
        json!({"TableName": "hash", "Key": {"a": item["a"]}, "AttributesToGet": ["t", "none"]});
    assert_eq!(
        server.call("GetItem", legacy).await,
        json!({"Item": {"t": {"BOOL": true}}})
    );
}

#[tokio::test]
async fn updates_answer_with_what_was_asked_for() {
    let server = Server::start().await;
    server.hash_table().await;
    let put =
        json!({"TableName": "hash", "Item": {"a": {"S": "k"}, "n": {"N": "1"}, "x": {"S": "x"}}});
    server.call("PutItem", put).await;
    let update = |returns: &str| {
        json!({
            "TableName": "hash",
            "Key": {"a": {"S": "k"}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": returns,
        })
    };
    let whole = |n: &str| json!({"a": {"S": "k"}, "n": {"N": n}, "x": {"S": "x"}});
    for (returns, expected) in [
        ("NONE", Value::Null),
        ("UPDATED_OLD", json!({"n": {"N": "2"}})),
        ("UPDATED_NEW", json!({"n": {"N": "4"}})),
        ("ALL_OLD", whole("4")),
        ("ALL_NEW", whole("6")),
    ] {
        let answer = server.call("UpdateItem", update(returns)).await;
        assert_eq!(answer["Attributes"], expected, "{returns}");
    }
    let made = json!({"TableName": "hash", "Key": {"a": {"S": "new"}}, "ReturnValues": "ALL_NEW"});
    let answer = server.call("UpdateItem", made).await;
    assert_eq!(answer, json!({"Attributes": {"a": {"S": "new"}}}));
}

#[tokio::test]
async fn conditions_guard_writes() {
    let server = Server::start().await;
    server.hash_table().await;
    let put = |n: &str| {
        json!({
            "TableName": "hash",
            "Item": {"a": {"S": "k"}, "n": {"N": n}},
            "ConditionExpression": "attribute_not_exists(a) OR n < :n",
            "ExpressionAttributeValues": {":n": {"N": n}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    };
    server.call("PutItem", put("5")).await;
    let answer = server.call_text("PutItem", &put("4").to_string()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
            "Item": {"a": {"S": "k"}, "n": {"N": "5"}},
        })
    );
    let delete = |condition: &str| json!({"TableName": "hash", "Key": {"a": {"S": "k"}}, "ConditionExpression": condition, "ReturnValues": "ALL_OLD"});
    let refused = server
        .refused("DeleteItem", delete("attribute_exists(zz)"))
        .await;
    assert_eq!(refused.0, "ConditionalCheckFailedException");
    let deleted = server
        .call("DeleteItem", delete("attribute_exists(n)"))
        .await;
    assert_eq!(deleted["Attributes"]["n"], json!({"N": "5"}));
    let again = json!({"TableName": "hash", "Key": {"a": {"S": "k"}}, "ReturnValues": "ALL_OLD"});
    assert_eq!(server.call("DeleteItem", again).await, json!({}));
}

#[tokio::test]
async fn capacity_counts_started_units() {
    let server = Server::start().await;
    server.hash_table().await;
    let big = "x".repeat(5000);
    let put = json!({"TableName": "hash", "Item": {"a": {"S": "k"}, "v": {"S": big}}, "ReturnConsumedCapacity": "TOTAL"});
    let answer = server.call("PutItem", put).await;
    assert_eq!(
        answer,
        json!({"ConsumedCapacity": {"CapacityUnits": 5.0, "TableName": "hash"}})
    );
    let get = |consistent: bool| {
        json!({
            "TableName": "hash",
            "Key": {"a": {"S": "k"}},
            "ProjectionExpression": "a",
            "ConsistentRead": consistent,
            "ReturnConsumedCapacity": "INDEXES",
        })
    };
    for (consistent, units) in [(true, 2.0), (false, 1.0)] {
        let answer = server.call("GetItem", get(consistent)).await;
        assert_eq!(
            answer["ConsumedCapacity"],
            json!({"CapacityUnits": units, "TableName": "hash", "Table": {"CapacityUnits": units}})
        );
    }
    // The larger of what was and what is counts.
    let delete =
        json!({"TableName": "hash", "Key": {"a": {"S": "k"}}, "ReturnConsumedCapacity": "TOTAL"});
    let answer = server.call("DeleteItem", delete).await;
    assert_eq!(answer["ConsumedCapacity"]["CapacityUnits"], 5.0);
}

#[tokio::test]
async fn items_have_a_size_limit() {
    let server = Server::start().await;
    server.hash_table().await;
    let item = |bytes: usize| json!({"TableName": "hash", "Item": {"a": {"S": "k"}, "b": {"S": "x".repeat(bytes)}}});
    // Names and values: a, k, b.
    server.call("PutItem", item(400 * 1024 - 3)).await;
    server
        .invalid(
            "PutItem",
            item(400 * 1024 - 2),
            "Item size has exceeded the maximum allowed size",
        )
        .await;
    let grow = json!({
        "TableName": "hash",
        "Key": {"a": {"S": "k"}},
        "UpdateExpression": "SET c = :c",
        "ExpressionAttributeValues": {":c": {"S": "c"}},
    });
    let words = "Item size to update has exceeded the maximum allowed size";
    server.invalid("UpdateItem", grow, words).await;
}
