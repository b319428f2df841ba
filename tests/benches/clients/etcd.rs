//! etcd over its own gRPC API by tonic: a connection each, one request at a time, as the HTTP loader does. Of the two calls
//! only the fields that are used are declared (etcd `api/etcdserverpb/rpc.proto`).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{key_name, value_of};
use crate::load::Connection;

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

/// Keys and values, prepared.
#[derive(Debug)]
pub struct Pairs {
    keys: Vec<Bytes>,
    values: Vec<Bytes>,
}

impl Pairs {
    pub fn new(keys: u64, bytes: usize) -> Arc<Pairs> {
        Arc::new(Pairs {
            keys: (0..keys).map(|key| key_name(key).into()).collect(),
            values: (0..keys).map(|key| value_of(key, bytes).into()).collect(),
        })
    }
}

#[derive(Debug)]
pub struct Etcd {
    grpc: Grpc<Channel>,
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
        let mut connections = Vec::with_capacity(count);
        for server in servers.iter().cycle().take(count) {
            let endpoint = Endpoint::from_shared(format!("http://{server}"))?.tcp_nodelay(true);
            connections.push(Etcd {
                grpc: Grpc::new(endpoint.connect().await?),
                ask,
                pairs: pairs.clone(),
            });
        }
        Ok(connections)
    }
}

impl Connection for Etcd {
    async fn call(&mut self, n: u64) -> anyhow::Result<()> {
        let key = self.pairs.keys[n as usize].clone();
        let value = &self.pairs.values[n as usize];
        self.grpc.ready().await?;
        match self.ask {
            Ask::Put => {
                let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
                let request = Request::new(Put {
                    key,
                    value: value.clone(),
                });
                let codec = ProstCodec::<Put, PutAnswer>::default();
                let answer = self.grpc.unary(request, path, codec).await?.into_inner();
                ensure!(
                    answer.header.is_some_and(|header| header.revision > 0),
                    "no revision"
                );
            }
            Ask::Range => {
                let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
                let codec = ProstCodec::<Range, RangeAnswer>::default();
                let request = Request::new(Range { key });
                let answer = self.grpc.unary(request, path, codec).await?.into_inner();
                ensure!(
                    answer.pairs.len() == 1 && answer.pairs[0].value == *value,
                    "another value"
                );
            }
        }
        Ok(())
    }
}
