//! Items and values of requests.

use kv_model::encoding::item;
use kv_model::json::{self, Checked};
use kv_model::value::{AttributeValue, Item};
use serde_json::value::RawValue;

use super::error::Error;

/// Reads an item or a key.
///
/// # Errors
/// The service's answer to the first mistake.
pub fn parse_item(text: &RawValue) -> Result<Item, Error> {
    parse::<Item>(text)
}

/// Reads one value.
///
/// # Errors
/// The service's answer to the first mistake.
pub fn parse_value(text: &RawValue) -> Result<AttributeValue, Error> {
    parse::<AttributeValue>(text)
}

fn parse<'t, T>(text: &'t RawValue) -> Result<T, Error>
where
    Checked<T>: serde::Deserialize<'t>,
{
    match serde_json::from_str::<Checked<T>>(text.get()) {
        Ok(checked) => checked.into_result().map_err(|error| match error {
            json::Error::Serialization(error) => Error::SerializationOf(error.to_string()),
            json::Error::Validation(error) => Error::Validation(error.to_string()),
        }),
        Err(_) => Err(Error::Serialization(None)),
    }
}

/// Appends the JSON of an encoded item, which the database holds and thus can be read: of one that can't, an empty
/// item is shown and the fault is logged.
pub fn write_json(encoded: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if let Err(error) = item::write_json(encoded, out) {
        tracing::error!(%error, "an item can't be read");
        out.truncate(start);
        out.extend_from_slice(b"{}");
    }
}
