//! Watches the file of a cluster by looking at it: editors replace files in too many ways for anything finer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What was found the last time.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    stamp: Option<(SystemTime, u64)>,
    text: Option<String>,
}

/// What a look found.
#[derive(Debug)]
pub enum Change {
    /// The text is as before.
    None,
    /// The text is another one.
    Text(String),
    /// The file is gone, for the first time.
    Gone,
    /// The file can't be read, for the first time.
    Unreadable(io::Error),
}

impl Watch {
    /// Watches a file whose text is known.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            stamp: stamp(path).ok(),
            text: Some(text),
        }
    }

    /// Looks.
    pub fn look(&mut self) -> Change {
        // A file may change twice within the clock's grain: the stamp alone is trusted only for what is older than that.
        let stamp = stamp(&self.path);
        let is_old = |time: SystemTime| time.elapsed().is_ok_and(|age| age.as_secs() >= 2);
        if let Ok(now) = &stamp
            && self.text.is_some()
            && self.stamp.as_ref() == Some(now)
            && is_old(now.0)
        {
            return Change::None;
        }
        match std::fs::read_to_string(&self.path) {
            Ok(text) => {
                self.stamp = stamp.ok();
                if self.text.as_ref() == Some(&text) {
                    return Change::None;
                }
                self.text = Some(text.clone());
                Change::Text(text)
            }
            Err(_) if self.text.is_none() => Change::None,
            Err(error) => {
                self.text = None;
                if error.kind() == io::ErrorKind::NotFound {
                    Change::Gone
                } else {
                    Change::Unreadable(error)
                }
            }
        }
    }
}

fn stamp(path: &Path) -> io::Result<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("cluster.yaml");
        std::fs::write(&path, "a").expect("written");
        let mut watch = Watch::new(&path, "a".into());
        assert!(matches!(watch.look(), Change::None));
        std::fs::write(&path, "b").expect("written");
        assert!(matches!(watch.look(), Change::Text(text) if text == "b"));
        assert!(matches!(watch.look(), Change::None));
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(watch.look(), Change::Gone));
        assert!(matches!(watch.look(), Change::None));
        std::fs::write(&path, "b").expect("written");
        assert!(matches!(watch.look(), Change::Text(_)));
    }
}
