//! Types of request members that borrow from the body and take what the service takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

/// A string, borrowed unless it was escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_owned())))
            }

            fn visit_string<E>(self, value: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value)))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Placeholders of names; entries with null are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        Ok(Names(
            entries
                .into_iter()
                .filter_map(|(k, v)| Some((k, v?)))
                .collect(),
        ))
    }
}

/// A boolean, or one of the strings that the service takes for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bool(pub bool);

/// What a string means where a boolean is expected.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    let any = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if any(["true", "1", "yes"]) => Some(true),
        () if any(["false", "0", "no"]) => Some(false),
        () => None,
    }
}

impl<'de> Deserialize<'de> for Bool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoolVisitor;

        impl Visitor<'_> for BoolVisitor {
            type Value = Bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Bool, E> {
                Ok(Bool(value))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Bool, E> {
                parse_bool(value)
                    .map(Bool)
                    .ok_or_else(|| E::custom("not a boolean"))
            }
        }

        deserializer.deserialize_any(BoolVisitor)
    }
}

/// An integer; decimals are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int(pub i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number
            .as_i64()
            .or_else(|| number.as_f64().map(truncate))
            .map(Int)
            .ok_or_else(|| D::Error::custom("not a number"))
    }
}

/// Towards zero; what is out of range becomes the nearest that isn't.
pub(super) fn truncate(number: f64) -> i64 {
    number as i64
}
