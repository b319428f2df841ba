//! The bytes of one append in a [`MemoryLog`](super::MemoryLog).
//!
//! ```text
//!   frame    length: u32 │ CRC-32 of the payload: u32 │ payload
//!   payload  count: u32 │ writes
//!   write    replica: u64 │ flags: u8 │ reset: u64, u64 │ count: u32, (length: u32, protobuf entry)… │ length: u32, protobuf hard state │ truncate: u64, u64
//! ```
//! Little endian. What the flags don't announce is absent. Any bytes may be decoded: those that no encoder wrote end in
//! [`Malformed`], never in a panic or an allocation larger than they are.

use protobuf::Message;
use raft::eraftpb::{Entry, HardState};

use crate::ids::ReplicaId;
use crate::store::LogWrite;

pub(super) const HEADER_BYTES: usize = 8;

const RESET: u8 = 1;
const ENTRIES: u8 = 2;
const HARD_STATE: u8 = 4;
const TRUNCATE: u8 = 8;
const REMOVE: u8 = 16;
const KNOWN: u8 = RESET | ENTRIES | HARD_STATE | TRUNCATE | REMOVE;

/// The bytes are not a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed log record")]
pub struct Malformed;

/// A payload.
pub fn encode(writes: &[LogWrite]) -> Result<Vec<u8>, protobuf::ProtobufError> {
    let mut out = Vec::new();
    put_u32(&mut out, writes.len());
    for write in writes {
        let LogWrite {
            replica,
            reset,
            entries,
            hard_state,
            truncate,
            remove,
        } = write;
        out.extend_from_slice(&replica.0.to_le_bytes());
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            flag(reset.is_some(), RESET)
                | flag(!entries.is_empty(), ENTRIES)
                | flag(hard_state.is_some(), HARD_STATE)
                | flag(truncate.is_some(), TRUNCATE)
                | flag(*remove, REMOVE),
        );
        put_position(&mut out, reset);
        if !entries.is_empty() {
            put_u32(&mut out, entries.len());
            for entry in entries {
                put_message(&mut out, entry)?;
            }
        }
        if let Some(hard_state) = hard_state {
            put_message(&mut out, hard_state)?;
        }
        put_position(&mut out, truncate);
    }
    Ok(out)
}

/// The writes of a payload.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<LogWrite>, Malformed> {
    let bytes = &mut bytes;
    let count = take_u32(bytes)?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let replica = ReplicaId(take_u64(bytes)?);
        let flags = take(bytes, 1)?[0];
        if flags & !KNOWN != 0 {
            return Err(Malformed);
        }
        let has = |flag: u8| flags & flag != 0;
        let mut write = LogWrite {
            replica,
            remove: has(REMOVE),
            ..LogWrite::default()
        };
        if has(RESET) {
            write.reset = Some((take_u64(bytes)?, take_u64(bytes)?));
        }
        if has(ENTRIES) {
            for _ in 0..take_u32(bytes)? {
                write.entries.push(take_message::<Entry>(bytes)?);
            }
        }
        if has(HARD_STATE) {
            write.hard_state = Some(take_message::<HardState>(bytes)?);
        }
        if has(TRUNCATE) {
            write.truncate = Some((take_u64(bytes)?, take_u64(bytes)?));
        }
        writes.push(write);
    }
    if bytes.is_empty() {
        Ok(writes)
    } else {
        Err(Malformed)
    }
}

/// A frame around a payload.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    put_u32(&mut out, payload.len());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// The payload of the frame at the start of `bytes`, if it is whole.
pub(super) fn unframe(mut bytes: &[u8]) -> Option<&[u8]> {
    let length = take_u32(&mut bytes).ok()?;
    let crc = take_u32(&mut bytes).ok()?;
    let payload = take(&mut bytes, length as usize).ok()?;
    (crc32fast::hash(payload) == crc).then_some(payload)
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_position(out: &mut Vec<u8>, position: &Option<(u64, u64)>) {
    if let Some((index, term)) = position {
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&term.to_le_bytes());
    }
}

fn put_message(out: &mut Vec<u8>, message: &impl Message) -> Result<(), protobuf::ProtobufError> {
    let bytes = message.write_to_bytes()?;
    put_u32(out, bytes.len());
    out.extend_from_slice(&bytes);
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(Malformed)?;
    *bytes = tail;
    Ok(head)
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    let head = take(bytes, 4)?;
    Ok(u32::from_le_bytes([head[0], head[1], head[2], head[3]]))
}

fn take_u64(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let (low, high) = (take_u32(bytes)?, take_u32(bytes)?);
    Ok(u64::from(high) << 32 | u64::from(low))
}

fn take_message<M: Message>(bytes: &mut &[u8]) -> Result<M, Malformed> {
    let length = take_u32(bytes)? as usize;
    let mut message = M::new();
    message
        .merge_from_bytes(take(bytes, length)?)
        .map_err(|_| Malformed)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(writes) = decode(&bytes) {
                prop_assert!(decode(&encode(&writes).unwrap()) == Ok(writes));
            }
            let _ = unframe(&bytes);
        }

        #[test]
        fn what_is_encoded_comes_back(replica: u64, reset: Option<(u64, u64)>, truncate: Option<(u64, u64)>, data: Vec<Vec<u8>>, term: Option<u64>, remove: bool) {
            let entries = data.into_iter().map(|data| Entry { index: data.len() as u64, data: data.into(), ..Entry::default() }).collect();
            let hard_state = term.map(|term| HardState { term, vote: 3, commit: 9, ..HardState::default() });
            let writes = vec![LogWrite { replica: ReplicaId(replica), reset, entries, hard_state, truncate, remove }; 2];
            prop_assert_eq!(decode(&encode(&writes).unwrap()), Ok(writes));
        }
    }

    /// Frozen: the simulator's traces are compared across versions.
    #[test]
    fn the_bytes_of_a_frame_stay_as_they_are() {
        let write = LogWrite {
            replica: ReplicaId(7),
            entries: vec![Entry {
                index: 1,
                term: 2,
                data: vec![0xab].into(),
                ..Entry::default()
            }],
            truncate: Some((1, 2)),
            ..LogWrite::default()
        };
        let hex: String = frame(&encode(&[write]).unwrap())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, FRAME);
    }

    const FRAME: &str = "2c000000cfe80b000100000007000000000000000a0100000007000000100218012201ab01000000000000000200000000000000";
}
