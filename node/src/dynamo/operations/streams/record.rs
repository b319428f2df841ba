//! A change as a stream record.

use bytes::Bytes;
use kv_core::partition::command::Change;
use kv_core::tables::StreamView;
use kv_core::time::Hybrid;
use kv_model::encoding::item;
use kv_model::encoding::record::Record;

use super::{Found, number_of, sequence};
use crate::dynamo::describe::view;
use crate::dynamo::{keys, output};

/// The cause of changes that expiry makes.
const EXPIRED: u32 = 1;

/// The item in a record, if it is one.
fn item_in(record: Option<&Bytes>) -> Option<&[u8]> {
    let parsed = Record::parse(record?).ok()?;
    (!parsed.tombstone).then_some(parsed.payload)
}

/// Whether clients see a change: one that left the item as it was, or deleted none, is none to them.
pub fn shows(change: &Change) -> bool {
    item_in(change.old.as_ref()) != item_in(change.new.as_ref())
}

/// Writes a record.
pub fn write(at: &[u8], change: &Change, found: &Found, region: &str, out: &mut Vec<u8>) {
    let (old, new) = (item_in(change.old.as_ref()), item_in(change.new.as_ref()));
    let name = match (old, new) {
        (None, _) => "INSERT",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) => "REMOVE",
    };
    let shown = found.stream.view;
    let with_new = matches!(shown, StreamView::NewImage | StreamView::NewAndOldImages);
    let with_old = matches!(shown, StreamView::OldImage | StreamView::NewAndOldImages);
    let (new, old) = (new.filter(|_| with_new), old.filter(|_| with_old));
    let size =
        |item: Option<&[u8]>| item.and_then(|item| item::size(item).ok()).unwrap_or(0) as u64;
    let key = keys::write_key(&found.table.schema, &change.row).unwrap_or_else(|| b"{}".to_vec());
    let id = change.stamp.rotate_left(32) ^ found.stream.id;
    output::object(out, |o| {
        let low = number_of(at).unwrap_or(0) as u64;
        o.string("eventID", &format!("{id:016x}{low:016x}"));
        o.string("eventName", name);
        o.string("eventVersion", "1.1");
        o.string("eventSource", "aws:dynamodb");
        o.string("awsRegion", region);
        o.object("dynamodb", |o| {
            let seconds = Hybrid(change.stamp).wall_ms() / 1000;
            o.number("ApproximateCreationDateTime", seconds);
            o.value("Keys", |out| out.extend_from_slice(&key));
            if let Some(new) = new {
                o.value("NewImage", |out| output::item(new, out));
            }
            if let Some(old) = old {
                o.value("OldImage", |out| output::item(old, out));
            }
            o.string("SequenceNumber", &sequence(at));
            o.number("SizeBytes", size(new) + size(old) + key_size(change, found));
            o.string("StreamViewType", view(shown));
        });
        if change.cause == EXPIRED {
            o.object("userIdentity", |o| {
                o.string("PrincipalId", "dynamodb.amazonaws.com");
                o.string("Type", "Service");
            });
        }
    });
}

/// Size of the key attributes by the service's rules, bytes.
fn key_size(change: &Change, found: &Found) -> u64 {
    let image = item_in(change.new.as_ref()).or(item_in(change.old.as_ref()));
    let names = keys::names(&found.table.schema);
    let sizes = names.into_iter().filter_map(|name| {
        let value = item::get(image?, name).ok()??;
        Some((name.len() + value.size_bytes()) as u64)
    });
    sizes.sum()
}
