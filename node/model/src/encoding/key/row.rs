//! The key of a stored row.

use super::{Error, Reader, skip_partition_tuple};

/// The index of the item itself; local indexes have others.
pub const ITEM_INDEX: u8 = 0;

/// Encodes a row's key from an encoded partition key and an encoded sort tuple (empty if none).
pub fn row_key(
    table: u64,
    token: u128,
    partition_key: &[u8],
    index: u8,
    sort_key: &[u8],
) -> Vec<u8> {
    let mut key = Vec::with_capacity(25 + partition_key.len() + sort_key.len());
    key.extend_from_slice(&table.to_be_bytes());
    key.extend_from_slice(&token.to_be_bytes());
    key.extend_from_slice(partition_key);
    key.push(index);
    key.extend_from_slice(sort_key);
    key
}

/// A row's key in parts, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey<'a> {
    pub table: u64,
    pub token: u128,
    /// As [`super::partition_key`] encodes it, its end included.
    pub partition_key: &'a [u8],
    pub index: u8,
    /// As [`super::tuple`] encodes it; not checked.
    pub sort_key: &'a [u8],
}

impl<'a> RowKey<'a> {
    /// Takes a key apart.
    ///
    /// # Errors
    /// The [`Error`] that says what is wrong with the bytes before the sort key.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let table = u64::from_be_bytes(reader.array()?);
        let token = u128::from_be_bytes(reader.array()?);
        let from_partition_key = reader.rest();
        skip_partition_tuple(&mut reader)?;
        let partition_len = from_partition_key.len() - reader.rest().len();
        let index = reader.byte()?;
        Ok(Self {
            table,
            token,
            partition_key: &from_partition_key[..partition_len],
            index,
            sort_key: reader.rest(),
        })
    }
}
