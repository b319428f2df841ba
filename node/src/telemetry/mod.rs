//! What a node tells those who run it: logs, metrics, health.

mod http;
mod logging;
mod metrics;
mod node;
pub(crate) mod trace;

pub use http::{Health, HttpError, Telemetry};
pub use logging::{Format, LoggingError, init};
pub use metrics::{Metrics, latency_seconds};
pub use node::{NodeMetrics, Report};
pub use trace::{TraceError, export_traces, flush_traces};
