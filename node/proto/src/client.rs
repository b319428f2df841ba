//! The one way to make a client of a node's services.
//!
//! Every connection is mutually authenticated: the server by the cluster's CA under the fixed name
//! [`TLS_SERVER_NAME`], whatever address was dialled, and the caller by its own certificate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::admin::admin_client::AdminClient;
use crate::identity::TLS_SERVER_NAME;

/// How long dialling may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one call may take, unless the request says less.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that answers no HTTP/2 ping for this long is taken for gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// `GetCluster` of 10,000 nodes with their tokens stays below this.
const REPLY_BYTES_MAX: usize = 128 << 20;

/// PEM files' contents.
#[derive(Clone)]
pub struct ClientTls {
    /// One CA or, in a rotation, several.
    pub ca: Vec<u8>,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl fmt::Debug for ClientTls {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the three PEM files.
    pub fn from_files(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(ClientTls {
            ca: read(ca)?,
            certificate: read(certificate)?,
            key: read(key)?,
        })
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file can't be read.
    #[error("can't read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The address is not `host:port`, or the PEM texts make no TLS configuration.
    #[error("no client for {address}: address or certificates are malformed")]
    Configuration {
        address: String,
        source: tonic::transport::Error,
    },
    /// Nobody answers there, or one side doesn't trust the other.
    #[error("can't connect to {address}")]
    Connect {
        address: String,
        source: tonic::transport::Error,
    },
}

/// Connects to the admin service at `address` (`host:port`). The client reconnects by itself, resolving the name anew.
pub async fn connect_admin(address: &str, tls: &ClientTls) -> Result<AdminClient<Channel>, Error> {
    let channel = endpoint(address, tls)?
        .connect()
        .await
        .map_err(|source| Error::Connect {
            address: address.to_owned(),
            source,
        })?;
    Ok(admin(channel))
}

/// The admin service at the end of a channel, however that is connected.
#[must_use]
pub fn admin(channel: Channel) -> AdminClient<Channel> {
    AdminClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX)
}

/// Where and how to connect, for who makes the connections himself.
pub fn endpoint(address: &str, tls: &ClientTls) -> Result<Endpoint, Error> {
    let config = ClientTlsConfig::new()
        .domain_name(TLS_SERVER_NAME)
        .ca_certificate(Certificate::from_pem(&tls.ca))
        .identity(Identity::from_pem(&tls.certificate, &tls.key));
    Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.tls_config(config))
        .map(|endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(CALL_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
        })
        .map_err(|source| Error::Configuration {
            address: address.to_owned(),
            source,
        })
}
