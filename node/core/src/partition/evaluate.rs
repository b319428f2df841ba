//! What a write makes of an item.

use bytes::Bytes;

use crate::api::{Action, Error, Write};

/// What a write makes of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mutation {
    pub new: Option<Bytes>,
    pub attributes: Option<Bytes>,
    pub old_size: u64,
    pub new_size: u64,
}

pub fn evaluate(_old: Option<&[u8]>, write: &Write) -> Result<Mutation, Error> {
    match &write.action {
        Some(Action::Put(item)) => Ok(Mutation { new: Some(item.clone()), ..Default::default() }),
        _ => Ok(Mutation::default()),
    }
}
