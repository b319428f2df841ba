//! A table's key schema, and keys taken from items and from requests.

use crate::encoding::key::{self, Part};
use crate::value::{AttributeValue, Item};

/// The longest hash key attribute in bytes, strings in UTF-8.
pub const HASH_KEY_LEN_MAX: usize = 2048;
/// The longest range key in bytes, all of its attributes together.
pub const RANGE_KEY_LEN_MAX: usize = 1024;

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    S,
    N,
    B,
}

impl KeyKind {
    /// As `AttributeDefinitions` and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// One attribute of a key schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    pub name: String,
    pub kind: KeyKind,
}

/// The primary key of a table. Indexes have schemas of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    pub hash: KeyAttribute,
    pub range: Option<KeyAttribute>,
}

/// A primary key, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The ring position of the partition key.
    pub token: u128,
    /// As [`key::partition_key`] encodes it.
    pub partition_key: Vec<u8>,
    /// As [`key::tuple`] encodes it; empty without a range key.
    pub sort_key: Vec<u8>,
}

impl Key {
    /// The key of the item's row.
    pub fn row(&self, table: u64) -> Vec<u8> {
        key::row_key(
            table,
            self.token,
            &self.partition_key,
            key::ITEM_INDEX,
            &self.sort_key,
        )
    }
}

/// Why there is no key: the service's `ValidationException`s, word for word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("One or more parameter values were invalid: Missing the key {name} in the item")]
    Missing { name: String },
    #[error(
        "One or more parameter values were invalid: Type mismatch for key {name} expected: {} actual: {actual}",
        .expected.name()
    )]
    Type {
        name: String,
        expected: KeyKind,
        actual: &'static str,
    },
    #[error(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}"
    )]
    EmptyString { name: String },
    #[error(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty binary value. Key: {name}"
    )]
    EmptyBinary { name: String },
    // The missing space is the service's.
    #[error(
        "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
    )]
    HashTooLong,
    #[error(
        "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    )]
    RangeTooLong,
    #[error("The provided key element does not match the schema")]
    Mismatch,
}

impl TableSchema {
    /// The key of an item to be put; other attributes are left alone.
    ///
    /// # Errors
    /// All of [`Error`] but [`Error::Mismatch`].
    pub fn extract_key(&self, item: &Item) -> Result<Key, Error> {
        let part = |attribute: &KeyAttribute| {
            let value = item.get(&attribute.name).ok_or_else(|| Error::Missing {
                name: attribute.name.clone(),
            })?;
            attribute.check_kind(value).ok_or_else(|| Error::Type {
                name: attribute.name.clone(),
                expected: attribute.kind,
                actual: value.type_name(),
            })
        };
        let hash = part(&self.hash)?;
        let range = self.range.as_ref().map(part).transpose()?;
        self.key(hash, range)
    }

    /// The key that a request's `Key` parameter names: the key attributes and no others.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where names, types or their number are not the schema's; [`Error::EmptyString`],
    /// [`Error::EmptyBinary`], [`Error::HashTooLong`], [`Error::RangeTooLong`].
    pub fn validate_key(&self, key: &Item) -> Result<Key, Error> {
        if key.len() != 1 + usize::from(self.range.is_some()) {
            return Err(Error::Mismatch);
        }
        let part = |attribute: &KeyAttribute| {
            let value = key.get(&attribute.name).ok_or(Error::Mismatch)?;
            attribute.check_kind(value).ok_or(Error::Mismatch)
        };
        let hash = part(&self.hash)?;
        let range = self.range.as_ref().map(part).transpose()?;
        self.key(hash, range)
    }

    fn key(&self, hash: Part<'_>, range: Option<Part<'_>>) -> Result<Key, Error> {
        self.hash
            .check_len(hash, HASH_KEY_LEN_MAX, Error::HashTooLong)?;
        if let (Some(attribute), Some(part)) = (&self.range, range) {
            attribute.check_len(part, RANGE_KEY_LEN_MAX, Error::RangeTooLong)?;
        }
        let partition_key = key::partition_key(&[hash]);
        Ok(Key {
            token: key::token(&partition_key),
            partition_key,
            sort_key: key::tuple(range.as_slice()),
        })
    }
}

impl KeyAttribute {
    /// The value as a part of a key, if it has the attribute's type.
    pub fn check_kind<'a>(&self, value: &'a AttributeValue) -> Option<Part<'a>> {
        let part = Part::new(value)?;
        let kind = match part {
            Part::S(_) => KeyKind::S,
            Part::N(_) => KeyKind::N,
            Part::B(_) => KeyKind::B,
        };
        (kind == self.kind).then_some(part)
    }

    /// Refuses an empty value in a key condition.
    ///
    /// # Errors
    /// [`Error::EmptyString`], [`Error::EmptyBinary`].
    pub fn check_not_empty(&self, value: &AttributeValue) -> Result<(), Error> {
        match Part::new(value) {
            Some(part) => self.check_len(part, usize::MAX, Error::Mismatch),
            None => Ok(()),
        }
    }

    fn check_len(&self, part: Part<'_>, max: usize, too_long: Error) -> Result<(), Error> {
        let name = || self.name.clone();
        let len = match part {
            Part::S("") => return Err(Error::EmptyString { name: name() }),
            Part::B([]) => return Err(Error::EmptyBinary { name: name() }),
            Part::S(text) => text.len(),
            Part::B(bytes) => bytes.len(),
            Part::N(_) => 0, // 21 bytes at most
        };
        if len > max { Err(too_long) } else { Ok(()) }
    }
}
