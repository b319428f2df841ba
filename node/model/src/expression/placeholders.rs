//! The `#names` and `:values` of one request, shared by its expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{Error, PlaceholderMap, Reason};
use super::lexer::is_word_byte;
use crate::value::AttributeValue;

/// Longest placeholder, its `#` or `:` included.
const PLACEHOLDER_LEN_MAX: usize = 255;

/// What the placeholders of a request stand for, and which of them its expressions used.
///
/// Parse all expressions of a request with the same `Placeholders`, then ask [`check_all_used`].
///
/// [`check_all_used`]: Placeholders::check_all_used
#[derive(Clone, Debug, Default)]
pub struct Placeholders {
    names: Vec<Entry<String>>,
    values: Vec<Entry<Arc<AttributeValue>>>,
}

/// Sorted by `key`, which holds its `#` or `:`.
#[derive(Clone, Debug)]
struct Entry<T> {
    key: String,
    value: T,
    used: bool,
}

impl Placeholders {
    /// `None` is a map that the request does not have; one without entries is an error. The values
    /// themselves are taken as valid.
    ///
    /// # Errors
    /// [`Error::EmptyMap`], [`Error::InvalidKey`], [`Error::KeyTooLong`], [`Error::EmptyName`].
    pub fn new(
        names: Option<BTreeMap<String, String>>,
        values: Option<BTreeMap<String, AttributeValue>>,
    ) -> Result<Self, Error> {
        let names = match names {
            Some(map) => entries(map, PlaceholderMap::Names, b'#', |name| name)?,
            None => Vec::new(),
        };
        if let Some(empty) = names.iter().find(|entry| entry.value.is_empty()) {
            return Err(Error::EmptyName {
                key: empty.key.clone(),
            });
        }
        let values = match values {
            Some(map) => entries(map, PlaceholderMap::Values, b':', Arc::new)?,
            None => Vec::new(),
        };
        Ok(Placeholders { names, values })
    }

    /// Refuses placeholders that no expression parsed so far mentions.
    ///
    /// # Errors
    /// [`Error::Unused`], for names before values.
    pub fn check_all_used(&self) -> Result<(), Error> {
        check_used(&self.names, PlaceholderMap::Names)?;
        check_used(&self.values, PlaceholderMap::Values)
    }

    /// The attribute name that `placeholder` (with its `#`) stands for; it is used from now on.
    pub(super) fn name(&mut self, placeholder: &str) -> Result<&str, Reason> {
        match lookup(&mut self.names, placeholder) {
            Some(name) => Ok(name),
            None => Err(Reason::UndefinedName {
                name: placeholder.to_owned(),
            }),
        }
    }

    /// The value that `placeholder` (with its `:`) stands for; it is used from now on.
    pub(super) fn value(&mut self, placeholder: &str) -> Result<&Arc<AttributeValue>, Reason> {
        match lookup(&mut self.values, placeholder) {
            Some(value) => Ok(value),
            None => Err(Reason::UndefinedValue {
                name: placeholder.to_owned(),
            }),
        }
    }
}

fn entries<T, E>(
    map: BTreeMap<String, T>,
    which: PlaceholderMap,
    sigil: u8,
    wrap: fn(T) -> E,
) -> Result<Vec<Entry<E>>, Error> {
    if map.is_empty() {
        return Err(Error::EmptyMap { map: which });
    }
    if let Some(key) = map.keys().find(|key| !is_placeholder(key, sigil)) {
        let key = key.clone();
        return Err(Error::InvalidKey { map: which, key });
    }
    if let Some(key) = map.keys().find(|key| key.len() > PLACEHOLDER_LEN_MAX) {
        let size = key.len();
        return Err(Error::KeyTooLong { map: which, size });
    }
    let entry = |(key, value)| Entry {
        key,
        value: wrap(value),
        used: false,
    };
    Ok(map.into_iter().map(entry).collect())
}

fn is_placeholder(key: &str, sigil: u8) -> bool {
    match key.as_bytes() {
        [first, rest @ ..] => {
            *first == sigil && !rest.is_empty() && rest.iter().all(|b| is_word_byte(*b))
        }
        [] => false,
    }
}

fn lookup<'e, T>(entries: &'e mut [Entry<T>], placeholder: &str) -> Option<&'e T> {
    let found = entries
        .binary_search_by(|entry| entry.key.as_str().cmp(placeholder))
        .ok()?;
    let entry = entries.get_mut(found)?;
    entry.used = true;
    Some(&entry.value)
}

fn check_used<T>(entries: &[Entry<T>], map: PlaceholderMap) -> Result<(), Error> {
    let unused = entries.iter().filter(|entry| !entry.used);
    let keys: Vec<String> = unused.map(|entry| entry.key.clone()).collect();
    if keys.is_empty() {
        Ok(())
    } else {
        Err(Error::Unused { map, keys })
    }
}
