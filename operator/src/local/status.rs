//! `kv-operator local status`: looks for itself, whether an operator works there or not, and changes nothing.

use std::path::Path;

use jiff::Timestamp;

use super::object::{Store, seconds};
use super::{Error, orders};
use crate::command::show::{self, Format};
use crate::crd::{KvCluster, KvClusterStatus};
use crate::dataplane::AdminClients;
use crate::platform::local::dir::Dir;
use crate::platform::local::{self, LocalPlatform, tls};
use crate::reconcile;
use crate::reconcile::apply::Look;

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
    Ok(show::status(&object, format)?)
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
