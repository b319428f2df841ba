//! Connections that this node has accepted and that are open, with the certificates that let them in.
//!
//! Invariant: once a CA is dropped, no connection stays open that only that CA vouched for. TLS looks at a certificate
//! once, when a connection begins; so who is in is looked at again when the trust changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

/// Bounded by the connections that are accepted at a time.
#[derive(Debug, Default)]
pub(super) struct Guests {
    inside: Mutex<HashMap<u64, Arc<Guest>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Guest {
    chain: Vec<CertificateDer<'static>>,
    is_out: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

/// One connection's place among the guests, given up when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    number: u64,
    guest: Arc<Guest>,
    guests: Arc<Guests>,
}

impl Guests {
    /// Notes a connection that was let in by these certificates, the leaf first.
    pub(super) fn admit(self: &Arc<Self>, chain: Vec<CertificateDer<'static>>) -> Pass {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let guest = Arc::new(Guest {
            chain,
            is_out: AtomicBool::new(false),
            reader: Mutex::new(None),
        });
        self.inside.lock().insert(number, guest.clone());
        Pass {
            number,
            guest,
            guests: self.clone(),
        }
    }

    /// Ends all connections whose certificates are not accepted any more; answers how many.
    pub(super) fn recheck(&self, accepts: impl Fn(&[CertificateDer<'static>]) -> bool) -> usize {
        let inside: Vec<_> = self.inside.lock().values().cloned().collect();
        let refused = inside.iter().filter(|guest| !accepts(&guest.chain));
        refused.map(|guest| guest.show_out()).count()
    }
}

impl Guest {
    fn show_out(&self) {
        self.is_out.store(true, Ordering::Release);
        if let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

impl Pass {
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.guest.chain
    }

    /// Whether the connection is to end. If not, the reader is woken once it is.
    pub(super) fn is_over(&self, context: &Context<'_>) -> bool {
        if self.guest.is_out.load(Ordering::Acquire) {
            return true;
        }
        let mut reader = self.guest.reader.lock();
        match &mut *reader {
            Some(reader) => reader.clone_from(context.waker()),
            reader => *reader = Some(context.waker().clone()),
        }
        // Under the lock that `show_out` takes after it has set the flag: one of the two sees the other.
        self.guest.is_out.load(Ordering::Acquire)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.guests.inside.lock().remove(&self.number);
    }
}
