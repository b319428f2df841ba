//! Commands that talk to the running cluster of a directory.

use std::path::Path;

use super::{Error, orders, run, status};
use crate::command::order::{self, Order};
use crate::command::show::Format;
use crate::command::split::{self, Where};
use crate::command::top::{self, Kind};
use crate::command::{Seen, manifest_file, plan};
use crate::crd::KvCluster;
use crate::dataplane::{AdminClients, DataPlane, Targets};
use crate::platform::local::dir::Dir;
use crate::platform::local::{self, LocalPlatform, tls};
use crate::platform::{Platform, Presence};

/// Looks at the cluster of a directory.
async fn look(root: &Path) -> Result<(Dir, KvCluster, Seen), Error> {
    let (dir, object) = status::open(root)?;
    let inventory = LocalPlatform::reader(dir.clone()).observe().await?;
    let mut targets = Targets::default();
    if let Some(identity) = &inventory.identity {
        targets.cluster_id.clone_from(&identity.cluster_id);
    }
    let alive = inventory
        .nodes
        .values()
        .filter(|node| node.presence != Presence::Absent);
    targets.addresses = alive
        .map(|node| (node.id, node.addresses.peer.clone()))
        .collect();
    let mut clients = AdminClients::patient(tls::operator_paths(&dir));
    let view = clients.observe(&targets).await;
    let seen = Seen {
        place: format!("in {}", dir.root().display()),
        advice: "start it with `kv-operator local -f FILE`".to_owned(),
        inventory,
        view,
        clients,
    };
    Ok((dir, object, seen))
}

/// What saving that file would do.
///
/// # Errors
/// The file has mistakes, or nobody answers.
pub async fn plan(root: &Path, file: &Path, format: Format) -> Result<String, Error> {
    let (dir, old, seen) = look(root).await?;
    let text = manifest_file::read(file)?;
    let object = run::parse(file, &text, Some(&old))?;
    let orders = orders::read(&dir)?;
    Ok(plan::plan(
        &seen,
        &object,
        local::DEFAULTS,
        &orders,
        format,
    )?)
}

/// Prints the load once, or in a terminal again and again until the program is ended.
///
/// # Errors
/// Nobody answers, or the output can't be written.
pub async fn top(root: &Path, kind: Kind, limit: u32, format: Format) -> Result<(), Error> {
    let (_, _, seen) = look(root).await?;
    let again = async |_: Seen| Ok::<_, Error>(look(root).await?.2);
    top::top(seen, kind, limit, format, again).await
}

/// Asks for a split; answers what comes of it.
///
/// # Errors
/// Nobody answers, or the cluster refuses.
pub async fn split(root: &Path, place: Where) -> Result<String, Error> {
    let (_, _, mut seen) = look(root).await?;
    Ok(split::split(&mut seen, place).await?)
}

/// Notes an order; answers what will happen.
///
/// # Errors
/// There is no such cluster or node, or nobody answers that should know.
pub async fn order(root: &Path, wanted: Order) -> Result<String, Error> {
    let (dir, _, seen) = look(root).await?;
    let ordered = order::order(&seen, wanted)?;
    orders::change(&dir, |orders| ordered.apply(orders))?;
    let said = ordered.said;
    if dir.is_tended() {
        return Ok(said);
    }
    Ok(format!(
        "{said}, once an operator works here: kv-operator local -f FILE --dir {}",
        dir.root().display()
    ))
}
