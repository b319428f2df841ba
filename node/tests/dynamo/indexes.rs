//! Secondary indexes as requests see them: definitions, reads, and what is refused in the service's words.

use serde_json::{Value, json};

use crate::support::{Server, create};

fn keys(hash: &str, range: Option<&str>) -> Value {
    let mut schema = vec![json!({"AttributeName": hash, "KeyType": "HASH"})];
    schema.extend(range.map(|name| json!({"AttributeName": name, "KeyType": "RANGE"})));
    Value::Array(schema)
}

fn index(name: &str, hash: &str, range: Option<&str>, projection: Value) -> Value {
    json!({"IndexName": name, "KeySchema": keys(hash, range), "Projection": projection})
}

fn all() -> Value {
    json!({"ProjectionType": "ALL"})
}

/// Table `t`: keys a and b, local indexes on c (ALL) and on d (KEYS_ONLY), global ones on c (INCLUDE e) and on (d, c) (ALL).
fn table() -> Value {
    let mut table = create(
        "t_indexed",
        &[("a", "S"), ("b", "S"), ("c", "S"), ("d", "S")],
    );
    table["KeySchema"] = keys("a", Some("b"));
    table["LocalSecondaryIndexes"] = json!([
        index("by_c", "a", Some("c"), all()),
        index(
            "by_d",
            "a",
            Some("d"),
            json!({"ProjectionType": "KEYS_ONLY"})
        ),
    ]);
    table["GlobalSecondaryIndexes"] = json!([
        index(
            "of_c",
            "c",
            None,
            json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["e"]})
        ),
        index("of_d", "d", Some("c"), all()),
    ]);
    table
}

async fn filled() -> Server {
    let server = Server::start().await;
    server.call("CreateTable", table()).await;
    for (b, c, d) in [
        ("1", "z", "p"),
        ("2", "y", "p"),
        ("3", "x", "q"),
        ("4", "", ""),
    ] {
        let mut item = json!({"a": {"S": "k"}, "b": {"S": b}, "e": {"S": "e"}, "f": {"S": "f"}});
        if !c.is_empty() {
            item["c"] = json!({"S": c});
            item["d"] = json!({"S": d});
        }
        let put = json!({"TableName": "t_indexed", "Item": item});
        server.call("PutItem", put).await;
    }
    server
}

fn query(index: &str, key: &str, value: &str) -> Value {
    json!({
        "TableName": "t_indexed", "IndexName": index, "KeyConditionExpression": format!("{key} = :v"),
        "ExpressionAttributeValues": {":v": {"S": value}},
    })
}

fn with(mut request: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

fn column(answer: &Value, name: &str) -> Vec<String> {
    let items = answer["Items"].as_array().expect("items").iter();
    items
        .map(|item| item[name]["S"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_with_indexes_are_described() {
    let server = filled().await;
    let described = server
        .call("DescribeTable", json!({"TableName": "t_indexed"}))
        .await;
    let table = &described["Table"];
    assert_eq!(table["AttributeDefinitions"].as_array().unwrap().len(), 4);
    let local = &table["LocalSecondaryIndexes"][1];
    assert_eq!(local["IndexName"], "by_d");
    assert_eq!(local["Projection"], json!({"ProjectionType": "KEYS_ONLY"}));
    assert!(local.get("IndexStatus").is_none());
    let global = &table["GlobalSecondaryIndexes"][0];
    assert_eq!(global["IndexStatus"], "ACTIVE");
    assert_eq!(global["Projection"]["NonKeyAttributes"], json!(["e"]));
    let arn = global["IndexArn"].as_str().unwrap();
    assert!(arn.ends_with(":table/t_indexed/index/of_c"), "{arn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_indexes_sort_project_and_fetch() {
    let server = filled().await;
    let found = server
        .call(
            "Query",
            with(query("by_c", "a", "k"), json!({"ConsistentRead": true})),
        )
        .await;
    assert_eq!(column(&found, "b"), ["3", "2", "1"]);
    let found = server.call("Query", query("by_d", "a", "k")).await;
    assert_eq!(column(&found, "b"), ["1", "2", "3"]);
    assert_eq!(column(&found, "e"), ["-", "-", "-"]);
    for fetched in [
        json!({"Select": "ALL_ATTRIBUTES"}),
        json!({"ProjectionExpression": "e"}),
    ] {
        let found = server
            .call("Query", with(query("by_d", "a", "k"), fetched))
            .await;
        assert_eq!(column(&found, "e"), ["e", "e", "e"]);
    }
    let counted = json!({"Select": "ALL_ATTRIBUTES", "ReturnConsumedCapacity": "INDEXES"});
    let found = server
        .call("Query", with(query("by_d", "a", "k"), counted))
        .await;
    assert_eq!(
        found["ConsumedCapacity"],
        json!({
            "CapacityUnits": 2.0, "TableName": "t_indexed", "Table": {"CapacityUnits": 1.5},
            "LocalSecondaryIndexes": {"by_d": {"CapacityUnits": 0.5}},
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_an_index_go_on_from_its_keys_and_the_tables() {
    let server = filled().await;
    for (index, key, value, members) in [("by_c", "a", "k", 3), ("of_d", "d", "p", 4)] {
        let mut seen = Vec::new();
        let mut request = with(query(index, key, value), json!({"Limit": 1}));
        loop {
            let page = server.call("Query", request.clone()).await;
            seen.extend(column(&page, "b"));
            let Some(last) = page.get("LastEvaluatedKey") else {
                break;
            };
            assert_eq!(last.as_object().unwrap().len(), members, "{last}");
            request["ExclusiveStartKey"] = last.clone();
        }
        let whole = server.call("Query", query(index, key, value)).await;
        assert_eq!(seen, column(&whole, "b"), "{index}");
    }
    let scanned = json!({"TableName": "t_indexed", "IndexName": "of_c"});
    let mut found = column(&server.call("Scan", scanned).await, "b");
    found.sort();
    assert_eq!(found, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_index_can_not_give_is_refused() {
    let server = filled().await;
    for (more, words) in [
        (
            json!({"ConsistentRead": true}),
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            json!({"Select": "ALL_ATTRIBUTES"}),
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index of_c because its projection type is not ALL",
        ),
        (
            json!({"ProjectionExpression": "e, f"}),
            "One or more parameter values were invalid: Global secondary index of_c does not project [f]",
        ),
        (
            json!({"FilterExpression": "f = :v"}),
            "One or more parameter values were invalid: Secondary index of_c does not project one or more filter attributes: [f]",
        ),
        (
            json!({"IndexName": "nope"}),
            "The table does not have the specified index: nope",
        ),
    ] {
        server
            .invalid("Query", with(query("of_c", "c", "z"), more), words)
            .await;
    }
    let wrong = |value: Value| json!({"TableName": "t_indexed", "Item": {"a": {"S": "k"}, "b": {"S": "9"}, "c": value}});
    server
        .invalid(
            "PutItem",
            wrong(json!({"N": "1"})),
            "One or more parameter values were invalid: Type mismatch for Index Key c Expected: S Actual: N IndexName: by_c",
        )
        .await;
    server
        .invalid(
            "PutItem",
            wrong(json!({"S": ""})),
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by_c, IndexKey: c",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_indexes_are_refused() {
    let server = Server::start().await;
    let local = |one: Value| with(table(), json!({"LocalSecondaryIndexes": [one]}));
    let global = |one: Value| with(table(), json!({"GlobalSecondaryIndexes": [one]}));
    for (request, words) in [
        (
            local(index("by_c", "a", None, all())),
            "One or more parameter values were invalid: Index KeySchema does not have a range key for index: by_c",
        ),
        (
            local(index("by_c", "b", Some("c"), all())),
            "One or more parameter values were invalid: Index KeySchema does not have the same leading hash key as table KeySchema for index: by_c. index hash key: b, table hash key: a",
        ),
        (
            local(index("by_c", "a", Some("x"), all())),
            "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [a, x], AttributeDefinitions: [a, b, c, d]",
        ),
        (
            global(index("of_c", "c", None, json!({}))),
            "One or more parameter values were invalid: Unknown ProjectionType: null",
        ),
        (
            global(index(
                "of_c",
                "c",
                None,
                json!({"ProjectionType": "ALL", "NonKeyAttributes": ["e"]}),
            )),
            "One or more parameter values were invalid: ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            global(index("by_c", "c", None, all())),
            "One or more parameter values were invalid: Duplicate index name: by_c",
        ),
    ] {
        server.invalid("CreateTable", request, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_key_may_have_several_attributes_a_part() {
    let server = Server::start().await;
    let mut request = create(
        "many",
        &[("a", "S"), ("h", "S"), ("i", "S"), ("r", "S"), ("s", "S")],
    );
    request["KeySchema"] = keys("a", None);
    let element = |name: &str, role: &str| json!({"AttributeName": name, "KeyType": role});
    request["GlobalSecondaryIndexes"] = json!([{
        "IndexName": "of_many", "Projection": all(),
        "KeySchema": [element("h", "HASH"), element("i", "HASH"), element("r", "RANGE"), element("s", "RANGE")],
    }]);
    server.call("CreateTable", request).await;
    for (a, i, r, s) in [
        ("1", "x", "m", "a"),
        ("2", "x", "m", "b"),
        ("3", "x", "n", "a"),
        ("4", "y", "m", "a"),
    ] {
        let item =
            json!({"a": {"S": a}, "h": {"S": "k"}, "i": {"S": i}, "r": {"S": r}, "s": {"S": s}});
        server
            .call("PutItem", json!({"TableName": "many", "Item": item}))
            .await;
    }
    let query = |condition: &str| {
        json!({
            "TableName": "many", "IndexName": "of_many", "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":k": {"S": "k"}, ":x": {"S": "x"}, ":m": {"S": "m"}, ":b": {"S": "b"}},
        })
    };
    let narrow = |condition: &str, unused: &[&str]| {
        let mut request = query(condition);
        for name in unused {
            request["ExpressionAttributeValues"]
                .as_object_mut()
                .unwrap()
                .remove(*name);
        }
        request
    };
    for (request, expected) in [
        (
            narrow("h = :k AND i = :x", &[":m", ":b"]),
            vec!["1", "2", "3"],
        ),
        (
            narrow("h = :k AND i = :x AND r = :m", &[":b"]),
            vec!["1", "2"],
        ),
        (query("h = :k AND i = :x AND r = :m AND s >= :b"), vec!["2"]),
        (narrow("h = :k AND i = :x AND r > :m", &[":b"]), vec!["3"]),
    ] {
        let found = server.call("Query", request.clone()).await;
        assert_eq!(column(&found, "a"), expected, "{request}");
    }
    for (request, words) in [
        (
            narrow("h = :k", &[":x", ":m", ":b"]),
            "Query condition missed key schema element: i",
        ),
        (
            narrow("h = :k AND i = :x AND s = :b", &[":m"]),
            "Query condition missed key schema element: r",
        ),
    ] {
        server.invalid("Query", request, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_tell_of_their_collection_where_there_are_local_indexes() {
    let server = filled().await;
    let put = json!({
        "TableName": "t_indexed", "Item": {"a": {"S": "k"}, "b": {"S": "1"}}, "ReturnItemCollectionMetrics": "SIZE",
    });
    let answer = server.call("PutItem", put).await;
    assert_eq!(
        answer["ItemCollectionMetrics"],
        json!({"ItemCollectionKey": {"a": {"S": "k"}}, "SizeEstimateRangeGB": [0.0, 1.0]})
    );
    server.hash_table().await;
    let put = json!({"TableName": "hash", "Item": {"a": {"S": "k"}}, "ReturnItemCollectionMetrics": "SIZE"});
    assert!(
        server
            .call("PutItem", put)
            .await
            .get("ItemCollectionMetrics")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_switched_by_its_attribute() {
    let server = Server::start().await;
    server.hash_table().await;
    let update = |attribute: &str, enabled: bool| json!({"TableName": "hash", "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": enabled}});
    server
        .invalid(
            "UpdateTimeToLive",
            update("at", false),
            "TimeToLive is already disabled",
        )
        .await;
    server.call("UpdateTimeToLive", update("at", true)).await;
    server
        .invalid(
            "UpdateTimeToLive",
            update("at", true),
            "TimeToLive is already enabled",
        )
        .await;
    let described = server
        .call("DescribeTimeToLive", json!({"TableName": "hash"}))
        .await;
    assert_eq!(
        described["TimeToLiveDescription"],
        json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "at"})
    );
    server.call("UpdateTimeToLive", update("at", false)).await;
}
