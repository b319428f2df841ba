//! The header of stored versions.

use kv_model::encoding::Error;
use kv_model::encoding::record::Record;
use proptest::prelude::*;

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode_into(&mut out);
    out
}

#[test]
fn refuses_what_it_does_not_know() {
    let live = encoded(&Record {
        clock: 1,
        origin: 0,
        tombstone: false,
        intent: false,
        siblings: false,
        expiry_s: Some(9),
        payload: b"",
    });
    for len in 0..live.len() {
        assert_eq!(Record::parse(&live[..len]), Err(Error::Truncated));
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = live.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(Record::parse(&with(0, 2)), Err(Error::Format(2)));
    assert_eq!(Record::parse(&with(11, 0x18)), Err(Error::Flags(0x18)));
}

proptest! {
    #[test]
    fn round_trips(
        clock in any::<u64>(),
        origin in any::<u16>(),
        (tombstone, intent, siblings) in any::<(bool, bool, bool)>(),
        expiry_s in any::<Option<u64>>(),
        payload in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let record = Record { clock, origin, tombstone, intent, siblings, expiry_s, payload: &payload };
        let bytes = encoded(&record);
        prop_assert_eq!(Record::parse(&bytes), Ok(record));
    }

    #[test]
    fn hostile_bytes_parse_canonically(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(format) = bytes.first_mut() {
            *format = 1;
        }
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(encoded(&record), bytes);
        }
    }
}
