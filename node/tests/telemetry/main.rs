//! What a running node tells: metrics whose names follow Prometheus' practice, and traces at a collector.

mod collector;
mod lint;

use std::net::SocketAddr;
use std::time::Duration;

use kv_node::node::{DevConfig, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn node() -> Node {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = DevConfig {
        listen: any,
        grpc: Some(any),
        metrics: Some(any),
        ttl_interval: Duration::from_secs(1),
        data_dir: None,
        keys: Vec::new(),
        deadline: Duration::from_secs(10),
        shared: true,
    };
    Node::dev(config).await.expect("a node")
}

/// Sends one request; answers all that comes back.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
    .await
}

async fn call(address: SocketAddr, operation: &str, more: &str, body: &str) -> String {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.{operation}\r\nx-amz-date: 20300101T000000Z\r\n{more}\
         authorization: AWS4-HMAC-SHA256 Credential=any/20300101/here/dynamodb/aws4_request, SignedHeaders=host, Signature=00\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, &head).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_named_as_prometheus_has_it() {
    let node = node().await;
    call(node.dynamo, "ListTables", "", "{}").await;
    call(node.dynamo, "DescribeTable", "", "{\"TableName\":\"none\"}").await;
    let address = node.metrics.expect("served");
    let scrape = get(address, "/metrics").await;
    let (_, text) = scrape.split_once("\r\n\r\n").expect("a body");
    let problems = lint::lint(text);
    assert!(problems.is_empty(), "{problems:#?}");
    for expected in [
        "ringkv_dynamo_requests_total{operation=\"ListTables\"} 1",
        "ringkv_dynamo_request_duration_seconds_count{operation=\"ListTables\"} 1",
        "ringkv_dynamo_errors_total{operation=\"DescribeTable\",error=\"ResourceNotFoundException\"} 1",
        "ringkv_kv_requests_total{operation=\"GetItem\"} 0",
        "ringkv_raft_log_append_duration_seconds_bucket",
        "ringkv_raft_entries_applied_total",
        "ringkv_storage_flushes_total",
        "ringkv_disk_free_bytes",
        "ringkv_shard_queue_events",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_a_span_at_the_collector() {
    let collector = collector::Collector::start().await;
    kv_node::telemetry::export_traces(&collector.endpoint(), "dev").expect("an endpoint");
    let node = node().await;
    // The other test of this process is traced too: it asks for other things.
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let answer = call(
        node.dynamo,
        "DeleteTable",
        parent,
        "{\"TableName\":\"none\"}",
    )
    .await;
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-amzn-requestid: "))
        .expect("an id")
        .to_owned();
    tokio::task::spawn_blocking(kv_node::telemetry::flush_traces)
        .await
        .expect("flushed");
    let span = collector.span("DeleteTable").await;
    let attribute = |key: &str| span.attributes.get(key).map(String::as_str);
    assert_eq!(attribute("ringkv.request_id"), Some(id.as_str()));
    assert_eq!(attribute("error.type"), Some("ResourceNotFoundException"));
    assert_eq!(span.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span.parent, "00f067aa0ba902b7");
    assert_eq!(span.service, "kv-node");
}
