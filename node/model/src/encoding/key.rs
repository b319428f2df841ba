//! Keys whose bytes sort as the service sorts: strings by their UTF-8 bytes, numbers by value,
//! binaries by unsigned bytes.
//!
//! ```text
//! part     tag | payload          S, B: 00 escaped as 00 FF, ended by 00 01;  N: the ordered form
//! tuple    part*                  at most four: a GSI's key may have as many, and the table's key behind them
//! row      table, 8 | token, 16 | partition tuple | 00 | index | sort tuple
//! ```
//! A part knows its own end and is a prefix of no other, so tuples compare part by part. The token
//! is the MD5 of the partition tuple. Index 0 is the item itself, others its entries in a local
//! index. The layout is that of §7 of the design; a table's rows of another layout would be
//! another table's, so a key carries no version of its own.

mod range;
mod row;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::Error;
use super::reader::Reader;
use crate::number::Number;
use crate::value::AttributeValue;

pub use range::{
    Range, SortCondition, all_rows, partition_rows, sort_rows, table_rows, token_rows,
};
pub use row::{ITEM_INDEX, RowKey, row_key};

/// Attributes that a partition key may have.
pub const PARTS_MAX: usize = 4;
/// Attributes that a sort key may have: those of a global index's range key, and the table's own key.
pub const SORT_PARTS_MAX: usize = PARTS_MAX + 2;

/// Ends the partition tuple within a row's key; sorts before every part.
const TUPLE_END: u8 = 0x00;
const STRING: u8 = 0x10;
const NUMBER: u8 = 0x20;
const BINARY: u8 = 0x30;

const ZERO: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const PART_END: u8 = 0x01;

/// One attribute of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    S(&'a str),
    N(&'a Number),
    B(&'a [u8]),
}

impl<'a> Part<'a> {
    /// A key attribute's value; `None` for types that no key has.
    pub fn new(value: &'a AttributeValue) -> Option<Self> {
        match value {
            AttributeValue::S(text) => Some(Self::S(text)),
            AttributeValue::N(number) => Some(Self::N(number)),
            AttributeValue::B(bytes) => Some(Self::B(bytes)),
            _ => None,
        }
    }

    /// Appends the part's order-preserving encoding.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.encode_open(out);
        match self {
            Self::S(_) | Self::B(_) => out.extend_from_slice(&[ZERO, PART_END]),
            Self::N(_) => {}
        }
    }

    /// Appends the encoding without its end: what all longer strings begin with.
    fn encode_open(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => {
                out.push(STRING);
                escape(text.as_bytes(), out);
            }
            Self::N(number) => {
                out.push(NUMBER);
                number.encode_ordered(out);
            }
            Self::B(bytes) => {
                out.push(BINARY);
                escape(bytes, out);
            }
        }
    }
}

/// Encodes the attributes of a sort key, or any tuple.
pub fn tuple(parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        part.encode_into(&mut out);
    }
    out
}

/// Encodes the attributes of a partition key; its end is marked, since sort keys follow it.
pub fn partition_key(parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = tuple(parts);
    out.push(TUPLE_END);
    out
}

/// The ring position of an encoded partition key: its MD5 as a big-endian integer.
pub fn token(partition_key: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

/// Decodes a tuple, with or without the end mark of a partition key.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes.
pub fn decode_tuple(bytes: &[u8]) -> Result<Vec<AttributeValue>, Error> {
    let mut reader = Reader::new(bytes);
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let tag = reader.byte()?;
        if tag == TUPLE_END {
            reader.finish()?;
            break;
        }
        if parts.len() == SORT_PARTS_MAX {
            return Err(Error::TooManyParts);
        }
        parts.push(decode_part(tag, &mut reader)?);
    }
    Ok(parts)
}

/// The rest of an encoded tuple behind its first part.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes.
pub fn skip_part(tuple: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(tuple);
    let tag = reader.byte()?;
    decode_part(tag, &mut reader)?;
    Ok(reader.rest())
}

/// The parts of an encoded partition key, as they stand in a sort key.
pub fn without_end(partition_key: &[u8]) -> &[u8] {
    partition_key
        .strip_suffix(&[TUPLE_END])
        .unwrap_or(partition_key)
}

fn decode_part(tag: u8, reader: &mut Reader<'_>) -> Result<AttributeValue, Error> {
    Ok(match tag {
        STRING => {
            let text = String::from_utf8(unescape(reader)?);
            AttributeValue::S(text.map_err(|error| error.utf8_error())?)
        }
        NUMBER => AttributeValue::N(reader.with(Number::decode_ordered)?),
        BINARY => AttributeValue::B(Bytes::from(unescape(reader)?)),
        other => return Err(Error::Tag(other)),
    })
}

/// Steps over the parts of a partition tuple and its end.
fn skip_partition_tuple(reader: &mut Reader<'_>) -> Result<(), Error> {
    for _ in 0..=PARTS_MAX {
        match reader.byte()? {
            TUPLE_END => return Ok(()),
            STRING | BINARY => while chunk(reader)?.1 {},
            NUMBER => {
                reader.with(Number::decode_ordered)?;
            }
            other => return Err(Error::Tag(other)),
        }
    }
    Err(Error::TooManyParts)
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for (index, run) in bytes.split(|&byte| byte == ZERO).enumerate() {
        if index > 0 {
            out.extend_from_slice(&[ZERO, ESCAPED_ZERO]);
        }
        out.extend_from_slice(run);
    }
}

fn unescape(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let (run, more) = chunk(reader)?;
        bytes.extend_from_slice(run);
        if !more {
            return Ok(bytes);
        }
        bytes.push(ZERO);
    }
}

/// Reads up to the next zero byte; true if that zero was escaped, false if it ended the part.
fn chunk<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], bool), Error> {
    let rest = reader.rest();
    let zero = rest.iter().position(|&byte| byte == ZERO);
    let run = reader.take(zero.ok_or(Error::Truncated)?)?;
    reader.byte()?;
    match reader.byte()? {
        ESCAPED_ZERO => Ok((run, true)),
        PART_END => Ok((run, false)),
        other => Err(Error::Escape(other)),
    }
}
