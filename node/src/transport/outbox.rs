//! What waits to be sent over one link: a bounded queue a lane, filled by anyone without blocking, emptied in
//! batches by the one stream that holds the link's current session.
//!
//! Latency: pushing into an empty queue wakes the stream at once; there is no timer. Efficiency: the stream takes all
//! that piled up since its last poll in one batch, so a busy link makes few large frames and wakes nobody.
//!
//! ```text
//! push ──► [lane queues] ──poll_batch(session)──► HTTP/2 stream
//!            ▲ begin/open/end: which session may take, and since when
//! ```
//! Invariant: a message is taken at most once, and by the current session only.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Lane, LaneLimits, SendError};

/// One link's lanes.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In the order they are served; few.
    lanes: Vec<LaneQueue>,
    session: u64,
    /// The session's peer has welcomed us.
    open: bool,
    /// A task looks after the link.
    running: bool,
    closed: bool,
    /// The stream that found nothing.
    reader: Option<Waker>,
    /// Batches taken so far: tells an idle link.
    taken: u64,
}

#[derive(Debug)]
struct LaneQueue {
    lane: Lane,
    limits: LaneLimits,
    messages: VecDeque<Bytes>,
    bytes: usize,
}

/// What [`Outbox::push`] asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// The link has no task: start one.
    StartTask,
}

/// Messages of one lane in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lane: Lane,
    pub(super) messages: Vec<Bytes>,
    pub(super) bytes: usize,
}

impl Outbox {
    /// `lanes` are served in this order: put rare, small ones first.
    pub(super) fn new(lanes: impl IntoIterator<Item = (Lane, LaneLimits)>) -> Self {
        let lanes = lanes
            .into_iter()
            .map(|(lane, limits)| LaneQueue {
                lane,
                limits,
                messages: VecDeque::new(),
                bytes: 0,
            })
            .collect();
        Outbox {
            state: Mutex::new(State {
                lanes,
                session: 0,
                open: false,
                running: false,
                closed: false,
                reader: None,
                taken: 0,
            }),
        }
    }

    pub(super) fn push(&self, lane: Lane, message: Bytes) -> Result<Pushed, SendError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SendError::Closed);
        }
        let queue = state
            .lanes
            .iter_mut()
            .find(|queue| queue.lane == lane)
            .ok_or(SendError::Closed)?;
        queue.push(message)?;
        let start = !std::mem::replace(&mut state.running, true);
        let reader = if state.open {
            state.reader.take()
        } else {
            None
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(if start {
            Pushed::StartTask
        } else {
            Pushed::Queued
        })
    }

    /// Starts a session, which ends the former; nothing is taken before [`Outbox::open`].
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.session += 1;
        state.open = false;
        let session = state.session;
        wake(state.reader.take());
        session
    }

    /// Ends the session: its stream finishes, and what waits goes to the next one.
    pub(super) fn end(&self) {
        self.begin();
    }

    /// Lets the session's stream take messages.
    pub(super) fn open(&self, session: u64) {
        let mut state = self.state.lock();
        if state.session == session {
            state.open = true;
            wake(state.reader.take());
        }
    }

    /// Next messages for the stream of `session`: one lane, up to its frame size; `None` once the session is over.
    pub(super) fn poll_batch(
        &self,
        session: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<Batch>> {
        let mut state = self.state.lock();
        if state.closed || state.session != session {
            return Poll::Ready(None);
        }
        if state.open
            && let Some(queue) = state
                .lanes
                .iter_mut()
                .find(|queue| !queue.messages.is_empty())
        {
            let batch = queue.take();
            state.taken += 1;
            return Poll::Ready(Some(batch));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Drops all that waits; how many messages that were, a lane.
    pub(super) fn clear(&self) -> Vec<(Lane, usize)> {
        let mut state = self.state.lock();
        let dropped = state
            .lanes
            .iter_mut()
            .map(|queue| (queue.lane, queue.clear()));
        dropped.filter(|(_, count)| *count > 0).collect()
    }

    /// Batches taken since the start.
    pub(super) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// If nothing waits, notes that the link's task ends: the next push asks for another.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.state.lock();
        let empty = state.lanes.iter().all(|queue| queue.messages.is_empty());
        if empty {
            state.running = false;
        }
        empty
    }

    /// Refuses all further messages and ends the session, for good.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for queue in &mut state.lanes {
            queue.clear();
        }
        wake(state.reader.take());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl LaneQueue {
    fn push(&mut self, message: Bytes) -> Result<(), SendError> {
        if self.messages.len() >= self.limits.messages
            || self.bytes.saturating_add(message.len()) > self.limits.bytes
        {
            return Err(SendError::Full);
        }
        self.bytes += message.len();
        self.messages.push_back(message);
        Ok(())
    }

    /// At least one message, more while they fit a frame.
    fn take(&mut self) -> Batch {
        let mut bytes = 0;
        let fits = self
            .messages
            .iter()
            .enumerate()
            .take_while(|(at, message)| {
                bytes += message.len();
                *at == 0 || bytes <= self.limits.frame_bytes
            });
        let count = fits.count();
        let messages: Vec<Bytes> = self.messages.drain(..count).collect();
        let bytes = messages.iter().map(Bytes::len).sum();
        self.bytes -= bytes;
        Batch {
            lane: self.lane,
            messages,
            bytes,
        }
    }

    fn clear(&mut self) -> usize {
        self.bytes = 0;
        let count = self.messages.len();
        self.messages = VecDeque::new();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LaneLimits = LaneLimits {
        messages: 3,
        bytes: 100,
        frame_bytes: 20,
    };

    fn outbox() -> Outbox {
        Outbox::new([(Lane::Gossip, LIMITS), (Lane::Small, LIMITS)])
    }

    fn poll(outbox: &Outbox, session: u64) -> Poll<Option<Batch>> {
        outbox.poll_batch(session, &mut Context::from_waker(Waker::noop()))
    }

    fn message(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    #[test]
    fn both_bounds_hold_a_lane() {
        let outbox = outbox();
        for _ in 0..3 {
            outbox
                .push(Lane::Small, message(1))
                .expect("below the bound");
        }
        assert_eq!(outbox.push(Lane::Small, message(1)), Err(SendError::Full));
        assert_eq!(
            outbox.push(Lane::Gossip, message(101)),
            Err(SendError::Full)
        );
        assert_eq!(outbox.push(Lane::Gossip, message(100)), Ok(Pushed::Queued));
        assert_eq!(
            outbox.push(Lane::Bulk, message(1)),
            Err(SendError::Closed),
            "not a lane of this link"
        );
        assert_eq!(outbox.clear(), [(Lane::Gossip, 1), (Lane::Small, 3)]);
        assert_eq!(
            outbox.push(Lane::Small, message(100)),
            Ok(Pushed::Queued),
            "bytes are counted down"
        );
    }

    #[test]
    fn a_batch_is_one_lane_in_order_and_within_a_frame() {
        let outbox = outbox();
        let session = outbox.begin();
        outbox.open(session);
        for len in [30, 15, 5] {
            outbox.push(Lane::Small, message(len)).expect("fits");
        }
        let lens = |batch: Poll<Option<Batch>>| match batch {
            Poll::Ready(Some(batch)) => batch.messages.iter().map(Bytes::len).collect::<Vec<_>>(),
            other => panic!("no batch: {other:?}"),
        };
        assert_eq!(
            lens(poll(&outbox, session)),
            [30],
            "one that is larger than a frame goes alone"
        );
        assert_eq!(lens(poll(&outbox, session)), [15, 5]);
        assert_eq!(poll(&outbox, session), Poll::Pending);
    }

    #[test]
    fn only_the_open_session_takes() {
        let outbox = outbox();
        assert_eq!(outbox.push(Lane::Small, message(1)), Ok(Pushed::StartTask));
        let first = outbox.begin();
        assert_eq!(poll(&outbox, first), Poll::Pending, "not welcomed yet");
        let second = outbox.begin();
        outbox.open(first);
        assert_eq!(poll(&outbox, first), Poll::Ready(None));
        assert_eq!(
            poll(&outbox, second),
            Poll::Pending,
            "a late welcome opens nothing"
        );
        outbox.open(second);
        assert!(matches!(poll(&outbox, second), Poll::Ready(Some(_))));
        outbox.close();
        assert_eq!(poll(&outbox, second), Poll::Ready(None));
        assert_eq!(outbox.push(Lane::Small, message(1)), Err(SendError::Closed));
    }

    #[test]
    fn a_task_is_asked_for_once_until_it_rests() {
        let outbox = outbox();
        assert_eq!(outbox.push(Lane::Small, message(1)), Ok(Pushed::StartTask));
        assert_eq!(outbox.push(Lane::Small, message(1)), Ok(Pushed::Queued));
        assert!(!outbox.rest(), "something waits");
        outbox.clear();
        assert!(outbox.rest());
        assert_eq!(outbox.push(Lane::Small, message(1)), Ok(Pushed::StartTask));
    }
}
