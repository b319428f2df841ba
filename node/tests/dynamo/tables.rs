//! Operations on tables.

use serde_json::json;

use crate::support::{Server, create};

#[tokio::test]
async fn a_table_is_made_described_listed_and_deleted() {
    let server = Server::start().await;
    let made = server
        .call("CreateTable", create("range", &[("a", "S"), ("b", "N")]))
        .await;
    let made = &made["TableDescription"];
    assert_eq!(made["TableName"], "range");
    assert_eq!(
        made["TableArn"],
        "arn:aws:dynamodb:eu-test-1:000000000000:table/range"
    );
    assert_eq!(
        made["KeySchema"][1],
        json!({"AttributeName": "b", "KeyType": "RANGE"})
    );
    assert_eq!(
        made["AttributeDefinitions"][1],
        json!({"AttributeName": "b", "AttributeType": "N"})
    );
    assert_eq!(made["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(made["CreationDateTime"], 1_700_000_000.5);

    let by_arn = json!({"TableName": made["TableArn"]});
    let described = server.call("DescribeTable", by_arn).await;
    assert_eq!(described["Table"]["TableStatus"], "ACTIVE");
    assert_eq!(described["Table"]["DeletionProtectionEnabled"], false);

    let again = server
        .refused("CreateTable", create("range", &[("a", "S")]))
        .await;
    assert_eq!(
        again,
        (
            "ResourceInUseException".into(),
            "Table already exists: range".into()
        )
    );

    let deleted = server
        .call("DeleteTable", json!({"TableName": "range"}))
        .await;
    assert_eq!(deleted["TableDescription"]["TableStatus"], "DELETING");
    for operation in [
        "DescribeTable",
        "DeleteTable",
        "DescribeTimeToLive",
        "DescribeContinuousBackups",
    ] {
        let refused = server
            .refused(operation, json!({"TableName": "range"}))
            .await;
        let words = "Requested resource not found: Table: range not found";
        assert_eq!(
            refused,
            ("ResourceNotFoundException".into(), words.into()),
            "{operation}"
        );
    }
}

#[tokio::test]
async fn tables_are_listed_in_pages() {
    let server = Server::start().await;
    for name in ["ccc", "aaa", "bbb"] {
        server
            .call("CreateTable", create(name, &[("a", "S")]))
            .await;
    }
    let all = server.call("ListTables", json!({})).await;
    assert_eq!(all, json!({"TableNames": ["aaa", "bbb", "ccc"]}));
    let first = server.call("ListTables", json!({"Limit": 2})).await;
    assert_eq!(
        first,
        json!({"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"})
    );
    let rest = json!({"Limit": 2, "ExclusiveStartTableName": "bbb"});
    assert_eq!(
        server.call("ListTables", rest).await,
        json!({"TableNames": ["ccc"]})
    );
}

#[tokio::test]
async fn billing_and_protection_change() {
    let server = Server::start().await;
    let mut input = create("prov", &[("a", "S")]);
    input["BillingMode"] = json!("PROVISIONED");
    input["ProvisionedThroughput"] = json!({"ReadCapacityUnits": 3, "WriteCapacityUnits": 4});
    server.call("CreateTable", input).await;
    let same = json!({"TableName": "prov", "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}});
    let (_, words) = server.refused("UpdateTable", same).await;
    assert!(
        words.starts_with("The provisioned throughput for the table will not change."),
        "{words}"
    );
    let on_demand = json!({"TableName": "prov", "BillingMode": "PAY_PER_REQUEST", "DeletionProtectionEnabled": true});
    let changed = server.call("UpdateTable", on_demand).await;
    assert_eq!(
        changed["TableDescription"]["BillingModeSummary"]["BillingMode"],
        "PAY_PER_REQUEST"
    );
    let words = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.";
    server
        .invalid("DeleteTable", json!({"TableName": "prov"}), words)
        .await;
    server
        .call(
            "UpdateTable",
            json!({"TableName": "prov", "DeletionProtectionEnabled": false}),
        )
        .await;
    server
        .call("DeleteTable", json!({"TableName": "prov"}))
        .await;
}

#[tokio::test]
async fn tools_hear_of_features_that_are_off() {
    let server = Server::start().await;
    server.hash_table().await;
    let ttl = server
        .call("DescribeTimeToLive", json!({"TableName": "hash"}))
        .await;
    assert_eq!(
        ttl,
        json!({"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}})
    );
    let backups = server
        .call("DescribeContinuousBackups", json!({"TableName": "hash"}))
        .await;
    assert_eq!(
        backups["ContinuousBackupsDescription"]["ContinuousBackupsStatus"],
        "DISABLED"
    );
    let arn = "arn:aws:dynamodb:eu-test-1:000000000000:table/hash";
    let tags = server
        .call("ListTagsOfResource", json!({"ResourceArn": arn}))
        .await;
    assert_eq!(tags, json!({"Tags": []}));
    let limits = server.call("DescribeLimits", json!({})).await;
    assert_eq!(limits["TableMaxReadCapacityUnits"], 40_000);
    let endpoints = server.call("DescribeEndpoints", json!({})).await;
    let address = server.url.trim_start_matches("http://");
    assert_eq!(endpoints["Endpoints"][0]["Address"], address);
}

#[tokio::test]
async fn bad_tables_are_refused_in_the_services_words() {
    let server = Server::start().await;
    let throughput = json!({"ReadCapacityUnits": 1, "WriteCapacityUnits": 1});
    let table = |definitions: &[&str], keys: &[(&str, &str)]| {
        let definitions: Vec<_> = definitions
            .iter()
            .map(|name| json!({"AttributeName": name, "AttributeType": "S"}))
            .collect();
        let keys: Vec<_> = keys
            .iter()
            .map(|(name, role)| json!({"AttributeName": name, "KeyType": role}))
            .collect();
        json!({"TableName": "abc", "AttributeDefinitions": definitions, "KeySchema": keys, "ProvisionedThroughput": throughput})
    };
    for (input, words) in [
        (
            table(&[], &[("a", "HASH"), ("a", "HASH")]),
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            table(&["b"], &[("a", "HASH")]),
            "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [b]",
        ),
        (
            table(&["a", "b"], &[("a", "HASH"), ("a", "HASH")]),
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        (
            table(&["a", "b"], &[("a", "HASH"), ("b", "HASH")]),
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ),
        (
            table(&["a", "b"], &[("a", "RANGE"), ("b", "HASH")]),
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            table(&["a", "b"], &[("a", "HASH")]),
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ),
    ] {
        server.invalid("CreateTable", input, words).await;
    }
}
