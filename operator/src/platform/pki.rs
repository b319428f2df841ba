//! A cluster's own CA and what it signs, as PEM texts: a certificate a node and one for the operator. Where they are kept is for the platforms.
//!
//! Who a certificate speaks for stands in a URI SAN ([`kv_proto::identity`]); clients verify one fixed DNS name, whatever
//! address they dial.

use std::net::{IpAddr, Ipv4Addr};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use kv_proto::identity::{Identity, TLS_SERVER_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

pub use rcgen::Error;

/// How long certificates are good for.
const YEARS: i64 = 10;

/// A certificate and its private key.
#[derive(Clone)]
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
    pub fn generate(cluster_id: &str) -> Result<(Self, Pair), Error> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("ringkv CA of {cluster_id}"));
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
    pub fn issue(&self, cluster_id: &str, subject: Subject<'_>) -> Result<Pair, Error> {
        let mut params = leaf(cluster_id, subject)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn leaf(cluster_id: &str, subject: Subject<'_>) -> Result<CertificateParams, Error> {
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
    use super::*;

    #[test]
    fn a_loaded_authority_signs_as_the_one_that_was_made() {
        let (_, ca) = Authority::generate("c-1").expect("made");
        let loaded = Authority::load(&ca).expect("loaded");
        let node = loaded
            .issue("c-1", Subject::Node(1, "rides-1"))
            .expect("issued");
        assert!(node.cert.contains("BEGIN CERTIFICATE") && node.key.contains("PRIVATE KEY"));
        assert_ne!(node.key, ca.key);
        assert!(!format!("{node:?}").contains("PRIVATE"));
        let other = Pair {
            cert: ca.cert,
            key: "no key".into(),
        };
        assert!(Authority::load(&other).is_err());
    }
}
