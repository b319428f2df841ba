//! `kv-operator crds`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::crd;
use crate::exit::Exit;

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The definition is not YAML.
    #[error("can't make YAML of the definition")]
    Yaml(#[from] serde_yaml::Error),
    /// It can't be written.
    #[error("can't write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// The exit status that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Yaml(_) => Exit::Software,
            Self::Write { source, .. } => Exit::from_io(source),
        }
    }
}

/// Prints the definitions, or writes them into a directory.
pub fn crds(write: Option<&Path>) -> Result<(), Error> {
    let mut texts = Vec::new();
    for definition in crd::definitions() {
        texts.push((definition.file_name, definition.yaml()?));
    }
    match write {
        None => {
            let failed = |source| Error::Write {
                path: "standard output".into(),
                source,
            };
            let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
            let text = texts.join("---\n");
            io::stdout().write_all(text.as_bytes()).map_err(failed)
        }
        Some(dir) => {
            for (file_name, text) in texts {
                let path = dir.join(file_name);
                let written =
                    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text));
                written.map_err(|source| Error::Write { path, source })?;
            }
            Ok(())
        }
    }
}
