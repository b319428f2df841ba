//! Counters and latencies of the API, by operation.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::operations::Operation;

/// Upper bounds of latency buckets, seconds.
const BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    operation: &'static str,
    error: &'static str,
}

/// Handles of all metrics of the API; cheap to use from every task.
#[derive(Debug)]
pub struct Metrics {
    /// By [`Operation`], resolved once.
    operations: Vec<(Counter, Histogram)>,
    errors: Family<ErrorLabels, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) in_flight: Gauge,
}

impl Metrics {
    /// Those of the DynamoDB API (`dynamo_…`).
    pub fn new(registry: &mut Registry) -> Self {
        Self::of(registry.sub_registry_with_prefix("dynamo"))
    }

    /// Those of the native API (`kv_…`), by the operations that its calls become.
    pub fn native(registry: &mut Registry) -> Self {
        Self::of(registry.sub_registry_with_prefix("kv"))
    }

    fn of(registry: &mut Registry) -> Self {
        let requests = Family::<OperationLabel, Counter>::default();
        let latency =
            Family::<OperationLabel, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let errors = Family::<ErrorLabels, Counter>::default();
        let connections = Gauge::default();
        let in_flight = Gauge::default();
        registry.register("requests", "Requests that were answered", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's last byte to its answer",
            Unit::Seconds,
            latency.clone(),
        );
        registry.register(
            "errors",
            "Requests answered with an exception",
            errors.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        registry.register("in_flight", "Requests being served", in_flight.clone());
        let operations = Operation::ALL
            .iter()
            .map(|operation| {
                let label = OperationLabel {
                    operation: operation.name(),
                };
                (
                    requests.get_or_create_owned(&label),
                    latency.get_or_create_owned(&label),
                )
            })
            .collect();
        Metrics {
            operations,
            errors,
            connections,
            in_flight,
        }
    }

    /// Counts a request that was answered after `elapsed`.
    pub(crate) fn served(&self, operation: Operation, elapsed: Duration) {
        if let Some((count, latency)) = self.operations.get(operation as usize) {
            count.inc();
            latency.observe(elapsed.as_secs_f64());
        }
    }

    /// Counts an exception; `operation` is none if the request named no known one.
    pub(crate) fn failed(&self, operation: Option<Operation>, error: &'static str) {
        let operation = operation.map_or("none", Operation::name);
        self.errors
            .get_or_create(&ErrorLabels { operation, error })
            .inc();
    }
}
