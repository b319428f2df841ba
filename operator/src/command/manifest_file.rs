//! The file that a person names: a `KvCluster`, with its mistakes told by line.

use std::path::Path;

use super::Error;
use crate::crd::KvCluster;
use crate::crd::manifest;

/// The text of a file.
///
/// # Errors
/// It is not there, or can't be read.
pub fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NoFile {
            file: file.to_owned(),
        },
        _ => Error::Read {
            file: file.to_owned(),
            source,
        },
    })
}

/// The `KvCluster` of a text, as a change from `old` if there is one.
///
/// # Errors
/// All its mistakes.
pub fn parse(file: &Path, text: &str, old: Option<&KvCluster>) -> Result<KvCluster, Error> {
    manifest::parse(text, old).map_err(|mistakes| Error::Mistakes {
        file: file.to_owned(),
        mistakes,
    })
}
