//! A node's clocks: a monotonic one that runs a little fast or slow, and a wall clock that may jump.
//!
//! True time is what the simulator counts, in µs; no node can read it. Monotonic time goes on while a process is suspended.

use kv_core::time::Now;

/// Wall clock at true time 0, ms since 1970.
const WALL_START_MS: i64 = 1_700_000_000_000;
const MILLION: u64 = 1_000_000;

/// Clocks of one machine.
#[derive(Clone, Debug)]
pub struct Clock {
    base_mono_us: u64,
    since_us: u64,
    /// Monotonic µs that pass in a true second.
    rate: u64,
    wall_offset_ms: i64,
}

impl Clock {
    /// A clock that shows `mono_us` at true time `at_us` and runs `drift_ppm` too fast.
    pub fn new(at_us: u64, mono_us: u64, drift_ppm: i64) -> Clock {
        let mut clock = Clock {
            base_mono_us: mono_us,
            since_us: at_us,
            rate: MILLION,
            wall_offset_ms: 0,
        };
        clock.drift(at_us, drift_ppm);
        clock
    }

    /// Runs at another speed from now on.
    pub fn drift(&mut self, at_us: u64, drift_ppm: i64) {
        self.base_mono_us = self.mono_us(at_us);
        self.since_us = at_us;
        self.rate = MILLION.saturating_add_signed(drift_ppm);
    }

    /// The machine was started again: monotonic time begins somewhere else.
    pub fn reboot(&mut self, at_us: u64, mono_us: u64) {
        self.base_mono_us = mono_us;
        self.since_us = at_us;
    }

    /// The wall clock is off by this much from now on.
    pub fn set_wall_offset(&mut self, offset_ms: i64) {
        self.wall_offset_ms = offset_ms;
    }

    pub fn mono_us(&self, at_us: u64) -> u64 {
        self.base_mono_us + (at_us - self.since_us) * self.rate / MILLION
    }

    pub fn now(&self, at_us: u64) -> Now {
        let wall_ms = WALL_START_MS + (at_us / 1000) as i64 + self.wall_offset_ms;
        Now {
            mono_us: self.mono_us(at_us),
            wall_ms: wall_ms.unsigned_abs(),
        }
    }

    /// The first true moment, not before `at_us`, at which the monotonic clock shows at least `mono_us`.
    pub fn when(&self, mono_us: u64, at_us: u64) -> u64 {
        let ahead = mono_us.saturating_sub(self.base_mono_us);
        (self.since_us + (ahead * MILLION).div_ceil(self.rate)).max(at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_moment_at_which_a_drifting_clock_shows_a_time() {
        for drift in [-50_000, -3, 0, 7, 50_000] {
            let mut clock = Clock::new(10, 5_000, drift);
            clock.drift(777, -drift);
            for mono in [6_000, 123_456, 99_999_999] {
                let at = clock.when(mono, 777);
                assert!(
                    clock.mono_us(at) >= mono && clock.mono_us(at - 1) < mono,
                    "drift {drift}, {mono}"
                );
            }
        }
    }

    #[test]
    fn a_wall_clock_jumps_and_monotonic_time_does_not() {
        let mut clock = Clock::new(0, 0, 0);
        let before = clock.now(5_000);
        clock.set_wall_offset(-2_000);
        let after = clock.now(5_000);
        assert_eq!(after.mono_us, before.mono_us);
        assert_eq!(after.wall_ms + 2_000, before.wall_ms);
    }
}
