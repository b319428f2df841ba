//! Stops nodes in order: the last one first, each asked, waited for, and only then ended by force.

use std::fmt;
use std::time::Duration;

use kv_ring::NodeId;
use rustix::process::Signal;
use tokio::time::Instant;

use super::Error;
use crate::platform::local::LocalPlatform;
use crate::platform::{Inventory, NodeObject, Platform, Presence};

/// How long a node may take to end by itself.
pub const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What a shutdown reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A node was asked to end.
    Asked(String),
    /// It did.
    Ended(String),
    /// It did not within [`GRACE`], and is ended by force.
    Killed(String),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(name) => write!(f, "{name}: asked to stop"),
            Self::Ended(name) => write!(f, "{name}: stopped"),
            Self::Killed(name) => {
                let seconds = GRACE.as_secs();
                write!(
                    f,
                    "{name}: did not stop in {seconds} s, ended by force; it recovers at its next start"
                )
            }
        }
    }
}

/// The nodes whose processes are there.
#[must_use]
pub fn running(inventory: &Inventory) -> Vec<&NodeObject> {
    inventory
        .nodes
        .values()
        .filter(|node| node.presence != Presence::Absent)
        .collect()
}

/// Stops all nodes. May be dropped at any time and begun again.
///
/// # Errors
/// The platform can't look, or may not signal.
pub async fn stop_all(
    platform: &mut LocalPlatform,
    grace: Duration,
    mut report: impl FnMut(Progress),
) -> Result<(), Error> {
    loop {
        let inventory = platform.observe().await?;
        // One that started since the last look is found by the next one.
        let Some((id, name)) = running(&inventory)
            .last()
            .map(|node| (node.id, node.name.clone()))
        else {
            return Ok(());
        };
        stop(platform, id, &name, grace, &mut report).await?;
    }
}

async fn stop(
    platform: &mut LocalPlatform,
    id: NodeId,
    name: &str,
    grace: Duration,
    report: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    report(Progress::Asked(name.to_owned()));
    // All end: there is no other node that clients could find while this one serves on.
    platform.signal(id, Signal::INT)?;
    let deadline = Instant::now() + grace;
    let mut is_killed = false;
    loop {
        let inventory = platform.observe().await?;
        if inventory
            .nodes
            .get(&id)
            .is_none_or(|node| node.presence == Presence::Absent)
        {
            report(Progress::Ended(name.to_owned()));
            return Ok(());
        }
        if Instant::now() >= deadline && !is_killed {
            report(Progress::Killed(name.to_owned()));
            platform.signal(id, Signal::KILL)?;
            is_killed = true;
        }
        tokio::time::sleep(POLL).await;
    }
}
