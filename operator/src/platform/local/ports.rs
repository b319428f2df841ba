//! Ports of nodes on loopback: chosen once, kept in `node.json`.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::Error;

/// The ports of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The DynamoDB API.
    pub dynamo: u16,
    /// Client gRPC.
    pub kv: u16,
    /// Peers and admin.
    pub peer: u16,
    /// Metrics and health.
    pub metrics: u16,
}

/// Which ports are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// 8000, 7000, 7001 and 9090 for the first node, ten more for each that follows.
    WellKnown,
    /// Whatever is free.
    Any,
}

/// Chooses free ports for the node at `index` (from 0), none of them in `taken`, and adds them to it.
///
/// # Errors
/// The system has no free port.
pub fn choose(
    index: u16,
    preference: Preference,
    taken: &mut BTreeSet<u16>,
) -> Result<Ports, Error> {
    let mut pick = |base: u16| {
        let preferred = index
            .checked_mul(10)
            .and_then(|offset| base.checked_add(offset));
        let preferred =
            preferred.filter(|port| preference == Preference::WellKnown && !taken.contains(port));
        match preferred.filter(|&port| is_free(port)) {
            Some(port) => {
                taken.insert(port);
                Ok(port)
            }
            None => any_free(taken),
        }
    };
    Ok(Ports {
        dynamo: pick(8000)?,
        kv: pick(7000)?,
        peer: pick(7001)?,
        metrics: pick(9090)?,
    })
}

/// Whether nobody listens on a port of loopback.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn any_free(taken: &mut BTreeSet<u16>) -> Result<u16, Error> {
    // Held until one is found, so that the system does not offer the same again.
    let mut held = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::NoFreePort)?;
        let port = listener.local_addr().map_err(Error::NoFreePort)?.port();
        if taken.insert(port) {
            return Ok(port);
        }
        held.push(listener);
        if held.len() > usize::from(u16::MAX) {
            return Err(Error::NoFreePort(io::ErrorKind::AddrInUse.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_taken_ones_are_left_alone() {
        let mut taken = BTreeSet::new();
        for index in 0..5 {
            choose(index, Preference::WellKnown, &mut taken).expect("free ports");
        }
        assert_eq!(taken.len(), 20);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("free port");
        assert!(!is_free(listener.local_addr().expect("address").port()));
    }
}
