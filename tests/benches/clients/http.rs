//! The DynamoDB API by hyper's HTTP/1.1 client: a connection each, kept alive, requests built beforehand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::CONNECTION;
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
        Requests::puts_of(&numbered(keys), bytes)
    }

    pub fn strong_gets(keys: u64, bytes: usize) -> Arc<Requests> {
        Requests::strong_gets_of(&numbered(keys), bytes)
    }

    /// Of tables and keys; the value is that of the place in the list.
    pub fn puts_of(items: &[(String, String)], bytes: usize) -> Arc<Requests> {
        let body = |(number, (table, name)): (usize, &(String, String))| {
            let value = value_of(number as u64, bytes);
            format!(r#"{{"TableName":"{table}","Item":{{"id":{{"S":"{name}"}},"v":{{"S":"{value}"}}}}}}"#).into()
        };
        Arc::new(Requests {
            operation: "PutItem",
            bodies: items.iter().enumerate().map(body).collect(),
            wanted: Vec::new(),
        })
    }

    /// As they were put.
    pub fn strong_gets_of(items: &[(String, String)], bytes: usize) -> Arc<Requests> {
        let body = |(table, name): &(String, String)| {
            format!(
                r#"{{"TableName":"{table}","Key":{{"id":{{"S":"{name}"}}}},"ConsistentRead":true}}"#
            )
            .into()
        };
        Arc::new(Requests {
            operation: "GetItem",
            bodies: items.iter().map(body).collect(),
            wanted: (0..items.len() as u64)
                .map(|key| format!("\"{}\"", value_of(key, bytes)).into())
                .collect(),
        })
    }
}

fn numbered(keys: u64) -> Vec<(String, String)> {
    let item = |key| (TABLE.to_owned(), key_name(key));
    (0..keys).map(item).collect()
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
            connections.push(Http::to(*server, requests).await?);
        }
        Ok(connections)
    }

    pub async fn to(server: SocketAddr, requests: &Arc<Requests>) -> anyhow::Result<Http> {
        Ok(Http {
            link: Link::to(server).await?,
            headers: headers(requests.operation),
            requests: requests.clone(),
        })
    }

    pub fn was_told_to_go(&self) -> bool {
        self.link.was_told_to_go
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
    /// The last answer said that no further request is taken on this connection.
    was_told_to_go: bool,
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
        Ok(Link {
            sender,
            was_told_to_go: false,
        })
    }

    pub async fn send(&mut self, headers: HeaderMap, body: Bytes) -> anyhow::Result<(u16, Bytes)> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/");
        *request.headers_mut() = headers;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let last = response.headers().get(CONNECTION);
        self.was_told_to_go = last.is_some_and(|value| value == "close");
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
