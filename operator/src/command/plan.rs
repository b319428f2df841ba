//! `plan -f new.yaml`: what a changed `KvCluster` would do. Changes nothing.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::show::{Format, size};
use super::{Error, Seen};
use crate::crd::KvCluster;
use crate::plan::World;
use crate::plan::orders::Orders;
use crate::plan::preview::{Preview, preview};
use crate::platform::Defaults;
use crate::reconcile::validate;

/// The text to print.
///
/// # Errors
/// The object is not valid, or nobody answers.
pub fn plan(
    cluster: &Seen,
    object: &KvCluster,
    defaults: Defaults,
    orders: &Orders,
    format: Format,
) -> Result<String, Error> {
    cluster.addresses()?;
    let known = cluster.view.cluster.as_ref();
    let known = known.ok_or_else(|| cluster.nobody())?;
    let wanted = validate::validate(object, defaults)?;
    let world = World {
        cluster: &wanted,
        inventory: &cluster.inventory,
        view: &cluster.view,
        orders,
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
