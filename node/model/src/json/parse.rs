//! Serde visitors that read the service's JSON and go on past mistakes.
//!
//! Each place of the grammar has a visitor. A visitor yields `None` for `null`, which the service
//! takes for an absent field, and for what was wrong, which it has noted in [`Problems`].

mod fields;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Error, Scalar, TypeError};
use crate::value::{AttributeValue, DEPTH_MAX, Error as Invalid, Item};
use fields::TagSeed;

const MAP_TYPE: &str =
    "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>";
const VALUE_TYPE: &str = "class com.amazonaws.dynamodb.v20120810.AttributeValue";

/// Reads one value.
pub(super) fn value<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Result<AttributeValue, Error>, D::Error> {
    let mut problems = Problems::default();
    let seed = ValueSeed {
        problems: &mut problems,
        level: 1,
    };
    let value = seed.deserialize(deserializer)?;
    Ok(problems.result(value.unwrap_or(AttributeValue::Null)))
}

/// Reads an item, or a key: a map of values.
pub(super) fn item<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Result<Item, Error>, D::Error> {
    let mut problems = Problems::default();
    let seed = MapSeed {
        problems: &mut problems,
        level: 1,
    };
    let item = seed.deserialize(deserializer)?;
    Ok(problems.result(item.unwrap_or_default()))
}

/// The first mistake of each kind.
#[derive(Default)]
pub(super) struct Problems {
    serialization: Option<TypeError>,
    validation: Option<Invalid>,
}

impl Problems {
    pub(super) fn note(&mut self, error: impl Into<Error>) {
        match error.into() {
            Error::Serialization(error) => {
                self.serialization.get_or_insert(error);
            }
            Error::Validation(error) => {
                self.validation.get_or_insert(error);
            }
        }
    }

    fn result<T>(self, value: T) -> Result<T, Error> {
        match (self.serialization, self.validation) {
            (Some(error), _) => Err(error.into()),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(value),
        }
    }
}

/// A token that a place does not take.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Scalar(Scalar),
    List,
    Map,
}

/// Visits of the tokens that a place does not take: note the mismatch, consume it, yield `None`.
macro_rules! refuse {
    ($($token:ident),*) => { $(refuse!(@$token);)* };
    (@boolean) => {
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            let scalar = if value { $crate::json::Scalar::True } else { $crate::json::Scalar::False };
            self.mismatch($crate::json::parse::Found::Scalar(scalar));
            Ok(None)
        }
    };
    (@number) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            self.mismatch($crate::json::parse::Found::Scalar($crate::json::Scalar::Number));
            Ok(None)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            self.mismatch($crate::json::parse::Found::Scalar($crate::json::Scalar::Number));
            Ok(None)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            self.mismatch($crate::json::parse::Found::Scalar($crate::json::Scalar::Decimal));
            Ok(None)
        }
    };
    (@text) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            self.mismatch($crate::json::parse::Found::Scalar($crate::json::Scalar::String));
            Ok(None)
        }
    };
    (@list) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            self.mismatch($crate::json::parse::Found::List);
            while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    };
    (@map) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            self.mismatch($crate::json::parse::Found::Map);
            while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    };
    (@null) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    };
}
use refuse;

/// An `AttributeValue`: `{"S":"…"}`.
pub(super) struct ValueSeed<'p> {
    pub(super) problems: &'p mut Problems,
    /// 1 for an attribute of an item.
    pub(super) level: usize,
}

impl ValueSeed<'_> {
    fn mismatch(self, found: Found) {
        self.problems.note(match found {
            Found::List => TypeError::List(VALUE_TYPE),
            Found::Scalar(_) | Found::Map => TypeError::Value,
        });
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<AttributeValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.level > DEPTH_MAX {
            self.problems.note(Invalid::TooDeep);
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            return Ok(None);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Option<AttributeValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AttributeValue")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut value = None;
        let mut tags = 0u32;
        while let Some(tag) = map.next_key_seed(TagSeed)? {
            let Some(tag) = tag else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // What was wrong is noted before, and only the first note of a kind counts.
            if let Some(read) = tag.read(&mut map, self.problems, self.level)? {
                value = Some(read);
                tags |= 1 << tag as u32;
            }
        }
        match tags.count_ones() {
            0 => self.problems.note(Invalid::NoType),
            1 => {}
            _ => self.problems.note(Invalid::ManyTypes),
        }
        Ok(value)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        self.problems.note(Invalid::NoType);
        Ok(None)
    }

    refuse!(boolean, number, text, list);
}

/// A map of values: an item, a key or an `M`.
pub(super) struct MapSeed<'p> {
    pub(super) problems: &'p mut Problems,
    /// Of the values in it.
    pub(super) level: usize,
}

impl MapSeed<'_> {
    fn mismatch(self, found: Found) {
        self.problems.note(match found {
            Found::List => TypeError::List(MAP_TYPE),
            Found::Scalar(_) | Found::Map => TypeError::Field,
        });
    }
}

impl<'de> DeserializeSeed<'de> for MapSeed<'_> {
    type Value = Option<Item>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MapSeed<'_> {
    type Value = Option<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of AttributeValues")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut item = Item::new();
        while let Some(name) = map.next_key::<String>()? {
            let seed = ValueSeed {
                problems: &mut *self.problems,
                level: self.level,
            };
            if let Some(value) = map.next_value_seed(seed)? {
                item.insert(name, value);
            }
        }
        Ok(Some(item))
    }

    refuse!(boolean, number, text, list, null);
}

/// The list of values of an `L`.
pub(super) struct ValueListSeed<'p> {
    pub(super) problems: &'p mut Problems,
    /// Of the values in it.
    pub(super) level: usize,
}

impl ValueListSeed<'_> {
    fn mismatch(self, found: Found) {
        self.problems.note(fields::not_a_list(found));
    }
}

impl<'de> DeserializeSeed<'de> for ValueListSeed<'_> {
    type Value = Option<Vec<AttributeValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueListSeed<'_> {
    type Value = Option<Vec<AttributeValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of AttributeValues")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let seed = ValueSeed {
                problems: &mut *self.problems,
                level: self.level,
            };
            match list.next_element_seed(seed)? {
                Some(Some(value)) => values.push(value),
                Some(None) => {}
                None => return Ok(Some(values)),
            }
        }
    }

    refuse!(boolean, number, text, map, null);
}
