//! Bytes on disk and on the wire: keys, items, records.
//!
//! Every format carries a version from its first byte (keys: from their table's schema), and
//! decoders take foreign bytes: a mistake is an [`Error`], never a panic, and nothing is allocated
//! that the bytes at hand do not account for. Encodings are canonical: equal values have equal
//! bytes, and a decoder refuses every other spelling.

pub mod item;
pub mod key;
mod reader;
pub mod record;

use crate::number;

/// Bytes that are no valid encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the encoding ends early")]
    Truncated,
    #[error("the encoding goes on after its end")]
    Trailing,
    #[error("unknown format version {0}")]
    Format(u8),
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    #[error("unknown type tag {0:#04x}")]
    Tag(u8),
    #[error("a length does not fit")]
    Length,
    #[error("a string is not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("a number is malformed")]
    Number(#[from] number::DecodeError),
    #[error("a value nests too deeply")]
    TooDeep,
    #[error("names or members are not in ascending order")]
    Order,
    #[error("a zero byte in a key part is followed by {0:#04x}")]
    Escape(u8),
    #[error("a tuple has too many parts")]
    TooManyParts,
}
