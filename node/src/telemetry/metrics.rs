//! The node's registry of metrics, in the OpenMetrics text that Prometheus reads.
//!
//! Names follow Prometheus' practice: `ringkv_` first, base units last (`_seconds`, `_bytes`), counters end in `_total`
//! (the encoder adds unit and `_total`; don't write them in the name). Labels come from enums, never from foreign text.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

const PREFIX: &str = "ringkv";

/// What [`Metrics::text`] is, for the HTTP header.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of a node's metrics; clones share the registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            registry: Arc::new(RwLock::new(Registry::with_prefix(PREFIX))),
        }
    }
}

impl Metrics {
    /// Lets a part of the node register what it counts.
    pub fn register<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        with(&mut self.registry.write())
    }

    /// All values now.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.read())?;
        Ok(text)
    }
}

/// A histogram for the time that requests take: 17 buckets from 50 µs to 3.3 s.
pub fn latency_seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 17))
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Unit;

    use super::*;

    #[test]
    fn names_follow_the_practice_of_prometheus() {
        let metrics = Metrics::default();
        let received: Counter = Counter::default();
        let latency = latency_seconds();
        metrics.register(|registry| {
            registry.register_with_unit(
                "received",
                "Bytes received",
                Unit::Bytes,
                received.clone(),
            );
            registry.register_with_unit(
                "request_duration",
                "Time a request took",
                Unit::Seconds,
                latency.clone(),
            );
        });
        received.inc_by(3);
        latency.observe(0.0001);
        let text = metrics.text().expect("encodes");
        assert!(text.contains("\nringkv_received_bytes_total 3\n"), "{text}");
        assert!(
            text.contains("\nringkv_request_duration_seconds_count 1\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
