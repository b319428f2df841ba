//! How connections to admin services are made: by the network, or by somebody who has a way to where they are. What runs over them is the
//! same, TLS included.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use kv_proto::admin::admin_client::AdminClient;
use kv_proto::client::{ClientTls, Error, admin, connect_admin, endpoint};
use tokio::io::DuplexStream;
use tonic::transport::{Channel, Uri};

/// How long a connection may take that somebody else makes, TLS included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes connections.
pub trait Dial: Debug + Send + Sync {
    /// A stream of bytes to and from `host:port`.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<DuplexStream>>;
}

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub enum Way {
    /// Addresses are within reach.
    #[default]
    Direct,
    /// Somebody else makes them.
    Over(Arc<dyn Dial>),
}

/// Connects to an admin service. The client dials again by itself, the same way.
///
/// # Errors
/// Nobody answers there, or one side does not trust the other.
pub async fn connect(
    address: &str,
    tls: &ClientTls,
    way: &Way,
) -> Result<AdminClient<Channel>, Error> {
    let dialler = match way {
        Way::Direct => return connect_admin(address, tls).await,
        Way::Over(dialler) => Arc::clone(dialler),
    };
    let connector = tower::service_fn(move |uri: Uri| {
        let address = uri.authority().map(ToString::to_string);
        let stream = dialler.dial(address.unwrap_or_default());
        async move { stream.await.map(TokioIo::new) }
    });
    let endpoint = endpoint(address, tls)?.connect_timeout(DIAL_TIMEOUT);
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map(admin).map_err(|source| Error::Connect {
        address: address.to_owned(),
        source,
    })
}
