//! What a person ordered beside the spec. Orders are wishes about a state, so that doing one twice does no harm.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// All orders in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Orders {
    /// Restart these nodes while they still are at this incarnation or below.
    pub restart: BTreeMap<u64, u64>,
    /// Let new nodes take the places of these.
    pub replace: BTreeSet<u64>,
    /// Keep these nodes empty.
    pub drain: BTreeSet<u64>,
    /// The cluster with this id is lost: make a new one in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<String>,
}
