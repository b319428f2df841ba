//! The reconcile loop: one round looks, decides and does, and is safe to end anywhere.
//!
//! ```text
//!            spec                                                            status.json / .status
//!             │                                                                      ▲
//! observe ──► validate ──► plan ──► build ──► apply ─────────────────────────────► status
//! Observed    Cluster      Plan     Built     Applied (the only one that writes)   KvClusterStatus
//! ```
//!
//! Each stage takes what only the stage before it can make: private fields prove the order.

pub mod apply;
pub mod build;
pub mod observe;
pub mod plan;
pub mod status;
pub mod validate;

use jiff::Timestamp;

use crate::crd::{KvCluster, KvClusterStatus};
use crate::dataplane::DataPlane;
use crate::platform::Platform;
pub use validate::Cluster;

/// Why a round could not even look.
#[derive(Debug, thiserror::Error)]
pub enum Error<P: std::error::Error + 'static> {
    /// The platform can't say what is there.
    #[error(transparent)]
    Observe(P),
    /// The spec is not what admission lets through.
    #[error(transparent)]
    Validate(#[from] validate::Error),
}

/// One round for `object`; the answer is its new status.
///
/// # Errors
/// Only what keeps it from looking. What a step ran into is part of the status.
pub async fn round<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    object: &KvCluster,
    refused: Option<&status::Refused>,
    now: Timestamp,
) -> Result<KvClusterStatus, Error<P::Error>> {
    let observed = observe::observe(platform, dataplane)
        .await
        .map_err(Error::Observe)?;
    let cluster = validate::validate(object)?;
    let plan = plan::plan(&cluster, &observed);
    let built = build::build(&cluster, &observed, &plan);
    let applied = apply::apply(platform, dataplane, built).await;
    Ok(status::status(&status::Inputs {
        object,
        observed: &observed,
        plan: &plan,
        applied: &applied,
        refused,
        now,
    }))
}

/// What is the case, without doing anything about it.
///
/// # Errors
/// As [`round`].
pub async fn look<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    object: &KvCluster,
    look: apply::Look,
    now: Timestamp,
) -> Result<KvClusterStatus, Error<P::Error>> {
    let observed = observe::observe(platform, dataplane)
        .await
        .map_err(Error::Observe)?;
    let cluster = validate::validate(object)?;
    let plan = plan::plan(&cluster, &observed);
    let applied = apply::Applied::nothing(look);
    let inputs = status::Inputs {
        object,
        observed: &observed,
        plan: &plan,
        applied: &applied,
        refused: None,
        now,
    };
    Ok(status::status(&inputs))
}
