//! The header in front of every stored version of a row.
//!
//! ```text
//! format (01) | hybrid clock, 8 | origin, 2 | flags | [expiry, 8] | payload
//! ```
//! Integers are big-endian. The payload is an encoded item, or what the flags make of it (an
//! intent, a list of siblings); a tombstone's payload may be empty.

use super::Error;
use super::reader::Reader;

/// The version that [`Record::encode_into`] writes.
const FORMAT: u8 = 1;

const TOMBSTONE: u8 = 1 << 0;
const INTENT: u8 = 1 << 1;
const SIBLINGS: u8 = 1 << 2;
const EXPIRY: u8 = 1 << 3;
const KNOWN: u8 = TOMBSTONE | INTENT | SIBLINGS | EXPIRY;

/// A version of a row, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The hybrid logical clock that orders versions; its layout is the clock's own affair.
    pub clock: u64,
    /// Where it was written: 0 is here, others come from the table's list of regions.
    pub origin: u16,
    /// The row was deleted at this version.
    pub tombstone: bool,
    /// The payload is a transaction's intent.
    pub intent: bool,
    /// The payload is a list of concurrent versions.
    pub siblings: bool,
    /// When the item expires, in seconds since the Unix epoch.
    pub expiry_s: Option<u64>,
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a header; the payload is what follows, unchecked.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Format`] and [`Error::Flags`] of a version yet unknown.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            FORMAT => {}
            other => return Err(Error::Format(other)),
        }
        let clock = u64::from_be_bytes(reader.array()?);
        let origin = u16::from_be_bytes(reader.array()?);
        let flags = reader.byte()?;
        if flags & !KNOWN != 0 {
            return Err(Error::Flags(flags));
        }
        let expiry_s = if flags & EXPIRY != 0 {
            Some(u64::from_be_bytes(reader.array()?))
        } else {
            None
        };
        Ok(Self {
            clock,
            origin,
            tombstone: flags & TOMBSTONE != 0,
            intent: flags & INTENT != 0,
            siblings: flags & SIBLINGS != 0,
            expiry_s,
            payload: reader.rest(),
        })
    }

    /// Appends the header and the payload.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let Self {
            clock,
            origin,
            tombstone,
            intent,
            siblings,
            expiry_s,
            payload,
        } = *self;
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(tombstone, TOMBSTONE)
            | flag(intent, INTENT)
            | flag(siblings, SIBLINGS)
            | flag(expiry_s.is_some(), EXPIRY);
        out.reserve(20 + payload.len());
        out.push(FORMAT);
        out.extend_from_slice(&clock.to_be_bytes());
        out.extend_from_slice(&origin.to_be_bytes());
        out.push(flags);
        if let Some(expiry_s) = expiry_s {
            out.extend_from_slice(&expiry_s.to_be_bytes());
        }
        out.extend_from_slice(payload);
    }
}
