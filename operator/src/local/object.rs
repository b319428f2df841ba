//! `status.json`: the `KvCluster` as an API server would hold it: spec in force, generation, status. Written on change only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::crd::{KvCluster, KvClusterStatus};
use crate::platform::local::Error;
use crate::platform::local::dir::{Dir, read_file, write_file};

/// The object of one directory.
#[derive(Debug)]
pub struct Store {
    dir: Dir,
    object: Option<KvCluster>,
}

impl Store {
    /// Reads the object of a directory, if there is one.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn open(dir: Dir) -> Result<Self, Error> {
        let path = dir.status();
        let object = match read_file(&path)? {
            Some(text) => Some(
                serde_json::from_str(&text).map_err(|source| Error::Damaged { path, source })?,
            ),
            None => None,
        };
        Ok(Self { dir, object })
    }

    /// The object, if one was ever applied.
    #[must_use]
    pub const fn get(&self) -> Option<&KvCluster> {
        self.object.as_ref()
    }

    /// Takes a valid new object: its generation grows if its spec differs. Answers whether it does.
    ///
    /// # Errors
    /// What the system says.
    pub fn apply(&mut self, new: KvCluster, now: Timestamp) -> Result<bool, Error> {
        let mut next = new;
        let old = self.object.as_ref();
        let changed = old.is_none_or(|old| old.spec != next.spec);
        let generation = old.and_then(|old| old.metadata.generation).unwrap_or(0);
        next.metadata.generation = Some(generation + i64::from(changed));
        next.metadata.creation_timestamp = old
            .and_then(|old| old.metadata.creation_timestamp.clone())
            .or(Some(Time(seconds(now))));
        next.status = old.and_then(|old| old.status.clone());
        self.put(next)?;
        Ok(changed)
    }

    /// Takes a new status.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_status(&mut self, status: KvClusterStatus) -> Result<(), Error> {
        let Some(old) = &self.object else {
            return Ok(());
        };
        let mut next = old.clone();
        next.status = Some(status);
        self.put(next)
    }

    fn put(&mut self, next: KvCluster) -> Result<(), Error> {
        if self.object.as_ref() == Some(&next) {
            return Ok(());
        }
        let path = self.dir.status();
        let damaged = |source| Error::Damaged {
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(&next).map_err(damaged)?;
        write_file(&path, &text)?;
        self.object = Some(next);
        Ok(())
    }
}

/// Kubernetes keeps whole seconds; so do we, or a time read back would differ from the one written.
#[must_use]
pub fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::manifest;

    fn cluster(spec: &str) -> KvCluster {
        let head = "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata: {name: rides}\n";
        manifest::parse(&format!("{head}spec: {spec}\n"), None).expect("valid")
    }

    #[test]
    fn the_generation_grows_with_the_spec_and_survives_a_restart() {
        let root = tempfile::tempdir().expect("directory");
        let dir = Dir::create(root.path()).expect("created");
        let mut store = Store::open(dir.clone()).expect("empty");
        let now = Timestamp::from_second(1_700_000_000).expect("in range");
        assert!(store.apply(cluster("{nodes: 3}"), now).expect("applied"));
        let status = KvClusterStatus {
            nodes_up: 3,
            ..KvClusterStatus::default()
        };
        store.set_status(status.clone()).expect("kept");
        let mut store = Store::open(dir).expect("read");
        assert!(!store.apply(cluster("{nodes: 3}"), now).expect("applied"));
        assert!(
            store
                .apply(cluster("{nodes: 3, auth: {mode: None}}"), now)
                .expect("applied")
        );
        let object = store.get().expect("there");
        assert_eq!(
            (object.metadata.generation, object.status.as_ref()),
            (Some(2), Some(&status))
        );
    }
}
