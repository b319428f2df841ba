//! The node's clocks: a monotonic one that counts suspended time too, and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use kv_core::time::Now;
use rustix::time::{ClockId, clock_gettime};

/// Reads the time for the core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    pub fn now(self) -> Now {
        let mono = clock_gettime(ClockId::Boottime);
        let mono_us = mono.tv_sec as u64 * 1_000_000 + mono.tv_nsec as u64 / 1000;
        // A wall clock before 1970 is as good as none.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_us,
            wall_ms: wall.as_millis() as u64,
        }
    }
}
