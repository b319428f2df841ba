//! How a `KvCluster` and its status are printed.

use std::fmt::Write as _;

use super::Error;
use crate::crd::condition::{self, ConditionType};
use crate::crd::{KvCluster, PlanStatus};

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// The `KvCluster` in JSON.
    Json,
    /// The `KvCluster` in YAML.
    Yaml,
}

/// A `KvCluster` with its status.
///
/// # Errors
/// It makes no JSON or YAML.
pub fn status(object: &KvCluster, format: Format) -> Result<String, Error> {
    match format {
        Format::Json => serde_json::to_string_pretty(object)
            .map(|text| text + "\n")
            .map_err(Error::Json),
        Format::Yaml => serde_yaml::to_string(object).map_err(Error::Yaml),
        Format::Table => Ok(table(object)),
    }
}

fn table(object: &KvCluster) -> String {
    let mut text = String::new();
    let Some(status) = &object.status else {
        return text;
    };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let id = status.cluster_id.as_deref().unwrap_or("not chosen yet");
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "cluster {name}, id {id}, {} of {} nodes up",
        status.nodes_up, object.spec.nodes
    );
    let none = String::from("-");
    let mut rows = vec![
        [
            "NAME",
            "ZONE",
            "STATE",
            "ENDPOINT",
            "SHARE",
            "LEADERS",
            "PARTITIONS",
            "PID",
        ]
        .map(String::from),
    ];
    rows.extend(status.nodes.iter().map(|node| {
        [
            node.name.clone(),
            node.zone.clone(),
            node.state.to_string(),
            node.endpoint.clone().unwrap_or_else(|| none.clone()),
            format!("{:.1} %", node.share * 100.0),
            node.leaders.to_string(),
            node.partitions.to_string(),
            node.pid.map_or_else(|| none.clone(), |pid| pid.to_string()),
        ]
    }));
    if status.nodes.iter().any(|node| node.pid.is_some()) {
        text.push_str(&columns(&rows));
    } else {
        // Where nodes are no processes of this machine, or none runs.
        let rows: Vec<[String; 7]> = rows.into_iter().map(without_the_last).collect();
        text.push_str(&columns(&rows));
    }
    if let Some(plan) = &status.plan {
        let _ = writeln!(text, "plan: {}", plan_line(plan));
    }
    for type_ in ConditionType::OF_CLUSTERS {
        if let Some(condition) = condition::find(&status.conditions, type_) {
            let colon = if condition.message.is_empty() {
                ""
            } else {
                ": "
            };
            let _ = writeln!(
                text,
                "{type_} {} ({}){colon}{}",
                condition.status, condition.reason, condition.message
            );
        }
    }
    text
}

fn without_the_last(row: [String; 8]) -> [String; 7] {
    let [name, zone, state, endpoint, share, leaders, partitions, _] = row;
    [name, zone, state, endpoint, share, leaders, partitions]
}

/// A plan in one line.
pub fn plan_line(plan: &PlanStatus) -> String {
    let mut line = plan.step.clone();
    let moved = plan.bytes_done + plan.bytes_left;
    if moved > 0 {
        let (done, all, rate) = (
            size(plan.bytes_done),
            size(moved),
            size(plan.bytes_per_second),
        );
        let _ = write!(line, "; {done} of {all} moved, {rate}/s");
    }
    if let Some(eta) = plan.eta_seconds {
        let _ = write!(line, ", {eta} s left");
    }
    if let Some(waiting) = &plan.waiting_for {
        let _ = write!(line, "; waits: {waiting}");
    }
    line
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
