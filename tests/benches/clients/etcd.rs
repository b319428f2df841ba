//! etcd over its own gRPC API, by hyper's HTTP/2 client with requests built beforehand: what the HTTP loader does, so that
//! neither client takes much more of the shared cores than the other (by tonic a request cost the client three times as much).
//! Of the two calls only the fields that are used are declared (etcd `api/etcdserverpb/rpc.proto`).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use super::{key_name, value_of};
use crate::load::Connection;

/// A message on the wire of gRPC: not compressed, its length, itself.
const PREFIX_BYTES: usize = 5;

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutAnswer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

/// Linearizable, since `serializable` is left out.
#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeAnswer {
    #[prost(message, repeated, tag = "2")]
    pairs: Vec<Pair>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

/// What a loader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Put,
    Range,
}

/// Requests as they are sent, and the values that belong to them.
#[derive(Debug)]
pub struct Pairs {
    puts: Vec<Bytes>,
    ranges: Vec<Bytes>,
    values: Vec<Bytes>,
}

impl Pairs {
    pub fn new(keys: u64, bytes: usize) -> Arc<Pairs> {
        let key = |key| Bytes::from(key_name(key));
        let value = |key| Bytes::from(value_of(key, bytes));
        let put = |n| {
            framed(&Put {
                key: key(n),
                value: value(n),
            })
        };
        Arc::new(Pairs {
            puts: (0..keys).map(put).collect(),
            ranges: (0..keys).map(|n| framed(&Range { key: key(n) })).collect(),
            values: (0..keys).map(value).collect(),
        })
    }
}

fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.encoded_len() as u32);
    out.put_slice(&message.encode_to_vec());
    out.freeze()
}

#[derive(Debug)]
pub struct Etcd {
    sender: SendRequest<Full<Bytes>>,
    uri: Uri,
    ask: Ask,
    pairs: Arc<Pairs>,
}

impl Etcd {
    /// So many connections, in turns over the servers.
    pub async fn connect(
        servers: &[SocketAddr],
        count: usize,
        ask: Ask,
        pairs: &Arc<Pairs>,
    ) -> anyhow::Result<Vec<Etcd>> {
        let path = match ask {
            Ask::Put => "/etcdserverpb.KV/Put",
            Ask::Range => "/etcdserverpb.KV/Range",
        };
        let mut connections = Vec::with_capacity(count);
        for server in servers.iter().cycle().take(count) {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            // Its end shows in the next request.
            tokio::spawn(async move { drop(connection.await) });
            connections.push(Etcd {
                sender,
                uri: format!("http://{server}{path}").parse()?,
                ask,
                pairs: pairs.clone(),
            });
        }
        Ok(connections)
    }

    /// Sends a call; answers its message.
    async fn unary(&mut self, body: Bytes) -> anyhow::Result<Bytes> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let answer = answer.into_body().collect().await?;
        let status = answer
            .trailers()
            .and_then(|trailers| trailers.get("grpc-status"));
        ensure!(
            status.is_some_and(|status| status == "0"),
            "grpc-status {status:?}"
        );
        let mut message = answer.to_bytes();
        ensure!(message.len() >= PREFIX_BYTES, "no message");
        Ok(message.split_off(PREFIX_BYTES))
    }
}

impl Connection for Etcd {
    async fn call(&mut self, n: u64) -> anyhow::Result<()> {
        let n = n as usize;
        match self.ask {
            Ask::Put => {
                let message = self.unary(self.pairs.puts[n].clone()).await?;
                let header = PutAnswer::decode(message)?.header.context("no header")?;
                ensure!(header.revision > 0, "no revision");
            }
            Ask::Range => {
                let message = self.unary(self.pairs.ranges[n].clone()).await?;
                let pairs = RangeAnswer::decode(message)?.pairs;
                ensure!(
                    pairs.len() == 1 && pairs[0].value == self.pairs.values[n],
                    "another value"
                );
            }
        }
        Ok(())
    }
}
