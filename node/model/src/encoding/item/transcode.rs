//! Encoded items to JSON and to sizes without decoding them: what a GetItem does with one.

use super::raw::{Container, RawValue, check_level};
use crate::encoding::Error;
use crate::encoding::reader::Reader;
use crate::json;
use crate::number::OrderedDigits;
use crate::value::{CONTAINER_SIZE, ELEMENT_SIZE};

/// Appends the JSON of an encoded item, the same bytes that [`crate::json::write_item`] appends.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes; `out` then ends with a part of the item.
pub fn write_json(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut attributes = super::attributes(bytes)?;
    out.reserve(bytes.len() + bytes.len() / 4);
    write_attributes(&mut attributes, 1, out)?;
    attributes.finish()
}

fn write_attributes(
    attributes: &mut Container<'_>,
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.push(b'{');
    let mut comma = false;
    while attributes.next() {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        json::write_utf8(attributes.name()?, out)?;
        out.push(b':');
        write_value(&mut attributes.reader, level, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_value(reader: &mut Reader<'_>, level: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    check_level(level)?;
    match RawValue::read(reader)? {
        RawValue::S(text) => {
            out.extend_from_slice(b"{\"S\":");
            json::write_utf8(text, out)?;
        }
        RawValue::N(digits) => {
            out.extend_from_slice(b"{\"N\":");
            write_number(digits, out);
        }
        RawValue::B(bytes) => {
            out.extend_from_slice(b"{\"B\":");
            json::write_base64(bytes, out);
        }
        RawValue::Bool(false) => out.extend_from_slice(b"{\"BOOL\":false"),
        RawValue::Bool(true) => out.extend_from_slice(b"{\"BOOL\":true"),
        RawValue::Null => out.extend_from_slice(b"{\"NULL\":true"),
        RawValue::M(mut map) => {
            out.extend_from_slice(b"{\"M\":");
            write_attributes(&mut map, level + 1, out)?;
            map.finish()?;
        }
        RawValue::L(list) => {
            out.extend_from_slice(b"{\"L\":");
            write_list(list, out, |reader, out| write_value(reader, level + 1, out))?;
        }
        RawValue::Ss(members) => {
            out.extend_from_slice(b"{\"SS\":");
            write_list(members, out, |reader, out| {
                Ok(json::write_utf8(reader.counted()?, out)?)
            })?;
        }
        RawValue::Ns(members) => {
            out.extend_from_slice(b"{\"NS\":");
            write_list(members, out, |reader, out| {
                write_number(reader.with(OrderedDigits::read)?, out);
                Ok(())
            })?;
        }
        RawValue::Bs(members) => {
            out.extend_from_slice(b"{\"BS\":");
            write_list(members, out, |reader, out| {
                json::write_base64(reader.counted()?, out);
                Ok(())
            })?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_number(digits: OrderedDigits<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    digits.plain().write(out);
    out.push(b'"');
}

fn write_list<'a>(
    mut list: Container<'a>,
    out: &mut Vec<u8>,
    write: impl Fn(&mut Reader<'a>, &mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(b'[');
    let mut comma = false;
    while list.next() {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        write(&mut list.reader, out)?;
    }
    out.push(b']');
    list.finish()
}

/// The service's size of an encoded item, the same that [`crate::value::item_size`] counts. Texts
/// are counted, not looked at.
///
/// # Errors
/// The [`Error`] that says what is wrong with the bytes.
pub fn size(bytes: &[u8]) -> Result<usize, Error> {
    let mut attributes = super::attributes(bytes)?;
    let size = size_of_attributes(&mut attributes, 1)?;
    attributes.finish()?;
    Ok(size)
}

fn size_of_attributes(attributes: &mut Container<'_>, level: usize) -> Result<usize, Error> {
    let mut size = 0;
    while attributes.next() {
        size += attributes.name()?.len();
        size += size_of_value(&mut attributes.reader, level)?;
    }
    Ok(size)
}

fn size_of_value(reader: &mut Reader<'_>, level: usize) -> Result<usize, Error> {
    check_level(level)?;
    Ok(match RawValue::read(reader)? {
        RawValue::S(text) => text.len(),
        RawValue::N(digits) => digits.size_bytes(),
        RawValue::B(bytes) => bytes.len(),
        RawValue::Bool(_) | RawValue::Null => 1,
        RawValue::M(mut map) => {
            let overhead = CONTAINER_SIZE + ELEMENT_SIZE * map.len();
            let size = overhead + size_of_attributes(&mut map, level + 1)?;
            map.finish()?;
            size
        }
        RawValue::L(list) => {
            let overhead = CONTAINER_SIZE + ELEMENT_SIZE * list.len();
            overhead + sum(list, |reader| size_of_value(reader, level + 1))?
        }
        RawValue::Ss(members) | RawValue::Bs(members) => {
            sum(members, |reader| Ok(reader.counted()?.len()))?
        }
        RawValue::Ns(members) => sum(members, |reader| {
            Ok(reader.with(OrderedDigits::read)?.size_bytes())
        })?,
    })
}

fn sum<'a>(
    mut elements: Container<'a>,
    size: impl Fn(&mut Reader<'a>) -> Result<usize, Error>,
) -> Result<usize, Error> {
    let mut total = 0;
    while elements.next() {
        total += size(&mut elements.reader)?;
    }
    elements.finish()?;
    Ok(total)
}
