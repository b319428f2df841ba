//! What the operator counts, in Prometheus' text format.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::crd::condition::{self, ConditionType};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of a process.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reconciles: Family<Vec<(&'static str, &'static str)>, Counter>,
    seconds: Histogram,
    api_calls: Family<Vec<(&'static str, &'static str)>, Counter>,
    status_writes: Counter,
    clusters: Gauge,
    /// At most one a type of condition of a cluster that is there.
    conditions: Family<Vec<(&'static str, String)>, Gauge>,
    table_reconciles: Family<Vec<(&'static str, &'static str)>, Counter>,
    tables: Gauge,
    is_leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ringkv_operator");
        let (reconciles, api_calls) = (Family::default(), Family::default());
        // From 1 ms to 16 s.
        let seconds = Histogram::new([0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0]);
        let (status_writes, clusters, is_leader) =
            (Counter::default(), Gauge::default(), Gauge::default());
        registry.register(
            "reconciles",
            "Rounds of reconciliation by outcome: done, failed",
            Clone::clone(&reconciles),
        );
        registry.register(
            "reconcile_seconds",
            "How long rounds take",
            Clone::clone(&seconds),
        );
        registry.register(
            "api_calls",
            "Requests to the API server by verb, kind and outcome",
            Clone::clone(&api_calls),
        );
        registry.register(
            "status_writes",
            "Changes of a status that were written",
            Clone::clone(&status_writes),
        );
        registry.register(
            "clusters",
            "KvClusters that are looked after",
            Clone::clone(&clusters),
        );
        let conditions = Family::default();
        registry.register(
            "cluster_condition",
            "Conditions of KvClusters by namespace, name and type: 1 True, 0 False",
            Clone::clone(&conditions),
        );
        let (table_reconciles, tables) = (Family::default(), Gauge::default());
        registry.register(
            "table_reconciles",
            "Looks at KvTables by outcome: done, failed",
            Clone::clone(&table_reconciles),
        );
        registry.register(
            "tables",
            "KvTables that are looked after",
            Clone::clone(&tables),
        );
        registry.register(
            "is_leader",
            "1 while this process does the work, 0 while it stands by",
            Clone::clone(&is_leader),
        );
        Self(Arc::new(Inner {
            registry,
            reconciles,
            seconds,
            api_calls,
            status_writes,
            clusters,
            conditions,
            table_reconciles,
            tables,
            is_leader,
        }))
    }
}

impl Metrics {
    /// Counts a round.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        let labels: Labels<1> = [("outcome", outcome)];
        self.0.reconciles.get_or_create(&labels.to_vec()).inc();
        self.0.seconds.observe(took.as_secs_f64());
    }

    /// Counts a request.
    pub fn api_call(&self, verb: &'static str, kind: &'static str, outcome: &'static str) {
        let labels: Labels<3> = [("verb", verb), ("kind", kind), ("outcome", outcome)];
        self.0.api_calls.get_or_create(&labels.to_vec()).inc();
    }

    /// Counts a change of a status.
    pub fn status_written(&self) {
        self.0.status_writes.inc();
    }

    /// Notes how many clusters there are.
    pub fn set_clusters(&self, count: usize) {
        self.0
            .clusters
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes the conditions of a cluster.
    pub fn set_conditions(&self, namespace: &str, name: &str, conditions: &[Condition]) {
        for type_ in ConditionType::OF_CLUSTERS {
            let labels = condition_labels(namespace, name, type_);
            if let Some(found) = condition::find(conditions, type_) {
                let holds = found.status == "True";
                let gauge = self.0.conditions.get_or_create(&labels);
                gauge.set(i64::from(holds));
            } else {
                self.0.conditions.remove(&labels);
            }
        }
    }

    /// Tells of a cluster's conditions no more.
    pub fn forget_cluster(&self, namespace: &str, name: &str) {
        self.set_conditions(namespace, name, &[]);
    }

    /// Counts a look at a `KvTable`.
    pub fn table_reconciled(&self, outcome: &'static str) {
        let labels: Labels<1> = [("outcome", outcome)];
        self.0
            .table_reconciles
            .get_or_create(&labels.to_vec())
            .inc();
    }

    /// Notes how many `KvTable`s there are.
    pub fn set_tables(&self, count: usize) {
        self.0.tables.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes whether this process does the work.
    pub fn set_leader(&self, is_leader: bool) {
        self.0.is_leader.set(i64::from(is_leader));
    }

    /// All of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string can't fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

fn condition_labels(
    namespace: &str,
    name: &str,
    type_: ConditionType,
) -> Vec<(&'static str, String)> {
    vec![
        ("namespace", namespace.to_owned()),
        ("name", name.to_owned()),
        ("type", type_.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::default();
        metrics.reconciled("done", Duration::from_millis(5));
        metrics.api_call("apply", "Service", "ok");
        metrics.set_leader(true);
        let text = metrics.text();
        for line in [
            "ringkv_operator_reconciles_total{outcome=\"done\"} 1",
            "ringkv_operator_api_calls_total{verb=\"apply\",kind=\"Service\",outcome=\"ok\"} 1",
            "ringkv_operator_is_leader 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn conditions_are_told_as_long_as_their_cluster_is_there() {
        let metrics = Metrics::default();
        let ready = |holds| {
            let verdict = condition::Verdict {
                type_: ConditionType::Ready,
                holds,
                reason: condition::Reason::Serving,
                message: String::new(),
            };
            verdict.into_condition(&[], 1, jiff::Timestamp::UNIX_EPOCH)
        };
        let line = |value| {
            format!(
                "ringkv_operator_cluster_condition{{namespace=\"there\",name=\"rides\",type=\"Ready\"}} {value}"
            )
        };
        for (holds, value) in [(true, 1), (false, 0)] {
            metrics.set_conditions("there", "rides", &[ready(holds)]);
            let text = metrics.text();
            assert!(text.contains(&line(value)), "{text}");
        }
        assert!(!metrics.text().contains("Degraded"), "nobody has said so");
        metrics.forget_cluster("there", "rides");
        assert!(!metrics.text().contains("rides"), "it is gone");
    }
}
