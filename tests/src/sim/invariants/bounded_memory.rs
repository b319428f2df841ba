//! Everything that grows has a bound (DESIGN §10.6).

use kv_core::shard::Shard;

use super::Result;

/// Bytes of log in memory: flushes keep it at a fraction of this.
const LOG_BYTES_MAX: usize = 8 << 20;
/// Requests under way and remembered: the workload's rate times the longest deadline is far below.
const REQUESTS_MAX: usize = 20_000;

/// The most that was seen.
#[derive(Debug, Default)]
pub struct BoundedMemory {
    most: (usize, usize, usize),
}

impl BoundedMemory {
    pub fn check(&mut self, shard: &Shard) -> Result {
        let (log, remembered, load) = shard.memory();
        self.most = (
            self.most.0.max(log),
            self.most.1.max(remembered),
            self.most.2.max(load),
        );
        if log > LOG_BYTES_MAX || remembered > REQUESTS_MAX || load > REQUESTS_MAX {
            return Err(format!(
                "memory grows without bound: {log} bytes of log, {remembered} requests remembered, {load} under way"
            ));
        }
        Ok(())
    }
}
