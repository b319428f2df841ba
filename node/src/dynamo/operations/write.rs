//! What `PutItem`, `UpdateItem` and `DeleteItem` share.

use kv_core::api::{Returns, Written};

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

/// Writes the answer to a write.
pub(super) fn answer(written: &Written, report: Report, table: &str, out: &mut Vec<u8>) {
    output::object(out, |o| {
        if let Some(attributes) = &written.attributes {
            o.value("Attributes", |out| output::item(attributes, out));
        }
        let units = capacity::write_units(written.old_size, written.new_size);
        capacity::report(o, report, table, units);
    });
}
