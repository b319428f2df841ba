//! Reads raft-engine's file format (version 2) without raft-engine: what [`scan`](super::scan) needs to judge a file.
//!
//! ```text
//!   file    magic: 53 bytes │ version: u64 BE (2) │ alignment: u64 BE (0) │ batches
//!   batch   length << 8 │ compression (0): u64 BE │ offset of the items: u64 BE │ entries │ CRC-32 of the entries: u32 LE │ items │ u32 LE
//!   items   count: varint │ (group: varint │ type: u8 │ …)…          the last u32: CRC-32 of the items XOR the file's low sequence number
//! ```
//! The last checksum is signed with the file, so a batch that a recycled file held before is never taken for one of its own.
//! Any bytes may be read; nothing here panics or allocates by what they claim.

use super::synced::Position;

const MAGIC: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
const VERSION: u64 = 2;
pub const FILE_HEADER_BYTES: usize = MAGIC.len() + 16;
const BATCH_HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

const ENTRIES: u8 = 1;
const COMMAND: u8 = 2;
const KEY_VALUE: u8 = 3;
const COMMAND_COMPACT: u8 = 2;
const PUT: u8 = 1;

/// The group that no replica has; its one key holds the [`Position`] that was synced when the batch was made.
pub const STAMP_GROUP: u64 = 0;
pub const STAMP_KEY: &[u8] = b"s";

/// Whether the file begins as one of ours.
pub fn has_header(file: &[u8]) -> bool {
    let Some(rest) = file.strip_prefix(MAGIC) else {
        return false;
    };
    rest.first_chunk()
        .is_some_and(|version| u64::from_be_bytes(*version) == VERSION)
        && rest.get(8..16) == Some(&[0; 8])
}

/// A batch whose checksums hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub bytes: usize,
    pub stamp: Option<Position>,
}

/// The batch at the start of `bytes` in file `seq`, if a whole one is there.
pub fn batch(bytes: &[u8], seq: u64) -> Option<Batch> {
    let header = bytes.first_chunk::<BATCH_HEADER_BYTES>()?;
    let (length, offset) = header.split_first_chunk::<8>()?;
    let length = u64::from_be_bytes(*length);
    let offset = usize::try_from(u64::from_be_bytes(*offset.first_chunk()?)).ok()?;
    if length & 0xff != 0 {
        return None; // compressed, which ours never are: no checksum covers this byte
    }
    let batch = bytes.get(..usize::try_from(length >> 8).ok()?)?;
    let entries = batch.get(BATCH_HEADER_BYTES..offset)?;
    let items = checked(batch.get(offset..)?, seq as u32)?;
    if !entries.is_empty() {
        checked(entries, 0)?;
    }
    Some(Batch {
        bytes: batch.len(),
        stamp: stamp(items),
    })
}

/// What lies before a checksum, if the checksum is right.
fn checked(bytes: &[u8], signature: u32) -> Option<&[u8]> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    let right =
        !body.is_empty() && crc32fast::hash(body) == u32::from_le_bytes(*checksum) ^ signature;
    right.then_some(body)
}

/// The stamp among the items of a batch.
fn stamp(mut items: &[u8]) -> Option<Position> {
    let items = &mut items;
    for _ in 0..varint(items)? {
        let group = varint(items)?;
        match byte(items)? {
            ENTRIES => {
                let count = varint(items)?;
                if count > 0 {
                    varint(items)?; // the first index
                }
                for _ in 0..count {
                    varint(items)?;
                }
            }
            COMMAND => {
                if byte(items)? == COMMAND_COMPACT {
                    varint(items)?;
                }
            }
            KEY_VALUE => {
                let put = byte(items)? == PUT;
                let key = prefixed(items)?;
                let value = if put { prefixed(items)? } else { &[] };
                if group == STAMP_GROUP && key == STAMP_KEY {
                    return Position::from_stamp(value);
                }
            }
            _ => return None,
        }
    }
    None
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << shift;
        if next < 0x80 {
            return Some(value);
        }
    }
    None
}

fn prefixed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (head, tail) = bytes.split_at_checked(length)?;
    *bytes = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, seq: u64) {
            has_header(&bytes);
            batch(&bytes, seq);
            stamp(&bytes);
        }
    }
}
