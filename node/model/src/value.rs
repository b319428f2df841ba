//! The ten types of the DynamoDB data model.
//!
//! Shapes follow the service's `AttributeValue`; limits (400 KiB items, 32 levels, 38 digits) are
//! checked where values enter, not here.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::number::Number;

/// Attributes by name. Ordered, so that encodings of equal items are equal bytes.
pub type Item = BTreeMap<String, AttributeValue>;

/// One attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    S(String),
    N(Number),
    B(Bytes),
    Bool(bool),
    Null,
    M(Item),
    L(Vec<AttributeValue>),
    /// A set of strings: sorted, without duplicates, not empty.
    Ss(Vec<String>),
    /// A set of numbers: sorted, without duplicates, not empty.
    Ns(Vec<Number>),
    /// A set of binaries: sorted, without duplicates, not empty.
    Bs(Vec<Bytes>),
}
