//! Operations of the service that a later version brings.

use crate::dynamo::error::Error;

const LATER: &[&str] = &[
    "ExecuteTransaction",
    "TransactGetItems",
    "TransactWriteItems",
];

/// The answer to an operation that isn't served.
pub fn refuse(name: &[u8]) -> Error {
    match LATER.iter().find(|later| later.as_bytes() == name) {
        Some(name) => Error::validation(format!("The operation {name} is not supported yet")),
        None => Error::UnknownOperation,
    }
}
