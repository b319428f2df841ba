//! Values to JSON text, appended to a buffer.

use std::str::Utf8Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::number::Number;
use crate::value::{AttributeValue, Item};

/// Appends an item: `{"name":{"S":"…"},…}`, names in order.
pub fn write_item(item: &Item, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in item.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Appends one value: `{"S":"…"}`.
pub fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        AttributeValue::S(text) => write_string(text, out),
        AttributeValue::N(number) => write_number(number, out),
        AttributeValue::B(bytes) => write_base64(bytes, out),
        AttributeValue::Bool(true) | AttributeValue::Null => out.extend_from_slice(b"true"),
        AttributeValue::Bool(false) => out.extend_from_slice(b"false"),
        AttributeValue::M(map) => write_item(map, out),
        AttributeValue::L(list) => write_list(list, out, write_value),
        AttributeValue::Ss(members) => {
            write_list(members, out, |text, out| write_string(text, out));
        }
        AttributeValue::Ns(members) => write_list(members, out, write_number),
        AttributeValue::Bs(members) => {
            write_list(members, out, |bytes, out| write_base64(bytes, out));
        }
    }
    out.push(b'}');
}

fn write_list<T>(elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    out.push(b'"');
    number.write(out);
    out.push(b'"');
}

/// Appends a binary as a string of base64.
pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// Appends a string with its quotes, escaped where JSON asks for it.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_prefix(rest);
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head);
        let Some((&byte, tail)) = tail.split_first() else {
            break;
        };
        write_escape(byte, out);
        rest = tail;
    }
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends foreign bytes as a string; most are plain ASCII, known after one pass.
pub(crate) fn write_utf8(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Utf8Error> {
    // As signed bytes, those of wide characters are negative.
    let plain = |byte: u8| (byte as i8 >= 0x20) & (byte != b'"') & (byte != b'\\');
    if !bytes.chunks(BLOCK).all(|block| all(block, plain)) {
        write_string(std::str::from_utf8(bytes)?, out);
        return Ok(());
    }
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
    Ok(())
}

/// Length of the longest prefix without quotes, backslashes and control characters.
fn plain_prefix(bytes: &[u8]) -> usize {
    let plain = |byte: u8| (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    let blocks = bytes.chunks_exact(BLOCK);
    let start = BLOCK * blocks.take_while(|block| all(block, plain)).count();
    let tail = &bytes[start..];
    let special = tail.iter().position(|&byte| !plain(byte));
    start + special.unwrap_or(tail.len())
}

/// Bytes looked at together.
const BLOCK: usize = 32;

/// Whether a test holds for all bytes of a block; without an early way out, so that it compiles to
/// a few vector instructions.
fn all(block: &[u8], test: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(true, |all, &byte| all & test(byte))
}
