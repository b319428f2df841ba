//! `AttributeValue` and items as the service's JSON, both ways.
//!
//! Reading goes from the tokens straight into [`AttributeValue`], no tree in between. The service
//! reads a whole request before it validates any of it, and then reports the first thing wrong; so
//! a [`Checked`] reads on past a mistake, and in the end holds the first mismatch of types
//! (`SerializationException`), or else the first invalid value (`ValidationException`).
//! Nesting is bounded while reading: what lies below the last level is skipped without recursion.

mod parse;
mod write;

use serde::de::{Deserialize, Deserializer};

use crate::value::{self, AttributeValue, Item};

pub(crate) use write::{write_base64, write_utf8};
pub use write::{write_item, write_value};

/// A part of a request: a value, or what the service would answer.
///
/// Deserializing one fails only where the text is not JSON at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T>(pub Result<T, Error>);

/// Why JSON is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Answered as a `SerializationException`.
    #[error(transparent)]
    Serialization(#[from] TypeError),
    /// Answered as a `ValidationException`.
    #[error(transparent)]
    Validation(#[from] value::Error),
}

/// A token of another type than the service expects, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    #[error("{0} cannot be converted to String")]
    Text(Scalar),
    #[error("{0} cannot be converted to Boolean")]
    Flag(Scalar),
    #[error("Unexpected token received from parser")]
    FlagText,
    #[error("only base-64-encoded strings are convertible to bytes")]
    Bytes,
    #[error("Base64 encoded length is expected a multiple of 4 bytes but found: {0}")]
    Base64Length(usize),
    #[error("Invalid Base64 character: '{0}'")]
    Base64Character(char),
    #[error("Invalid last non-pad Base64 character dectected")]
    Base64Last,
    #[error("Start of structure or map found where not expected")]
    Map,
    /// A list where the Java type stands.
    #[error("Unrecognized collection type {0}")]
    List(&'static str),
    #[error("Unexpected field type")]
    Field,
    #[error("Unexpected value type in payload")]
    Value,
}

/// A JSON token as the service's messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    True,
    False,
    Number,
    Decimal,
    String,
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::True => "TRUE_VALUE",
            Self::False => "FALSE_VALUE",
            Self::Number => "NUMBER_VALUE",
            Self::Decimal => "DECIMAL_VALUE",
            Self::String => "STRING_VALUE",
        })
    }
}

impl<'de> Deserialize<'de> for Checked<AttributeValue> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse::value(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Checked<Item> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse::item(deserializer).map(Self)
    }
}

impl<T> Checked<T> {
    /// The value, or what to answer.
    ///
    /// # Errors
    /// The first mistake as the service reports it.
    pub fn into_result(self) -> Result<T, Error> {
        self.0
    }
}
