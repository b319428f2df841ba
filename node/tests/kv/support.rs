//! A node in memory with its gRPC and HTTP APIs on free ports, two tables, and short words for messages.

use std::net::SocketAddr;
use std::time::Duration;

use kv_node::config::AccessKey;
use kv_node::node::{DevConfig, Node};
use kv_proto::kv::kv_client::KvClient;
use kv_proto::kv::{Consistency, Item, Strong, Value, consistency, value};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub struct Server {
    pub kv: KvClient<Channel>,
    pub channel: Channel,
    pub node: Node,
}

impl Server {
    /// With tables `hash` (`a`, a string) and `range` (`a`, a string; `b`, a number), unless there are keys.
    pub async fn start(keys: &[(&str, &str)]) -> Server {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let keys = keys.iter().map(|(id, secret)| AccessKey {
            id: (*id).into(),
            secret: (*secret).into(),
            account: "123456789012".into(),
        });
        let config = DevConfig {
            ttl_interval: std::time::Duration::ZERO,
            listen: any,
            grpc: Some(any),
            metrics: None,
            data_dir: None,
            keys: keys.collect(),
            deadline: Duration::from_secs(10),
            shared: true,
        };
        let signed = !config.keys.is_empty();
        let node = Node::dev(config).await.expect("a node");
        if !signed {
            create(node.dynamo, "hash", &[("a", "S")]).await;
            create(node.dynamo, "range", &[("a", "S"), ("b", "N")]).await;
        }
        let address = format!("http://{}", node.kv.expect("gRPC is served"));
        let channel = Endpoint::from_shared(address).expect("an address");
        let channel = channel.connect().await.expect("connects");
        Server {
            kv: KvClient::new(channel.clone()).max_encoding_message_size(usize::MAX),
            channel,
            node,
        }
    }
}

/// Creates a table over HTTP and waits until it takes items.
async fn create(address: SocketAddr, name: &str, keys: &[(&str, &str)]) {
    let definitions = keys
        .iter()
        .map(|(name, kind)| serde_json::json!({"AttributeName": name, "AttributeType": kind}));
    let schema = keys
        .iter()
        .zip(["HASH", "RANGE"])
        .map(|((name, _), role)| serde_json::json!({"AttributeName": name, "KeyType": role}));
    let body = serde_json::json!({
        "TableName": name,
        "AttributeDefinitions": definitions.collect::<Vec<_>>(),
        "KeySchema": schema.collect::<Vec<_>>(),
        "BillingMode": "PAY_PER_REQUEST",
    });
    let created = call(address, "CreateTable", &body.to_string()).await;
    assert!(created.contains("200 OK"), "{created}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let described = serde_json::json!({"TableName": name}).to_string();
    while !call(address, "DescribeTable", &described)
        .await
        .contains("\"ACTIVE\"")
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{name} does not become active"
        );
        tokio::task::yield_now().await;
    }
}

async fn call(address: SocketAddr, operation: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.{operation}\r\nx-amz-date: 20300101T000000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=any/20300101/here/dynamodb/aws4_request, SignedHeaders=host, Signature=00\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

pub trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for value::Kind {
    fn into_value(self) -> Value {
        Value { kind: Some(self) }
    }
}

pub fn text(text: &str) -> Value {
    value::Kind::S(text.into()).into_value()
}

pub fn number(text: &str) -> Value {
    value::Kind::N(text.into()).into_value()
}

pub fn item(pairs: &[(&str, Value)]) -> Item {
    Item {
        attributes: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    }
}

/// The key of a row of `hash`.
pub fn key(id: &str) -> Item {
    item(&[("a", text(id))])
}

pub fn strong() -> Consistency {
    Consistency {
        level: Some(consistency::Level::Strong(Strong {})),
    }
}

/// A detail of a status by the name of its message.
pub fn detail(status: &Status, name: &str) -> Option<Vec<u8>> {
    let whole = tonic_types::pb::Status::decode(status.details()).expect("details");
    let of_name = whole
        .details
        .into_iter()
        .find(|any| any.type_url.ends_with(&format!("/{name}")));
    of_name.map(|any| any.value)
}

/// The exception's name.
pub fn reason(status: &Status) -> String {
    let info =
        detail(status, "google.rpc.ErrorInfo").unwrap_or_else(|| panic!("no details: {status:?}"));
    tonic_types::pb::ErrorInfo::decode(&info[..])
        .expect("a message")
        .reason
}
