//! Third stage: the pure planner on what was observed.

use jiff::Timestamp;
use uuid::Uuid;

use super::observe::Observed;
use super::validate::Cluster;
use crate::crd::KvClusterStatus;
use crate::plan as pure;
use crate::plan::orders::Orders;

/// A plan for what was observed.
#[derive(Clone, Debug)]
pub struct Plan(pure::Plan);

impl Plan {
    /// The steps and what stands in their way.
    #[must_use]
    pub const fn get(&self) -> &pure::Plan {
        &self.0
    }
}

/// Plans the next steps.
#[must_use]
pub fn plan(
    cluster: &Cluster,
    observed: &Observed,
    orders: &Orders,
    before: Option<&KvClusterStatus>,
    now: Timestamp,
) -> Plan {
    let fresh_id = Uuid::new_v4().to_string();
    let ms = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    let upgrade = before.and_then(|status| status.upgrade.as_ref());
    Plan(pure::plan(&pure::World {
        cluster,
        inventory: observed.inventory(),
        view: observed.view(),
        orders,
        now_ms: ms(now),
        fresh_id: &fresh_id,
        soaking: upgrade.map(|upgrade| (upgrade.version, ms(upgrade.since.0))),
    }))
}
