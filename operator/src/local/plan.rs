//! `kv-operator local plan -f new.yaml`: what saving that file would do. Changes nothing.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::nodes::Cluster;
use super::status::{Format, size};
use super::{Error, orders, run};
use crate::plan::World;
use crate::plan::preview::{Preview, preview};
use crate::platform::local;
use crate::reconcile::{self, validate};

/// The text to print.
///
/// # Errors
/// The file has mistakes, or nobody answers.
pub async fn plan(root: &Path, file: &Path, format: Format) -> Result<String, Error> {
    let cluster = Cluster::look(root).await?;
    let text = run::read(file)?;
    let object = run::parse(file, &text, Some(&cluster.object))?;
    cluster.addresses()?;
    let nobody = || Error::NobodyAnswers {
        dir: cluster.dir.root().to_owned(),
    };
    let known = cluster.view.cluster.as_ref().ok_or_else(nobody)?;
    let wanted =
        validate::validate(&object, local::DEFAULTS).map_err(reconcile::Error::Validate)?;
    let orders = orders::read(&cluster.dir)?;
    let world = World {
        cluster: &wanted,
        inventory: &cluster.inventory,
        view: &cluster.view,
        orders: &orders,
        now_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0),
        fresh_id: "",
        soaking: None,
    };
    let preview = preview(&world, known, cluster.view.progress.as_ref());
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(&preview).map_err(Error::Json)? + "\n"),
        Format::Yaml => serde_yaml::to_string(&preview).map_err(Error::Yaml),
        Format::Table => Ok(table(&preview)),
    }
}

fn table(preview: &Preview) -> String {
    let Preview {
        join,
        leave,
        restart,
        tokens,
        copies,
        partitions,
        bytes,
        eta_seconds,
        forbidden,
    } = preview;
    let mut text = String::new();
    // Writing to a String does not fail.
    for come in join {
        let _ = writeln!(
            text,
            "+ {} in zone {}, group {}",
            come.name, come.zone, come.group
        );
    }
    for name in leave {
        let _ = writeln!(text, "- {name}");
    }
    for name in restart {
        let _ = writeln!(text, "~ {name} restarts");
    }
    if copies.0 != copies.1 {
        let _ = writeln!(text, "copies: {} -> {}", copies.0, copies.1);
    }
    let _ = writeln!(text, "tokens that change: {tokens}");
    let eta = eta_seconds.map_or_else(String::new, |eta| format!(", about {eta} s"));
    let _ = writeln!(
        text,
        "to move: {partitions} replicas of partitions, {}{eta}",
        size(*bytes)
    );
    for why in forbidden {
        let _ = writeln!(text, "forbidden: {why}");
    }
    text
}
