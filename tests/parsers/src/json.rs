//! Items as JSON: what is read is written to JSON, and to bytes, that give the same item.

use kv_model::encoding::item as encoding;
use kv_model::json::{Checked, write_item};
use kv_model::value::{check_item, item_size};
use kv_model::{AttributeValue, Item};

pub fn item(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Checked<AttributeValue>>(bytes);
    let Ok(Checked(Ok(item))) = serde_json::from_slice::<Checked<Item>>(bytes) else {
        return;
    };
    let _ = check_item(&item);
    same(&item);
}

/// All forms of an item agree.
pub fn same(item: &Item) {
    let mut json = Vec::new();
    write_item(item, &mut json);
    let again = serde_json::from_slice::<Checked<Item>>(&json).expect("what is written is JSON");
    assert_eq!(again.0.as_ref(), Ok(item));
    let encoded = encoding::encode(item);
    assert_eq!(encoding::decode(&encoded).as_ref(), Ok(item));
    assert_eq!(encoding::size(&encoded), Ok(item_size(item)));
    let mut from_bytes = Vec::new();
    encoding::write_json(&encoded, &mut from_bytes).expect("an encoded item has JSON");
    assert_eq!(from_bytes, json);
    for (name, value) in item.iter().take(8) {
        assert_eq!(
            encoding::get(&encoded, name).as_ref(),
            Ok(&Some(value.clone()))
        );
    }
}
