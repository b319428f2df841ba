//! The DynamoDB API by hyper's HTTP/1.1 client: a connection each, kept alive, requests built beforehand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;

use super::{key_name, value_of};
use crate::load::Connection;

pub const TABLE: &str = "bench";
/// How long a table may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a loader asks for, prepared: a body a key, and what its answer holds.
#[derive(Debug)]
pub struct Requests {
    operation: &'static str,
    bodies: Vec<Bytes>,
    /// Empty: the answer must be `{}`.
    wanted: Vec<Bytes>,
}

impl Requests {
    pub fn puts(keys: u64, bytes: usize) -> Arc<Requests> {
        let body = |key| {
            let (name, value) = (key_name(key), value_of(key, bytes));
            format!(r#"{{"TableName":"{TABLE}","Item":{{"id":{{"S":"{name}"}},"v":{{"S":"{value}"}}}}}}"#).into()
        };
        Arc::new(Requests {
            operation: "PutItem",
            bodies: (0..keys).map(body).collect(),
            wanted: Vec::new(),
        })
    }

    pub fn strong_gets(keys: u64, bytes: usize) -> Arc<Requests> {
        let body = |key| {
            let name = key_name(key);
            format!(
                r#"{{"TableName":"{TABLE}","Key":{{"id":{{"S":"{name}"}}}},"ConsistentRead":true}}"#
            )
            .into()
        };
        Arc::new(Requests {
            operation: "GetItem",
            bodies: (0..keys).map(body).collect(),
            wanted: (0..keys)
                .map(|key| format!("\"{}\"", value_of(key, bytes)).into())
                .collect(),
        })
    }
}

/// A connection and what it asks for.
#[derive(Debug)]
pub struct Http {
    link: Link,
    headers: HeaderMap,
    requests: Arc<Requests>,
}

impl Http {
    /// So many connections, in turns over the servers.
    pub async fn connect(
        servers: &[SocketAddr],
        count: usize,
        requests: &Arc<Requests>,
    ) -> anyhow::Result<Vec<Http>> {
        let mut connections = Vec::with_capacity(count);
        for server in servers.iter().cycle().take(count) {
            connections.push(Http {
                link: Link::to(*server).await?,
                headers: headers(requests.operation),
                requests: requests.clone(),
            });
        }
        Ok(connections)
    }
}

impl Connection for Http {
    async fn call(&mut self, n: u64) -> anyhow::Result<()> {
        let body = self.requests.bodies[n as usize].clone();
        let (status, answer) = self.link.send(self.headers.clone(), body).await?;
        let right = match self.requests.wanted.get(n as usize) {
            Some(wanted) => memmem::find(&answer, wanted).is_some(),
            None => answer == "{}",
        };
        ensure!(
            status == 200 && right,
            "{status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Link {
    sender: SendRequest<Full<Bytes>>,
}

impl Link {
    pub async fn to(server: SocketAddr) -> anyhow::Result<Link> {
        let stream = TcpStream::connect(server)
            .await
            .with_context(|| server.to_string())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end shows in the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Link { sender })
    }

    pub async fn send(&mut self, headers: HeaderMap, body: Bytes) -> anyhow::Result<(u16, Bytes)> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/");
        *request.headers_mut() = headers;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// One call of an operation.
    pub async fn call(
        &mut self,
        operation: &'static str,
        body: String,
    ) -> anyhow::Result<(u16, Bytes)> {
        self.send(headers(operation), body.into()).await
    }
}

/// Any signature passes where no keys are configured, with both servers.
pub fn headers(operation: &'static str) -> HeaderMap {
    let text = HeaderValue::from_static;
    let target = HeaderValue::from_str(&format!("DynamoDB_20120810.{operation}"));
    HeaderMap::from_iter([
        (HeaderName::from_static("host"), text("localhost")),
        (
            HeaderName::from_static("content-type"),
            text("application/x-amz-json-1.0"),
        ),
        (
            HeaderName::from_static("x-amz-target"),
            target.unwrap_or(text("")),
        ),
        (
            HeaderName::from_static("x-amz-date"),
            text("20300101T000000Z"),
        ),
        (
            HeaderName::from_static("authorization"),
            text(
                "AWS4-HMAC-SHA256 Credential=any/20300101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000000000000000000000000000000000000000000000000000000000000000",
            ),
        ),
    ])
}

/// Creates a table with the key `id`, and waits until it takes items.
pub async fn create_table(server: SocketAddr, name: &str) -> anyhow::Result<()> {
    let mut link = Link::to(server).await?;
    let body = format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],"KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
    );
    let (status, answer) = link.call("CreateTable", body).await?;
    ensure!(status == 200, "{}", String::from_utf8_lossy(&answer));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let described = format!(r#"{{"TableName":"{name}"}}"#);
        let (_, answer) = link.call("DescribeTable", described).await?;
        if memmem::find(&answer, b"\"ACTIVE\"").is_some() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{name} does not become active");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
