//! What wrong requests hear: types first, then constraints, then meaning, then the table, then the key.
//! The words are those that dynalite's tests recorded from the service.

use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn wrong_types_are_told_first() {
    let server = Server::start().await;
    let map = "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>";
    let cases: &[(&str, Value, &str)] = &[
        (
            "GetItem",
            json!({"TableName": true}),
            "TRUE_VALUE cannot be converted to String",
        ),
        (
            "GetItem",
            json!({"TableName": 23}),
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            "GetItem",
            json!({"TableName": 34.56}),
            "DECIMAL_VALUE cannot be converted to String",
        ),
        (
            "GetItem",
            json!({"TableName": []}),
            "Unrecognized collection type class java.lang.String",
        ),
        (
            "GetItem",
            json!({"TableName": {}}),
            "Start of structure or map found where not expected",
        ),
        (
            "GetItem",
            json!({"ConsistentRead": "23"}),
            "Unexpected token received from parser",
        ),
        (
            "GetItem",
            json!({"ConsistentRead": 1}),
            "NUMBER_VALUE cannot be converted to Boolean",
        ),
        ("GetItem", json!({"Key": "23"}), "Unexpected field type"),
        ("GetItem", json!({"Key": []}), map),
        (
            "GetItem",
            json!({"Key": {"a": "23"}}),
            "Unexpected value type in payload",
        ),
        (
            "GetItem",
            json!({"Key": {"a": []}}),
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue",
        ),
        (
            "GetItem",
            json!({"Key": {"a": {"S": 1}}}),
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            "GetItem",
            json!({"Key": {"a": {"B": 1}}}),
            "only base-64-encoded strings are convertible to bytes",
        ),
        (
            "GetItem",
            json!({"Key": {"a": {"B": "23456"}}}),
            "Base64 encoded length is expected a multiple of 4 bytes but found: 5",
        ),
        (
            "GetItem",
            json!({"Key": {"a": {"B": "+/+="}}}),
            "Invalid last non-pad Base64 character dectected",
        ),
        (
            "GetItem",
            json!({"Key": {"a": {"L": [{"BS": "x"}]}}}),
            "Unexpected field type",
        ),
        (
            "GetItem",
            json!({"AttributesToGet": "23"}),
            "Unexpected field type",
        ),
        (
            "Scan",
            json!({"Limit": "23"}),
            "STRING_VALUE cannot be converted to Integer",
        ),
        (
            "Scan",
            json!({"Limit": []}),
            "Unrecognized collection type class java.lang.Integer",
        ),
        (
            "CreateTable",
            json!({"ProvisionedThroughput": {"ReadCapacityUnits": false}}),
            "FALSE_VALUE cannot be converted to Long",
        ),
        (
            "CreateTable",
            json!({"KeySchema": [[]]}),
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.KeySchemaElement",
        ),
        (
            "BatchWriteItem",
            json!({"RequestItems": []}),
            "Unrecognized collection type java.util.Map<java.lang.String, java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>>",
        ),
        (
            "BatchGetItem",
            json!({"RequestItems": {"a": {"Keys": [[]]}}}),
            map,
        ),
    ];
    for (operation, body, words) in cases {
        let refused = server.refused(operation, body.clone()).await;
        assert_eq!(
            refused,
            ("SerializationException".into(), (*words).into()),
            "{operation} {body}"
        );
    }
    let (_, words) = server
        .refused("BatchWriteItem", json!({"RequestItems": {"a": 1}}))
        .await;
    assert!(words.starts_with("class sun.reflect.generics."), "{words}");
}

#[tokio::test]
async fn all_broken_constraints_are_told_together() {
    let server = Server::start().await;
    let null = |member: &str| {
        format!("Value null at '{member}' failed to satisfy constraint: Member must not be null")
    };
    let pattern = |value: &str| {
        format!(
            "Value '{value}' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )
    };
    let short = |value: &str| {
        format!(
            "Value '{value}' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3"
        )
    };
    let returned = "Value 'hi' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]";
    let capacity = "Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]";
    let cases: &[(&str, Value, &[String])] = &[
        ("PutItem", json!({}), &[null("tableName"), null("item")]),
        ("PutItem", json!({"TableName": ""}), &[pattern(""), short(""), null("item")]),
        ("PutItem", json!({"TableName": "a;"}), &[pattern("a;"), short("a;"), null("item")]),
        (
            "PutItem",
            json!({"TableName": "abc;", "ReturnValues": "hi", "ReturnConsumedCapacity": "hi"}),
            &[capacity.into(), pattern("abc;"), null("item"), returned.into()],
        ),
        ("GetItem", json!({}), &[null("tableName"), null("key")]),
        (
            "Scan",
            json!({"TableName": "abc", "Limit": 0}),
            &["Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1".into()],
        ),
        (
            "Query",
            json!({"TableName": "abc", "KeyConditions": {"a": {}}}),
            &[null("keyConditions.a.member.comparisonOperator")],
        ),
        (
            "CreateTable",
            json!({"TableName": "abc", "AttributeDefinitions": [{}]}),
            &[
                null("attributeDefinitions.1.member.attributeName"),
                null("attributeDefinitions.1.member.attributeType"),
                null("keySchema"),
            ],
        ),
        (
            "BatchGetItem",
            json!({"RequestItems": {}}),
            &["Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1".into()],
        ),
        (
            "BatchWriteItem",
            json!({"RequestItems": {"abc": []}}),
            &["Value '{abc=[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]".into()],
        ),
        (
            "BatchWriteItem",
            json!({"RequestItems": {"abc": [{"PutRequest": {}, "DeleteRequest": {}}]}}),
            &[
                null("requestItems.abc.member.1.member.deleteRequest.key"),
                null("requestItems.abc.member.1.member.putRequest.item"),
            ],
        ),
    ];
    for (operation, body, violations) in cases {
        let plural = if violations.len() == 1 { "" } else { "s" };
        let words = format!(
            "{} validation error{plural} detected: {}",
            violations.len(),
            violations.join("; ")
        );
        server.invalid(operation, body.clone(), &words).await;
    }
    let early = "The parameter 'TableName' is required but was not present in the request";
    server.invalid("DescribeTable", json!({}), early).await;
    let early = "TableName must be at least 3 characters long and at most 255 characters long";
    server
        .invalid("CreateTable", json!({"TableName": "a;"}), early)
        .await;
}

#[tokio::test]
async fn meaning_is_checked_before_the_table() {
    let server = Server::start().await;
    let one = json!({":v": {"S": "x"}});
    let cases: &[(&str, Value, &str)] = &[
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {"a": {}}, "Expected": {"a": {}}, "ConditionExpression": ""}),
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {"a": {}}, "ExpressionAttributeNames": {}}),
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {"a": {}}, "ExpressionAttributeValues": one}),
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            "Scan",
            json!({"TableName": "abc", "ExpressionAttributeValues": one}),
            "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {"a": {"S": "a", "N": "1"}}}),
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {}, "ReturnValues": "ALL_NEW"}),
            "ReturnValues can only be ALL_OLD or NONE",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {}, "ConditionExpression": "a = :v", "ExpressionAttributeValues": {":v": {}}}),
            "ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes for key :v",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {}, "ConditionExpression": "attribute_exists(a)", "ExpressionAttributeValues": one}),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}",
        ),
        (
            "GetItem",
            json!({"TableName": "abc", "Key": {}, "AttributesToGet": ["a", "a"]}),
            "One or more parameter values were invalid: Duplicate value in attribute name: a",
        ),
        (
            "GetItem",
            json!({"TableName": "abc", "Key": {}, "ProjectionExpression": ""}),
            "Invalid ProjectionExpression: The expression can not be empty;",
        ),
        (
            "Scan",
            json!({"TableName": "abc", "FilterExpression": ""}),
            "Invalid FilterExpression: The expression can not be empty;",
        ),
        (
            "Scan",
            json!({"TableName": "abc", "Segment": 1, "TotalSegments": 1}),
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 1 is not less than TotalSegments: 1",
        ),
        (
            "Query",
            json!({"TableName": "abc"}),
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
        (
            "PutItem",
            json!({"TableName": "abc", "Item": {}, "Expected": {"a": {}}}),
            "One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a",
        ),
    ];
    for (operation, body, words) in cases {
        server.invalid(operation, body.clone(), words).await;
    }
}

#[tokio::test]
async fn the_table_comes_before_the_key() {
    let server = Server::start().await;
    server.range_table().await;
    for (operation, body) in [
        ("GetItem", json!({"TableName": "none", "Key": {}})),
        ("PutItem", json!({"TableName": "none", "Item": {}})),
        (
            "BatchGetItem",
            json!({"RequestItems": {"none": {"Keys": [{}]}}}),
        ),
        ("Scan", json!({"TableName": "none"})),
    ] {
        let refused = server.refused(operation, body).await;
        let expected = (
            "ResourceNotFoundException".into(),
            "Requested resource not found".into(),
        );
        assert_eq!(refused, expected, "{operation}");
    }
    let mismatch = "The provided key element does not match the schema";
    for key in [
        json!({}),
        json!({"a": {"S": "x"}}),
        json!({"a": {"S": "x"}, "b": {"S": "1"}}),
        json!({"a": {"S": "x"}, "b": {"N": "1"}, "c": {"N": "1"}}),
    ] {
        server
            .invalid(
                "GetItem",
                json!({"TableName": "range", "Key": key}),
                mismatch,
            )
            .await;
    }
    let missing = "One or more parameter values were invalid: Missing the key b in the item";
    server
        .invalid(
            "PutItem",
            json!({"TableName": "range", "Item": {"a": {"S": "x"}}}),
            missing,
        )
        .await;
    let wrong =
        "One or more parameter values were invalid: Type mismatch for key b expected: N actual: S";
    let item = json!({"a": {"S": "x"}, "b": {"S": "x"}});
    server
        .invalid(
            "PutItem",
            json!({"TableName": "range", "Item": item}),
            wrong,
        )
        .await;
    let batch = json!({"RequestItems": {"range": [{"PutRequest": {"Item": item}}]}});
    server.invalid("BatchWriteItem", batch, mismatch).await;
    let update = json!({
        "TableName": "range",
        "Key": {"a": {"S": "x"}, "b": {"N": "1"}},
        "UpdateExpression": "REMOVE b",
    });
    let words = "One or more parameter values were invalid: Cannot update attribute b. This attribute is part of the key";
    server.invalid("UpdateItem", update, words).await;
}
