//! `place.json`: what the operator notes of a node, and the node is not told.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::dir::{read_file, write_file};
use crate::reconcile::validate::GROUP_DEFAULT;

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Name of its group.
    pub group: String,
    /// Its group's revision when its process was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

impl Place {
    /// What is noted of a node; nodes of clusters from before there were groups are of the default one.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let Some(text) = read_file(path)? else {
            return Ok(Self {
                group: GROUP_DEFAULT.to_owned(),
                revision: None,
            });
        };
        serde_json::from_str(&text).map_err(|source| Error::Damaged {
            path: path.to_owned(),
            source,
        })
    }

    /// Notes it, unless it is noted already.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        if read_file(path)?.is_some() && Self::read(path)? == *self {
            return Ok(());
        }
        let damaged = |source| Error::Damaged {
            path: path.to_owned(),
            source,
        };
        write_file(path, &serde_json::to_vec_pretty(self).map_err(damaged)?)
    }
}
