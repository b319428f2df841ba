//! `chitchat`'s wire format, by way of its own UDP socket.
//!
//! The library keeps its encoding private: `ChitchatEnvelope` can be turned into bytes and back only inside its
//! `UdpSocket`. So one such socket on loopback talks to a plain one here, both in this process: what the library writes is
//! read here and goes through the authenticated channel, and the other way round. Gossip is a few messages a second,
//! so two more system calls for each don't matter.
//!
//! Invariant: nothing from outside is decoded. Our socket is connected, so the kernel drops what others send to it; on
//! the library's socket a datagram counts only if it comes from ours.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use chitchat::ChitchatEnvelope;
use chitchat::transport::{Socket as _, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// The largest UDP payload, which the library keeps to.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Loopback delivers at once; a datagram that isn't there by then was dropped by the kernel or is malformed.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Codec {
    library: UdpSocket,
    library_addr: SocketAddr,
    ours: tokio::net::UdpSocket,
    ours_addr: SocketAddr,
    buffer: Box<[u8]>,
}

impl Codec {
    pub(super) async fn open() -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let library = UdpSocket::open(loopback).await?;
        let library_addr = library.local_addr()?;
        let ours = tokio::net::UdpSocket::bind(loopback).await?;
        ours.connect(library_addr).await?;
        let ours_addr = ours.local_addr()?;
        Ok(Codec {
            library,
            library_addr,
            ours,
            ours_addr,
            buffer: vec![0; DATAGRAM_BYTES_MAX].into(),
        })
    }

    pub(super) async fn encode(&mut self, envelope: ChitchatEnvelope) -> anyhow::Result<Bytes> {
        // What an earlier call gave up on must not be taken for this message.
        while self.ours.try_recv(&mut self.buffer).is_ok() {}
        self.library.send(self.ours_addr, envelope).await?;
        let len = timeout(PATIENCE, self.ours.recv(&mut self.buffer))
            .await
            .map_err(io::Error::from)??;
        Ok(Bytes::copy_from_slice(&self.buffer[..len]))
    }

    /// Puts a peer's bytes before the library; [`Codec::finish_decode`] has the outcome.
    pub(super) fn begin_decode(&mut self, payload: &[u8]) -> io::Result<()> {
        match self.ours.try_send(payload) {
            Ok(_) => Ok(()),
            // Too large, or no room: dropped, as finish_decode will find.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    || payload.len() > DATAGRAM_BYTES_MAX =>
            {
                tracing::debug!(target_addr = %self.library_addr, %error, "dropped a gossip message");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The message and its size; `None` if there is none by the deadline, as it was malformed. May be cancelled and
    /// called again.
    pub(super) async fn finish_decode(
        &mut self,
        deadline: Instant,
    ) -> anyhow::Result<Option<(ChitchatEnvelope, usize)>> {
        let ours = self.ours_addr;
        let received = async {
            loop {
                let outcome = self.library.recv().await?;
                if outcome.from_addr == ours {
                    return anyhow::Ok((outcome.envelope, outcome.num_bytes_received));
                }
            }
        };
        timeout_at(deadline, received).await.ok().transpose()
    }
}
