//! What `PutItem`, `UpdateItem` and `DeleteItem` share.

use kv_core::api::{Returns, Written};
use kv_core::tables::Table;
use kv_model::encoding::item;
use kv_model::json::write_value;
use kv_model::value::AttributeValue;

use crate::dynamo::capacity::{self, Report};
use crate::dynamo::output;

/// `ReturnValues`, checked against its enum before.
pub(super) fn returns(text: Option<&str>) -> Returns {
    match text {
        Some("ALL_OLD") => Returns::AllOld,
        Some("UPDATED_OLD") => Returns::UpdatedOld,
        Some("ALL_NEW") => Returns::AllNew,
        Some("UPDATED_NEW") => Returns::UpdatedNew,
        _ => Returns::None,
    }
}

/// Whether a write is to answer what it costs in the table's indexes.
pub(super) fn counts_indexes(table: &Table, report: Report) -> bool {
    report != Report::None && !table.indexes.is_empty()
}

/// The item collection that a write touched, of a table with local indexes.
#[derive(Debug)]
pub(super) struct Collection {
    name: String,
    value: AttributeValue,
}

impl Collection {
    /// As `ReturnItemCollectionMetrics` asks, for an encoded key.
    pub(super) fn of(table: &Table, key: &[u8], asked: Option<&str>) -> Option<Self> {
        if asked != Some("SIZE") || !table.has_local_indexes() {
            return None;
        }
        let name = table.schema.hash.name.clone();
        let value = item::get(key, &name).ok()??;
        Some(Collection { name, value })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        output::object(out, |o| {
            o.object("ItemCollectionKey", |o| {
                o.value_of(&self.name, |out| write_value(&self.value, out));
            });
            // Collections are not measured: the range is the one that the service gives of all below 1 GB.
            o.array("SizeEstimateRangeGB", [0.0, 1.0], |bound: f64, out| {
                out.extend_from_slice(format!("{bound:?}").as_bytes());
            });
        });
    }
}

/// Writes the answer to a write.
pub(super) fn answer(
    written: &Written,
    report: Report,
    table: &str,
    collection: Option<&Collection>,
    out: &mut Vec<u8>,
) {
    output::object(out, |o| {
        if let Some(attributes) = &written.attributes {
            o.value("Attributes", |out| output::item(attributes, out));
        }
        let units = capacity::write_units(written.old_size, written.new_size);
        capacity::report_with(o, report, table, units, &written.indexes);
        if let Some(collection) = collection {
            o.value("ItemCollectionMetrics", |out| collection.write(out));
        }
    });
}
