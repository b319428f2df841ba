//! Second stage: the spec as a type that can't be wrong. Later stages never look at the raw spec again.

use crate::crd::KvCluster;
use crate::crd::rules::{self, Violation};

/// Zones of the local platform where the spec names none.
const ZONES_DEFAULT: [&str; 3] = ["a", "b", "c"];

/// A valid cluster, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// How many nodes it should have, at least 1.
    pub nodes: u32,
    /// Copies of each item, `1..=nodes`.
    pub replication_factor: u32,
    /// At least one.
    pub zones: Vec<String>,
}

/// A spec that admission should not have let through.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.path, .0.message)]
pub struct Error(pub Violation);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Checks an object by itself.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(object: &KvCluster) -> Result<Cluster, Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let broken = rules::name_violation(&name);
    if let Some(violation) =
        broken.or_else(|| rules::violations(&object.spec, None).into_iter().next())
    {
        return Err(Error(violation));
    }
    let count = |number: i32| u32::try_from(number).unwrap_or(1);
    let zones = object.spec.zones.clone();
    Ok(Cluster {
        name,
        nodes: count(object.spec.nodes),
        replication_factor: count(object.spec.replication_factor()),
        zones: zones.unwrap_or_else(|| ZONES_DEFAULT.map(String::from).to_vec()),
    })
}
