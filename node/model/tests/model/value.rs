//! Sets, sizes and depth.

use bytes::Bytes;
use kv_model::value::{DEPTH_MAX, Error, ITEM_SIZE_MAX, check_item, item_size};
use kv_model::{AttributeValue, Item, Number};
use proptest::prelude::*;

use crate::arbitrary::{self, nested};

fn strings(members: &[&str]) -> Vec<String> {
    members.iter().map(|text| (*text).to_owned()).collect()
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    let owned = |(name, value): &(&str, AttributeValue)| ((*name).to_owned(), value.clone());
    attributes.iter().map(owned).collect()
}

#[test]
fn sets_are_sorted_and_refuse_duplicates_in_the_services_words() {
    assert_eq!(
        AttributeValue::string_set(strings(&["b", "", "a"])),
        Ok(AttributeValue::Ss(strings(&["", "a", "b"])))
    );
    let duplicate = AttributeValue::string_set(strings(&["b", "a", "b"])).unwrap_err();
    assert_eq!(
        duplicate.to_string(),
        "One or more parameter values were invalid: Input collection [b, a, b] contains duplicates."
    );
    assert_eq!(
        duplicate.current_wording(),
        "One or more parameter values were invalid: Input collection [\"a\", \"b\", \"b\"] contains duplicates."
    );

    let binaries = [&[0xff][..], &[0], &[0]].map(Bytes::from_static);
    let duplicate = AttributeValue::binary_set(binaries.to_vec()).unwrap_err();
    assert_eq!(
        duplicate.to_string(),
        "One or more parameter values were invalid: Input collection [/w==, AA==, AA==]of type BS contains duplicates."
    );
    assert_eq!(
        duplicate.current_wording(),
        "One or more parameter values were invalid: Input collection [\"AA==\",\"/w==\",\"AA==\"]of type BS contains duplicates."
    );

    let numbers = ["2", "1", "2.0"].map(|text| text.parse::<Number>().unwrap());
    let duplicate = AttributeValue::number_set(numbers.to_vec()).unwrap_err();
    assert_eq!(
        duplicate.to_string(),
        "Input collection contains duplicates"
    );
    assert_eq!(
        duplicate.current_wording(),
        "One or more parameter values were invalid: Input collection contains duplicates."
    );
}

#[test]
fn sets_are_never_empty() {
    for (result, words) in [
        (
            AttributeValue::string_set(vec![]),
            "An string set  may not be empty",
        ),
        (
            AttributeValue::number_set(vec![]),
            "An number set  may not be empty",
        ),
        (
            AttributeValue::binary_set(vec![]),
            "Binary sets should not be empty",
        ),
    ] {
        assert_eq!(
            result.unwrap_err().to_string(),
            format!("One or more parameter values were invalid: {words}")
        );
    }
}

#[test]
fn sizes_follow_the_developer_guide() {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (value, size) in [
        (text(""), 0),
        (text("é"), 2),
        (AttributeValue::N(Number::from(12345)), 4),
        (AttributeValue::B(Bytes::from_static(b"abc")), 3),
        (AttributeValue::Bool(false), 1),
        (AttributeValue::Null, 1),
        (AttributeValue::M(Item::new()), 3),
        (
            AttributeValue::M(item(&[("ab", text("xyz"))])),
            3 + 1 + 2 + 3,
        ),
        (AttributeValue::L(vec![]), 3),
        (
            AttributeValue::L(vec![text("xy"), AttributeValue::Null]),
            3 + 1 + 2 + 1 + 1,
        ),
        (AttributeValue::Ss(strings(&["a", "bc"])), 3),
        (
            AttributeValue::Ns(vec![Number::from(1), Number::from(123)]),
            2 + 3,
        ),
        (AttributeValue::Bs(vec![Bytes::from_static(b"abc")]), 3),
    ] {
        assert_eq!(value.size_bytes(), size, "{value:?}");
        assert_eq!(item_size(&item(&[("name", value)])), 4 + size);
    }
}

#[test]
fn the_largest_item_is_409600_bytes() {
    let of_size = |size: usize| item(&[("a", AttributeValue::S("x".repeat(size - 1)))]);
    assert_eq!(check_item(&of_size(ITEM_SIZE_MAX)), Ok(409_600));
    assert_eq!(
        check_item(&of_size(ITEM_SIZE_MAX + 1)),
        Err(Error::ItemTooLarge)
    );
}

#[test]
fn the_deepest_value_has_32_levels() {
    let of_depth = |levels| item(&[("a", nested(levels))]);
    assert!(check_item(&of_depth(DEPTH_MAX)).is_ok());
    assert_eq!(check_item(&of_depth(DEPTH_MAX + 1)), Err(Error::TooDeep));
}

#[test]
fn names_have_1_to_65535_bytes() {
    let named = |name: &str| item(&[(name, AttributeValue::Null)]);
    assert_eq!(check_item(&named("")), Err(Error::EmptyName));
    assert!(check_item(&named(&"n".repeat(65_535))).is_ok());
    assert_eq!(
        check_item(&named(&"n".repeat(65_536))),
        Err(Error::NameTooLong)
    );
}

proptest! {
    #[test]
    fn sets_keep_their_members(mut members in prop::collection::vec(arbitrary::number(), 1..8)) {
        let made = AttributeValue::number_set(members.clone());
        members.sort();
        let distinct = members.windows(2).all(|pair| pair[0] != pair[1]);
        if distinct {
            prop_assert_eq!(made, Ok(AttributeValue::Ns(members)));
        } else {
            prop_assert_eq!(made, Err(Error::DuplicateNumbers));
        }
    }
}
