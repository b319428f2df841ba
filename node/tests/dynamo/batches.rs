//! Batches.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::support::Server;

fn put(hash: &str) -> Value {
    json!({"PutRequest": {"Item": {"a": {"S": hash}, "v": {"N": "1"}}}})
}

#[tokio::test]
async fn batches_write_and_read_several_tables() {
    let server = Server::start().await;
    server.hash_table().await;
    server.range_table().await;
    let write = json!({
        "RequestItems": {
            "hash": [put("p"), put("q")],
            "range": [{"PutRequest": {"Item": {"a": {"S": "r"}, "b": {"N": "1"}}}}],
        },
        "ReturnConsumedCapacity": "TOTAL",
    });
    let answer = server.call("BatchWriteItem", write).await;
    assert_eq!(answer["UnprocessedItems"], json!({}));
    assert_eq!(
        answer["ConsumedCapacity"][0],
        json!({"CapacityUnits": 2.0, "TableName": "hash"})
    );
    let delete = json!({"RequestItems": {"hash": [{"DeleteRequest": {"Key": {"a": {"S": "q"}}}}]}});
    server.call("BatchWriteItem", delete).await;
    let read = json!({
        "RequestItems": {
            "hash": {"Keys": [{"a": {"S": "p"}}, {"a": {"S": "q"}}], "ProjectionExpression": "a"},
            "range": {"Keys": [{"a": {"S": "r"}, "b": {"N": "1.0"}}], "ConsistentRead": true},
        },
        "ReturnConsumedCapacity": "TOTAL",
    });
    let answer = server.call("BatchGetItem", read).await;
    assert_eq!(
        answer,
        json!({
            "Responses": {"hash": [{"a": {"S": "p"}}], "range": [{"a": {"S": "r"}, "b": {"N": "1"}}]},
            "UnprocessedKeys": {},
            "ConsumedCapacity": [
                {"CapacityUnits": 1.0, "TableName": "hash"},
                {"CapacityUnits": 1.0, "TableName": "range"},
            ],
        })
    );
}

#[tokio::test]
async fn what_finds_no_room_is_given_back() {
    let server = Server::start().await;
    server.hash_table().await;
    server.database.throttles.store(true, Ordering::Relaxed);
    let mut left = json!({"hash": (0..10).map(|i| put(&i.to_string())).collect::<Vec<_>>()});
    let mut rounds = 0;
    while left != json!({}) {
        let answer = server
            .call_text("BatchWriteItem", &json!({"RequestItems": left}).to_string())
            .await;
        rounds += 1;
        assert!(rounds < 100, "never done: {}", answer.text);
        if answer.status == 200 {
            left = answer.json()["UnprocessedItems"].clone();
        } else {
            // None of the batch found room.
            assert_eq!(
                answer.json()["__type"],
                "com.amazon.coral.availability#ThrottlingException"
            );
        }
    }
    assert!(rounds > 1);
    let found = server
        .call("Scan", json!({"TableName": "hash", "Select": "COUNT"}))
        .await;
    assert_eq!(found["Count"], 10);
}

#[tokio::test]
async fn an_answer_holds_16_mib() {
    let server = Server::start().await;
    server.hash_table().await;
    let mut keys = Vec::new();
    for i in 0..45 {
        let item = json!({"a": {"S": i.to_string()}, "v": {"S": "v".repeat(400_000)}});
        server
            .call("PutItem", json!({"TableName": "hash", "Item": item}))
            .await;
        keys.push(json!({"a": {"S": i.to_string()}}));
    }
    let read = json!({"RequestItems": {"hash": {"Keys": keys, "ConsistentRead": true}}});
    let answer = server.call("BatchGetItem", read).await;
    assert_eq!(
        answer["Responses"]["hash"].as_array().map(Vec::len),
        Some(41)
    );
    let left = &answer["UnprocessedKeys"]["hash"];
    assert_eq!(
        left["Keys"],
        json!([{"a": {"S": "41"}}, {"a": {"S": "42"}}, {"a": {"S": "43"}}, {"a": {"S": "44"}}])
    );
    assert_eq!(left["ConsistentRead"], true);
}

#[tokio::test]
async fn bad_batches_do_nothing() {
    let server = Server::start().await;
    server.hash_table().await;
    let twice = json!({"RequestItems": {"hash": [put("p"), {"DeleteRequest": {"Key": {"a": {"S": "p"}}}}]}});
    let words = "Provided list of item keys contains duplicates";
    server.invalid("BatchWriteItem", twice, words).await;
    let keys = json!([{"a": {"S": "p"}}, {"a": {"S": "p"}}]);
    server
        .invalid(
            "BatchGetItem",
            json!({"RequestItems": {"hash": {"Keys": keys}}}),
            words,
        )
        .await;
    let empty = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
    server
        .invalid(
            "BatchWriteItem",
            json!({"RequestItems": {"hash": [put("p"), {}]}}),
            empty,
        )
        .await;
    let key = |i: usize| json!({"a": {"S": i.to_string()}});
    let many: Vec<_> = (0..100).map(key).collect();
    let over = json!({"RequestItems": {"hash": {"Keys": many}, "hash2": {"Keys": [key(100)]}}});
    server
        .invalid(
            "BatchGetItem",
            over,
            "Too many items requested for the BatchGetItem call",
        )
        .await;
    let found = server.call("Scan", json!({"TableName": "hash"})).await;
    assert_eq!(found["Count"], 0);
}
