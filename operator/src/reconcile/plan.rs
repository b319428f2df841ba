//! Third stage: the pure planner on what was observed.

use uuid::Uuid;

use super::observe::Observed;
use super::validate::Cluster;
use crate::plan as pure;

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
pub fn plan(cluster: &Cluster, observed: &Observed) -> Plan {
    let fresh_id = Uuid::new_v4().to_string();
    Plan(pure::plan(
        cluster,
        observed.inventory(),
        observed.view(),
        &fresh_id,
    ))
}
