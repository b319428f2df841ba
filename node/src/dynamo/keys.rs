//! Keys of items: checked against the schema, encoded as rows, and shown.

use bytes::Bytes;
use kv_core::tables::Table;
use kv_model::encoding::item;
use kv_model::encoding::key::{RowKey, decode_tuple};
use kv_model::json::write_value;
use kv_model::schema::{self, TableSchema};
use kv_model::value::Item;

use super::error::Error;
use super::output;

/// Where an item is stored.
#[derive(Clone, Debug)]
pub struct Keyed {
    pub row: Bytes,
    /// Encoded item of the key attributes alone.
    pub key: Bytes,
}

/// Names of the key attributes.
pub fn names(schema: &TableSchema) -> Vec<&str> {
    std::iter::once(&schema.hash)
        .chain(&schema.range)
        .map(|key| key.name.as_str())
        .collect()
}

/// The row of a key.
///
/// # Errors
/// [`Error::Validation`].
pub fn of_key(table: &Table, key: &Item) -> Result<Keyed, Error> {
    let row = table.schema.validate_key(key)?.row(table.id.0).into();
    Ok(Keyed {
        row,
        key: item::encode(key),
    })
}

/// The row of an item by `PutItem`, which names what is wrong.
///
/// # Errors
/// [`Error::Validation`].
pub fn of_item(table: &Table, whole: &Item) -> Result<Keyed, Error> {
    let row = table.schema.extract_key(whole)?.row(table.id.0).into();
    let key: Item = names(&table.schema)
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), whole.get(name)?.clone())))
        .collect();
    Ok(Keyed {
        row,
        key: item::encode(&key),
    })
}

/// The row of an item in a batch, of which the service says less.
///
/// # Errors
/// [`Error::Validation`].
pub fn of_batched_item(table: &Table, whole: &Item) -> Result<Keyed, Error> {
    table
        .schema
        .extract_key(whole)
        .map_err(|error| match error {
            schema::Error::Missing { .. } | schema::Error::Type { .. } => schema::Error::Mismatch,
            other => other,
        })?;
    of_item(table, whole)
}

/// Refuses an item that an index can't take.
///
/// # Errors
/// [`Error::Validation`].
pub fn check_indexes(table: &Table, encoded: &[u8]) -> Result<(), Error> {
    for index in &table.indexes {
        let checked = index.schema.check(encoded);
        checked.map_err(|error| Error::Validation(error.to_string()))?;
    }
    Ok(())
}

/// Writes the key of a row as JSON; nothing if the row is no item's.
pub fn write_key(schema: &TableSchema, row: &[u8]) -> Option<Vec<u8>> {
    let row = RowKey::parse(row).ok()?;
    let hash = decode_tuple(row.partition_key).ok()?;
    let range = decode_tuple(row.sort_key).ok()?;
    let attributes = std::iter::once(&schema.hash).chain(&schema.range);
    let mut out = Vec::with_capacity(64);
    output::object(&mut out, |o| {
        for (attribute, value) in attributes.zip(hash.iter().chain(&range)) {
            o.value_of(&attribute.name, |out| write_value(value, out));
        }
    });
    Some(out)
}

impl From<schema::Error> for Error {
    fn from(error: schema::Error) -> Self {
        Error::Validation(error.to_string())
    }
}
