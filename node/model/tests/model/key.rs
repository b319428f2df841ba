//! Keys: their order, their ranges, their decoder.

use std::cmp::Ordering;
use std::ops::Bound;

use kv_model::AttributeValue;
use kv_model::encoding::Error;
use kv_model::encoding::key::{
    ITEM_INDEX, PARTS_MAX, Part, Range, RowKey, SortCondition, decode_tuple, partition_key,
    partition_rows, row_key, sort_rows, table_rows, token, token_rows, tuple,
};
use proptest::prelude::*;

use crate::arbitrary;

fn key_value() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        arbitrary::text().prop_map(AttributeValue::S),
        arbitrary::number().prop_map(AttributeValue::N),
        arbitrary::binary().prop_map(AttributeValue::B),
    ]
}

/// Two lists of up to four values, of the same types in the same places.
fn two_tuples() -> impl Strategy<Value = (Vec<AttributeValue>, Vec<AttributeValue>)> {
    let pair = prop_oneof![
        (arbitrary::text(), arbitrary::text())
            .prop_map(|(a, b)| (AttributeValue::S(a), AttributeValue::S(b))),
        (arbitrary::number(), arbitrary::number())
            .prop_map(|(a, b)| (AttributeValue::N(a), AttributeValue::N(b))),
        (arbitrary::binary(), arbitrary::binary())
            .prop_map(|(a, b)| (AttributeValue::B(a), AttributeValue::B(b))),
    ];
    prop::collection::vec(pair, 1..=PARTS_MAX).prop_map(|pairs| pairs.into_iter().unzip())
}

fn parts(values: &[AttributeValue]) -> Vec<Part<'_>> {
    values
        .iter()
        .map(|value| Part::new(value).unwrap())
        .collect()
}

/// The service's order, spelled out.
fn compare(a: &AttributeValue, b: &AttributeValue) -> Ordering {
    match (a, b) {
        (AttributeValue::S(a), AttributeValue::S(b)) => a.as_bytes().cmp(b.as_bytes()),
        (AttributeValue::N(a), AttributeValue::N(b)) => a.cmp(b),
        (AttributeValue::B(a), AttributeValue::B(b)) => a.cmp(b),
        _ => panic!("one attribute of a key has one type"),
    }
}

fn compare_tuples(a: &[AttributeValue], b: &[AttributeValue]) -> Ordering {
    let pairs = a.iter().zip(b);
    pairs.fold(Ordering::Equal, |order, (a, b)| {
        order.then_with(|| compare(a, b))
    })
}

#[test]
fn hostile_keys_are_refused() {
    for (bytes, error) in [
        (&b"\x10a"[..], Error::Truncated),
        (b"\x10a\x00", Error::Truncated),
        (b"\x10a\x00\x02", Error::Escape(2)),
        (b"\x11", Error::Tag(0x11)),
        (b"\x00\x00", Error::Trailing),
        (
            b"\x20\x02\x20\x02\x20\x02\x20\x02\x20\x02\x20\x02\x20\x02",
            Error::TooManyParts,
        ),
    ] {
        assert_eq!(decode_tuple(bytes), Err(error), "{bytes:02x?}");
    }
    assert!(matches!(
        decode_tuple(b"\x10\xff\x00\x01"),
        Err(Error::Utf8(_))
    ));
    assert!(matches!(decode_tuple(b"\x20\x09"), Err(Error::Number(_))));
}

#[test]
fn the_last_table_has_no_end() {
    assert_eq!(table_rows(u64::MAX).end, Bound::Unbounded);
    assert_eq!(token_rows(u64::MAX, 0, None).end, Bound::Unbounded);
}

#[test]
fn the_token_is_the_md5() {
    assert_eq!(token(b""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
}

proptest! {
    #[test]
    fn bytes_sort_as_values((a, b) in two_tuples()) {
        let order = compare_tuples(&a, &b);
        prop_assert_eq!(tuple(&parts(&a)).cmp(&tuple(&parts(&b))), order);
        prop_assert_eq!(partition_key(&parts(&a)).cmp(&partition_key(&parts(&b))), order);
    }

    #[test]
    fn tuples_round_trip(values in prop::collection::vec(key_value(), 0..=PARTS_MAX)) {
        prop_assert_eq!(decode_tuple(&tuple(&parts(&values))), Ok(values.clone()));
        prop_assert_eq!(decode_tuple(&partition_key(&parts(&values))), Ok(values));
    }

    #[test]
    fn rows_round_trip_and_lie_in_their_ranges(
        table in any::<u64>(),
        hash in prop::collection::vec(key_value(), 1..=PARTS_MAX),
        sort in prop::collection::vec(key_value(), 0..=PARTS_MAX),
        index in any::<u8>(),
    ) {
        let partition_key = partition_key(&parts(&hash));
        let sort_key = tuple(&parts(&sort));
        let token = token(&partition_key);
        let key = row_key(table, token, &partition_key, index, &sort_key);
        let parsed = RowKey { table, token, partition_key: &partition_key, index, sort_key: &sort_key };
        prop_assert_eq!(RowKey::parse(&key), Ok(parsed));
        prop_assert!(table_rows(table).contains(&key));
        prop_assert!(!table_rows(table ^ 1).contains(&key));
        prop_assert!(token_rows(table, token, token.checked_add(1)).contains(&key));
        prop_assert!(token_rows(table, 0, None).contains(&key));
        prop_assert!(!token_rows(table, 0, Some(token)).contains(&key));
        prop_assert!(partition_rows(table, token, &partition_key, index).contains(&key));
        prop_assert!(!partition_rows(table, token, &partition_key, index ^ 1).contains(&key));
    }

    /// Ranges hold what the condition holds for, whatever parts follow.
    #[test]
    fn sort_ranges_are_their_conditions((low, x) in two_tuples(), equal in any::<bool>(), more in key_value()) {
        let pk = partition_key(&[Part::S("p")]);
        let fixed = if equal { vec![Part::S("f")] } else { vec![] };
        let range = |condition| sort_rows(7, 1, &pk, ITEM_INDEX, &fixed, condition);
        let row = |value: &AttributeValue, follow: &[Part<'_>]| {
            let mut sort = fixed.clone();
            sort.push(Part::new(value).unwrap());
            sort.extend_from_slice(follow);
            row_key(7, 1, &pk, ITEM_INDEX, &tuple(&sort))
        };
        let (low, x) = (&low[0], &x[0]);
        let bound = Part::new(low).unwrap();
        let order = compare(x, low);
        let more = [Part::new(&more).unwrap()];
        for follow in [&[][..], &more] {
            let key = row(x, follow);
            let is_in = |condition| range(condition).contains(&key);
            prop_assert_eq!(is_in(SortCondition::Equal(bound)), order.is_eq());
            prop_assert_eq!(is_in(SortCondition::Less(bound)), order.is_lt());
            prop_assert_eq!(is_in(SortCondition::LessOrEqual(bound)), order.is_le());
            prop_assert_eq!(is_in(SortCondition::Greater(bound)), order.is_gt());
            prop_assert_eq!(is_in(SortCondition::GreaterOrEqual(bound)), order.is_ge());
            prop_assert!(is_in(SortCondition::Between(Part::new(x).unwrap(), Part::new(x).unwrap())));
            prop_assert_eq!(is_in(SortCondition::Between(bound, bound)), order.is_eq());
            let begins = match (x, low) {
                (AttributeValue::S(x), AttributeValue::S(low)) => x.starts_with(low.as_str()),
                (AttributeValue::B(x), AttributeValue::B(low)) => x.starts_with(low),
                _ => order.is_eq(),
            };
            prop_assert_eq!(is_in(SortCondition::BeginsWith(bound)), begins);
        }
        let other_partition = row_key(7, 1, &partition_key(&[Part::S("pp")]), ITEM_INDEX, &tuple(&[bound]));
        prop_assert!(!range(SortCondition::GreaterOrEqual(bound)).contains(&other_partition));
    }

    #[test]
    fn begins_with_holds_for_every_prefix(text in arbitrary::text(), cut in any::<prop::sample::Index>()) {
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let range: Range = sort_rows(0, 0, b"\0", 0, &[], SortCondition::BeginsWith(Part::S(&text[..at])));
        prop_assert!(range.contains(&row_key(0, 0, b"\0", 0, &tuple(&[Part::S(&text)]))));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(
        prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0x20), Just(0x30), Just(0xff), any::<u8>()], 0..60)) {
        if let Ok(values) = decode_tuple(&bytes) {
            let again = tuple(&parts(&values));
            prop_assert!(bytes == again || bytes == partition_key(&parts(&values)));
        }
        if let Ok(key) = RowKey::parse(&bytes) {
            prop_assert_eq!(row_key(key.table, key.token, key.partition_key, key.index, key.sort_key), bytes);
        }
    }
}
