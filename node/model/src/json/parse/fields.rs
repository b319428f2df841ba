//! The fields of an `AttributeValue`, one for each type.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Found, MapSeed, Problems, ValueListSeed, refuse};
use crate::json::{Error, Scalar, TypeError};
use crate::number::Number;
use crate::value::{AttributeValue, Error as Invalid};

/// The name of a type.
#[derive(Clone, Copy)]
pub(super) enum Tag {
    S,
    N,
    B,
    Bool,
    Null,
    M,
    L,
    Ss,
    Ns,
    Bs,
}

/// Reads the name of a type; an unknown one is `None`, which the service ignores.
pub(super) struct TagSeed;

impl<'de> DeserializeSeed<'de> for TagSeed {
    type Value = Option<Tag>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for TagSeed {
    type Value = Option<Tag>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Some(match name {
            "S" => Tag::S,
            "N" => Tag::N,
            "B" => Tag::B,
            "BOOL" => Tag::Bool,
            "NULL" => Tag::Null,
            "M" => Tag::M,
            "L" => Tag::L,
            "SS" => Tag::Ss,
            "NS" => Tag::Ns,
            "BS" => Tag::Bs,
            _ => return Ok(None),
        }))
    }
}

impl Tag {
    /// Reads the value under this name.
    pub(super) fn read<'de, A: MapAccess<'de>>(
        self,
        map: &mut A,
        problems: &mut Problems,
        level: usize,
    ) -> Result<Option<AttributeValue>, A::Error> {
        let level = level + 1;
        Ok(match self {
            Self::S => map
                .next_value_seed(TextSeed::new(problems))?
                .map(AttributeValue::S),
            Self::N => map
                .next_value_seed(TextSeed::new(problems))?
                .map(AttributeValue::N),
            Self::B => map
                .next_value_seed(TextSeed::new(problems))?
                .map(AttributeValue::B),
            Self::Bool => map
                .next_value_seed(FlagSeed { problems })?
                .map(AttributeValue::Bool),
            Self::Null => match map.next_value_seed(FlagSeed {
                problems: &mut *problems,
            })? {
                Some(true) => Some(AttributeValue::Null),
                Some(false) => {
                    problems.note(Invalid::NullNotTrue);
                    None
                }
                None => None,
            },
            Self::M => map
                .next_value_seed(MapSeed { problems, level })?
                .map(AttributeValue::M),
            Self::L => map
                .next_value_seed(ValueListSeed { problems, level })?
                .map(AttributeValue::L),
            Self::Ss => set(map, problems, AttributeValue::string_set)?,
            Self::Ns => set(map, problems, AttributeValue::number_set)?,
            Self::Bs => set(map, problems, AttributeValue::binary_set)?,
        })
    }
}

/// Reads the members of a set and makes it.
fn set<'de, A: MapAccess<'de>, T: FromText>(
    map: &mut A,
    problems: &mut Problems,
    make: fn(Vec<T>) -> Result<AttributeValue, Invalid>,
) -> Result<Option<AttributeValue>, A::Error> {
    let Some(members) = map.next_value_seed(TextListSeed::new(&mut *problems))? else {
        return Ok(None);
    };
    Ok(make(members).map_err(|error| problems.note(error)).ok())
}

/// What JSON carries in a string.
trait FromText: Sized {
    /// What the service reads it into.
    const CLASS: &'static str = "class java.lang.String";
    /// What to say of a null in a set.
    const NULL_IN_SET: Invalid;

    fn from_text(text: &str) -> Result<Self, Error>;

    /// What the service says of another scalar.
    fn not_text(found: Scalar) -> TypeError {
        TypeError::Text(found)
    }
}

impl FromText for String {
    const NULL_IN_SET: Invalid = Invalid::NullInStringSet;

    fn from_text(text: &str) -> Result<Self, Error> {
        Ok(text.to_owned())
    }
}

impl FromText for Number {
    const NULL_IN_SET: Invalid = Invalid::NullInNumberSet;

    fn from_text(text: &str) -> Result<Self, Error> {
        text.parse().map_err(|error| Invalid::Number(error).into())
    }
}

impl FromText for Bytes {
    const CLASS: &'static str = "class java.nio.ByteBuffer";
    const NULL_IN_SET: Invalid = Invalid::NullInBinarySet;

    fn from_text(text: &str) -> Result<Self, Error> {
        if !text.len().is_multiple_of(4) {
            return Err(TypeError::Base64Length(text.len()).into());
        }
        let decoded = STANDARD.decode(text).map_err(|error| match error {
            base64::DecodeError::InvalidByte(at, byte) if byte != b'=' => {
                let start = text.floor_char_boundary(at);
                TypeError::Base64Character(text[start..].chars().next().unwrap_or_default())
            }
            _ => TypeError::Base64Last,
        })?;
        Ok(decoded.into())
    }

    fn not_text(_: Scalar) -> TypeError {
        TypeError::Bytes
    }
}

/// What the service says of another token where a list stands.
pub(super) fn not_a_list(found: Found) -> TypeError {
    match found {
        Found::Map => TypeError::Map,
        Found::Scalar(_) | Found::List => TypeError::Field,
    }
}

/// A string, and what is read from it: text, a number or base64.
struct TextSeed<'p, T> {
    problems: &'p mut Problems,
    read: PhantomData<T>,
}

impl<'p, T: FromText> TextSeed<'p, T> {
    fn new(problems: &'p mut Problems) -> Self {
        let read = PhantomData;
        Self { problems, read }
    }

    fn mismatch(self, found: Found) {
        self.problems.note(match found {
            Found::Scalar(scalar) => T::not_text(scalar),
            Found::List => TypeError::List(T::CLASS),
            Found::Map => TypeError::Map,
        });
    }
}

impl<'de, T: FromText> DeserializeSeed<'de> for TextSeed<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromText> Visitor<'de> for TextSeed<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text)
            .map_err(|error| self.problems.note(error))
            .ok())
    }

    refuse!(boolean, number, list, map, null);
}

/// A boolean; the service takes some strings for one.
struct FlagSeed<'p> {
    problems: &'p mut Problems,
}

impl FlagSeed<'_> {
    fn mismatch(self, found: Found) {
        self.problems.note(match found {
            Found::Scalar(scalar) => TypeError::Flag(scalar),
            Found::List => TypeError::List("class java.lang.Boolean"),
            Found::Map => TypeError::Map,
        });
    }
}

impl<'de> DeserializeSeed<'de> for FlagSeed<'_> {
    type Value = Option<bool>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FlagSeed<'_> {
    type Value = Option<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        if is(["true", "yes", "1"]) {
            return Ok(Some(true));
        }
        if is(["false", "no", "0"]) {
            return Ok(Some(false));
        }
        self.problems.note(TypeError::FlagText);
        Ok(None)
    }

    refuse!(number, list, map, null);
}

/// The members of a set.
struct TextListSeed<'p, T> {
    problems: &'p mut Problems,
    read: PhantomData<T>,
}

impl<'p, T> TextListSeed<'p, T> {
    fn new(problems: &'p mut Problems) -> Self {
        let read = PhantomData;
        Self { problems, read }
    }

    fn mismatch(self, found: Found) {
        self.problems.note(not_a_list(found));
    }
}

impl<'de, T: FromText> DeserializeSeed<'de> for TextListSeed<'_, T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromText> Visitor<'de> for TextListSeed<'_, T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    /// Yields `None` if a member was wrong: whether the others repeat is then beside the point.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        let mut all_right = true;
        while let Some(member) = list.next_element_seed(TextSeed::new(&mut *self.problems))? {
            match member {
                Some(member) => members.push(member),
                None => {
                    // What else was wrong with it was noted before, and the first note counts.
                    self.problems.note(T::NULL_IN_SET);
                    all_right = false;
                }
            }
        }
        Ok(all_right.then_some(members))
    }

    refuse!(boolean, number, text, map, null);
}
