//! A table's key attributes.

/// Type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    S,
    N,
    B,
}

/// Name and type of a key attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    pub name: String,
    pub kind: KeyKind,
}

/// What identifies an item of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    pub hash: KeyAttribute,
    pub range: Option<KeyAttribute>,
}
