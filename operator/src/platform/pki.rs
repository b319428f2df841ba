//! A cluster's own CA and what it signs, as PEM texts: a certificate a node and one for the operator. Where they are kept is for the platforms.
//!
//! Who a certificate speaks for stands in a URI SAN ([`kv_proto::identity`]); clients verify one fixed DNS name, whatever
//! address they dial.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use kv_proto::identity::{Identity, TLS_SERVER_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::pem::{Pem, parse_x509_pem};

pub use rcgen::Error;

/// Certificates are good from so long before they are made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate and its private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// PEM.
    pub cert: String,
    /// PEM.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    /// Shows no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
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
    /// A new CA.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate(cluster_id: &str, life: Duration) -> Result<(Self, Pair), Error> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("ringkv CA of {cluster_id}"), life);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key)?;
        let pair = Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        };
        Ok((
            Self {
                issuer: Issuer::new(params, key),
            },
            pair,
        ))
    }

    /// A CA that was made before.
    ///
    /// # Errors
    /// The texts are no certificate and key.
    pub fn load(pair: &Pair) -> Result<Self, Error> {
        let key = KeyPair::from_pem(&pair.key)?;
        let issuer = Issuer::from_ca_cert_pem(&pair.cert, key)?;
        Ok(Self { issuer })
    }

    /// Signs a certificate with a key of its own.
    ///
    /// # Errors
    /// A name is no DNS name.
    pub fn issue(
        &self,
        cluster_id: &str,
        subject: Subject<'_>,
        life: Duration,
    ) -> Result<Pair, Error> {
        let mut params = leaf(cluster_id, subject, life)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn leaf(
    cluster_id: &str,
    subject: Subject<'_>,
    life: Duration,
) -> Result<CertificateParams, Error> {
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
    let mut params = params(name, life);
    params.subject_alt_names = names;
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let since_1970 = Duration::from_secs(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970.saturating_sub(BACKDATED);
    params.not_after = epoch + since_1970.saturating_add(life);
    params
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of it (DER), in hex.
    pub fingerprint: String,
    /// When it ends, Unix seconds.
    pub expires: i64,
}

/// What a certificate says, the first one of a text.
///
/// # Errors
/// It is none.
pub fn facts(cert: &str) -> Result<Facts, Error> {
    let pem = pem(cert)?;
    let parsed = pem
        .parse_x509()
        .map_err(|_| Error::CouldNotParseCertificate)?;
    Ok(Facts {
        fingerprint: hex::encode(Sha256::digest(&pem.contents)),
        expires: parsed.validity().not_after.timestamp(),
    })
}

/// Whether a certificate is signed by the CA of another.
#[must_use]
pub fn is_issued_by(cert: &str, ca: &str) -> bool {
    let (Ok(cert), Ok(ca)) = (pem(cert), pem(ca)) else {
        return false;
    };
    match (cert.parse_x509(), ca.parse_x509()) {
        (Ok(cert), Ok(ca)) => cert.verify_signature(Some(ca.public_key())).is_ok(),
        _ => false,
    }
}

/// Why a CA that somebody offers can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not the texts that are needed.
    #[error("holds no certificate and key in PEM; the key must be in PKCS #8")]
    NoPair,
    /// More than the one that issues.
    #[error("holds several certificates; it must be the one that issues")]
    Several,
    /// Another's key.
    #[error("holds a key that does not belong to its certificate")]
    OtherKey,
    /// A certificate that may sign no others.
    #[error("holds a certificate that is no CA")]
    NoCa,
    /// Not good now.
    #[error("holds a CA that has expired or is not good yet")]
    NotGoodNow,
    /// A name or an algorithm that certificates of ours can't have.
    #[error(
        "holds a CA that can't issue here; use one with a plain name and an ECDSA, Ed25519 or RSA key"
    )]
    CanNotIssue,
}

/// A CA that somebody offers, if it can be used.
///
/// # Errors
/// Why it can't, at `now` in Unix seconds.
pub fn offered(cert: &str, key: &str, now: i64) -> Result<Pair, Unfit> {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = cert.find("-----BEGIN CERTIFICATE-----");
    let end = cert.find(END).map(|at| at + END.len());
    let (begin, end) = begin.zip(end).ok_or(Unfit::NoPair)?;
    let one = cert.get(begin..end).ok_or(Unfit::NoPair)?;
    if cert[end..].contains("-----BEGIN") {
        return Err(Unfit::Several);
    }
    let pair = Pair {
        cert: format!("{one}\n"),
        key: key.to_owned(),
    };
    let pem = pem(&pair.cert).map_err(|_| Unfit::NoPair)?;
    let parsed = pem.parse_x509().map_err(|_| Unfit::NoPair)?;
    KeyPair::from_pem(key).map_err(|_| Unfit::NoPair)?;
    if !fits(&pair) {
        return Err(Unfit::OtherKey);
    }
    let usage = parsed.key_usage().map_err(|_| Unfit::NoPair)?;
    if !parsed.is_ca() || usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Unfit::NoCa);
    }
    let validity = parsed.validity();
    if !(validity.not_before.timestamp()..validity.not_after.timestamp()).contains(&now) {
        return Err(Unfit::NotGoodNow);
    }
    if !can_issue(&pair) {
        return Err(Unfit::CanNotIssue);
    }
    Ok(pair)
}

/// Whether what a CA issues names it just as it names itself, without which nobody finds from one to the other.
fn can_issue(ca: &Pair) -> bool {
    let issue =
        |authority: Authority| authority.issue("trial", Subject::Operator, Duration::from_secs(60));
    let Ok(trial) = Authority::load(ca).and_then(issue) else {
        return false;
    };
    let (Ok(trial_pem), Ok(ca_pem)) = (pem(&trial.cert), pem(&ca.cert)) else {
        return false;
    };
    let is_named = match (trial_pem.parse_x509(), ca_pem.parse_x509()) {
        (Ok(trial), Ok(ca)) => trial.issuer().as_raw() == ca.subject().as_raw(),
        _ => false,
    };
    is_named && is_issued_by(&trial.cert, &ca.cert)
}

/// Whether certificate and key belong together.
#[must_use]
pub fn fits(pair: &Pair) -> bool {
    let (Ok(pem), Ok(key)) = (pem(&pair.cert), KeyPair::from_pem(&pair.key)) else {
        return false;
    };
    let Ok(cert) = pem.parse_x509() else {
        return false;
    };
    cert.public_key().raw == key.subject_public_key_info()
}

fn pem(text: &str) -> Result<Pem, Error> {
    parse_x509_pem(text.as_bytes())
        .map(|(_, pem)| pem)
        .map_err(|_| Error::CouldNotParseCertificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_loaded_authority_signs_as_the_one_that_was_made() {
        let (_, ca) = Authority::generate("c-1", LIFE).expect("made");
        let loaded = Authority::load(&ca).expect("loaded");
        let node = loaded
            .issue("c-1", Subject::Node(1, "rides-1"), LIFE)
            .expect("issued");
        assert!(node.cert.contains("BEGIN CERTIFICATE") && node.key.contains("PRIVATE KEY"));
        assert_ne!(node.key, ca.key);
        assert!(!format!("{node:?}").contains("PRIVATE"));
        let facts = facts(&node.cert).expect("a certificate");
        let left = facts.expires - Timestamp::now().as_second();
        assert!((3_590..=3_600).contains(&left), "{left}");
        assert!(is_issued_by(&node.cert, &ca.cert) && !is_issued_by(&ca.cert, &node.cert));
        let (_, stranger) = Authority::generate("c-1", LIFE).expect("made");
        assert!(
            !is_issued_by(&node.cert, &stranger.cert),
            "of the same name"
        );
        assert!(fits(&node) && fits(&ca));
        let other = Pair {
            cert: ca.cert,
            key: "no key".into(),
        };
        assert!(Authority::load(&other).is_err() && !fits(&other));
    }

    #[test]
    fn an_offered_ca_is_taken_or_refused_with_a_reason() {
        let (authority, ca) = Authority::generate("theirs", LIFE).expect("made");
        let told = format!("issued by hand\n{}", ca.cert);
        let now = Timestamp::now().as_second();
        assert_eq!(offered(&told, &ca.key, now).as_ref(), Ok(&ca));
        for at in [now + 7_200, now - 7 * 86_400] {
            assert_eq!(offered(&ca.cert, &ca.key, at), Err(Unfit::NotGoodNow));
        }
        let (_, other) = Authority::generate("theirs", LIFE).expect("made");
        let leaf = authority
            .issue("c-1", Subject::Operator, LIFE)
            .expect("issued");
        let both = format!("{}{}", ca.cert, other.cert);
        for (cert, key, why) in [
            ("", ca.key.as_str(), Unfit::NoPair),
            (&ca.key, &ca.key, Unfit::NoPair),
            (&ca.cert, "", Unfit::NoPair),
            (&both, &ca.key, Unfit::Several),
            (&ca.cert, &other.key, Unfit::OtherKey),
            (&leaf.cert, &leaf.key, Unfit::NoCa),
        ] {
            assert_eq!(offered(cert, key, now), Err(why));
        }
    }
}
