//! Export of traces to OpenTelemetry (OTLP over gRPC), where an endpoint is given; otherwise nothing here costs more than a look.
//!
//! ```text
//!   front end ─► request span, its ids made from the request id ─┐
//!   leader's node ─► hop span: same trace, child of the request ─┴─► batches in the background ─► collector
//! ```
//! The request id travels with every forwarded request ([`kv_core::api::Caller::trace`]). Trace and span ids are its digest, so that spans of
//! all nodes join without another field on the wire. A client's own `traceparent` (W3C) travels behind the id and wins.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kv_core::ids::NodeId;
use kv_core::wire::{self, Frame, Kind, Target};
use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use sha2::{Digest, Sha256};

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Why traces can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{endpoint} is no OTLP endpoint; write for example http://127.0.0.1:4317")]
    Endpoint {
        endpoint: String,
        source: opentelemetry_otlp::ExporterBuildError,
    },
    #[error("traces were set up before")]
    Twice,
}

/// Exports to `endpoint` from now on; in the runtime that calls. `OTEL_…` variables choose sampling, headers and batches.
pub fn export_traces(endpoint: &str, node: &str) -> Result<(), TraceError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TraceError::Endpoint {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let resource = Resource::builder()
        .with_service_name("kv-node")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("kv-node");
    EXPORT
        .set(Export { provider, tracer })
        .map_err(|_| TraceError::Twice)
}

/// Sends what waits. Blocks: not for threads of the runtime.
pub fn flush_traces() {
    if let Some(export) = EXPORT.get() {
        if let Err(error) = export.provider.force_flush() {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

pub(crate) fn is_exported() -> bool {
    EXPORT.get().is_some()
}

/// What [`kv_core::api::Caller::trace`] says: the id, and behind it the client's `traceparent` if it sent one.
pub(crate) fn trace_of(request_id: &str, traceparent: Option<&str>) -> String {
    match traceparent.filter(|text| parse(text).is_some()) {
        Some(traceparent) => format!("{request_id} {traceparent}"),
        None => request_id.to_owned(),
    }
}

/// The request id in a trace.
fn id_of(trace: &str) -> &str {
    trace.split_once(' ').map_or(trace, |(id, _)| id)
}

/// A request that this node was asked and has answered after `took`.
pub(crate) fn request(
    trace: &str,
    api: &'static str,
    operation: &'static str,
    took: Duration,
    error: Option<&'static str>,
) {
    let Some(export) = EXPORT.get() else { return };
    let now = SystemTime::now();
    let client = trace
        .split_once(' ')
        .and_then(|(_, traceparent)| parse(traceparent));
    let parent = match client {
        Some(client) => Context::new().with_remote_span_context(client),
        None => Context::new(),
    };
    let mut attributes = vec![
        KeyValue::new("rpc.system", api),
        KeyValue::new("rpc.method", operation),
        KeyValue::new("ringkv.request_id", id_of(trace).to_owned()),
    ];
    attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
    let builder = SpanBuilder::from_name(operation)
        .with_kind(SpanKind::Server)
        .with_start_time(now.checked_sub(took).unwrap_or(now))
        .with_attributes(attributes);
    NEXT.set(Some(ids_of(id_of(trace))));
    let mut span = export.tracer.build_with_context(builder, &parent);
    NEXT.set(None);
    if let Some(error) = error {
        span.set_status(Status::error(error));
    }
    span.end_with_timestamp(now);
}

/// A frame from another node: a request that it forwards gets a line in the log (level debug) and a span.
pub(crate) fn hop(from: NodeId, frame: &Bytes) {
    if !is_exported() && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    // Requests are for one group or shard; frames for every shard carry consensus.
    if matches!(wire::target(frame), Err(_) | Ok(Target::Every)) {
        return;
    }
    let Ok(Frame::One {
        kind: Kind::Forward(forward),
        ..
    }) = wire::decode(frame, |_| false)
    else {
        return;
    };
    let Some(caller) = forward.caller else { return };
    let trace = caller.trace.as_str();
    tracing::debug!(
        request = id_of(trace),
        node = from.0,
        partition = forward.group,
        attempt = forward.attempt,
        "a request was forwarded here"
    );
    let Some(export) = EXPORT.get() else { return };
    let (mut trace_id, span_id) = ids_of(id_of(trace));
    if let Some(client) = trace.split_once(' ').and_then(|(_, text)| parse(text)) {
        trace_id = client.trace_id();
    }
    let parent = context(trace_id, span_id);
    let builder = SpanBuilder::from_name(Cow::Borrowed("forwarded"))
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("ringkv.request_id", id_of(trace).to_owned()),
            KeyValue::new("ringkv.from_node", from.0.to_string()),
            KeyValue::new("ringkv.partition", forward.group.to_string()),
        ]);
    let parent = Context::new().with_remote_span_context(parent);
    export.tracer.build_with_context(builder, &parent).end();
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(
        trace,
        span,
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// `00-TRACE-SPAN-FLAGS` (W3C Trace Context).
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if (version.len(), trace.len(), span.len(), flags.len()) != (2, 32, 16, 2) || version == "ff" {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// The trace and the span of a request.
fn ids_of(request_id: &str) -> (TraceId, SpanId) {
    let digest: [u8; 32] = Sha256::digest(request_id.as_bytes()).into();
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest[..16]);
    span.copy_from_slice(&digest[16..24]);
    (TraceId::from_bytes(trace), SpanId::from_bytes(span))
}

thread_local! {
    /// The ids of the span that this thread makes next.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get()
            .map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get()
            .map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_only_if_it_is_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_of("ID", Some(good)), format!("ID {good}"));
        assert_eq!(id_of(&trace_of("ID", Some(good))), "ID");
        for bad in [
            "",
            "x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(trace_of("ID", Some(bad)), "ID", "{bad:?}");
        }
    }

    #[test]
    fn ids_follow_from_the_request_on_every_node() {
        assert_eq!(ids_of("A"), ids_of("A"));
        assert_ne!(ids_of("A"), ids_of("B"));
    }
}
