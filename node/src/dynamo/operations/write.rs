//! What `PutItem`, `UpdateItem` and `DeleteItem` share.

use kv_core::api::{Returns, Written};
use kv_core::tables::Table;

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

/// Writes the answer to a write.
pub(super) fn answer(written: &Written, report: Report, table: &str, out: &mut Vec<u8>) {
    output::object(out, |o| {
        if let Some(attributes) = &written.attributes {
            o.value("Attributes", |out| output::item(attributes, out));
        }
        let units = capacity::write_units(written.old_size, written.new_size);
        capacity::report_with(o, report, table, units, &written.indexes);
    });
}
