//! The streams that peers have opened to this node: at most one a peer and link.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use kv_core::ids::NodeId;
use parking_lot::Mutex;

use super::LinkKind;
use super::refusal::Refusal;

/// Bounded by the peers that hold a certificate of the cluster.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<(NodeId, LinkKind), Arc<Session>>>,
}

/// One peer's stream; ended from outside with or without a reason.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) from: NodeId,
    pub(super) kind: LinkKind,
    pub(super) incarnation: u64,
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<Refusal>,
    reader: Option<Waker>,
}

impl Sessions {
    /// Starts a session and ends the peer's former one, whose connection may be half dead; a younger life of the
    /// peer is never displaced by an older one.
    pub(super) fn begin(
        &self,
        from: NodeId,
        kind: LinkKind,
        incarnation: u64,
    ) -> Result<Arc<Session>, Refusal> {
        let mut open = self.open.lock();
        let known = [LinkKind::Small, LinkKind::Bulk]
            .into_iter()
            .filter_map(|kind| open.get(&(from, kind)))
            .map(|session| session.incarnation)
            .max();
        if let Some(known) = known.filter(|known| *known > incarnation) {
            return Err(Refusal::LowerIncarnation {
                node: from,
                presented: incarnation,
                known,
            });
        }
        let session = Arc::new(Session {
            from,
            kind,
            incarnation,
            ended: AtomicBool::new(false),
            state: Mutex::default(),
        });
        if let Some(former) = open.insert((from, kind), session.clone()) {
            former.end(None);
        }
        Ok(session)
    }

    /// Forgets a session whose stream is gone.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        let mut open = self.open.lock();
        let key = (session.from, session.kind);
        if open
            .get(&key)
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            open.remove(&key);
        }
    }

    /// Ends those sessions for which there is a refusal now.
    pub(super) fn recheck(&self, refusal: impl Fn(NodeId, u64) -> Option<Refusal>) {
        let sessions: Vec<_> = self.open.lock().values().cloned().collect();
        for session in sessions {
            if let Some(reason) = refusal(session.from, session.incarnation) {
                session.end(Some(reason));
            }
        }
    }

    /// Ends all of them; peers that may come back do so by themselves.
    pub(super) fn end_all(&self) {
        let sessions: Vec<_> = self.open.lock().values().cloned().collect();
        for session in sessions {
            session.end(None);
        }
    }
}

impl Session {
    fn end(&self, reason: Option<Refusal>) {
        let mut state = self.state.lock();
        state.reason = state.reason.take().or(reason);
        self.ended.store(true, Ordering::Release);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Ready once the session was ended, with the reason if there is one.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<Option<Refusal>> {
        if !self.ended.load(Ordering::Acquire) {
            let mut state = self.state.lock();
            // `end` sets the flag under this lock, so that it can't pass unseen between the look and the waker.
            if !self.ended.load(Ordering::Acquire) {
                match &mut state.reader {
                    Some(reader) => reader.clone_from(context.waker()),
                    reader => *reader = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(self.state.lock().reason.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(session: &Session) -> Poll<Option<Refusal>> {
        session.poll_ended(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_newer_stream_ends_the_older_but_an_older_life_does_not() {
        let sessions = Sessions::default();
        let first = sessions
            .begin(NodeId(1), LinkKind::Small, 5)
            .expect("first");
        let bulk = sessions
            .begin(NodeId(1), LinkKind::Bulk, 5)
            .expect("another link");
        let second = sessions
            .begin(NodeId(1), LinkKind::Small, 5)
            .expect("same life");
        assert_eq!(ended(&first), Poll::Ready(None));
        assert_eq!(ended(&second), Poll::Pending);
        assert_eq!(ended(&bulk), Poll::Pending);

        let refusal = sessions
            .begin(NodeId(1), LinkKind::Small, 4)
            .expect_err("older life");
        assert_eq!(
            refusal,
            Refusal::LowerIncarnation {
                node: NodeId(1),
                presented: 4,
                known: 5
            }
        );
        assert_eq!(ended(&second), Poll::Pending);
    }

    #[test]
    fn forgetting_an_ended_stream_keeps_its_successor() {
        let sessions = Sessions::default();
        let first = sessions
            .begin(NodeId(1), LinkKind::Small, 1)
            .expect("first");
        let second = sessions
            .begin(NodeId(1), LinkKind::Small, 1)
            .expect("second");
        sessions.forget(&first);
        sessions.recheck(|node, _| Some(Refusal::Removed { node }));
        assert_eq!(
            ended(&second),
            Poll::Ready(Some(Refusal::Removed { node: NodeId(1) }))
        );
        sessions.forget(&second);
        assert!(sessions.open.lock().is_empty());
    }
}
