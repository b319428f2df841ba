//! When to start a dead process again: 100 ms, then twice as long each time up to 30 s; afresh after it lived for ten.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(30);
/// A cluster can do without a node that ends that seldom; one that waits for half a minute each time can be its majority.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The delays of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes an end after a life of so long, and says how long to wait.
    pub fn failed(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY_AFTER {
            self.failures = 0;
        }
        let delay = FIRST
            .saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(LAST);
        self.failures = self.failures.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_thirty_seconds_and_start_afresh_after_a_life_of_ten() {
        let mut backoff = Backoff::default();
        let mut delays: Vec<u128> = (0..11)
            .map(|_| backoff.failed(Duration::ZERO).as_millis())
            .collect();
        delays.push(backoff.failed(Duration::from_secs(10)).as_millis());
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 100
            ]
        );
        let mut worn = Backoff { failures: u32::MAX };
        assert_eq!(worn.failed(Duration::ZERO), LAST);
    }
}
