//! `Query` and `Scan`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::Server;

/// Sort keys of the items of an answer.
fn sorts(answer: &Value) -> Vec<i64> {
    let items = answer["Items"].as_array().expect("items");
    items
        .iter()
        .map(|item| {
            item["b"]["N"]
                .as_str()
                .expect("b")
                .parse()
                .expect("a number")
        })
        .collect()
}

async fn filled() -> Server {
    let server = Server::start().await;
    server.range_table().await;
    for hash in ["x", "y", "z", "w"] {
        for sort in -3..=6 {
            let item = json!({"a": {"S": hash}, "b": {"N": sort.to_string()}, "even": {"BOOL": sort % 2 == 0}});
            server
                .call("PutItem", json!({"TableName": "range", "Item": item}))
                .await;
        }
    }
    server
}

fn query(condition: &str, values: Value) -> Value {
    let mut values = values;
    values[":x"] = json!({"S": "x"});
    json!({
        "TableName": "range",
        "KeyConditionExpression": format!("a = :x{condition}"),
        "ExpressionAttributeValues": values,
    })
}

#[tokio::test]
async fn queries_find_ranges_of_sort_keys_in_order() {
    let server = filled().await;
    let number = |n: i64| json!({"N": n.to_string()});
    for (condition, values, expected) in [
        ("", json!({}), (-3..=6).collect::<Vec<_>>()),
        (" AND b = :l", json!({":l": number(2)}), vec![2]),
        (" AND b < :l", json!({":l": number(-1)}), vec![-3, -2]),
        (" AND b <= :l", json!({":l": number(-1)}), vec![-3, -2, -1]),
        (" AND b > :l", json!({":l": number(4)}), vec![5, 6]),
        (" AND :l <= b", json!({":l": number(4)}), vec![4, 5, 6]),
        (
            " AND b BETWEEN :l AND :h",
            json!({":l": number(-1), ":h": number(1)}),
            vec![-1, 0, 1],
        ),
    ] {
        let answer = server.call("Query", query(condition, values.clone())).await;
        assert_eq!(sorts(&answer), expected, "{condition}");
        let mut backwards = query(condition, values);
        backwards["ScanIndexForward"] = json!(false);
        let mut reversed = sorts(&server.call("Query", backwards).await);
        reversed.reverse();
        assert_eq!(reversed, expected, "{condition} backwards");
    }
}

#[tokio::test]
async fn queries_go_on_from_the_last_key() {
    let server = filled().await;
    for forward in [true, false] {
        let mut request = query("", json!({}));
        request["Limit"] = json!(4);
        request["ScanIndexForward"] = json!(forward);
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let answer = server.call("Query", request.clone()).await;
            found.extend(sorts(&answer));
            pages += 1;
            assert_eq!(answer["Count"], answer["ScannedCount"]);
            if answer["LastEvaluatedKey"].is_null() {
                break;
            }
            let last = found.last().expect("an item").to_string();
            assert_eq!(
                answer["LastEvaluatedKey"],
                json!({"a": {"S": "x"}, "b": {"N": last}})
            );
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"].clone();
        }
        if !forward {
            found.reverse();
        }
        assert_eq!(
            (found, pages),
            ((-3..=6).collect(), 3),
            "forward: {forward}"
        );
    }
    let mut outside = query("", json!({}));
    outside["ExclusiveStartKey"] = json!({"a": {"S": "y"}, "b": {"N": "1"}});
    let words =
        "The provided starting key is outside query boundaries based on provided conditions";
    server.invalid("Query", outside, words).await;
    let mut beside = query(" AND b > :l", json!({":l": {"N": "3"}}));
    beside["ExclusiveStartKey"] = json!({"a": {"S": "x"}, "b": {"N": "1"}});
    let words = "The provided starting key does not match the range key predicate";
    server.invalid("Query", beside, words).await;
}

#[tokio::test]
async fn filters_count_what_they_drop() {
    let server = filled().await;
    let mut request = query("", json!({":t": {"BOOL": true}}));
    request["FilterExpression"] = json!("even = :t");
    request["ProjectionExpression"] = json!("b");
    let answer = server.call("Query", request.clone()).await;
    assert_eq!(answer["Count"], 5);
    assert_eq!(answer["ScannedCount"], 10);
    assert_eq!(answer["Items"][0], json!({"b": {"N": "-2"}}));
    request["Select"] = json!("COUNT");
    let words = "Cannot specify the ProjectionExpression when choosing to get only the Count";
    server.invalid("Query", request.clone(), words).await;
    request
        .as_object_mut()
        .expect("an object")
        .remove("ProjectionExpression");
    request["ReturnConsumedCapacity"] = json!("TOTAL");
    let counted = server.call("Query", request.clone()).await;
    assert_eq!(
        counted,
        json!({
            "Count": 5,
            "ScannedCount": 10,
            "ConsumedCapacity": {"CapacityUnits": 0.5, "TableName": "range"},
        })
    );
    request["FilterExpression"] = json!("b = :t");
    let words =
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: b";
    server.invalid("Query", request, words).await;
}

/// Hash and sort keys of all items that pages of a scan find.
async fn scan(server: &Server, mut request: Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    loop {
        let answer = server.call("Scan", request.clone()).await;
        for item in answer["Items"].as_array().expect("items") {
            let text = |value: &Value| value.as_str().expect("a string").to_owned();
            assert!(
                found.insert((text(&item["a"]["S"]), text(&item["b"]["N"]))),
                "twice: {item}"
            );
        }
        if answer["LastEvaluatedKey"].is_null() {
            return found;
        }
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"].clone();
    }
}

#[tokio::test]
async fn scans_find_everything_once() {
    let server = filled().await;
    for limit in [1, 3, 7, 40, 100] {
        let found = scan(&server, json!({"TableName": "range", "Limit": limit})).await;
        assert_eq!(found.len(), 40, "limit {limit}");
    }
    for total in [2, 3, 7] {
        let mut union = BTreeSet::new();
        for segment in 0..total {
            let request = json!({"TableName": "range", "Segment": segment, "TotalSegments": total, "Limit": 3});
            for key in scan(&server, request).await {
                assert!(
                    union.insert(key.clone()),
                    "{key:?} is in two of {total} segments"
                );
            }
        }
        assert_eq!(union.len(), 40, "{total} segments");
    }
}

#[tokio::test]
async fn a_page_ends_after_a_mebibyte() {
    let server = Server::start().await;
    server.range_table().await;
    for sort in 0..4 {
        let item =
            json!({"a": {"S": "x"}, "b": {"N": sort.to_string()}, "v": {"S": "v".repeat(390_000)}});
        server
            .call("PutItem", json!({"TableName": "range", "Item": item}))
            .await;
    }
    let answer = server.call("Query", query("", json!({}))).await;
    assert_eq!(answer["Count"], 3);
    assert_eq!(answer["LastEvaluatedKey"]["b"], json!({"N": "2"}));
}
