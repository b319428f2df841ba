//! Time as the core knows it: given with every step, never read.

/// The moment of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds of a monotonic clock that goes on while the machine is suspended. Leases count on it.
    pub mono_us: u64,
    /// Wall clock, milliseconds since 1970. May jump.
    pub wall_ms: u64,
}

/// Monotonic time between two ticks, microseconds. A tick that was missed is not made up for.
pub const TICK_US: u64 = 100_000;
/// Ticks without a word from the leader after which a follower may campaign, and until which it grants no vote.
pub const ELECTION_TICKS: usize = 10;
/// Election timeouts are drawn from `ELECTION_TICKS..ELECTION_TICKS_MAX`.
pub const ELECTION_TICKS_MAX: usize = 16;
/// Ticks between a leader's heartbeats.
pub const HEARTBEAT_TICKS: usize = 3;
/// How much faster one clock may run than another over an election timeout, microseconds (10 %: far above any real clock).
pub const DRIFT_US: u64 = TICK_US * ELECTION_TICKS as u64 / 10;
/// A leader's lease counts from the moment a heartbeat was sent: shorter than the least time in which a follower that heard it
/// could help to elect another, by a tick (the follower's first may come at once) and the drift.
pub const LEASE_US: u64 = TICK_US * (ELECTION_TICKS as u64 - 1) - DRIFT_US;
/// A replica that heard its leader this long ago may still answer eventual reads, microseconds.
pub const EVENTUAL_US: u64 = 5_000_000;
/// Wall clocks of peers further ahead than this are refused, milliseconds.
pub const CLOCK_AHEAD_MS: u64 = 500;

/// A hybrid logical clock: wall milliseconds in the upper 48 bits, a counter in the lower 16 (Kulkarni et al., 2014).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hybrid(pub u64);

impl Hybrid {
    pub fn from_wall(wall_ms: u64) -> Hybrid {
        Hybrid(wall_ms << 16)
    }

    pub fn wall_ms(self) -> u64 {
        self.0 >> 16
    }

    /// The least time above `self` that is not below the wall clock.
    pub fn after(self, wall_ms: u64) -> Hybrid {
        Hybrid((self.0 + 1).max(wall_ms << 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_time_grows_while_the_wall_clock_stands_or_falls() {
        let first = Hybrid::default().after(1000);
        assert_eq!(first, Hybrid::from_wall(1000));
        let second = first.after(1000);
        assert!(second > first && second.wall_ms() == 1000);
        assert!(second.after(10) > second);
        assert_eq!(second.after(2000).wall_ms(), 2000);
    }

    #[test]
    fn a_lease_ends_before_anyone_can_be_elected() {
        const { assert!(LEASE_US + DRIFT_US < TICK_US * ELECTION_TICKS as u64) };
    }
}
