//! Values of the gRPC API, from kv-node's sources.

#[path = "../../../../node/src/kv/values.rs"]
mod values;

/// The JSON of an item.
pub fn json_of(item: &kv_proto::kv::Item) -> Vec<u8> {
    let mut out = Vec::new();
    values::write_item(item, &mut out);
    out
}

/// The message of an item.
pub fn message_of(item: kv_model::Item) -> kv_proto::kv::Item {
    values::item(item)
}
