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
pub mod progress;
pub mod status;
pub mod validate;

use jiff::Timestamp;
use kv_proto::admin::Move;

use crate::crd::{KvCluster, KvClusterStatus};
use crate::dataplane::DataPlane;
use crate::plan::Activity;
use crate::plan::orders::Orders;
use crate::platform::Platform;
pub use validate::{Cluster, Group};

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

/// What a round, or a look, is made for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The object, with the status before.
    pub object: &'a KvCluster,
    /// What a person ordered beside the spec.
    pub orders: &'a Orders,
    /// A newer spec that was not taken.
    pub refused: Option<&'a status::Refused>,
    /// Now.
    pub now: Timestamp,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The new status.
    pub status: KvClusterStatus,
    /// Moves under way, for a terminal.
    pub moves: Vec<Move>,
    /// Whether a step was taken, or waits to be.
    pub is_busy: bool,
    /// What was there before the steps.
    pub observed: observe::Observed,
    /// What was wanted.
    pub cluster: Cluster,
}

/// One round.
///
/// # Errors
/// Only what keeps it from looking. What a step ran into is part of the status.
pub async fn round<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    request: &Request<'_>,
) -> Result<Outcome, Error<P::Error>> {
    run(platform, dataplane, request, None).await
}

/// What is the case, without doing anything about it.
///
/// # Errors
/// As [`round`].
pub async fn look<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    request: &Request<'_>,
    look: apply::Look,
) -> Result<KvClusterStatus, Error<P::Error>> {
    Ok(run(platform, dataplane, request, Some(look)).await?.status)
}

async fn run<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    request: &Request<'_>,
    look: Option<apply::Look>,
) -> Result<Outcome, Error<P::Error>> {
    let Request {
        object,
        orders,
        refused,
        now,
    } = *request;
    let observed = observe::observe(platform, dataplane)
        .await
        .map_err(Error::Observe)?;
    let cluster = validate::validate(object, P::DEFAULTS)?;
    let plan = plan::plan(&cluster, &observed, orders, object.status.as_ref(), now);
    let applied = match look {
        Some(look) => apply::Applied::nothing(look),
        None => {
            apply::apply(
                platform,
                dataplane,
                build::build(&cluster, &observed, &plan),
            )
            .await
        }
    };
    let progress = observed.view().progress.as_ref();
    let moves = progress
        .map(|progress| progress.moves.clone())
        .unwrap_or_default();
    let status = status::status(&status::Inputs {
        object,
        observed: &observed,
        plan: &plan,
        applied: &applied,
        refused,
        now,
    });
    Ok(Outcome {
        status,
        moves,
        is_busy: is_busy(plan.get()),
        observed,
        cluster,
    })
}

/// Who waits for a window looks as seldom as who has nothing to do.
fn is_busy(plan: &crate::plan::Plan) -> bool {
    let is_at_work = |activity| activity != Activity::OutsideWindow;
    !plan.steps.is_empty() || plan.activity.is_some_and(is_at_work)
}
