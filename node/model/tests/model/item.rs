//! The stored form of items.

use kv_model::encoding::{Error, item as encoding};
use kv_model::json::write_item;
use kv_model::value::item_size;
use kv_model::{AttributeValue, Item};
use proptest::prelude::*;

use crate::arbitrary::{self, nested};

fn one(value: AttributeValue) -> Item {
    Item::from([("a".to_owned(), value)])
}

#[test]
fn hostile_encodings_are_refused() {
    for (bytes, error) in [
        (&b""[..], Error::Truncated),
        (b"\x02\x00", Error::Format(2)),
        (b"\x01\x00\x00", Error::Trailing),
        (b"\x01\x01", Error::Truncated),
        (b"\x01\x80\x00", Error::Length),
        (b"\x01\xff\xff\xff\xff\xff", Error::Length),
        (b"\x01\xff\xff\xff\xff\x0f", Error::Truncated),
        (b"\x01\x01\x01a\x00", Error::Tag(0)),
        (b"\x01\x01\x01a\x0c", Error::Tag(12)),
        (b"\x01\x02\x01b\x06\x01a\x06", Error::Order),
        (b"\x01\x02\x01a\x06\x01a\x06", Error::Order),
        // An empty set, a set out of order, a set that goes on after its last member.
        (b"\x01\x01\x01a\x09\x01\0\0\0\x00", Error::Length),
        (b"\x01\x01\x01a\x09\x05\0\0\0\x02\x01b\x01a", Error::Order),
        (b"\x01\x01\x01a\x09\x04\0\0\0\x01\x01b\x00", Error::Trailing),
        // A size beyond the end.
        (b"\x01\x01\x01a\x07\xff\xff\xff\xff\x00", Error::Truncated),
    ] {
        assert_eq!(encoding::decode(bytes), Err(error), "{bytes:02x?}");
    }
    assert!(matches!(
        encoding::decode(b"\x01\x01\x01a\x01\x01\xff"),
        Err(Error::Utf8(_))
    ));
}

#[test]
fn depth_is_bounded() {
    let deepest = one(nested(32));
    assert_eq!(encoding::decode(&encoding::encode(&deepest)), Ok(deepest));
    let too_deep = encoding::encode(&one(nested(33)));
    assert_eq!(encoding::decode(&too_deep), Err(Error::TooDeep));
    assert_eq!(encoding::size(&too_deep), Err(Error::TooDeep));
    assert_eq!(
        encoding::write_json(&too_deep, &mut Vec::new()),
        Err(Error::TooDeep)
    );
}

/// Every ASCII character, in a short text and in both halves of a long one, wide ones beside it.
#[test]
fn both_json_writers_escape_every_character() {
    for byte in 0..0x80u8 {
        let special = char::from(byte);
        for text in [
            special.to_string(),
            format!("{special}{}", "x".repeat(70)),
            format!("{}{special}x", "x".repeat(70)),
            format!("é{special}{}", "é".repeat(40)),
        ] {
            let item = one(AttributeValue::S(text.clone()));
            let expected = serde_json::json!({ "a": { "S": text } }).to_string();
            let mut transcoded = Vec::new();
            encoding::write_json(&encoding::encode(&item), &mut transcoded).unwrap();
            assert_eq!(String::from_utf8(transcoded).unwrap(), expected);
            let mut written = Vec::new();
            write_item(&item, &mut written);
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}

/// Runs every reader over foreign bytes; they must agree.
fn read_all_ways(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut json = Vec::new();
    let transcoded = encoding::write_json(bytes, &mut json);
    let size = encoding::size(bytes);
    let _ = encoding::get(bytes, "b");
    if let Ok(item) = encoding::decode(bytes) {
        prop_assert_eq!(&encoding::encode(&item)[..], bytes);
        let mut expected = Vec::new();
        write_item(&item, &mut expected);
        prop_assert_eq!(transcoded, Ok(()));
        prop_assert_eq!(json, expected);
        prop_assert_eq!(size, Ok(item_size(&item)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn items_round_trip_and_readers_agree(item in arbitrary::item()) {
        let bytes = encoding::encode(&item);
        prop_assert_eq!(encoding::decode(&bytes), Ok(item));
        read_all_ways(&bytes)?;
    }

    #[test]
    fn attributes_are_found(item in arbitrary::item(), absent in arbitrary::text()) {
        let bytes = encoding::encode(&item);
        for (name, value) in &item {
            prop_assert_eq!(encoding::get(&bytes, name), Ok(Some(value.clone())));
        }
        prop_assert_eq!(encoding::get(&bytes, &absent), Ok(item.get(&absent).cloned()));
    }

    #[test]
    fn a_prefix_is_refused(item in arbitrary::item(), cut in any::<prop::sample::Index>()) {
        let bytes = encoding::encode(&item);
        prop_assert!(encoding::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn damaged_bytes_never_panic(
        item in arbitrary::item(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoding::encode(&item).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_all_ways(&bytes)?;
    }

    #[test]
    fn random_bytes_never_panic(tail in prop::collection::vec(prop_oneof![0u8..13, any::<u8>()], 0..60)) {
        let mut bytes = vec![1];
        bytes.extend(tail);
        read_all_ways(&bytes)?;
    }
}
