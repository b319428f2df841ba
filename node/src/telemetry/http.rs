//! The metrics port: `/metrics`, `/healthz`, `/readyz` over HTTP/1.1, without TLS and without anything secret.
//!
//! - `/healthz` says that the process answers, nothing else: what it depends on must not get it restarted (DESIGN §9).
//! - `/readyz` is 200, or 503 with the reason.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::metrics::{self, Metrics};

/// A scraper, two probes and a few curious people.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection lives no longer, whatever its client does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the port can't be served.
#[derive(Debug, thiserror::Error)]
#[error("can't listen for metrics on {address}")]
pub struct HttpError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Whether the node takes requests; if not, why.
pub type Health = Result<(), String>;

type Readiness = dyn Fn() -> Health + Send + Sync;

/// The server; stops when dropped.
pub struct Telemetry {
    local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

struct Pages {
    metrics: Metrics,
    ready: Box<Readiness>,
}

impl Telemetry {
    /// Serves on `address`; `ready` is asked at each request and must not block.
    pub async fn start(
        address: SocketAddr,
        metrics: Metrics,
        ready: impl Fn() -> Health + Send + Sync + 'static,
    ) -> Result<Telemetry, HttpError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| HttpError { address, source })?;
        Telemetry::serve(listener, address, metrics, ready)
    }

    /// As [`start`](Telemetry::start), on a listener that was bound before anything else could go wrong.
    pub fn serve(
        listener: TcpListener,
        address: SocketAddr,
        metrics: Metrics,
        ready: impl Fn() -> Health + Send + Sync + 'static,
    ) -> Result<Telemetry, HttpError> {
        let local_addr = listener
            .local_addr()
            .map_err(|source| HttpError { address, source })?;
        let pages = Arc::new(Pages {
            metrics,
            ready: Box::new(ready),
        });
        Ok(Telemetry {
            local_addr,
            task: tokio::spawn(accept(listener, pages)),
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, pages: Arc<Pages>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Never closed, so a slot always comes.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, slot, pages.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection for metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, _slot: OwnedSemaphorePermit, pages: Arc<Pages>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &pages);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(CONNECTION_TIMEOUT, connection).await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered\n",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => match pages.metrics.text() {
            Ok(text) => page(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(error) => {
                tracing::error!(%error, "metrics can't be encoded");
                plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "metrics can't be encoded\n",
                )
            }
        },
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => match (pages.ready)() {
            Ok(()) => plain(StatusCode::OK, "ok\n"),
            Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        _ => plain(
            StatusCode::NOT_FOUND,
            "here are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    page(status, "text/plain; charset=utf-8", text)
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The whole answer to one request.
    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream
            .write_all(
                format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
            )
            .await
            .expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    #[tokio::test]
    async fn pages_answer_and_readiness_follows_the_node() {
        let joined = Arc::new(AtomicBool::new(false));
        let ready = {
            let joined = joined.clone();
            move || {
                if joined.load(Ordering::Relaxed) {
                    Ok(())
                } else {
                    Err("not joined".to_owned())
                }
            }
        };
        let server = Telemetry::start(([127, 0, 0, 1], 0).into(), Metrics::default(), ready)
            .await
            .expect("starts");
        let address = server.local_addr();

        let text = ask(address, "GET /metrics").await;
        assert!(
            text.starts_with("HTTP/1.1 200")
                && text.contains(metrics::CONTENT_TYPE)
                && text.ends_with("# EOF\n"),
            "{text}"
        );
        assert!(
            ask(address, "GET /healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let text = ask(address, "GET /readyz").await;
        assert!(
            text.starts_with("HTTP/1.1 503") && text.ends_with("not joined\n"),
            "{text}"
        );
        joined.store(true, Ordering::Relaxed);
        assert!(
            ask(address, "GET /readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(ask(address, "GET /other").await.starts_with("HTTP/1.1 404"));
        assert!(
            ask(address, "POST /metrics")
                .await
                .starts_with("HTTP/1.1 405")
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = taken.local_addr().expect("bound");
        let error = Telemetry::start(address, Metrics::default(), || Ok(()))
            .await
            .expect_err("taken");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()));
    }
}
