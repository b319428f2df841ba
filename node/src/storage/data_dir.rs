//! A node's data directory: one process at a time, one cluster, one node.
//!
//! ```text
//!   LOCK       held with flock as long as the process lives
//!   identity   who the directory belongs to (identity.rs)
//!   engine/    RocksDB          staging/   content that is not installed yet
//!   log/       raft-engine      ballast    space to give up when the disk is full
//!   retired    why this identity must never take part again; only where corruption was found
//! ```
//! Invariant: nothing in the directory is touched before the lock is held and the identity has been found to be the expected one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use kv_core::version;

use super::identity::{FORMAT, Identity, Incarnation, Malformed};
use super::sync_dir;

/// The note that a directory's identity never takes part again.
const RETIRED: &str = "retired";

/// Why a directory can't be used; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by another process: stop that one, or give this one a --data-dir of its own", .0.display())]
    Locked(PathBuf),
    #[error("no permission for {}: make it belong to the user that runs the node, or choose another --data-dir", .0.display())]
    Permission(PathBuf),
    #[error("{} belongs to cluster {found}, not to {expected}: choose another --data-dir, or empty it if its data are not needed", .dir.display())]
    OtherCluster {
        dir: PathBuf,
        found: Uuid,
        expected: Uuid,
    },
    #[error("{} belongs to node {found}, not to node {expected}: give each node the directory it had before", .dir.display())]
    OtherNode {
        dir: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("{} belongs to a cluster that was raised to version {found}, and this build can write version {FORMAT} at most: it has touched nothing, run the newer build again", .dir.display())]
    NewerFormat { dir: PathBuf, found: u32 },
    #[error("the identity in {} is damaged: replace this node by a new one, its data are rebuilt from its peers", .0.display())]
    DamagedIdentity(PathBuf),
    #[error("{} has data but no identity: restore its file `identity`, or empty it to start a new node", .0.display())]
    LostIdentity(PathBuf),
    #[error("the node of {} is retired: {why}", .dir.display())]
    Retired { dir: PathBuf, why: String },
    #[error("no space left for {}: free some on its file system", .0.display())]
    Full(PathBuf),
    #[error("{} can't be used: {source}; check the path and the disk", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl OpenError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
        |source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::Permission(path.to_owned())
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                OpenError::Full(path.to_owned())
            }
            _ => OpenError::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// A directory that this process holds alone.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Option<Identity>,
    /// Locked until it is closed.
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, locks it and reads its identity. With `expect` an identity that is there must be
    /// that of (cluster, node).
    pub fn open(
        path: impl Into<PathBuf>,
        expect: Option<(Uuid, u64)>,
    ) -> Result<DataDir, OpenError> {
        let path = path.into();
        make_dir(&path).map_err(OpenError::io(&path))?;
        let lock = lock(&path)?;
        let identity = read_identity(&path)?;
        if let (Some(found), Some((cluster, node))) = (identity, expect) {
            if found.cluster != cluster {
                return Err(OpenError::OtherCluster {
                    dir: path,
                    found: found.cluster,
                    expected: cluster,
                });
            }
            if found.node != node {
                return Err(OpenError::OtherNode {
                    dir: path,
                    found: found.node,
                    expected: node,
                });
            }
        }
        match fs::read_to_string(path.join(RETIRED)) {
            Ok(why) => return Err(OpenError::Retired { dir: path, why }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpenError::io(&path)(error)),
        }
        let dir = DataDir {
            path,
            identity,
            _lock: lock,
        };
        if dir.identity.is_none() && [dir.engine(), dir.log()].iter().any(|part| part.exists()) {
            return Err(OpenError::LostIdentity(dir.path));
        }
        Ok(dir)
    }

    /// Notes in the directory at `path`, durably, that its identity never takes part again: its disk lost what it had promised.
    ///
    /// # Errors
    /// The note can't be written.
    pub fn retire(path: &Path, why: &str) -> io::Result<()> {
        replace(&path.join(RETIRED), why.as_bytes())
    }

    /// None: the directory is new and nobody's yet.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Gives a new directory to a node, in its incarnation 0. The directory of a node stays that node's.
    pub fn claim(&mut self, cluster: Uuid, node: u64) -> Result<Identity, OpenError> {
        match self.identity {
            Some(found) if found.cluster != cluster => Err(OpenError::OtherCluster {
                dir: self.path.clone(),
                found: found.cluster,
                expected: cluster,
            }),
            Some(found) if found.node != node => Err(OpenError::OtherNode {
                dir: self.path.clone(),
                found: found.node,
                expected: node,
            }),
            Some(found) => Ok(found),
            None => self.write(Identity {
                format: version::FIRST,
                cluster,
                node,
                incarnation: Incarnation::default(),
            }),
        }
    }

    /// Begins a new life: the counter grows by one, the nonce is drawn anew; durable when this returns. None if the directory is
    /// nobody's yet.
    pub fn grow_incarnation(&mut self) -> Result<Option<Incarnation>, OpenError> {
        let Some(identity) = self.identity else {
            return Ok(None);
        };
        let (nonce, _) = Uuid::new_v4().as_u64_pair();
        let incarnation = Incarnation {
            counter: identity.incarnation.counter + 1,
            nonce,
        };
        self.write(Identity {
            incarnation,
            ..identity
        })?;
        Ok(Some(incarnation))
    }

    /// The version of the cluster that the directory is marked with.
    pub fn version(&self) -> u32 {
        self.identity
            .map_or(version::FIRST, |identity| identity.format)
    }

    /// Marks the directory at `path`, which this process holds, with a version of the cluster: durable when this returns. Builds that can't write
    /// that version refuse it from then on.
    pub fn mark(path: &Path, version: u32) -> Result<(), OpenError> {
        match read_identity(path)? {
            Some(identity) if identity.format < version => {
                let place = path.join("identity");
                let marked = Identity {
                    format: version,
                    ..identity
                };
                replace(&place, &marked.encode()).map_err(OpenError::io(&place))
            }
            Some(_) => Ok(()),
            None => Err(OpenError::LostIdentity(path.to_owned())),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn engine(&self) -> PathBuf {
        self.path.join("engine")
    }

    pub fn staging(&self) -> PathBuf {
        self.path.join("staging")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    fn write(&mut self, identity: Identity) -> Result<Identity, OpenError> {
        let place = self.path.join("identity");
        replace(&place, &identity.encode()).map_err(OpenError::io(&place))?;
        self.identity = Some(identity);
        Ok(identity)
    }
}

/// Makes a directory and the way to it durable.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let place = path.join("LOCK");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&place)
        .map_err(OpenError::io(&place))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(path.to_owned())),
        Err(error) => Err(OpenError::io(&place)(error.into())),
    }
}

fn read_identity(path: &Path) -> Result<Option<Identity>, OpenError> {
    let place = path.join("identity");
    let bytes = match fs::read(&place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(&place)(error)),
    };
    match Identity::decode(&bytes) {
        Ok(identity) => Ok(Some(identity)),
        Err(Malformed::Newer(found)) => Err(OpenError::NewerFormat {
            dir: path.to_owned(),
            found,
        }),
        Err(Malformed::Damaged) => Err(OpenError::DamagedIdentity(path.to_owned())),
    }
}

/// Replaces a file so that a crash leaves the old one or the new one.
fn replace(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = place.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, place)?;
    sync_dir(place.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Uuid = Uuid::from_u128(0xfeed);

    #[test]
    fn a_retired_identity_never_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(claimed(dir.path()));
        DataDir::retire(dir.path(), "a bad block").unwrap();
        match DataDir::open(dir.path(), None) {
            Err(OpenError::Retired { why, .. }) => assert_eq!(why, "a bad block"),
            other => panic!("{other:?}"),
        }
    }

    fn claimed(dir: &Path) -> DataDir {
        let mut data = DataDir::open(dir, None).unwrap();
        data.claim(CLUSTER, 3).unwrap();
        data
    }

    #[test]
    fn a_directory_is_marked_with_versions_that_only_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = claimed(dir.path());
        data.grow_incarnation().unwrap();
        assert_eq!(data.version(), version::FIRST);
        for mark in [FORMAT, version::FIRST] {
            DataDir::mark(dir.path(), mark).unwrap();
        }
        drop(data);
        let mut data = DataDir::open(dir.path(), Some((CLUSTER, 3))).unwrap();
        assert_eq!(data.version(), FORMAT);
        data.grow_incarnation().unwrap();
        assert_eq!(data.version(), FORMAT, "a start keeps the mark");
        DataDir::mark(dir.path(), FORMAT + 1).unwrap();
        drop(data);
        let before = fs::read(dir.path().join("identity")).unwrap();
        let error = DataDir::open(dir.path(), Some((CLUSTER, 3))).unwrap_err();
        assert!(
            matches!(error, OpenError::NewerFormat { found, .. } if found == FORMAT + 1)
                && error.to_string().contains("run the newer build again"),
            "{error}"
        );
        assert_eq!(fs::read(dir.path().join("identity")).unwrap(), before);
    }

    #[test]
    fn an_identity_lasts_and_its_incarnation_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut data = DataDir::open(&path, Some((CLUSTER, 3))).unwrap();
        assert_eq!(data.identity(), None);
        assert_eq!(data.grow_incarnation().unwrap(), None);
        data.claim(CLUSTER, 3).unwrap();
        let first = data.grow_incarnation().unwrap().unwrap();
        drop(data);
        let mut data = DataDir::open(&path, Some((CLUSTER, 3))).unwrap();
        assert_eq!(data.identity().unwrap().incarnation, first);
        let second = data.grow_incarnation().unwrap().unwrap();
        assert_eq!((first.counter, second.counter), (1, 2));
        assert_ne!(first.nonce, second.nonce);
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let held = claimed(dir.path());
        assert!(matches!(
            DataDir::open(dir.path(), None),
            Err(OpenError::Locked(_))
        ));
        drop(held);
        DataDir::open(dir.path(), None).unwrap();
    }

    #[test]
    fn what_belongs_to_others_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        drop(claimed(dir.path()));
        let other = DataDir::open(dir.path(), Some((Uuid::nil(), 3))).unwrap_err();
        assert!(
            matches!(other, OpenError::OtherCluster { .. })
                && other.to_string().contains("choose another --data-dir")
        );
        let other = DataDir::open(dir.path(), Some((CLUSTER, 4))).unwrap_err();
        assert!(matches!(
            other,
            OpenError::OtherNode {
                found: 3,
                expected: 4,
                ..
            }
        ));
        assert!(
            DataDir::open(dir.path(), None)
                .unwrap()
                .claim(CLUSTER, 5)
                .is_err()
        );

        let place = dir.path().join("identity");
        let mut bytes = fs::read(&place).unwrap();
        bytes[8] = 9;
        fs::write(&place, &bytes).unwrap();
        assert!(matches!(
            DataDir::open(dir.path(), None),
            Err(OpenError::NewerFormat { found: 9, .. })
        ));
        fs::write(&place, &bytes[..20]).unwrap();
        bytes[8] = 1;
        fs::write(&place, &bytes[..20]).unwrap();
        assert!(matches!(
            DataDir::open(dir.path(), None),
            Err(OpenError::DamagedIdentity(_))
        ));
        fs::remove_file(&place).unwrap();
        DataDir::open(dir.path(), None).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        assert!(matches!(
            DataDir::open(dir.path(), None),
            Err(OpenError::LostIdentity(_))
        ));
    }

    #[test]
    fn a_path_that_is_no_directory_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file, None).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
