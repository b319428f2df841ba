//! The stored form of an item.
//!
//! ```text
//! item       01 | count | attribute*             names ascending, without duplicates
//! attribute  length | name | value
//! value      tag | payload
//!   S, B     length | bytes
//!   N        the ordered form of crate::number, which knows its own end
//!   BOOL     nothing, a tag for each truth;  NULL nothing
//!   M        size | count | attribute*           L   size | count | value*
//!   SS, BS   size | count | (length | bytes)*    NS  size | count | number*     members ascending
//! ```
//! Counts and lengths are LEB128 in their shortest form; a size is the four little-endian bytes
//! of the number of bytes that follow it, so that a reader steps over a map at once.
//! Invariant: equal items have equal bytes, and what decodes encodes to the same bytes again.

mod raw;
mod transcode;

use bytes::Bytes;

use super::Error;
use super::reader::{Reader, put_counted, put_varint};
use crate::value::{AttributeValue, Item};
use raw::{Container, RawValue};

pub use transcode::{size, write_json};

/// The version that [`encode`] writes.
const FORMAT: u8 = 1;

mod tag {
    pub(super) const S: u8 = 1;
    pub(super) const N: u8 = 2;
    pub(super) const B: u8 = 3;
    pub(super) const FALSE: u8 = 4;
    pub(super) const TRUE: u8 = 5;
    pub(super) const NULL: u8 = 6;
    pub(super) const M: u8 = 7;
    pub(super) const L: u8 = 8;
    pub(super) const SS: u8 = 9;
    pub(super) const NS: u8 = 10;
    pub(super) const BS: u8 = 11;
}

/// Encodes an item.
pub fn encode(item: &Item) -> Bytes {
    let mut out = Vec::new();
    encode_into(item, &mut out);
    out.into()
}

/// Appends an encoded item, say to a record's header.
pub fn encode_into(item: &Item, out: &mut Vec<u8>) {
    out.push(FORMAT);
    put_attributes(item, out);
}

fn put_attributes(item: &Item, out: &mut Vec<u8>) {
    put_varint(item.len(), out);
    for (name, value) in item {
        put_counted(name.as_bytes(), out);
        put_value(value, out);
    }
}

fn put_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::S(text) => {
            out.push(tag::S);
            put_counted(text.as_bytes(), out);
        }
        AttributeValue::N(number) => {
            out.push(tag::N);
            number.encode_ordered(out);
        }
        AttributeValue::B(bytes) => {
            out.push(tag::B);
            put_counted(bytes, out);
        }
        AttributeValue::Bool(false) => out.push(tag::FALSE),
        AttributeValue::Bool(true) => out.push(tag::TRUE),
        AttributeValue::Null => out.push(tag::NULL),
        AttributeValue::M(map) => put_sized(tag::M, out, |out| put_attributes(map, out)),
        AttributeValue::L(list) => put_list(tag::L, list, out, put_value),
        AttributeValue::Ss(members) => {
            put_list(tag::SS, members, out, |text, out| {
                put_counted(text.as_bytes(), out);
            });
        }
        AttributeValue::Ns(members) => {
            put_list(tag::NS, members, out, |number, out| {
                number.encode_ordered(out);
            });
        }
        AttributeValue::Bs(members) => {
            put_list(tag::BS, members, out, |bytes, out| put_counted(bytes, out));
        }
    }
}

fn put_list<T>(tag: u8, elements: &[T], out: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    put_sized(tag, out, |out| {
        put_varint(elements.len(), out);
        for element in elements {
            put(element, out);
        }
    });
}

/// Appends a tag, the size of what `body` appends, and that.
fn put_sized(tag: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len() + 4;
    out.extend_from_slice(&[0; 4]);
    body(out);
    // A request is at most 16 MiB and an encoding of the same order: 4 GiB is out of reach.
    let size = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&size.to_le_bytes());
}

/// Decodes an item.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<Item, Error> {
    let mut attributes = attributes(bytes)?;
    let item = decode_attributes(&mut attributes, 1)?;
    attributes.finish()?;
    Ok(item)
}

/// One attribute of an encoded item; the rest is stepped over, not decoded.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes as far as they were read.
pub fn get(bytes: &[u8], name: &str) -> Result<Option<AttributeValue>, Error> {
    let mut attributes = attributes(bytes)?;
    while attributes.next() {
        let found = attributes.reader.counted()?;
        match found.cmp(name.as_bytes()) {
            std::cmp::Ordering::Less => raw::skip(&mut attributes.reader)?,
            std::cmp::Ordering::Equal => {
                return decode_value(&mut attributes.reader, 1).map(Some);
            }
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// The attributes of an encoded item, after its format has been checked.
fn attributes(bytes: &[u8]) -> Result<Container<'_>, Error> {
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        FORMAT => Container::open(reader),
        other => Err(Error::Format(other)),
    }
}

fn decode_attributes(attributes: &mut Container<'_>, level: usize) -> Result<Item, Error> {
    let mut item = Item::new();
    while attributes.next() {
        let name = std::str::from_utf8(attributes.name()?)?;
        let value = decode_value(&mut attributes.reader, level)?;
        item.insert(name.to_owned(), value);
    }
    Ok(item)
}

fn decode_value(reader: &mut Reader<'_>, level: usize) -> Result<AttributeValue, Error> {
    raw::check_level(level)?;
    Ok(match RawValue::read(reader)? {
        RawValue::S(text) => AttributeValue::S(std::str::from_utf8(text)?.to_owned()),
        RawValue::N(digits) => AttributeValue::N(digits.number()),
        RawValue::B(bytes) => AttributeValue::B(Bytes::copy_from_slice(bytes)),
        RawValue::Bool(value) => AttributeValue::Bool(value),
        RawValue::Null => AttributeValue::Null,
        RawValue::M(mut map) => {
            let item = decode_attributes(&mut map, level + 1)?;
            map.finish()?;
            AttributeValue::M(item)
        }
        RawValue::L(list) => {
            AttributeValue::L(list.collect(|reader| decode_value(reader, level + 1))?)
        }
        RawValue::Ss(members) => {
            AttributeValue::Ss(members.collect_ascending(|reader| {
                Ok(std::str::from_utf8(reader.counted()?)?.to_owned())
            })?)
        }
        RawValue::Ns(members) => AttributeValue::Ns(
            members.collect_ascending(|reader| reader.with(crate::Number::decode_ordered))?,
        ),
        RawValue::Bs(members) => AttributeValue::Bs(
            members.collect_ascending(|reader| Ok(Bytes::copy_from_slice(reader.counted()?)))?,
        ),
    })
}
