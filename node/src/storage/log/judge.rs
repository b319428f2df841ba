//! What the bytes of one log file are, and up to where: the part of [`scan`](super::scan) that reads no files.

use super::record::{self, FILE_HEADER_BYTES};
use super::synced::Position;

/// What the bytes of a log file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Whole,
    NoHeader,
    /// The batch at `at` is not whole; the highest synced end that a later one is stamped with.
    Bad {
        at: u64,
        synced_later: Option<Position>,
    },
}

/// Judges the whole bytes of file `seq`.
pub fn inspect_file(bytes: &[u8], seq: u64) -> Found {
    if !record::has_header(bytes) {
        return Found::NoHeader;
    }
    let mut at = FILE_HEADER_BYTES;
    while at < bytes.len() {
        match record::batch(&bytes[at..], seq) {
            Some(batch) => at += batch.bytes,
            None => {
                return Found::Bad {
                    at: at as u64,
                    synced_later: later_stamp(&bytes[at + 1..], seq),
                };
            }
        }
    }
    Found::Whole
}

/// Looks at every offset, since a damaged length says nothing about where the next batch begins. Cheap: what is no batch shows in
/// its first bytes, and what is one is passed over as a whole.
fn later_stamp(bytes: &[u8], seq: u64) -> Option<Position> {
    let mut highest = None;
    let mut at = 0;
    while at < bytes.len() {
        match record::batch(&bytes[at..], seq) {
            Some(batch) => {
                highest = highest.max(batch.stamp);
                at += batch.bytes;
            }
            None => at += 1 + zeros_before_header(&bytes[at + 1..]),
        }
    }
    highest
}

/// How far the next place is where a batch may begin: one of the first 7 bytes of a header, its length, is not zero. Files end in zeros.
fn zeros_before_header(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len())
        .saturating_sub(6)
}
