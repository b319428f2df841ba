//! `cluster.json`: the identity that is chosen once and outlives every node.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::dir::{read_file, write_file};

/// The newest format of `cluster.json` that is known here.
pub const FORMAT: u32 = 2;

/// The identity of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityFile {
    /// Format of this file.
    pub format: u32,
    /// The cluster's id, a UUID; never changes.
    pub cluster_id: String,
    /// Its name, as in `metadata.name`.
    pub name: String,
    /// Whether nodes may hold data: set before the one `Bootstrap` call.
    pub is_formed: bool,
    /// The nodes that the call names; empty until then, and in format 1.
    #[serde(default)]
    pub founders: BTreeSet<u64>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The identity, or `None` if there is none yet.
///
/// # Errors
/// The file is damaged, or newer than this program.
pub fn read(path: &Path) -> Result<Option<IdentityFile>, Error> {
    let Some(text) = read_file(path)? else {
        return Ok(None);
    };
    let damaged = |source| Error::Damaged {
        path: path.to_owned(),
        source,
    };
    let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(Error::Newer {
            path: path.to_owned(),
            found: format,
            known: FORMAT,
        });
    }
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// Keeps an identity, in the newest format; it is on stable storage when this returns.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, identity: &IdentityFile) -> Result<(), Error> {
    let identity = IdentityFile {
        format: FORMAT,
        ..identity.clone()
    };
    let text = serde_json::to_vec_pretty(&identity).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    write_file(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_format_1_is_still_read() {
        let text = "{\n  \"format\": 1,\n  \"clusterId\": \"c-1\",\n  \"name\": \"rides\",\n  \"isFormed\": true\n}";
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("cluster.json");
        std::fs::write(&path, text).expect("written");
        let identity = IdentityFile {
            format: 1,
            cluster_id: "c-1".into(),
            name: "rides".into(),
            is_formed: true,
            founders: BTreeSet::new(),
        };
        assert_eq!(read(&path).expect("read"), Some(identity));
    }

    #[test]
    fn the_file_of_format_2_is_frozen() {
        let text = "{\n  \"format\": 2,\n  \"clusterId\": \"c-1\",\n  \"name\": \"rides\",\n  \"isFormed\": true,\n  \"founders\": [\n    1,\n    3\n  ]\n}";
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("cluster.json");
        let identity = IdentityFile {
            format: 2,
            cluster_id: "c-1".into(),
            name: "rides".into(),
            is_formed: true,
            founders: [1, 3].into(),
        };
        write(&path, &identity).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        assert_eq!(read(&path).expect("read"), Some(identity));
    }

    #[test]
    fn newer_and_damaged_files_are_told_apart() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("cluster.json");
        assert_eq!(read(&path).expect("no file"), None);
        std::fs::write(&path, "{\"format\": 3, \"whatever\": 1}").expect("written");
        assert!(matches!(
            read(&path),
            Err(Error::Newer {
                found: 3,
                known: 2,
                ..
            })
        ));
        std::fs::write(&path, "{\"format\": 1").expect("written");
        assert!(matches!(read(&path), Err(Error::Damaged { .. })));
    }
}
