//! Sets: sorted, without duplicates, not empty.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{AttributeValue, Error};
use crate::number::Number;

impl AttributeValue {
    /// A set of strings from its members in any order.
    ///
    /// # Errors
    /// [`Error::EmptyStringSet`], [`Error::DuplicateStrings`].
    pub fn string_set(members: Vec<String>) -> Result<Self, Error> {
        if members.is_empty() {
            return Err(Error::EmptyStringSet);
        }
        sorted(members)
            .map(Self::Ss)
            .map_err(|sent| Error::DuplicateStrings { sent })
    }

    /// A set of numbers from its members in any order; `1` and `1.0` are one member.
    ///
    /// # Errors
    /// [`Error::EmptyNumberSet`], [`Error::DuplicateNumbers`].
    pub fn number_set(members: Vec<Number>) -> Result<Self, Error> {
        if members.is_empty() {
            return Err(Error::EmptyNumberSet);
        }
        sorted(members)
            .map(Self::Ns)
            .map_err(|_| Error::DuplicateNumbers)
    }

    /// A set of binaries from its members in any order.
    ///
    /// # Errors
    /// [`Error::EmptyBinarySet`], [`Error::DuplicateBinaries`].
    pub fn binary_set(members: Vec<Bytes>) -> Result<Self, Error> {
        if members.is_empty() {
            return Err(Error::EmptyBinarySet);
        }
        sorted(members)
            .map(Self::Bs)
            .map_err(|sent| Error::DuplicateBinaries { sent })
    }
}

/// Sorts members; gives them back as they were sent if two are equal.
fn sorted<T: Ord>(mut members: Vec<T>) -> Result<Vec<T>, Vec<T>> {
    if members.is_sorted_by(|a, b| a < b) {
        return Ok(members);
    }
    // The message of a refusal lists the members as sent, so look before sorting.
    let mut order: Vec<&T> = members.iter().collect();
    order.sort_unstable();
    if order.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(members);
    }
    members.sort_unstable();
    Ok(members)
}

/// The order in which the service's newer layer lists a set with a duplicate: what came before the
/// first repeat in byte order, then the repeat and the rest as sent.
pub(super) fn up_to_first_repeat_sorted<T: Ord>(sent: &[T]) -> impl Iterator<Item = &T> {
    let mut seen = BTreeSet::new();
    let first_repeat = sent.iter().position(|member| !seen.insert(member));
    let rest = &sent[first_repeat.unwrap_or(sent.len())..];
    seen.into_iter().chain(rest)
}
