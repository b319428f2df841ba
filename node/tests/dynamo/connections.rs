//! HTTP itself: odd requests, checksums, bounds. What is expected was recorded from the service by dynalite's tests.

use std::time::Duration;

use http::Method;
use kv_node::dynamo::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{ANY_SIGNATURE, Server};

#[tokio::test]
async fn odd_requests_hear_what_the_service_says() {
    let server = Server::start().await;
    let no_operation = "<UnknownOperationException/>\n";
    let json_type = ("content-type", "application/json");
    for (method, headers, body) in [
        (Method::OPTIONS, vec![], ""),
        (Method::PUT, vec![], ""),
        (Method::DELETE, vec![], ""),
        (Method::POST, vec![], "hi"),
        (Method::POST, vec![("content-type", "whatever")], "hi"),
        (
            Method::POST,
            vec![("content-type", "application/x-amz-json-1.1")],
            "hi",
        ),
    ] {
        let answer = server.raw(method.clone(), "/", &headers, body).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (404, no_operation),
            "{method} {headers:?}"
        );
        assert_eq!(answer.header("x-amz-crc32"), "3552371480");
    }
    let list = ("x-amz-target", "DynamoDB_20120810.ListTables");
    let unknown = "com.amazon.coral.service#UnknownOperationException";
    let missing = "com.amazon.coral.service#MissingAuthenticationTokenException";
    let incomplete = "com.amazon.coral.service#IncompleteSignatureException";
    for (headers, path, body, kind, crc) in [
        (
            vec![json_type],
            "/",
            "hi",
            "com.amazon.coral.service#SerializationException",
            "3948637019",
        ),
        (vec![], "/", "", unknown, "1368724161"),
        (vec![json_type], "/", "{}", unknown, "1368724161"),
        (
            vec![("x-amz-target", "whatever")],
            "/",
            "",
            unknown,
            "1368724161",
        ),
        (
            vec![("x-amz-target", "DynamoDB_20120810.ListTable")],
            "/",
            "",
            unknown,
            "1368724161",
        ),
        (vec![list], "/", "", missing, "2088342776"),
        (
            vec![list, ("authorization", "AWS4")],
            "/",
            "",
            missing,
            "2088342776",
        ),
        (
            vec![list, ("authorization", "X")],
            "/?X-Amz-Algorithm",
            "",
            "com.amazon.coral.service#InvalidSignatureException",
            "2139606068",
        ),
        (
            vec![list, ("authorization", "AWS4-")],
            "/",
            "",
            incomplete,
            "1828866742",
        ),
        (
            vec![
                list,
                ("authorization", "AWS4- Signature=b,Credential=a"),
                ("date", "a"),
            ],
            "/",
            "",
            incomplete,
            "1159703774",
        ),
        (
            vec![list],
            "/?X-Amz-Algorithm",
            "",
            incomplete,
            "2900502663",
        ),
        (
            vec![list],
            "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d",
            "",
            incomplete,
            "3712057481",
        ),
    ] {
        let answer = server.raw(Method::POST, path, &headers, body).await;
        assert_eq!(answer.status, 400, "{headers:?} {path}");
        assert_eq!(answer.json()["__type"], kind, "{headers:?} {path}");
        assert_eq!(answer.header("x-amz-crc32"), crc, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/json");
        let id = answer.header("x-amzn-requestid");
        assert!(
            id.len() == 52
                && id
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
            "{id}"
        );
    }
}

#[tokio::test]
async fn health_and_cors() {
    let server = Server::start().await;
    let health = server.raw(Method::GET, "/", &[], "").await;
    assert_eq!(health.text, "healthy: dynamodb.us-east-1.amazonaws.com ");
    assert_eq!(health.header("x-amz-crc32"), "3128867991");
    let headers = [
        ("origin", "whatever"),
        ("access-control-request-headers", "a, b, c"),
        ("access-control-request-method", "d"),
    ];
    let cors = server.raw(Method::OPTIONS, "/", &headers, "").await;
    assert_eq!((cors.status, cors.text.as_str()), (200, ""));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "a, b, c"),
        ("access-control-allow-methods", "d"),
        ("access-control-max-age", "172800"),
        ("content-length", "0"),
    ] {
        assert_eq!(cors.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn answers_are_typed_and_summed() {
    let server = Server::start().await;
    let answer = server.call_text("ListTables", "{}").await;
    assert_eq!(answer.header("content-type"), "application/x-amz-json-1.0");
    assert_eq!(
        answer.header("x-amz-crc32"),
        crc32fast::hash(answer.text.as_bytes()).to_string()
    );
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_error() {
    let server = Server::start().await;
    server.call("ListTables", json!({})).await;
    server.refused("ListTables", json!({"Limit": 0})).await;
    server.refused("Nothing", json!({})).await;
    let metrics = server.metrics();
    for line in [
        "dynamo_requests_total{operation=\"ListTables\"} 2",
        "dynamo_request_duration_seconds_count{operation=\"ListTables\"} 2",
        "dynamo_errors_total{operation=\"ListTables\",error=\"ValidationException\"} 1",
        "dynamo_errors_total{operation=\"none\",error=\"UnknownOperationException\"} 1",
        "dynamo_in_flight 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn bodies_end_at_16_mib() {
    let server = Server::start().await;
    let most = "a".repeat(16 * 1024 * 1024);
    assert_eq!(server.raw(Method::POST, "/", &[], &most).await.status, 404);
    assert_eq!(
        server
            .raw(Method::POST, "/", &[], &format!("{most}a"))
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn too_many_requests_at_once_are_throttled() {
    let server = Server::start_with(Config {
        in_flight_max: 0,
        ..Config::default()
    })
    .await;
    let refused = server.refused("ListTables", json!({})).await;
    assert_eq!(refused.0, "ThrottlingException");
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let config = Config {
        idle_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let server = Server::start_with(config).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\n")
        .await
        .expect("sent");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn both_versions_of_http_are_served_on_one_port() {
    use http_body_util::{BodyExt, Full};
    let server = Server::start().await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<bytes::Bytes>>();
    let request = http::Request::post(&server.url)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .header("x-amz-date", "20300101T000000Z")
        .header("authorization", ANY_SIGNATURE)
        .body(Full::from("{}"))
        .expect("a request");
    let response = client.request(request).await.expect("an answer");
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(&body[..], br#"{"TableNames":[]}"#);
}
