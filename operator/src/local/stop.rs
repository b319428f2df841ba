//! `kv-operator local stop`: asks the operator that works there to stop, or stops the nodes itself.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::object::Store;
use super::shutdown::{self, GRACE, Progress};
use super::{Error, status};
use crate::platform::local;
use crate::platform::local::LocalPlatform;
use crate::platform::local::dir::{Dir, Lock};
use crate::platform::local::process::Process;
use crate::reconcile::apply::Look;

/// Beyond what each node may take.
const SLACK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Stops a cluster; `report` hears of each node that this very process stops.
///
/// # Errors
/// There is no cluster, or it does not stop in time.
pub async fn stop(root: &Path, report: impl FnMut(Progress)) -> Result<(), Error> {
    let (dir, object) = status::open(root)?;
    let nodes = u32::try_from(object.spec.nodes).unwrap_or(0);
    let lock = match dir.lock() {
        Ok(lock) => lock,
        Err(local::Error::Locked { pid: Some(pid), .. }) => ask(&dir, pid, nodes).await?,
        Err(error) => return Err(error.into()),
    };
    // What the operator left, if there was one.
    let mut platform = LocalPlatform::reader(dir.clone());
    shutdown::stop_all(&mut platform, GRACE, report).await?;
    let after = status::look(&dir, &object, Look::Untended).await?;
    Store::open(dir)?.set_status(after)?;
    drop(lock);
    Ok(())
}

/// Asks the holder of the lock to stop, and waits for the lock.
async fn ask(dir: &Dir, pid: u32, nodes: u32) -> Result<Lock, Error> {
    let refused = |source| local::Error::Signal {
        node: "kv-operator".into(),
        pid,
        source,
    };
    if let Some(holder) = Process::of(pid) {
        holder.signal(Signal::TERM).map_err(refused)?;
    }
    let patience = GRACE * nodes.max(1) + SLACK;
    let deadline = Instant::now() + patience;
    loop {
        match dir.lock() {
            Ok(lock) => return Ok(lock),
            Err(local::Error::Locked { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(POLL).await
            }
            Err(local::Error::Locked { .. }) => {
                return Err(Error::StillWorking {
                    dir: dir.root().to_owned(),
                    pid,
                    seconds: patience.as_secs(),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
