//! `node.json` in a node's folder.

use std::path::Path;

use super::Error;
use super::dir::{read_file, write_file};
pub use crate::platform::node_config::NodeConfig;

/// A node's configuration, or `None` if it has none yet.
///
/// # Errors
/// The file is damaged.
pub fn read(path: &Path) -> Result<Option<NodeConfig>, Error> {
    let Some(text) = read_file(path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| Error::Damaged {
            path: path.to_owned(),
            source,
        })
}

/// Writes a node's configuration, unless it says so already.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, config: &NodeConfig) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(config).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let is_there = read_file(path).is_ok_and(|old| old.is_some_and(|old| old.as_bytes() == text));
    if is_there {
        Ok(())
    } else {
        write_file(path, &text)
    }
}
