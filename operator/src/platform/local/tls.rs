//! The cluster's own CA and what it signs: a certificate a node and one for the operator.
//!
//! Who a certificate speaks for stands in a URI SAN ([`kv_proto::identity`]); clients verify one fixed DNS name, whatever
//! address they dial.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use kv_proto::identity::{Identity, TLS_SERVER_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::Error;
use super::dir::{Dir, NodeDir, make_dir, read_file, write_file};
use crate::dataplane::TlsPaths;

/// How long certificates of a local cluster are good for.
const YEARS: i64 = 10;

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

/// The CA of one cluster.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// Whose certificate.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A node, with its id and name.
    Node(u64, &'a str),
    /// The operator.
    Operator,
}

impl Authority {
    /// The CA of a directory, made if there is none; the second answer tells whether it was made now.
    ///
    /// # Errors
    /// A file can't be read or written, or holds no CA.
    pub fn open(dir: &Dir, cluster_id: &str) -> Result<(Self, bool), Error> {
        let (cert_path, key_path) = (ca_path(dir), dir.tls().join("ca.key"));
        let failed = |source| Error::Certificate {
            path: cert_path.clone(),
            source,
        };
        if let (Some(cert), Some(key)) = (read_file(&cert_path)?, read_file(&key_path)?) {
            let key = KeyPair::from_pem(&key).map_err(failed)?;
            let issuer = Issuer::from_ca_cert_pem(&cert, key).map_err(failed)?;
            return Ok((Self { issuer }, false));
        }
        make_dir(&dir.tls())?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(&format!("ringkv CA of {cluster_id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).map_err(failed)?;
        // The key first: a certificate without its key would never be made anew.
        write_file(&key_path, key.serialize_pem().as_bytes())?;
        write_file(&cert_path, cert.pem().as_bytes())?;
        Ok((
            Self {
                issuer: Issuer::new(params, key),
            },
            true,
        ))
    }

    /// Issues a certificate, unless both files are there.
    ///
    /// # Errors
    /// A file can't be written, or a name is no DNS name.
    pub fn issue(
        &self,
        cluster_id: &str,
        subject: Subject<'_>,
        cert_path: &Path,
        key_path: &Path,
    ) -> Result<(), Error> {
        if read_file(cert_path)?.is_some() && read_file(key_path)?.is_some() {
            return Ok(());
        }
        let failed = |source| Error::Certificate {
            path: cert_path.to_owned(),
            source,
        };
        let mut params = leaf(cluster_id, subject).map_err(failed)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(failed)?;
        write_file(key_path, key.serialize_pem().as_bytes())?;
        write_file(cert_path, cert.pem().as_bytes())
    }
}

/// Issues all certificates of a cluster that are not there; tells whether the CA was made now.
///
/// # Errors
/// As [`Authority::issue`].
pub fn make_all<'a>(
    dir: &Dir,
    cluster_id: &str,
    nodes: impl Iterator<Item = (u64, &'a str, NodeDir)>,
) -> Result<bool, Error> {
    let (authority, is_new) = Authority::open(dir, cluster_id)?;
    let operator = operator_paths(dir);
    authority.issue(cluster_id, Subject::Operator, &operator.cert, &operator.key)?;
    for (id, name, node) in nodes {
        make_dir(node.root())?;
        authority.issue(
            cluster_id,
            Subject::Node(id, name),
            &node.cert(),
            &node.key(),
        )?;
    }
    Ok(is_new)
}

fn leaf(cluster_id: &str, subject: Subject<'_>) -> Result<CertificateParams, rcgen::Error> {
    let uri = |identity: Identity| identity.to_string().try_into().map(SanType::URI);
    let dns = |name: &str| name.try_into().map(SanType::DnsName);
    let (name, names, usages) = match subject {
        Subject::Node(id, name) => (
            name,
            vec![
                dns(TLS_SERVER_NAME)?,
                dns("localhost")?,
                dns(name)?,
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                uri(Identity::node(cluster_id, id))?,
            ],
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        ),
        Subject::Operator => (
            "operator",
            vec![uri(Identity::operator(cluster_id))?],
            vec![ExtendedKeyUsagePurpose::ClientAuth],
        ),
    };
    let mut params = params(name);
    params.subject_alt_names = names;
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    // From yesterday: clocks differ. To the first of the month, since days of other years may not exist.
    let from = today.saturating_sub(1.day());
    let to = today.saturating_add(YEARS.years());
    let day = |date: jiff::civil::Date, day: i8| {
        let month = u8::try_from(date.month()).unwrap_or(1);
        rcgen::date_time_ymd(
            i32::from(date.year()),
            month,
            u8::try_from(day).unwrap_or(1),
        )
    };
    (params.not_before, params.not_after) = (day(from, from.day()), day(to, 1));
    params
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
