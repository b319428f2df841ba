//! Tables as the operator asks for them: those that clients see, in the API's own words.

use kv_node::admin::{Control, ControlError};
use kv_proto::admin::ControlTableRequest;
use kv_proto::kv::GetRequest;
use serde_json::{Value, json};

use crate::support::{Server, key};

const ACCOUNT: &str = "000000000000";

fn request(account: &str, operation: &str, body: &Value) -> ControlTableRequest {
    ControlTableRequest {
        account: account.into(),
        operation: operation.into(),
        body: body.to_string().into_bytes().into(),
    }
}

async fn ask(server: &Server, account: &str, operation: &str, body: &Value) -> (u32, Value) {
    let request = request(account, operation, body);
    let reply = server.node.control.control_table(request).await;
    let reply = reply.expect("an answer");
    let body = serde_json::from_slice(&reply.body).expect("JSON");
    (reply.status, body)
}

async fn wait_active(server: &Server, name: &Value) -> Value {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (status, found) = ask(server, ACCOUNT, "DescribeTable", name).await;
        if status == 200 && found["Table"]["TableStatus"] == "ACTIVE" {
            return found["Table"].clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{found}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_those_that_clients_see() {
    let mut server = Server::start(&[]).await;
    let found = wait_active(&server, &json!({"TableName": "hash"})).await;
    assert_eq!(
        found["TableArn"],
        "arn:aws:dynamodb:us-east-1:000000000000:table/hash"
    );
    let tag = json!({"Key": "ringkv.dev/kvtable", "Value": "uid-1"});
    let new = json!({
        "TableName": "orders",
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": false,
        "Tags": [tag],
    });
    let (status, _) = ask(&server, ACCOUNT, "CreateTable", &new).await;
    assert_eq!(status, 200);
    let (status, again) = ask(&server, ACCOUNT, "CreateTable", &new).await;
    assert_eq!(status, 400);
    let kind = again["__type"].as_str().unwrap_or_default();
    assert!(kind.ends_with("#ResourceInUseException"), "{again}");
    let name = json!({"TableName": "orders"});
    let made = wait_active(&server, &name).await;
    let arn = json!({"ResourceArn": made["TableArn"]});
    let (status, tagged) = ask(&server, ACCOUNT, "ListTagsOfResource", &arn).await;
    assert_eq!((status, &tagged["Tags"][0]), (200, &tag));
    let read = GetRequest {
        table: "orders".into(),
        key: Some(key("k")),
        ..Default::default()
    };
    server.kv.get(read).await.expect("a client sees it");

    let (status, elsewhere) = ask(&server, "123456789012", "DescribeTable", &name).await;
    assert_eq!(status, 400);
    let kind = elsewhere["__type"].as_str().unwrap_or_default();
    assert!(kind.ends_with("#ResourceNotFoundException"), "{elsewhere}");
    let (status, _) = ask(&server, ACCOUNT, "DeleteTable", &name).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_none_of_the_operators_business() {
    let server = Server::start(&[]).await;
    let scan = request(ACCOUNT, "Scan", &json!({"TableName": "hash"}));
    let refused = server.node.control.control_table(scan).await;
    assert!(
        matches!(
            refused,
            Err(ControlError::Invalid {
                field: "operation",
                ..
            })
        ),
        "{refused:?}"
    );
}
