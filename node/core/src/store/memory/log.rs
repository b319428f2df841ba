//! [`MemoryLog`]: raft logs as the bytes that a log file would hold.
//!
//! Invariant: below `synced` every frame is whole; a frame that isn't is corruption. Above it nothing was promised: the
//! first frame that is not whole is a torn tail, cut off by the first use after the crash.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Fault;
use super::record::{HEADER_BYTES, decode, encode, frame, unframe};
use crate::ids::ReplicaId;
use crate::store::span::{Logs, Spans};
use crate::store::{Error, LogStore, LogWrite, RecoveredLog, Result};

/// A log is rewritten once it is that large and twice what it was after the last time.
const REWRITE_BYTES_MIN: usize = 256 << 10;

/// A log store in memory. Clones share the content, as two handles of one disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    /// Stable storage holds `bytes[..synced]`.
    synced: usize,
    /// Where the frames above `synced` end.
    unsynced: Vec<usize>,
    spans: Spans,
    /// A crash came and nobody looked yet at what it left.
    crashed: bool,
    rewritten: usize,
    torn_tails: u64,
    fault: Fault,
}

impl MemoryLog {
    /// Loses what a power cut would lose. Of the appends since the last sync a prefix survives, of a length that `choice`
    /// chooses; half of the choices that lose something leave a torn piece of the first lost append.
    pub fn crash(&self, choice: u64) {
        let mut disk = self.disk.lock();
        let boundaries = disk.unsynced.len() as u64 + 1;
        let (kept, rest) = ((choice % boundaries) as usize, choice / boundaries);
        let end = if kept == 0 {
            disk.synced
        } else {
            disk.unsynced[kept - 1]
        };
        let torn = match disk.unsynced.get(kept) {
            Some(next) if rest % 2 == 1 => 1 + (rest / 2) as usize % (next - end - 1),
            _ => 0,
        };
        disk.bytes.truncate(end + torn);
        disk.unsynced.clear();
        disk.synced = end;
        disk.crashed = true;
    }

    pub fn set_fault(&self, fault: Fault) {
        self.disk.lock().fault = fault;
    }

    /// Flips one bit of what is on stable storage, chosen by `choice`; false if there is nothing yet.
    pub fn flip(&self, choice: u64) -> bool {
        let mut disk = self.disk.lock();
        if disk.synced == 0 {
            return false;
        }
        let bit = (choice % (disk.synced as u64 * 8)) as usize;
        disk.bytes[bit / 8] ^= 1 << (bit % 8);
        true
    }

    /// Torn tails that were cut off so far.
    pub fn torn_tails(&self) -> u64 {
        self.disk.lock().torn_tails
    }
}

impl LogStore for MemoryLog {
    fn append(&self, writes: &[LogWrite], sync: bool) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        if disk.crashed {
            disk.repair()?;
        }
        disk.spans.advance(writes)?;
        if !writes.is_empty() {
            let payload = encode(writes)
                .map_err(|error| Error::Failed(format!("can't encode a log record: {error}")))?;
            disk.bytes.extend_from_slice(&frame(&payload));
            let end = disk.bytes.len();
            disk.unsynced.push(end);
        }
        if sync {
            disk.synced = disk.bytes.len();
            disk.unsynced.clear();
        }
        Ok(())
    }

    fn recover(&self) -> Result<Vec<RecoveredLog>> {
        let mut disk = self.disk.lock();
        disk.fault.on_read()?;
        if disk.crashed {
            disk.repair()
        } else {
            disk.replay(disk.bytes.len()).map(Logs::into_vec)
        }
    }

    /// Keeps no replica's entries for want of a flush: it rewrites whatever is live.
    fn purge(&self) -> Result<Vec<ReplicaId>> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        if disk.synced >= REWRITE_BYTES_MIN && disk.synced >= 2 * disk.rewritten {
            disk.rewrite()?;
        }
        Ok(Vec::new())
    }

    fn bytes(&self) -> u64 {
        self.disk.lock().bytes.len() as u64
    }
}

impl Disk {
    /// Reads what a crash left, and cuts off a torn tail.
    fn repair(&mut self) -> Result<Vec<RecoveredLog>> {
        let logs = self.replay(self.synced)?.into_vec();
        self.torn_tails += u64::from(self.bytes.len() > self.synced);
        self.bytes.truncate(self.synced);
        self.spans = Spans::new(&logs);
        self.crashed = false;
        Ok(logs)
    }

    /// The logs of the frames below `end`.
    fn replay(&self, end: usize) -> Result<Logs> {
        let mut logs = Logs::default();
        let mut at = 0;
        while at < end {
            let corrupt = |detail: &str| Error::Corrupt {
                place: format!("memory log at {at}"),
                detail: detail.into(),
            };
            let payload = unframe(&self.bytes[at..end])
                .ok_or_else(|| corrupt("a synced record fails its checksum"))?;
            for write in decode(payload).map_err(|error| corrupt(&error.to_string()))? {
                logs.apply(write)
                    .map_err(|error| corrupt(&error.to_string()))?;
            }
            at += HEADER_BYTES + payload.len();
        }
        Ok(logs)
    }

    /// Replaces the synced frames by one that says the same. What is not synced stays behind it.
    fn rewrite(&mut self) -> Result<()> {
        let live = self.replay(self.synced)?.into_vec();
        let writes: Vec<LogWrite> = live.into_iter().map(whole).collect();
        let payload = encode(&writes)
            .map_err(|error| Error::Failed(format!("can't encode a log record: {error}")))?;
        let mut bytes = frame(&payload);
        let synced = bytes.len();
        bytes.extend_from_slice(&self.bytes[self.synced..]);
        for end in &mut self.unsynced {
            *end = *end - self.synced + synced;
        }
        (self.bytes, self.synced, self.rewritten) = (bytes, synced, synced);
        Ok(())
    }
}

/// The write that brings a log into being as it is.
fn whole(log: RecoveredLog) -> LogWrite {
    let RecoveredLog {
        replica,
        hard_state,
        base,
        entries,
    } = log;
    LogWrite {
        replica,
        reset: Some(base),
        entries,
        hard_state: Some(hard_state),
        truncate: None,
        remove: false,
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn entry(index: u64) -> LogWrite {
        let entries = vec![Entry {
            index,
            data: vec![7; 100].into(),
            ..Entry::default()
        }];
        LogWrite {
            replica: ReplicaId(1),
            entries,
            ..LogWrite::default()
        }
    }

    fn last(log: &MemoryLog) -> u64 {
        log.recover()
            .unwrap()
            .first()
            .map_or(0, |log| log.base.0 + log.entries.len() as u64)
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest_and_may_tear_the_next() {
        let (mut seen, mut torn) = ([false; 4], 0);
        for choice in 0..64 {
            let log = MemoryLog::default();
            log.append(&[entry(1)], true).unwrap();
            for index in 2..=4 {
                log.append(&[entry(index)], false).unwrap();
            }
            log.crash(choice);
            let kept = last(&log);
            seen[kept as usize - 1] = true;
            torn += log.torn_tails();
            log.append(&[entry(kept + 1)], true).unwrap();
            assert_eq!(last(&log), kept + 1);
        }
        assert_eq!(seen, [true; 4]);
        assert!(torn > 10);
    }

    #[test]
    fn any_flipped_bit_of_a_synced_record_is_corruption() {
        let log = MemoryLog::default();
        assert!(!log.flip(0));
        log.append(&[entry(1)], true).unwrap();
        log.append(&[entry(2)], true).unwrap();
        for bit in 0..log.bytes() * 8 {
            log.flip(bit);
            log.crash(0);
            assert!(
                matches!(log.recover(), Err(Error::Corrupt { .. })),
                "bit {bit}"
            );
            assert!(log.append(&[entry(3)], true).is_err());
            log.flip(bit);
        }
        assert_eq!(last(&log), 2);
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let log = MemoryLog::default();
        log.set_fault(Fault::Full);
        assert!(matches!(log.append(&[entry(1)], true), Err(Error::Full(_))));
        log.set_fault(Fault::None);
        log.append(&[entry(1)], true).unwrap();
    }

    #[test]
    fn purging_bounds_the_bytes_and_changes_nothing() {
        let log = MemoryLog::default();
        for index in 1..10_000_u64 {
            let truncate = index
                .checked_sub(50)
                .filter(|base| *base > 0)
                .map(|base| (base, 0));
            log.append(
                &[LogWrite {
                    truncate,
                    ..entry(index)
                }],
                index % 7 == 0,
            )
            .unwrap();
            if index % 100 == 0 {
                let before = log.recover().unwrap();
                log.purge().unwrap();
                assert_eq!(log.recover().unwrap(), before);
            }
        }
        assert!(log.bytes() < 2 * REWRITE_BYTES_MIN as u64);
    }
}
