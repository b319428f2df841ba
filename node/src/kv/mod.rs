//! The native client API: `ringkv.kv.v1` over gRPC.
//!
//! ```text
//!  connection ─► tonic: message, at most 16 MiB ─► service: auth, bound, deadline ─► request: the operation's JSON body
//!                                                                                            │
//!               message or status ◄── reply, status ◄── dynamo::operations: checks, Database ◄┘
//! ```
//! A message becomes the body of the DynamoDB operation and goes through that operation whole: so no check exists twice and none
//! can differ. The price is a few microseconds of JSON a kilobyte.
//!
//! Consistency and the causal context are in the messages from the first day; what needs leaderless tables is
//! `UNIMPLEMENTED` until there are some.

mod auth;
mod listen;
mod reply;
mod request;
mod service;
mod status;
mod values;

use std::sync::Arc;
use std::time::Duration;

use kv_proto::kv::kv_server::KvServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::database::Database;
use crate::dynamo::{AccessKey, Metrics};
pub use auth::{SCHEME, authorization};

/// Largest message of a client, bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const STREAMS_A_CONNECTION_MAX: u32 = 256;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the API is served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keys that may ask; with none anyone may.
    pub keys: Vec<AccessKey>,
    /// Account of requests when there are no keys: 12 digits.
    pub default_account: String,
    /// Without keys: the region of all calls, if each access key and region has tables of its own.
    pub apart: Option<String>,
    /// How long a request may take whose client says nothing (`grpc-timeout`), and a page of a scan.
    pub deadline: Duration,
    /// How long open requests may go on after shutdown began.
    pub drain_timeout: Duration,
    pub connections_max: usize,
    /// More than these are answered with `RESOURCE_EXHAUSTED`.
    pub in_flight_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            keys: Vec::new(),
            default_account: "000000000000".into(),
            apart: None,
            deadline: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            connections_max: 10_000,
            in_flight_max: 4096,
        }
    }
}

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the reflection service has no descriptors")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the gRPC server ended")]
    Server(#[from] tonic::transport::Error),
}

/// Serves the API, health and reflection on `listener` until `shutdown`; then finishes open requests within
/// [`Config::drain_timeout`].
///
/// # Errors
/// The server ended by itself.
pub async fn serve<D: Database>(
    listener: TcpListener,
    database: Arc<D>,
    config: Config,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let drain_timeout = config.drain_timeout;
    let connections = listen::accept(
        listener,
        config.connections_max,
        metrics.clone(),
        shutdown.clone(),
    );
    let service = service::Service::new(database, config, metrics);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<KvServer<service::Service<D>>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(kv_proto::kv::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_A_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(KvServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(health_service)
        .add_service(reflection);
    let stopped = shutdown.clone();
    let serving = server.serve_with_incoming_shutdown(connections, stopped.cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        ended = serving => ended?,
        () = overdue => tracing::warn!("gRPC requests were still open when the time to finish them was over"),
    }
    Ok(())
}
