//! An install that has been decided: its record in the family `default`, key = stage id (u64 BE).
//!
//! ```text
//!   record  format: u8 (1) │ files │ ranges │ ops
//!   files   count: u32 │ (keyspace: u8 │ name)…          ranges  count: u32 │ (keyspace: u8 │ start │ end)…
//!   ops     count: u32 │ (0: u8 │ keyspace: u8 │ key │ value  or  1 │ keyspace │ key  or  2 │ keyspace │ start │ end)…
//! ```
//! Strings are prefixed with their length (u32), numbers are little endian. Any bytes may be decoded.

use bytes::Bytes;
use kv_core::store::{Batch, KeyRange, Keyspace, Op};

const FORMAT: u8 = 1;

/// What must be done, as often as a crash wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Sorted files in the stage's folder, in order of their keys.
    pub files: Vec<(Keyspace, String)>,
    pub clear: Vec<KeyRange>,
    pub batch: Batch,
}

/// The record is not one of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed install record")]
pub struct Malformed;

impl Job {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_count(&mut out, self.files.len());
        for (keyspace, name) in &self.files {
            out.push(*keyspace as u8);
            put_bytes(&mut out, name.as_bytes());
        }
        put_count(&mut out, self.clear.len());
        for range in &self.clear {
            put_range(&mut out, range);
        }
        put_count(&mut out, self.batch.ops.len());
        for op in &self.batch.ops {
            match op {
                Op::Put {
                    keyspace,
                    key,
                    value,
                } => {
                    out.extend_from_slice(&[0, *keyspace as u8]);
                    put_bytes(&mut out, key);
                    put_bytes(&mut out, value);
                }
                Op::Delete { keyspace, key } => {
                    out.extend_from_slice(&[1, *keyspace as u8]);
                    put_bytes(&mut out, key);
                }
                Op::DeleteRange(range) => {
                    out.push(2);
                    put_range(&mut out, range);
                }
            }
        }
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Job, Malformed> {
        let bytes = &mut bytes;
        if take_byte(bytes)? != FORMAT {
            return Err(Malformed);
        }
        let mut job = Job {
            files: Vec::new(),
            clear: Vec::new(),
            batch: Batch::default(),
        };
        for _ in 0..take_count(bytes)? {
            let keyspace = take_keyspace(bytes)?;
            let name = String::from_utf8(take_bytes(bytes)?.to_vec()).map_err(|_| Malformed)?;
            if name.contains('/') {
                return Err(Malformed);
            }
            job.files.push((keyspace, name));
        }
        for _ in 0..take_count(bytes)? {
            job.clear.push(take_range(bytes)?);
        }
        for _ in 0..take_count(bytes)? {
            job.batch.ops.push(match take_byte(bytes)? {
                0 => Op::Put {
                    keyspace: take_keyspace(bytes)?,
                    key: take_bytes(bytes)?,
                    value: take_bytes(bytes)?,
                },
                1 => Op::Delete {
                    keyspace: take_keyspace(bytes)?,
                    key: take_bytes(bytes)?,
                },
                2 => Op::DeleteRange(take_range(bytes)?),
                _ => return Err(Malformed),
            });
        }
        if bytes.is_empty() {
            Ok(job)
        } else {
            Err(Malformed)
        }
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_range(out: &mut Vec<u8>, range: &KeyRange) {
    out.push(range.keyspace as u8);
    put_bytes(out, &range.start);
    put_bytes(out, &range.end);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(Malformed)?;
    *bytes = tail;
    Ok(head)
}

fn take_byte(bytes: &mut &[u8]) -> Result<u8, Malformed> {
    Ok(take(bytes, 1)?[0])
}

fn take_count(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    let head = take(bytes, 4)?;
    Ok(u32::from_le_bytes([head[0], head[1], head[2], head[3]]))
}

fn take_bytes(bytes: &mut &[u8]) -> Result<Bytes, Malformed> {
    let count = take_count(bytes)? as usize;
    take(bytes, count).map(Bytes::copy_from_slice)
}

fn take_keyspace(bytes: &mut &[u8]) -> Result<Keyspace, Malformed> {
    let byte = take_byte(bytes)?;
    Keyspace::ALL
        .into_iter()
        .find(|keyspace| *keyspace as u8 == byte)
        .ok_or(Malformed)
}

fn take_range(bytes: &mut &[u8]) -> Result<KeyRange, Malformed> {
    Ok(KeyRange {
        keyspace: take_keyspace(bytes)?,
        start: take_bytes(bytes)?,
        end: take_bytes(bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frozen: format 1.
    const FIXTURE: &str = concat!(
        "01",
        "01000000",
        "01",
        "05000000",
        "302e737374",
        "01000000",
        "00",
        "0100000061",
        "00000000",
        "03000000",
        "0002",
        "010000006b",
        "0200000076",
        "76",
        "0103",
        "0100000064",
        "02",
        "01",
        "0100000078",
        "0100000079",
    );

    fn job() -> Job {
        let range = |keyspace, start: &'static str, end: &'static str| KeyRange {
            keyspace,
            start: start.into(),
            end: end.into(),
        };
        let mut batch = Batch::default();
        batch.put(Keyspace::State, "k", "vv");
        batch.delete(Keyspace::Meta, "d");
        batch.delete_range(range(Keyspace::ChangeLog, "x", "y"));
        Job {
            files: vec![(Keyspace::ChangeLog, "0.sst".into())],
            clear: vec![range(Keyspace::Data, "a", "")],
            batch,
        }
    }

    #[test]
    fn format_1_stays_readable() {
        let bytes = hex::decode(FIXTURE).unwrap();
        assert_eq!(Job::decode(&bytes), Ok(job()));
        assert_eq!(hex::encode(job().encode()), FIXTURE);
        for end in 0..bytes.len() {
            assert_eq!(Job::decode(&bytes[..end]), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = Job::decode(&bytes);
        }
    }
}
