//! Recognises requests that the network delivers a second time.
//!
//! A request that was refused leaves no trace, and its client was told that nothing happened. Were the same frame to arrive again later,
//! when it would be served, the refusal would have been a lie. So each sender numbers the requests that it forwards, and a receiver takes a
//! number once: the sliding window of RFC 4303 §3.4.3, which takes what comes late within the window and drops what is older.

use std::collections::BTreeMap;

use crate::ids::NodeId;

/// Numbers below the greatest that may still come.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;
/// Shards of a node that are told apart; more make older ones forgotten, whose requests are then dropped and asked again.
const SHARDS_MAX: usize = 256;

#[derive(Debug)]
struct Window {
    /// Start of the sender.
    incarnation: u64,
    greatest: u64,
    /// Bit `n % WINDOW`: number `n` has come.
    seen: [u64; WORDS],
}

impl Window {
    fn new(incarnation: u64) -> Window {
        Window {
            incarnation,
            greatest: 0,
            seen: [0; WORDS],
        }
    }

    fn bit(number: u64) -> (usize, u64) {
        ((number / 64) as usize % WORDS, 1 << (number % 64))
    }

    fn admit(&mut self, number: u64) -> bool {
        if number > self.greatest {
            let passed = (self.greatest + 1..=number).rev().take(WINDOW as usize);
            for skipped in passed {
                let (word, bit) = Self::bit(skipped);
                self.seen[word] &= !bit;
            }
            self.greatest = number;
        } else if self.greatest - number >= WINDOW {
            return false;
        }
        let (word, bit) = Self::bit(number);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }
}

/// What every sender has sent here.
#[derive(Debug, Default)]
pub struct Replays {
    windows: BTreeMap<(NodeId, u32), Window>,
}

impl Replays {
    /// Whether request `number` of this start of a sender's shard comes for the first time. Requests of an earlier start are nobody's any more.
    pub fn admit(&mut self, from: NodeId, shard: u32, incarnation: u64, number: u64) -> bool {
        if self.windows.len() >= SHARDS_MAX && !self.windows.contains_key(&(from, shard)) {
            self.windows.pop_first();
        }
        let window = self
            .windows
            .entry((from, shard))
            .or_insert_with(|| Window::new(incarnation));
        if window.incarnation < incarnation {
            *window = Window::new(incarnation);
        }
        window.incarnation == incarnation && window.admit(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_number_once_in_any_order_within_the_window() {
        let mut replays = Replays::default();
        let mut admit = |number| replays.admit(NodeId(2), 1, 7, number);
        assert!(admit(1) && admit(3) && admit(2));
        assert!(!admit(1) && !admit(2) && !admit(3));
        assert!(admit(WINDOW + 2), "a jump leaves what is in between open");
        assert!(admit(4) && !admit(4));
        assert!(!admit(3) && !admit(2), "seen, and too old");
        assert!(admit(10 * WINDOW));
        assert!(admit(10 * WINDOW - 1) && !admit(10 * WINDOW - WINDOW));
    }

    #[test]
    fn senders_and_their_starts_are_apart() {
        let mut replays = Replays::default();
        assert!(replays.admit(NodeId(2), 0, 7, 5));
        assert!(replays.admit(NodeId(2), 1, 7, 5) && replays.admit(NodeId(3), 0, 7, 5));
        assert!(replays.admit(NodeId(2), 0, 8, 5), "a new start counts anew");
        assert!(
            !replays.admit(NodeId(2), 0, 7, 6),
            "an earlier start is over"
        );
    }
}
