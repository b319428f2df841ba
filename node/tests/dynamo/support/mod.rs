//! A server on a free port, a client for it, and a table to play with.

pub mod memory;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kv_node::dynamo::{Config, Metrics, serve};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use memory::Memory;

/// Passes where no keys are configured.
pub const ANY_SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=any/20300101/eu-test-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00";

pub struct Server {
    pub url: String,
    pub database: Arc<Memory>,
    registry: Registry,
    client: Client<HttpConnector, Full<Bytes>>,
    _stop: DropGuard,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON answer")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub async fn start_with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let database = Arc::new(Memory::default());
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let stop = CancellationToken::new();
        tokio::spawn(serve(
            listener,
            Arc::clone(&database),
            config,
            metrics,
            stop.clone(),
        ));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Server {
            url,
            database,
            registry,
            client,
            _stop: stop.drop_guard(),
        }
    }

    /// The metrics as they are scraped.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("written");
        text
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.client.request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole answer").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        }
    }

    /// A request with these headers and this body.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        self.send(request.body(body).expect("a request")).await
    }

    /// Calls an operation with a text.
    pub async fn call_text(&self, operation: &str, body: &str) -> Answer {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
            ("x-amz-date", "20300101T000000Z"),
            ("authorization", ANY_SIGNATURE),
        ];
        self.raw(Method::POST, "/", &headers, body).await
    }

    /// Calls an operation that succeeds.
    pub async fn call(&self, operation: &str, body: Value) -> Value {
        let answer = self.call_text(operation, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
        answer.json()
    }

    /// Calls an operation that is refused; yields the exception's name and message.
    pub async fn refused(&self, operation: &str, body: Value) -> (String, String) {
        let answer = self.call_text(operation, &body.to_string()).await;
        assert_ne!(answer.status, 200, "{operation} {body}: {}", answer.text);
        let json = answer.json();
        let kind = json["__type"].as_str().expect("a type").to_owned();
        let message = json["message"]
            .as_str()
            .or(json["Message"].as_str())
            .unwrap_or_default();
        (
            kind.rsplit('#').next().expect("a name").to_owned(),
            message.to_owned(),
        )
    }

    /// Expects a `ValidationException` of these words.
    pub async fn invalid(&self, operation: &str, body: Value, message: &str) {
        let refused = self.refused(operation, body).await;
        assert_eq!(
            refused,
            ("ValidationException".into(), message.into()),
            "{operation}"
        );
    }

    /// Table `hash`: key `a`, a string.
    pub async fn hash_table(&self) {
        self.call("CreateTable", create("hash", &[("a", "S")]))
            .await;
    }

    /// Table `range`: keys `a`, a string, and `b`, a number.
    pub async fn range_table(&self) {
        self.call("CreateTable", create("range", &[("a", "S"), ("b", "N")]))
            .await;
    }
}

/// The input of a `CreateTable`.
pub fn create(name: &str, keys: &[(&str, &str)]) -> Value {
    let definitions: Vec<Value> = keys
        .iter()
        .map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}))
        .collect();
    let schema: Vec<Value> = keys
        .iter()
        .zip(["HASH", "RANGE"])
        .map(|((name, _), role)| json!({"AttributeName": name, "KeyType": role}))
        .collect();
    json!({
        "TableName": name,
        "AttributeDefinitions": definitions,
        "KeySchema": schema,
        "BillingMode": "PAY_PER_REQUEST",
    })
}
