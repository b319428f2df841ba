//! The directory of a local cluster: what lies where, who may touch it, and how files are written.
//!
//! ```text
//! DIR/lock              held by the one operator that works here; holds its pid
//! DIR/cluster.json      the identity, on disk before any node hears of it
//! DIR/status.json       the KvCluster with its spec in force and its status
//! DIR/orders.json       what a person ordered beside the spec
//! DIR/retired/<id>/     what is left of removed nodes, and of clusters that were given up, by cluster id
//! DIR/tls/              CA, and the operator's certificate
//! DIR/nodes/<name>/     node.json, place.json, tls files, pid, log, log.1, data/
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::Error;

/// Paths below one cluster's directory.
#[derive(Clone, Debug)]
pub struct Dir {
    root: PathBuf,
}

/// The right to change what lies in a directory; given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Dir {
    /// Makes the directory unless it is there.
    ///
    /// # Errors
    /// It can't be made, or is no directory.
    pub fn create(root: &Path) -> Result<Self, Error> {
        make_dir(root)?;
        Self::open(root)
    }

    /// A directory that is there.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let root = root.canonicalize().map_err(Error::io("open", root))?;
        Ok(Self { root })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cluster's identity.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    /// The object with its status.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.root.join("status.json")
    }

    /// What a person ordered.
    #[must_use]
    pub fn orders(&self) -> PathBuf {
        self.root.join("orders.json")
    }

    /// What is left of nodes and clusters that are no more.
    #[must_use]
    pub fn retired(&self, cluster_id: &str) -> PathBuf {
        self.root.join("retired").join(cluster_id)
    }

    /// CA and operator certificate.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &str) -> NodeDir {
        NodeDir {
            root: self.nodes().join(name),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds it.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.lock_file();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut file = file.map_err(Error::io("open", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = self.holder();
                return Err(Error::Locked {
                    dir: self.root.clone(),
                    pid,
                });
            }
            Err(errno) => return Err(Error::io("lock", &path)(errno.into())),
        }
        let written = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(Error::io("write", &path))?;
        Ok(Lock { _file: file })
    }

    /// Whether an operator seems to be at work here, for who must not disturb it by trying the lock.
    #[must_use]
    pub fn is_tended(&self) -> bool {
        self.holder()
            .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok())
            .is_some_and(|name| name.trim() == "kv-operator")
    }

    /// The pid that the holder of the lock wrote; means something only while the lock is held.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        fs::read_to_string(self.lock_file())
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

/// Paths of one node.
#[derive(Clone, Debug)]
pub struct NodeDir {
    root: PathBuf,
}

impl NodeDir {
    /// The paths below a node's directory.
    #[must_use]
    pub const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the node is told.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("node.json")
    }

    /// What the operator notes of it.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        self.root.join("place.json")
    }

    /// What the node keeps.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the node writes to its standard output and error.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The log before that.
    #[must_use]
    pub fn old_log(&self) -> PathBuf {
        self.root.join("log.1")
    }

    /// The node's process.
    #[must_use]
    pub fn pid(&self) -> PathBuf {
        self.root.join("pid")
    }

    /// The node's certificate.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.root.join("node.crt")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.root.join("node.key")
    }
}

/// Makes a directory for its owner alone, and those above it.
///
/// # Errors
/// What the system says.
pub fn make_dir(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("create", path))
}

/// Moves a file or directory, if it is there.
///
/// # Errors
/// What the system says.
pub fn move_if_there(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("move", from)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a file or directory with all that is in it, if it is there.
///
/// # Errors
/// What the system says.
pub fn remove_if_there(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

/// Replaces a file whole: after a crash there is the old text or the new one, and once this has returned the new one. Only
/// its owner may read it.
///
/// # Errors
/// What the system says.
pub fn write_file(path: &Path, text: &[u8]) -> Result<(), Error> {
    let temporary = path.with_added_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(Error::io("write", path))
}

/// A file's text, or `None` if there is no such file. Refuses what no file of ours is as long as.
///
/// # Errors
/// What the system says.
pub fn read_file(path: &Path) -> Result<Option<String>, Error> {
    const BYTES_MAX: u64 = 4 << 20;
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?
            .take(BYTES_MAX + 1)
            .read_to_string(&mut text)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "longer than 4 MiB",
            ));
        }
        Ok(text)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
