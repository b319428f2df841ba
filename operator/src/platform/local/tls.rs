//! Certificates of a local cluster: files that are made once ([`super::super::pki`]).

use std::path::{Path, PathBuf};

use super::Error;
use super::dir::{Dir, NodeDir, make_dir, read_file, write_file};
use crate::dataplane::TlsPaths;
use crate::platform::pki::{Authority, Pair, Subject};

/// The CA's certificate.
#[must_use]
pub fn ca_path(dir: &Dir) -> PathBuf {
    dir.tls().join("ca.crt")
}

/// The operator's files.
#[must_use]
pub fn operator_paths(dir: &Dir) -> TlsPaths {
    let tls = dir.tls();
    TlsPaths {
        ca: ca_path(dir),
        cert: tls.join("operator.crt"),
        key: tls.join("operator.key"),
    }
}

/// The CA of one directory.
#[derive(Debug)]
struct Ca {
    authority: Authority,
}

impl Ca {
    /// The CA of a directory, made if there is none; the second answer tells whether it was made now.
    fn open(dir: &Dir, cluster_id: &str) -> Result<(Self, bool), Error> {
        let (cert_path, key_path) = (ca_path(dir), dir.tls().join("ca.key"));
        let failed = |source| Error::Certificate {
            path: cert_path.clone(),
            source,
        };
        if let (Some(cert), Some(key)) = (read_file(&cert_path)?, read_file(&key_path)?) {
            let authority = Authority::load(&Pair { cert, key }).map_err(failed)?;
            return Ok((Self { authority }, false));
        }
        make_dir(&dir.tls())?;
        let (authority, Pair { cert, key }) = Authority::generate(cluster_id).map_err(failed)?;
        // The key first: a certificate without its key would never be made anew.
        write_file(&key_path, key.as_bytes())?;
        write_file(&cert_path, cert.as_bytes())?;
        Ok((Self { authority }, true))
    }

    /// Issues a certificate, unless both files are there.
    fn issue(
        &self,
        cluster_id: &str,
        subject: Subject<'_>,
        cert_path: &Path,
        key_path: &Path,
    ) -> Result<(), Error> {
        if read_file(cert_path)?.is_some() && read_file(key_path)?.is_some() {
            return Ok(());
        }
        let Pair { cert, key } = self
            .authority
            .issue(cluster_id, subject)
            .map_err(|source| Error::Certificate {
                path: cert_path.to_owned(),
                source,
            })?;
        write_file(key_path, key.as_bytes())?;
        write_file(cert_path, cert.as_bytes())
    }
}

/// Issues all certificates of a cluster that are not there; tells whether the CA was made now.
///
/// # Errors
/// A file can't be read or written, or a name is no DNS name.
pub fn make_all<'a>(
    dir: &Dir,
    cluster_id: &str,
    nodes: impl Iterator<Item = (u64, &'a str, NodeDir)>,
) -> Result<bool, Error> {
    let (ca, is_new) = Ca::open(dir, cluster_id)?;
    let operator = operator_paths(dir);
    ca.issue(cluster_id, Subject::Operator, &operator.cert, &operator.key)?;
    for (id, name, node) in nodes {
        make_dir(node.root())?;
        ca.issue(
            cluster_id,
            Subject::Node(id, name),
            &node.cert(),
            &node.key(),
        )?;
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_are_made_once_and_keys_are_private() {
        let root = tempfile::tempdir().expect("directory");
        let dir = Dir::create(root.path()).expect("created");
        let nodes = || [(1, "rides-1", dir.node("rides-1"))].into_iter();
        assert!(make_all(&dir, "c-1", nodes()).expect("made"));
        let read = |path: &Path| std::fs::read(path).expect("read");
        let node = dir.node("rides-1");
        let first = [read(&ca_path(&dir)), read(&node.cert()), read(&node.key())];
        assert!(!make_all(&dir, "c-1", nodes()).expect("kept"));
        assert_eq!(
            first,
            [read(&ca_path(&dir)), read(&node.cert()), read(&node.key())]
        );
        for key in [
            node.key(),
            operator_paths(&dir).key,
            dir.tls().join("ca.key"),
        ] {
            let mode = std::fs::metadata(&key).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", key.display());
        }
    }
}
