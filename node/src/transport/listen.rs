//! Accepting connections: TCP and TLS with the certificates that are in force at that moment.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kv_proto::identity::Identity;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::Shared;
use super::guests::Pass;
use super::tls::{IdentityError, identity_of};

/// A client that hasn't finished its handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// After an `accept` that failed, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections whose handshake is done and that the server hasn't picked up.
const READY_MAX: usize = 16;

/// Who is at the other end of a connection, by its verified certificate; in each request's extensions.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Result<Arc<Identity>, IdentityError>,
    pub address: SocketAddr,
}

/// A connection whose certificate was verified.
pub(super) struct Accepted {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    pass: Pass,
    _slot: OwnedSemaphorePermit,
}

/// Accepts until the transport stops; at most `limit` connections at a time.
pub(super) fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    limit: usize,
) -> ReceiverStream<io::Result<Accepted>> {
    let (ready, connections) = mpsc::channel(READY_MAX);
    tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(limit));
        loop {
            let accepted = tokio::select! {
                () = shared.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "can't accept a peer's connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                tracing::warn!(%address, limit, "too many connections; one was dropped");
                continue;
            };
            tokio::spawn(handshake(tcp, address, slot, shared.clone(), ready.clone()));
        }
    });
    ReceiverStream::new(connections)
}

async fn handshake(
    tcp: TcpStream,
    address: SocketAddr,
    slot: OwnedSemaphorePermit,
    shared: Arc<Shared>,
    ready: mpsc::Sender<io::Result<Accepted>>,
) {
    let config = shared.tls.current().server.clone();
    let greet = async {
        tcp.set_nodelay(true)?;
        TlsAcceptor::from(config).accept(tcp).await
    };
    match timeout(HANDSHAKE_TIMEOUT, greet).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let caller = Caller {
                identity: identity_of(chain.first()).map(Arc::new),
                address,
            };
            let chain = chain.iter().map(|one| one.clone().into_owned());
            let pass = shared.guests.admit(chain.collect());
            // A CA that was dropped during the handshake: from here on `recheck` would see it.
            if !shared.tls.current().accepts(pass.chain()) {
                return;
            }
            // Fails only once the server is gone.
            let _ = ready
                .send(Ok(Accepted {
                    stream,
                    caller,
                    pass,
                    _slot: slot,
                }))
                .await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

impl Connected for Accepted {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pass.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
