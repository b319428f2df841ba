//! The node's certificates: read from files, watched, swapped without a restart.
//!
//! TLS 1.3 only, both sides authenticated by the cluster's CA. Session resumption is off: a resumed session would
//! outlive the CA that vouched for it, and connections between nodes are few and long.
//!
//! Invariant: what is loaded always belongs together (key and certificate match, the certificate names this node)
//! — files that don't, such as a half-written rotation, leave the former set in force and are tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use arc_swap::ArcSwap;
use kv_proto::identity::{Identity, InvalidIdentity};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const ALPN: &[u8] = b"h2";
/// A PEM file above this is no certificate.
const PEM_BYTES_MAX: usize = 1 << 20;

/// Where the PEM files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The trusted CAs: one, or two in a rotation.
    pub ca: PathBuf,
    /// This node's certificate, then any intermediates.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is loaded, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 of the leaf certificate (DER), in hex.
    pub certificate: String,
    /// SHA-256 of all CA certificates (DER) in the file's order, in hex.
    pub ca: String,
    /// SHA-256 of each CA certificate (DER), in hex.
    pub cas: Vec<String>,
    /// The one among `cas` that vouches for the leaf certificate; empty if none does, as for one that has expired.
    pub issuer: String,
    /// When the leaf certificate expires, in seconds since 1970.
    pub expires_unix_seconds: i64,
}

/// Why certificates can't be used. A running node keeps the former ones.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("can't read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {PEM_BYTES_MAX} bytes, so it is no certificate", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds no PEM text of the kind expected there", path.display())]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("{} holds a CA that can't be used", path.display())]
    Ca {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("the CAs in {} make no verifier", path.display())]
    Verifier {
        path: PathBuf,
        source: VerifierBuilderError,
    },
    #[error("certificate and key don't make a TLS configuration; do they belong together?")]
    Configuration(#[source] rustls::Error),
    #[error("{} names no identity of this cluster", path.display())]
    Identity {
        path: PathBuf,
        source: IdentityError,
    },
    #[error("{} is not vouched for by the CAs in {}, or has expired", cert.display(), ca.display())]
    NotTrusted { cert: PathBuf, ca: PathBuf },
    #[error("{} speaks for {found}, but this is {expected}", path.display())]
    OtherIdentity {
        path: PathBuf,
        found: Identity,
        expected: Identity,
    },
}

/// Why a certificate speaks for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("no certificate was presented")]
    Missing,
    #[error("the certificate can't be parsed")]
    Unparsable,
    #[error("the certificate has no ringkv:// URI among its alternative names")]
    NoUri,
    #[error("the certificate has more than one ringkv:// URI")]
    Ambiguous,
    #[error(transparent)]
    Invalid(#[from] InvalidIdentity),
}

/// The identity in the URI SAN of a certificate that TLS has verified.
pub fn identity_of(certificate: Option<&CertificateDer<'_>>) -> Result<Identity, IdentityError> {
    let certificate = parse(certificate.ok_or(IdentityError::Missing)?)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unparsable)?;
    let mut uris = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) if Identity::claims(uri) => Some(*uri),
            _ => None,
        });
    let uri = uris.next().ok_or(IdentityError::NoUri)?;
    if uris.next().is_some() {
        return Err(IdentityError::Ambiguous);
    }
    Ok(uri.parse()?)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    X509Certificate::from_der(certificate.as_ref())
        .map(|(_, parsed)| parsed)
        .map_err(|_| IdentityError::Unparsable)
}

/// One consistent set of certificates, ready for use.
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    pub(super) fingerprint: Fingerprint,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Of the files' bytes: tells whether they changed.
    digest: [u8; 32],
}

impl Loaded {
    /// Whether who shows these certificates, the leaf first, is trusted now.
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>]) -> bool {
        vouches(&self.verifier, chain)
    }
}

/// The set in force, and the files that it came from.
pub(super) struct Tls {
    files: TlsFiles,
    expected: Identity,
    loaded: ArcSwap<Loaded>,
    changes: watch::Sender<Fingerprint>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .field("fingerprint", &self.loaded.load().fingerprint)
            .finish()
    }
}

impl Tls {
    pub(super) fn load(files: TlsFiles, expected: Identity) -> Result<Self, TlsError> {
        let loaded = Texts::read(&files)?.build(&files, &expected)?;
        let changes = watch::Sender::new(loaded.fingerprint.clone());
        Ok(Tls {
            files,
            expected,
            loaded: ArcSwap::from_pointee(loaded),
            changes,
        })
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// Reads the files again; true if other certificates are in force now. Blocks on the disk.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let texts = Texts::read(&self.files)?;
        if texts.digest() == self.loaded.load().digest {
            return Ok(false);
        }
        let loaded = texts.build(&self.files, &self.expected)?;
        // Only here: a node that starts has nothing better, and serves its clients whatever its peers think of it.
        if loaded.fingerprint.issuer.is_empty() {
            return Err(TlsError::NotTrusted {
                cert: self.files.cert.clone(),
                ca: self.files.ca.clone(),
            });
        }
        let fingerprint = loaded.fingerprint.clone();
        self.loaded.store(Arc::new(loaded));
        self.changes.send_replace(fingerprint);
        Ok(true)
    }

    /// Wakes at each change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Fingerprint> {
        self.changes.subscribe()
    }
}

/// The three files' bytes.
struct Texts {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Texts {
            ca: read(&files.ca)?,
            cert: read(&files.cert)?,
            key: read(&files.key)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [&self.ca, &self.cert, &self.key] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    fn build(&self, files: &TlsFiles, expected: &Identity) -> Result<Loaded, TlsError> {
        let cas = certificates(&self.ca, &files.ca)?;
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::Pem {
            path: files.key.clone(),
            source,
        })?;

        let found = identity_of(chain.first()).map_err(|source| TlsError::Identity {
            path: files.cert.clone(),
            source,
        })?;
        if found != *expected {
            return Err(TlsError::OtherIdentity {
                path: files.cert.clone(),
                found,
                expected: expected.clone(),
            });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let fingerprint =
            fingerprint(&provider, &cas, &chain).map_err(|source| TlsError::Identity {
                path: files.cert.clone(),
                source,
            })?;

        let mut roots = RootCertStore::empty();
        for ca in cas {
            roots.add(ca).map_err(|source| TlsError::Ca {
                path: files.ca.clone(),
                source,
            })?;
        }
        let roots = Arc::new(roots);
        let verifier = verifier(&provider, &roots).map_err(|source| TlsError::Verifier {
            path: files.ca.clone(),
            source,
        })?;
        let server = server_config(&provider, verifier.clone(), &chain, &key)?;
        let client = client_config(&provider, roots, chain, key)?;
        Ok(Loaded {
            server: Arc::new(server),
            client: Arc::new(client),
            fingerprint,
            verifier,
            digest: self.digest(),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > PEM_BYTES_MAX {
        return Err(TlsError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

fn fingerprint(
    provider: &Arc<CryptoProvider>,
    cas: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
) -> Result<Fingerprint, IdentityError> {
    let leaf = chain.first().ok_or(IdentityError::Missing)?;
    let mut all = Sha256::new();
    for ca in cas {
        all.update(ca);
    }
    let name = |certificate: &CertificateDer<'_>| hex::encode(Sha256::digest(certificate));
    let issuer = cas.iter().find(|ca| is_issued_by(provider, ca, chain));
    Ok(Fingerprint {
        certificate: name(leaf),
        ca: hex::encode(all.finalize()),
        cas: cas.iter().map(name).collect(),
        issuer: issuer.map(name).unwrap_or_default(),
        expires_unix_seconds: parse(leaf)?.validity().not_after.timestamp(),
    })
}

fn verifier(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()
}

fn vouches(verifier: &Arc<dyn ClientCertVerifier>, chain: &[CertificateDer<'_>]) -> bool {
    chain.split_first().is_some_and(|(leaf, rest)| {
        verifier
            .verify_client_cert(leaf, rest, UnixTime::now())
            .is_ok()
    })
}

/// Whether this CA alone would do.
fn is_issued_by(
    provider: &Arc<CryptoProvider>,
    ca: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned()).is_ok()
        && verifier(provider, &Arc::new(roots)).is_ok_and(|verifier| vouches(&verifier, chain))
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Configuration)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(TlsError::Configuration)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Configuration)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(TlsError::Configuration)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
