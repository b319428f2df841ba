//! The commands.

use std::fmt::Write as _;
use std::path::Path;

use super::choose::{find, named};
use super::look::look;
use super::reach::Server;
use super::{Error, Reach, orders};
use crate::command::order::{self, Order};
use crate::command::show::{self, Format};
use crate::command::split::{self, Where};
use crate::command::top::{self, Kind};
use crate::command::{Seen, manifest_file, plan};
use crate::crd::KvCluster;
use crate::platform::Platform;
use crate::platform::kubernetes::KubernetesPlatform;

/// The cluster that is meant.
async fn cluster(reach: &Reach, name: Option<&str>) -> Result<(Server, KvCluster), Error> {
    let name = named("clusters", [name, reach.cluster.as_deref()])?;
    let server = Server::find(reach).await?;
    let object = find(&server, name).await?;
    Ok((server, object))
}

/// The `KvCluster` with its status, as the operator wrote it.
///
/// # Errors
/// There is no such cluster.
pub async fn status(reach: &Reach, name: Option<&str>, format: Format) -> Result<String, Error> {
    let (_, mut object) = cluster(reach, name).await?;
    // More than half of it, and nobody looks at it.
    object.metadata.managed_fields = None;
    let mut text = show::status(&object, format)?;
    if format == Format::Table
        && let Some(news) = unseen(&object)
    {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{news}");
    }
    Ok(text)
}

/// What the status can't tell of yet.
fn unseen(object: &KvCluster) -> Option<&'static str> {
    let Some(status) = &object.status else {
        return Some("no operator has looked at it yet: is one installed, and does it run?");
    };
    (status.observed_generation < object.metadata.generation)
        .then_some("the operator has not looked at the newest spec yet")
}

/// What applying that file would do.
///
/// # Errors
/// The file has mistakes, or nobody answers.
pub async fn plan(reach: &Reach, file: &Path, format: Format) -> Result<String, Error> {
    let text = manifest_file::read(file)?;
    let meta = manifest_file::parse(file, &text, None)?.metadata;
    let said = [reach.namespace.as_deref(), meta.namespace.as_deref()];
    let namespace = named("namespaces", said)?.map(str::to_owned);
    let reach = Reach {
        namespace,
        ..reach.clone()
    };
    let (server, old) = cluster(&reach, meta.name.as_deref()).await?;
    let object = manifest_file::parse(file, &text, Some(&old))?;
    let seen = look(&server, &old).await?;
    let defaults = KubernetesPlatform::DEFAULTS;
    let orders = orders::of(&old)?;
    Ok(plan::plan(&seen, &object, defaults, &orders, format)?)
}

/// Prints the load once, or in a terminal again and again until the program is ended.
///
/// # Errors
/// Nobody answers, or the output can't be written.
pub async fn top(
    reach: &Reach,
    name: Option<&str>,
    kind: Kind,
    limit: u32,
    format: Format,
) -> Result<(), Error> {
    let (server, object) = cluster(reach, name).await?;
    let seen = look(&server, &object).await?;
    // Connections that break are made anew by themselves.
    let again = async |seen: Seen| Ok::<_, Error>(seen);
    top::top(seen, kind, limit, format, again).await
}

/// Asks for a split; answers what comes of it.
///
/// # Errors
/// Nobody answers, or the cluster refuses.
pub async fn split(reach: &Reach, place: Where) -> Result<String, Error> {
    let (server, object) = cluster(reach, None).await?;
    let mut seen = look(&server, &object).await?;
    Ok(split::split(&mut seen, place).await?)
}

/// Notes an order; answers what will happen.
///
/// # Errors
/// There is no such cluster or node, or nobody answers that should know.
pub async fn order(reach: &Reach, wanted: Order) -> Result<String, Error> {
    let (server, object) = cluster(reach, None).await?;
    let seen = look(&server, &object).await?;
    let ordered = order::order(&seen, wanted)?;
    orders::write(&server, object, &ordered).await?;
    Ok(ordered.said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{KvClusterSpec, KvClusterStatus};

    #[test]
    fn a_status_says_what_it_can_not_know_yet() {
        let mut object = KvCluster::new("rides", KvClusterSpec::default());
        object.metadata.generation = Some(2);
        assert!(unseen(&object).is_some_and(|news| news.contains("no operator")));
        let status = |generation| KvClusterStatus {
            observed_generation: Some(generation),
            ..KvClusterStatus::default()
        };
        object.status = Some(status(1));
        assert!(unseen(&object).is_some_and(|news| news.contains("newest spec")));
        object.status = Some(status(2));
        assert_eq!(unseen(&object), None);
    }
}
