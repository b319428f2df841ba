//! Bytes on disk: what decodes encodes to the same bytes again.

use kv_model::encoding::key::{self, Part, RowKey};
use kv_model::encoding::{item as encoding, record::Record};

pub fn item(bytes: &[u8]) {
    let mut json = Vec::new();
    let _ = encoding::write_json(bytes, &mut json);
    let _ = encoding::size(bytes);
    let _ = encoding::get(bytes, "a");
    let Ok(item) = encoding::decode(bytes) else {
        return;
    };
    assert_eq!(encoding::encode(&item), bytes);
    // What was never a request may hold what no request can, such as empty names; its JSON is read all the same.
    let mut written = Vec::new();
    kv_model::json::write_item(&item, &mut written);
    assert_eq!(json, written);
    assert_eq!(encoding::size(bytes), Ok(kv_model::value::item_size(&item)));
}

pub fn key(bytes: &[u8]) {
    let _ = key::skip_part(bytes);
    if let Ok(values) = key::decode_tuple(bytes) {
        let parts: Vec<Part<'_>> = values.iter().filter_map(Part::new).collect();
        assert_eq!(parts.len(), values.len());
        assert_eq!(key::tuple(&parts), key::without_end(bytes));
    }
    if let Ok(row) = RowKey::parse(bytes) {
        let RowKey {
            table,
            token,
            partition_key,
            index,
            sort_key,
        } = row;
        assert_eq!(
            key::row_key(table, token, partition_key, index, sort_key),
            bytes
        );
        assert!(key::partition_rows(table, token, partition_key, index).contains(bytes));
        let _ = key::decode_tuple(partition_key);
        let _ = key::decode_tuple(sort_key);
    }
}

pub fn record(bytes: &[u8]) {
    let Ok(record) = Record::parse(bytes) else {
        return;
    };
    let mut again = Vec::new();
    record.encode_into(&mut again);
    assert_eq!(again, bytes);
    if !record.tombstone && !record.intent && !record.siblings {
        item(record.payload);
    }
}
