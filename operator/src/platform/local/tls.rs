//! Certificates of a local cluster, as files ([`super::super::pki`]).
//!
//! `authorities.json` says which CAs there are ([`Authorities`]); `ca.crt`, which nodes read, and `ca.key` are made from it. A directory of
//! before there were rotations has those two alone.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use super::dir::{Dir, NodeDir, make_dir, read_file, write_file};
use crate::dataplane::TlsPaths;
use crate::platform::Certify;
use crate::platform::authorities::{Authorities, Policy, Trust};
use crate::platform::pki::{self, Pair, Subject};

/// The newest format of `authorities.json` that is known here.
const FORMAT: u32 = 1;

/// `authorities.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    format: u32,
    authorities: Authorities,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Certificates of the CAs that are trusted.
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

fn authorities_path(dir: &Dir) -> PathBuf {
    dir.tls().join("authorities.json")
}

fn ca_key_path(dir: &Dir) -> PathBuf {
    dir.tls().join("ca.key")
}

/// The CAs of a directory, if it has any.
fn read(dir: &Dir) -> Result<Option<Authorities>, Error> {
    let path = authorities_path(dir);
    let Some(text) = read_file(&path)? else {
        let current = read_pair(&ca_path(dir), &ca_key_path(dir))?;
        return Ok(current.map(Authorities::of));
    };
    let damaged = |source| Error::Damaged {
        path: path.clone(),
        source,
    };
    let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(Error::Newer {
            path,
            found: format,
            known: FORMAT,
        });
    }
    let Stored { authorities, .. } = serde_json::from_str(&text).map_err(damaged)?;
    Ok(Some(authorities))
}

/// Keeps CAs, and then shows them to nodes.
fn keep(dir: &Dir, authorities: &Authorities) -> Result<(), Error> {
    let path = authorities_path(dir);
    let stored = Stored {
        format: FORMAT,
        authorities: authorities.clone(),
    };
    let text = serde_json::to_string_pretty(&stored).map_err(|source| Error::Damaged {
        path: path.clone(),
        source,
    })?;
    make_dir(&dir.tls())?;
    write_if_other(&path, &text)?;
    show(dir, authorities)
}

fn show(dir: &Dir, authorities: &Authorities) -> Result<(), Error> {
    write_if_other(&ca_key_path(dir), &authorities.current.key)?;
    write_if_other(&ca_path(dir), &authorities.bundle())
}

fn write_if_other(path: &Path, text: &str) -> Result<(), Error> {
    if read_file(path)?.is_some_and(|there| there == text) {
        return Ok(());
    }
    write_file(path, text.as_bytes())
}

fn read_pair(cert: &Path, key: &Path) -> Result<Option<Pair>, Error> {
    let (cert, key) = (read_file(cert)?, read_file(key)?);
    Ok(cert.zip(key).map(|(cert, key)| Pair { cert, key }))
}

/// What is to be known of a directory's CAs, if it has any.
///
/// # Errors
/// A file is damaged.
pub fn trust(dir: &Dir) -> Result<Option<Trust>, Error> {
    let Some(authorities) = read(dir)? else {
        return Ok(None);
    };
    let operator = operator_paths(dir);
    // One that is gone is made anew as one that can't be read.
    let operator = read_pair(&operator.cert, &operator.key)?.unwrap_or_else(|| Pair {
        cert: String::new(),
        key: String::new(),
    });
    let trust = authorities.trust(&operator);
    trust.map(Some).map_err(failed(&ca_path(dir)))
}

fn failed(path: &Path) -> impl Fn(pki::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Certificate {
        path: path.clone(),
        source,
    }
}

/// Who issues certificates in one directory.
struct Issuer<'a> {
    authorities: Authorities,
    cluster_id: &'a str,
    policy: &'a Policy,
    now: i64,
}

impl<'a> Issuer<'a> {
    fn new(authorities: Authorities, cluster_id: &'a str, policy: &'a Policy) -> Self {
        Self {
            authorities,
            cluster_id,
            policy,
            now: Timestamp::now().as_second(),
        }
    }

    /// Issues a certificate, unless the one that is there is as it should be.
    fn issue(&self, subject: Subject<'_>, cert_path: &Path, key_path: &Path) -> Result<(), Error> {
        let there = read_pair(cert_path, key_path)?;
        if there.is_some_and(|pair| self.authorities.is_good(&pair, self.policy, self.now)) {
            return Ok(());
        }
        let issued = self
            .authorities
            .issue(self.cluster_id, subject, self.policy);
        let Pair { cert, key } = issued.map_err(failed(cert_path))?;
        write_file(key_path, key.as_bytes())?;
        write_file(cert_path, cert.as_bytes())
    }

    fn issue_operator(&self, dir: &Dir) -> Result<(), Error> {
        let TlsPaths { ca: _, cert, key } = operator_paths(dir);
        self.issue(Subject::Operator, &cert, &key)
    }

    fn issue_node(&self, (id, name, node): (u64, &str, NodeDir)) -> Result<(), Error> {
        make_dir(node.root())?;
        self.issue(Subject::Node(id, name), &node.cert(), &node.key())
    }
}

/// Issues all certificates of a cluster that are not there, or not as they should be; tells whether the CA was made now.
///
/// # Errors
/// A file can't be read or written, or a name is no DNS name.
pub fn make_all<'a>(
    dir: &Dir,
    cluster_id: &str,
    policy: &Policy,
    nodes: impl Iterator<Item = (u64, &'a str, NodeDir)>,
) -> Result<bool, Error> {
    let (authorities, is_new) = match read(dir)? {
        Some(authorities) => {
            show(dir, &authorities)?;
            (authorities, false)
        }
        None => {
            let made = Authorities::new(cluster_id, policy, None).map_err(failed(&ca_path(dir)))?;
            keep(dir, &made)?;
            (made, true)
        }
    };
    let issuer = Issuer::new(authorities, cluster_id, policy);
    issuer.issue_operator(dir)?;
    for node in nodes {
        issuer.issue_node(node)?;
    }
    Ok(is_new)
}

/// Takes a step of a rotation; `nodes` are those whom [`Certify::Give`] names.
///
/// # Errors
/// As [`make_all`].
pub fn certify<'a>(
    dir: &Dir,
    cluster_id: &str,
    policy: &Policy,
    step: &Certify,
    nodes: impl Iterator<Item = (u64, &'a str, NodeDir)>,
) -> Result<(), Error> {
    let Some(authorities) = read(dir)? else {
        return Ok(());
    };
    let after = match step {
        Certify::TrustNext => authorities
            .with_next(cluster_id, policy, None)
            .map_err(failed(&ca_path(dir)))?,
        Certify::IssueByNext => authorities.issuing_by_next(),
        Certify::DropOld => authorities.without_old(),
        Certify::RenewOperator | Certify::Give(_) => authorities.clone(),
    };
    if after != authorities {
        keep(dir, &after)?;
    }
    // Whoever died before it had shown what it kept.
    show(dir, &after)?;
    let issuer = Issuer::new(after, cluster_id, policy);
    match step {
        Certify::IssueByNext | Certify::RenewOperator => issuer.issue_operator(dir),
        Certify::Give(_) => { nodes }.try_for_each(|node| issuer.issue_node(node)),
        Certify::TrustNext | Certify::DropOld => Ok(()),
    }
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
        assert!(make_all(&dir, "c-1", &Policy::default(), nodes()).expect("made"));
        let read = |path: &Path| std::fs::read(path).expect("read");
        let node = dir.node("rides-1");
        let first = [read(&ca_path(&dir)), read(&node.cert()), read(&node.key())];
        assert!(!make_all(&dir, "c-1", &Policy::default(), nodes()).expect("kept"));
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

    #[test]
    fn a_rotation_goes_on_from_any_file_that_was_written_last() {
        let root = tempfile::tempdir().expect("directory");
        let dir = Dir::create(root.path()).expect("created");
        let policy = Policy::default();
        let nodes = || [(1, "rides-1", dir.node("rides-1"))].into_iter();
        make_all(&dir, "c-1", &policy, nodes()).expect("made");
        // As a directory of before there were rotations.
        std::fs::remove_file(authorities_path(&dir)).expect("removed");
        let first = trust(&dir).expect("read").expect("there");
        assert_eq!(first.operator_issuer, first.current.fingerprint);

        let give = Certify::Give([kv_ring::NodeId(1)].into());
        let step = |step: &Certify| certify(&dir, "c-1", &policy, step, nodes()).expect("done");
        let node = || read_pair(&dir.node("rides-1").cert(), &dir.node("rides-1").key());
        let old = node().expect("read");
        step(&Certify::TrustNext);
        // Died before nodes were shown it.
        std::fs::write(ca_path(&dir), "").expect("written");
        step(&give);
        let bundle = std::fs::read_to_string(ca_path(&dir)).expect("read");
        assert_eq!(bundle.matches("BEGIN").count(), 2);
        assert_eq!(node().expect("read"), old, "the old one issues yet");

        step(&Certify::IssueByNext);
        let turned = trust(&dir).expect("read").expect("there");
        let next = turned.next.expect("one more").fingerprint;
        assert_eq!(turned.operator_issuer, next);
        // Died between a key and its certificate.
        std::fs::write(dir.node("rides-1").key(), "").expect("written");
        step(&give);
        assert_ne!(node().expect("read"), old);

        step(&Certify::DropOld);
        step(&Certify::DropOld);
        let last = trust(&dir).expect("read").expect("there");
        assert_eq!((last.current.fingerprint, last.next), (next, None));
        let ca = read_pair(&ca_path(&dir), &ca_key_path(&dir)).expect("read");
        assert!(pki::fits(&ca.expect("there")));
    }
}
