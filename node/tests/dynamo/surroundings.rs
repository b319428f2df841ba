//! What surrounds tables: tags and class are kept; what is not offered says so, or that it is off.

use serde_json::{Value, json};

use crate::support::{Server, create};

const ARN: &str = "arn:aws:dynamodb:eu-test-1:000000000000:table/hash";

async fn tags(server: &Server) -> Value {
    let listed = server.call("ListTagsOfResource", json!({"ResourceArn": ARN}));
    listed.await["Tags"].clone()
}

#[tokio::test]
async fn tags_are_kept_listed_and_removed() {
    let server = Server::start().await;
    let mut new = create("hash", &[("a", "S")]);
    new["Tags"] = json!([{"Key": "b", "Value": "1"}]);
    new["TableClass"] = json!("STANDARD_INFREQUENT_ACCESS");
    new["OnDemandThroughput"] = json!({"MaxReadRequestUnits": 5});
    let made = server.call("CreateTable", new).await;
    let table = &made["TableDescription"];
    assert_eq!(
        table["TableClassSummary"]["TableClass"],
        "STANDARD_INFREQUENT_ACCESS"
    );
    assert_eq!(
        table["OnDemandThroughput"],
        json!({"MaxReadRequestUnits": 5, "MaxWriteRequestUnits": -1})
    );
    let tag = json!({"ResourceArn": ARN, "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}]});
    let tagged = server.call_text("TagResource", &tag.to_string()).await;
    assert_eq!(tagged.status, 200);
    assert!(tagged.text.is_empty());
    assert_eq!(
        tags(&server).await,
        json!([{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}])
    );
    let untag = json!({"ResourceArn": ARN, "TagKeys": ["a", "none"]});
    server.call_text("UntagResource", &untag.to_string()).await;
    assert_eq!(tags(&server).await, json!([{"Key": "b", "Value": "2"}]));
}

#[tokio::test]
async fn tags_are_refused_in_the_words_of_the_service() {
    let server = Server::start().await;
    server.hash_table().await;
    let many: Vec<Value> = (0..51)
        .map(|i| json!({"Key": format!("k{i}"), "Value": ""}))
        .collect();
    for (operation, body, words) in [
        (
            "TagResource",
            json!({"ResourceArn": ARN, "Tags": []}),
            "Atleast one Tag needs to be provided as Input.",
        ),
        (
            "UntagResource",
            json!({"ResourceArn": ARN, "TagKeys": []}),
            "Atleast one Tag Key needs to be provided as Input.",
        ),
        (
            "TagResource",
            json!({"ResourceArn": ARN, "Tags": many}),
            "Number of Tags exceed the current limit for the provided ResourceArn",
        ),
        (
            "TagResource",
            json!({"ResourceArn": ARN, "Tags": [{"Key": "", "Value": ""}]}),
            "1 validation error detected: Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "TagResource",
            json!({"ResourceArn": "hash", "Tags": [{"Key": "a", "Value": ""}]}),
            "One or more parameter values were invalid: Invalid TableArn: Invalid ResourceArn provided as input hash",
        ),
    ] {
        server.invalid(operation, body, words).await;
    }
}

#[tokio::test]
async fn what_is_off_or_absent_says_so() {
    let server = Server::start().await;
    server.hash_table().await;
    let arn = "arn:aws:dynamodb:eu-test-1:000000000000:table/hash/backup/01";
    for (operation, body, name) in [
        (
            "CreateBackup",
            json!({"TableName": "hash", "BackupName": "abc"}),
            "ContinuousBackupsUnavailableException",
        ),
        (
            "CreateBackup",
            json!({"TableName": "none", "BackupName": "abc"}),
            "TableNotFoundException",
        ),
        (
            "DescribeBackup",
            json!({"BackupArn": arn}),
            "BackupNotFoundException",
        ),
        (
            "DescribeExport",
            json!({"ExportArn": arn}),
            "ExportNotFoundException",
        ),
        (
            "DescribeImport",
            json!({"ImportArn": arn}),
            "ImportNotFoundException",
        ),
        (
            "DescribeGlobalTable",
            json!({"GlobalTableName": "hash"}),
            "GlobalTableNotFoundException",
        ),
        (
            "GetResourcePolicy",
            json!({"ResourceArn": ARN}),
            "PolicyNotFoundException",
        ),
        (
            "RestoreTableToPointInTime",
            json!({"SourceTableName": "hash", "TargetTableName": "new"}),
            "PointInTimeRecoveryUnavailableException",
        ),
        (
            "PutResourcePolicy",
            json!({"ResourceArn": ARN, "Policy": "{}"}),
            "ValidationException",
        ),
        ("DescribeBackup", json!({}), "ValidationException"),
        ("CreateVault", json!({}), "UnknownOperationException"),
    ] {
        let (refused, _) = server.refused(operation, body).await;
        assert_eq!(refused, name, "{operation}");
    }
    for (operation, body, answer) in [
        ("ListBackups", json!({}), json!({"BackupSummaries": []})),
        ("ListExports", json!({}), json!({"ExportSummaries": []})),
        ("ListImports", json!({}), json!({"ImportSummaryList": []})),
        ("ListGlobalTables", json!({}), json!({"GlobalTables": []})),
        (
            "DescribeContributorInsights",
            json!({"TableName": "hash"}),
            json!({"TableName": "hash", "ContributorInsightsStatus": "DISABLED"}),
        ),
        (
            "DescribeKinesisStreamingDestination",
            json!({"TableName": "hash"}),
            json!({"TableName": "hash", "KinesisDataStreamDestinations": []}),
        ),
    ] {
        assert_eq!(server.call(operation, body).await, answer, "{operation}");
    }
    server
        .invalid(
            "ListBackups",
            json!({"Limit": 0, "BackupType": "x"}),
            "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1; \
             Value 'x' at 'backupType' failed to satisfy constraint: Member must satisfy enum value set: [USER, SYSTEM, AWS_BACKUP, ALL]",
        )
        .await;
}
