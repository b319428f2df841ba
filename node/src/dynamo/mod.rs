//! The DynamoDB HTTP API.
//!
//! ```text
//!  connection ─► http: body, headers ─► auth: SigV4 ─► input: shape, constraints ─► operations/*: the service's checks,
//!                                                                                       │  then the Database
//!                         response ◄── output: JSON straight into its buffer ◄──────────┘
//! ```
//! Words, types and the order of checks are the service's, so that clients and their tests can't tell the difference.
//! Everything is bounded: connections, requests in flight, bytes of a body, time for headers and body.

mod auth;
mod capacity;
mod describe;
mod error;
mod expressions;
mod gzip;
mod http;
mod input;
mod keys;
mod legacy;
mod metrics;
mod operations;
pub(crate) mod output;
mod partiql;
mod request_id;
mod values;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use kv_core::api::Caller;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
pub use auth::{AccessKey, Authority, Principal, account_of};
pub(crate) use error::Error;
pub use metrics::Metrics;
pub(crate) use operations::Operation;
pub(crate) use request_id::{Ids, RequestId};

/// How the API is served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keys that may sign; with none any signature passes.
    pub keys: Vec<AccessKey>,
    /// Account of requests when there are no keys: 12 digits.
    pub default_account: String,
    /// Region in ARNs where a request's signature names none.
    pub region: String,
    /// Without keys: whether each access key and region has tables of its own.
    pub apart: bool,
    /// How long a request may take in the cluster.
    pub deadline: Duration,
    /// How long a connection may be silent before and between requests, headers included.
    pub idle_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long open requests may go on after shutdown began.
    pub drain_timeout: Duration,
    pub connections_max: usize,
    /// More than these are answered with `ThrottlingException`.
    pub in_flight_max: usize,
    /// Set once the node is about to stop: answers then ask clients to connect anew, elsewhere.
    pub is_stopping: Arc<AtomicBool>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            keys: Vec::new(),
            default_account: "000000000000".into(),
            region: "us-east-1".into(),
            apart: false,
            deadline: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            connections_max: 10_000,
            in_flight_max: 4096,
            is_stopping: Arc::default(),
        }
    }
}

/// Runs an operation for another front end: the same checks on the same body, without HTTP.
///
/// # Errors
/// What the client is answered instead.
pub(crate) async fn run<D: Database>(
    database: &Arc<D>,
    operation: Operation,
    caller: Caller,
    deadline: Instant,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let context = operations::Context {
        database,
        caller,
        // Only descriptions of tables show it.
        region: "",
        endpoint: None,
        deadline,
    };
    let mut out = Vec::with_capacity(512);
    operation.run(&context, body, &mut out).await?;
    Ok(out)
}

/// As [`run`], answered as HTTP would be: status and body, errors as the service writes them.
pub(crate) async fn answer<D: Database>(
    database: &Arc<D>,
    operation: Operation,
    caller: Caller,
    deadline: Instant,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let config = Config::default();
    let context = operations::Context {
        database,
        caller,
        region: &config.region,
        endpoint: None,
        deadline,
    };
    let mut out = Vec::with_capacity(512);
    match operation.run(&context, body, &mut out).await {
        Ok(()) => (200, out),
        Err(error) => {
            out.clear();
            error.write(&mut out);
            (error.status().as_u16(), out)
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Server<D> {
    database: Arc<D>,
    config: Config,
    authority: Authority,
    metrics: Arc<Metrics>,
    in_flight: Semaphore,
    ids: request_id::Ids,
}

/// Serves the API on `listener` until `shutdown`; then finishes open requests within [`Config::drain_timeout`].
///
/// # Errors
/// The listener failed for good.
pub async fn serve<D: Database>(
    listener: TcpListener,
    database: Arc<D>,
    config: Config,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(config.connections_max));
    let server = Arc::new(Server {
        authority: Authority::new(
            config.keys.clone(),
            config.default_account.clone(),
            config.region.clone(),
            config.apart,
        ),
        in_flight: Semaphore::new(config.in_flight_max),
        ids: request_id::Ids::new(),
        database,
        metrics,
        config,
    });
    let builder = Arc::new(builder(&server.config));
    let graceful = GracefulShutdown::new();
    loop {
        // At the bound connections wait in the kernel's queue.
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit.map_err(io::Error::other)?,
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_transient(&error) => {
                tracing::warn!(%error, "can't accept a connection");
                // Out of file descriptors: closing connections give some back.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let watcher = graceful.watcher();
        let (server, builder) = (Arc::clone(&server), Arc::clone(&builder));
        tokio::spawn(async move {
            connection(server, &builder, stream, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(server.config.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still open when the time to finish them was over");
    }
    Ok(())
}

async fn connection<D: Database>(
    server: Arc<Server<D>>,
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Answers are small and written at once.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    server.metrics.connections.inc();
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(http::handle(server, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "connection ended");
    }
    server.metrics.connections.dec();
}

fn builder(config: &Config) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .keep_alive_interval(config.idle_timeout / 2)
        .keep_alive_timeout(config.idle_timeout / 2);
    builder
}

/// The failure is one of the connection, or of the moment.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, OutOfMemory, WouldBlock};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | OutOfMemory | WouldBlock
    ) || matches!(error.raw_os_error(), Some(code) if code == rustix::io::Errno::MFILE.raw_os_error()
        || code == rustix::io::Errno::NFILE.raw_os_error()
        || code == rustix::io::Errno::NOBUFS.raw_os_error())
}
