//! From an HTTP request to an operation, and from its answer to an HTTP response.
//!
//! The order in which odd requests are refused is the service's: method and content type (404, an HTML-ish body),
//! JSON, operation, signature. Every response but that to an oversized body has an `x-amzn-RequestId`, and the CRC-32 of its body.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use kv_core::api::{Caller, RequestClass};

use super::error::Error;
use super::gzip;
use super::operations::{Context, Operation};
use super::{Server, request_id};
use crate::database::Database;
use crate::telemetry::trace;

/// Largest body of a request, bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What of a larger body is read and dropped, so that its sender gets to read the answer.
const DRAIN_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const JSON_1_0: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const UNKNOWN: &str = "<UnknownOperationException/>\n";

/// Why a body can't be had.
enum Unread {
    TooLarge,
    Lost,
}

/// Answers one request. Never fails: what goes wrong is an answer too.
pub async fn handle<D: Database>(
    server: Arc<Server<D>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(server.config.body_timeout, read_body(body)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => return too_large(parts.version),
        Ok(Err(Unread::Lost)) | Err(_) => return bare(StatusCode::REQUEST_TIMEOUT, Bytes::new()),
    };
    let id = server.ids.next();
    let mut response = match parts.method {
        Method::OPTIONS if parts.headers.contains_key(header::ORIGIN) => preflight(&parts.headers),
        Method::GET | Method::HEAD => {
            let text = format!("healthy: dynamodb.{}.amazonaws.com ", server.config.region);
            bare(StatusCode::OK, text.into())
        }
        Method::POST => post(&server, &parts, body, &id).await,
        _ => bare(
            StatusCode::NOT_FOUND,
            Bytes::from_static(UNKNOWN.as_bytes()),
        ),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.header());
    // HTTP/2 says so with a frame of its own, once the listener ends.
    if parts.version <= Version::HTTP_11 && server.config.is_stopping.load(Ordering::Relaxed) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if parts.headers.contains_key(header::ORIGIN) {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
    }
    response
}

async fn post<D: Database>(
    server: &Server<D>,
    parts: &Parts,
    body: Bytes,
    id: &request_id::RequestId,
) -> Response<Full<Bytes>> {
    let content_type = media_type(&parts.headers);
    let answer_type = if content_type == "application/x-amz-json-1.0" {
        JSON_1_0
    } else {
        JSON
    };
    if !body.is_empty()
        && !matches!(
            content_type,
            "application/json" | "application/x-amz-json-1.0"
        )
    {
        return bare(
            StatusCode::NOT_FOUND,
            Bytes::from_static(UNKNOWN.as_bytes()),
        );
    }
    let started = Instant::now();
    let target = parts
        .headers
        .get(TARGET)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let operation = Operation::of_target(target);
    let mut out = Vec::with_capacity(512);
    let known = operation.as_ref().ok().copied();
    let result = serve(server, parts, &body, operation, started, id, &mut out).await;
    if let Some(operation) = known {
        let took = started.elapsed();
        server.metrics.served(operation, took);
        if trace::is_exported() {
            let error = result.as_ref().err().map(Error::name);
            let trace = trace::trace_of(id.as_str(), traceparent(&parts.headers));
            trace::request(&trace, "dynamodb", operation.name(), took, error);
        }
    }
    let status = match result {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            server.metrics.failed(known, error.name());
            tracing::debug!(request = id.as_str(), error = error.name(), message = %error, "request refused");
            out.clear();
            error.write(&mut out);
            error.status()
        }
    };
    let compressed = gzip::is_wanted(&parts.headers, out.len());
    if compressed {
        out = gzip::deflate(&out);
    }
    let mut response = bare(status, Bytes::from(out));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, answer_type);
    if compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Runs an operation; its answer goes to `out`.
async fn serve<D: Database>(
    server: &Server<D>,
    parts: &Parts,
    body: &[u8],
    operation: Result<Operation, Error>,
    started: Instant,
    id: &request_id::RequestId,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    // A running operation checks its body itself; a refused request's must be JSON first.
    let sent = body;
    let plain = gzip::inflate(&parts.headers, sent, BODY_BYTES_MAX)?;
    let body = &*plain;
    let refuse = |error: Error| match is_json(body) {
        true => error,
        false => Error::Serialization(None),
    };
    let operation = operation.map_err(refuse)?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let principal = server
        .authority
        .verify(parts, sent, seconds)
        .map_err(refuse)?;
    let Ok(_permit) = server.in_flight.try_acquire() else {
        return Err(Error::Throttling(
            "Rate of requests exceeds the allowed throughput.".into(),
        ));
    };
    server.metrics.in_flight.inc();
    let _leave = Leave(&server.metrics.in_flight);
    let context = Context {
        database: &server.database,
        caller: Caller {
            principal: principal.access_key,
            account: principal.account,
            class: RequestClass::Foreground.into(),
            trace: trace::trace_of(id.as_str(), traceparent(&parts.headers)),
        },
        region: &principal.region,
        endpoint: parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()),
        deadline: started + server.config.deadline,
    };
    if body.is_empty() {
        return Err(Error::Serialization(None));
    }
    operation.run(&context, body, out).await
}

/// The client's own trace (W3C Trace Context).
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// Takes a request out of the gauge, however it ends.
struct Leave<'g>(&'g prometheus_client::metrics::gauge::Gauge);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// No body counts as JSON, as the service has it.
fn is_json(body: &[u8]) -> bool {
    body.is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

async fn read_body(mut body: Incoming) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        drain(body, 0).await;
        return Err(Unread::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Lost)?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > BODY_BYTES_MAX {
            drain(body, first.len() + rest.len() + data.len()).await;
            return Err(Unread::TooLarge);
        }
        // Most bodies are one frame and stay as they came.
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

async fn drain(mut body: Incoming, mut read: usize) {
    while read <= DRAIN_BYTES_MAX {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}

fn too_large(version: Version) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    if version == Version::HTTP_11 {
        response.headers_mut().insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    response
}

/// A response with its checksum.
fn bare(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let crc = crc32fast::hash(&body);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CRC32, HeaderValue::from(crc));
    response
}

/// Browsers may call from anywhere: a signature, not a cookie, says who asks.
fn preflight(request: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    for (asked, answer) in [
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
    ] {
        if let Some(value) = request.get(asked) {
            headers.insert(answer, value.clone());
        }
    }
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("172800"),
    );
    response
}
