//! `kv-operator local status`: looks for itself, whether an operator works there or not, and changes nothing.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::object::{Store, seconds};
use super::{Error, orders};
use crate::crd::condition::{self, ConditionType};
use crate::crd::{KvCluster, KvClusterStatus, PlanStatus};
use crate::dataplane::AdminClients;
use crate::platform::local::dir::Dir;
use crate::platform::local::{self, LocalPlatform, tls};
use crate::reconcile;
use crate::reconcile::apply::Look;

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

/// The text to print.
///
/// # Errors
/// There is no cluster in the directory.
pub async fn status(dir: &Path, format: Format) -> Result<String, Error> {
    let (dir, mut object) = open(dir)?;
    let tended = if dir.is_tended() {
        Look::Tended
    } else {
        Look::Untended
    };
    object.status = Some(look(&dir, &object, tended).await?);
    match format {
        Format::Json => serde_json::to_string_pretty(&object)
            .map(|text| text + "\n")
            .map_err(Error::Json),
        Format::Yaml => serde_yaml::to_string(&object).map_err(Error::Yaml),
        Format::Table => Ok(table(&object)),
    }
}

/// The object of a directory.
pub(super) fn open(root: &Path) -> Result<(Dir, KvCluster), Error> {
    let none = || local::Error::NoCluster {
        dir: root.to_owned(),
    };
    let dir = Dir::open(root).map_err(|error| match error {
        local::Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            none()
        }
        error => error,
    })?;
    let object = Store::open(dir.clone())?.get().cloned().ok_or_else(none)?;
    Ok((dir, object))
}

/// What is the case now.
pub(super) async fn look(
    dir: &Dir,
    object: &KvCluster,
    look: Look,
) -> Result<KvClusterStatus, Error> {
    let mut platform = LocalPlatform::reader(dir.clone());
    let mut dataplane = AdminClients::patient(tls::operator_paths(dir));
    let request = reconcile::Request {
        object,
        orders: &orders::read(dir)?,
        refused: None,
        now: seconds(Timestamp::now()),
    };
    Ok(reconcile::look(&mut platform, &mut dataplane, &request, look).await?)
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
    text.push_str(&columns(&rows));
    if let Some(plan) = &status.plan {
        let _ = writeln!(text, "plan: {}", plan_line(plan));
    }
    for type_ in [
        ConditionType::Ready,
        ConditionType::Progressing,
        ConditionType::Degraded,
        ConditionType::DataLost,
        ConditionType::HotKey,
    ] {
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

/// A plan in one line.
pub(super) fn plan_line(plan: &PlanStatus) -> String {
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
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
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
