//! What a partition's leader knows of its table: indexes, streams and expiry, as the metadata have them.
//!
//! Local indexes are fixed when a table is made, so every leader knows them before it serves a write. Entries of local indexes are
//! evaluated by the leader and travel in the command, so that replicas apply rows only.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::encoding::key::RowKey;
use kv_model::encoding::{Error as EncodingError, item};
use kv_model::index::{Entry, IndexSchema, Place};
use kv_model::schema::TableSchema;

use super::command::RowChange;
use super::counts::{self, Count};
use super::record_of;
use crate::api::{Action, Error, IndexUse};
use crate::meta::records::{Table, TableState};
use crate::time::Hybrid;

/// What a write unit pays for, bytes.
const WRITE_UNIT_BYTES: u64 = 1024;

/// A table as its partitions' leaders see it.
#[derive(Clone, Debug)]
pub struct Definition {
    pub record: Table,
    pub schema: TableSchema,
    pub local: Vec<IndexSchema>,
    /// Global indexes that are not going.
    pub global: Vec<IndexSchema>,
}

impl Definition {
    pub fn of(record: &Table) -> Definition {
        let kept = record
            .indexes
            .iter()
            .filter(|index| index.state() != TableState::Deleting);
        let (local, global) = kept
            .map(|index| index.schema())
            .partition(IndexSchema::is_local);
        Definition {
            schema: record.schema(),
            local,
            global,
            record: record.clone(),
        }
    }

    /// Whether the change log has readers.
    pub fn is_read(&self) -> bool {
        self.record.readers().next().is_some()
    }

    pub fn index(&self, keyspace: u64) -> Option<&IndexSchema> {
        let place = Place::Global(keyspace);
        self.global.iter().find(|index| index.place == place)
    }

    /// Refuses an item that an index can't take.
    ///
    /// # Errors
    /// [`Error::Validation`] with the words of the service for this kind of write.
    pub fn check(&self, new: Option<&Bytes>, action: Option<&Action>) -> Result<(), Error> {
        use kv_model::index::Error as Reason;
        let Some(new) = new else { return Ok(()) };
        for index in self.local.iter().chain(&self.global) {
            index.check(new).map_err(|reason| {
                Error::Validation(match (reason, action) {
                    (Reason::Type { .. }, Some(Action::Update(_))) => {
                        "The update expression attempted to update the secondary index key to unsupported type".into()
                    }
                    (Reason::Empty { kind, .. }, Some(Action::Update(_))) => format!(
                        "One or more parameter values are not valid. The update expression attempted to update a secondary index key \
                         to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty {kind} value."
                    ),
                    (reason, _) => reason.to_string(),
                })
            })?;
        }
        Ok(())
    }

    /// Rows of local indexes that change with an item; how many more there are then goes to `counts`.
    ///
    /// # Errors
    /// Bytes that are no item.
    pub fn local_entries(
        &self,
        row: &[u8],
        old: Option<&Bytes>,
        new: Option<&Bytes>,
        stamp: Hybrid,
        counts: &mut Vec<Count>,
    ) -> Result<Vec<RowChange>, EncodingError> {
        let mut changes = Vec::new();
        for index in &self.local {
            let (before, after) = self.entries(index, row, old, new)?;
            if let Place::Local(number) = index.place {
                let number = u32::from(number);
                let change = Count::of_change(number, size(&before)?, size(&after)?);
                counts::add(counts, change.as_slice());
            }
            if let Some(before) = &before
                && after.as_ref().is_none_or(|after| after.row != before.row)
            {
                changes.push(RowChange {
                    row: before.row.clone().into(),
                    record: None,
                });
            }
            if let Some(after) = after
                && before.as_ref() != Some(&after)
            {
                changes.push(RowChange {
                    record: Some(record_of(stamp, &after.item)),
                    row: after.row.into(),
                });
            }
        }
        Ok(changes)
    }

    /// An item's entries in an index before and after a change.
    ///
    /// # Errors
    /// Bytes that are no item.
    pub fn entries(
        &self,
        index: &IndexSchema,
        row: &[u8],
        old: Option<&Bytes>,
        new: Option<&Bytes>,
    ) -> Result<(Option<Entry>, Option<Entry>), EncodingError> {
        let base = RowKey::parse(row)?;
        let entry = |item: Option<&Bytes>| {
            item.map(|item| index.entry(&self.schema, &base, item))
                .transpose()
                .map(Option::flatten)
        };
        Ok((entry(old)?, entry(new)?))
    }

    /// What a write costs in each index that it touches.
    ///
    /// # Errors
    /// Bytes that are no item.
    pub fn count(
        &self,
        row: &[u8],
        old: Option<&Bytes>,
        new: Option<&Bytes>,
    ) -> Result<Vec<IndexUse>, EncodingError> {
        let mut uses = BTreeMap::new();
        for index in self.local.iter().chain(&self.global) {
            let (before, after) = self.entries(index, row, old, new)?;
            let units = |size: u64| size.div_ceil(WRITE_UNIT_BYTES).max(1);
            let (size_before, size_after) =
                (size(&before)?.unwrap_or(0), size(&after)?.unwrap_or(0));
            let units = match (&before, &after) {
                (None, None) => continue,
                (Some(before), Some(after)) if before == after => continue,
                (Some(before), Some(after)) if before.row != after.row => {
                    units(size_before) + units(size_after)
                }
                _ => units(size_before.max(size_after)),
            };
            uses.insert(
                index.name.clone(),
                IndexUse {
                    index: index.name.clone(),
                    local: index.is_local(),
                    units,
                },
            );
        }
        Ok(uses.into_values().collect())
    }
}

/// Bytes of an entry by the service's rules.
fn size(entry: &Option<Entry>) -> Result<Option<u64>, EncodingError> {
    let size = entry.as_ref().map(|entry| item::size(&entry.item));
    Ok(size.transpose()?.map(|size| size as u64))
}
