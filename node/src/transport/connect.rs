//! Dialling a peer: name, TCP, TLS, and whether it is who we meant.

use std::io;
use std::sync::Arc;

use kv_proto::identity::{Identity, TLS_SERVER_NAME};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{IdentityError, identity_of};

/// Why a peer can't be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("can't resolve {address}")]
    Resolve { address: String, source: io::Error },
    #[error("{address} resolves to nothing")]
    NoAddress { address: String },
    #[error("can't connect to {address}")]
    Connect { address: String, source: io::Error },
    #[error("TLS with {address} failed")]
    Tls { address: String, source: io::Error },
    #[error("the certificate of {address} names nobody")]
    Identity {
        address: String,
        source: IdentityError,
    },
    #[error("{address} is {found}, but {expected} was meant")]
    OtherIdentity {
        address: String,
        found: Identity,
        expected: Identity,
    },
}

/// Connects to `address` (`host:port`), resolved anew each time, and makes sure that `expected` answers.
pub(super) async fn dial(
    address: &str,
    config: Arc<ClientConfig>,
    expected: &Identity,
) -> Result<TlsStream<TcpStream>, DialError> {
    let named = || address.to_owned();
    let tcp = connect(address).await?;
    tcp.set_nodelay(true).map_err(|source| DialError::Connect {
        address: named(),
        source,
    })?;
    let name = ServerName::try_from(TLS_SERVER_NAME).map_err(|error| DialError::Tls {
        address: named(),
        source: io::Error::new(io::ErrorKind::InvalidInput, error),
    })?;
    let stream = TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|source| DialError::Tls {
            address: named(),
            source,
        })?;

    let presented = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let found = identity_of(presented).map_err(|source| DialError::Identity {
        address: named(),
        source,
    })?;
    if found != *expected {
        return Err(DialError::OtherIdentity {
            address: named(),
            found,
            expected: expected.clone(),
        });
    }
    Ok(stream)
}

async fn connect(address: &str) -> Result<TcpStream, DialError> {
    let candidates = lookup_host(address)
        .await
        .map_err(|source| DialError::Resolve {
            address: address.to_owned(),
            source,
        })?;
    let mut failure = DialError::NoAddress {
        address: address.to_owned(),
    };
    for candidate in candidates {
        match TcpStream::connect(candidate).await {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                failure = DialError::Connect {
                    address: address.to_owned(),
                    source,
                }
            }
        }
    }
    Err(failure)
}
