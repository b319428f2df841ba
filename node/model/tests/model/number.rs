//! Numbers: grammar, limits, arithmetic and the ordered encoding.

use std::cmp::Ordering;

use kv_model::number::{Error, Number};
use proptest::prelude::*;

use crate::arbitrary;

fn number(text: &str) -> Number {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> Error {
    match text.parse::<Number>() {
        Ok(number) => panic!("{text} was taken for {number}"),
        Err(error) => error,
    }
}

fn encoded(number: Number) -> Vec<u8> {
    let mut bytes = Vec::new();
    number.encode_ordered(&mut bytes);
    bytes
}

#[test]
fn prints_plain_normalized_digits() {
    let nines = "9".repeat(38);
    for (text, printed) in [
        ("0", "0".to_owned()),
        ("-0", "0".to_owned()),
        ("0.000", "0".to_owned()),
        ("0e125", "0".to_owned()),
        ("0.0e126", "0".to_owned()),
        ("0e-130", "0".to_owned()),
        ("3", "3".to_owned()),
        ("+3", "3".to_owned()),
        ("0001.2300", "1.23".to_owned()),
        (".123", "0.123".to_owned()),
        ("5.", "5".to_owned()),
        ("-17.4E37", format!("-174{}", "0".repeat(36))),
        ("1e+5", "100000".to_owned()),
        ("10e-1", "1".to_owned()),
        ("1e125", format!("1{}", "0".repeat(125))),
        ("0.1e126", format!("1{}", "0".repeat(125))),
        ("1e-130", format!("0.{}1", "0".repeat(129))),
        (nines.as_str(), nines.clone()),
        (
            "10000000000000000000000000001",
            "10000000000000000000000000001".to_owned(),
        ),
        (
            "100000000000000000000.5",
            "100000000000000000000.5".to_owned(),
        ),
    ] {
        assert_eq!(number(text).to_string(), printed, "{text}");
    }
}

#[test]
fn refuses_with_the_words_of_the_service() {
    assert_eq!(
        refused("").to_string(),
        "The parameter cannot be converted to a numeric value"
    );
    for text in [
        "NaN",
        "Infinity",
        "-NaN",
        "dog",
        " 1",
        "1 ",
        "1\n",
        ".",
        "-",
        "+",
        "e5",
        "1e",
        "1e+",
        "1e5.0",
        "1.2.3",
        "--1",
        "+-1",
        "0x10",
        "1_000",
        "1,5",
        "1e5e5",
        "١",
        "1e9223372036854775808",
        "1e9223372036854775808",
    ] {
        assert_eq!(
            refused(text).to_string(),
            format!("The parameter cannot be converted to a numeric value: {text}")
        );
    }
    let too_many = format!("{}.5", "9".repeat(38));
    for text in [
        too_many.as_str(),
        "3.14159265358979323846264338327950288419",
    ] {
        assert_eq!(refused(text), Error::TooManyDigits, "{text}");
    }
    for text in [
        "1e126",
        "11e125",
        "-1e126",
        "1.0e100000000",
        "1e2147483648",
        "1e9223372036854775807",
        "0e126",
    ] {
        assert_eq!(refused(text), Error::Overflow, "{text}");
    }
    for text in ["1e-131", "0.9e-130", "-1e-9223372036854775807", "0e-131"] {
        assert_eq!(refused(text), Error::Underflow, "{text}");
    }
}

#[test]
fn keeps_the_extremes() {
    let largest = number(&format!("9.{}e125", "9".repeat(37)));
    assert_eq!(largest.checked_add(number("1e88")), Err(Error::Overflow));
    assert_eq!((-largest).checked_sub(number("1e88")), Err(Error::Overflow));
    let smallest = number("1e-130");
    assert_eq!(smallest.checked_sub(smallest), Ok(Number::ZERO));
    assert_eq!(
        number("1.5e-130").checked_sub(number("1.4e-130")),
        Err(Error::Underflow)
    );
    let finest = number(&format!("1.{}1e-130", "0".repeat(36)));
    assert_eq!(
        Number::decode_ordered(&encoded(finest)),
        Ok((finest, &[][..]))
    );
}

#[test]
fn adds_exactly_or_not_at_all() {
    for (a, b, sum) in [
        ("1", "10000000000000000000000", "10000000000000000000001"),
        ("0.1", "0.2", "0.3"),
        ("-5", "5", "0"),
        ("5e37", "5e37", "1e38"),
        ("1e38", "-1", "99999999999999999999999999999999999999"),
        ("9e125", "9e124", "9.9e125"),
        ("99999999999999999999999999999999999999", "1", "1e38"),
    ] {
        assert_eq!(
            number(a).checked_add(number(b)),
            Ok(number(sum)),
            "{a} + {b}"
        );
        assert_eq!(
            number(b).checked_add(number(a)),
            Ok(number(sum)),
            "{b} + {a}"
        );
    }
    for (a, b) in [
        ("1e50", "1"),
        ("1e50", "-1"),
        ("1e38", "1"),
        ("9e125", "9e125"),
        ("1e125", "1e-130"),
    ] {
        assert_eq!(
            number(a).checked_add(number(b)),
            Err(Error::Overflow),
            "{a} + {b}"
        );
    }
}

#[test]
fn counts_bytes_as_the_service_does() {
    for (text, bytes) in [
        // Measured at the service's 400 KiB limit (paritysuite/dynamodb-conformance).
        ("0", 1),
        ("1", 2),
        ("12", 2),
        ("123", 3),
        ("1234", 3),
        ("12345678901234567890123456789012345678", 20),
        ("0042", 2),
        ("100", 2),
        ("1010", 3),
        ("0.0000001", 2),
        ("1E125", 2),
        ("1E-100", 2),
        ("1.5", 3),
        ("15", 2),
        ("1.2", 3),
        ("1.200", 3),
        ("1.234", 4),
        ("3.14159", 5),
        ("123456", 4),
        ("100.5", 4),
        ("0.15", 2),
        ("-42", 3),
        ("-0", 1),
        // Pairs aligned to the point.
        ("120", 3),
        ("0.05", 2),
        ("0.012", 3),
        ("1.2345678901234567890123456789012345678", 21),
        ("-1.2345678901234567890123456789012345678", 21),
    ] {
        assert_eq!(number(text).size_bytes(), bytes, "{text}");
    }
}

#[test]
fn integers_convert() {
    for value in [0, 1, -1, 10, -1000, i64::MAX, i64::MIN] {
        assert_eq!(Number::from(value), number(&value.to_string()));
    }
    assert_eq!(Number::from(u64::MAX), number(&u64::MAX.to_string()));
}

/// Compares two plain decimal texts by hand: the rival of `Ord`.
fn compare_texts(a: &str, b: &str) -> Ordering {
    let (a_negative, b_negative) = (a.starts_with('-'), b.starts_with('-'));
    if a_negative != b_negative {
        return b_negative.cmp(&a_negative);
    }
    let parts = |text: &str| {
        let text = text.trim_start_matches('-');
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (format!("{whole:0>130}"), format!("{fraction:0<170}"))
    };
    let order = parts(a).cmp(&parts(b));
    if a_negative { order.reverse() } else { order }
}

proptest! {
    #[test]
    fn text_round_trips(n in arbitrary::number()) {
        prop_assert_eq!(number(&n.to_string()), n);
    }

    #[test]
    fn ordered_bytes_round_trip(n in arbitrary::number(), tail in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut bytes = encoded(n);
        prop_assert!(bytes.len() <= 21);
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(Number::decode_ordered(&bytes), Ok((n, &tail[..])));
    }

    #[test]
    fn order_of_bytes_is_order_of_numbers(a in arbitrary::number(), b in arbitrary::number()) {
        let by_value = compare_texts(&a.to_string(), &b.to_string());
        prop_assert_eq!(a.cmp(&b), by_value);
        prop_assert_eq!(encoded(a).cmp(&encoded(b)), by_value);
    }

    #[test]
    fn neighbours_keep_order(n in arbitrary::number(), m in 1u64..1000) {
        if let Ok(next) = n.checked_add(Number::from(m)) {
            prop_assert!(n < next);
            prop_assert!(encoded(n) < encoded(next));
        }
    }

    #[test]
    fn sums_are_exact(a in -(10i128.pow(37))..10i128.pow(37), b in -(10i128.pow(37))..10i128.pow(37), scale in -60i32..60) {
        let at = |value: i128| number(&format!("{value}e{scale}"));
        prop_assert_eq!(at(a).checked_add(at(b)), Ok(at(a + b)));
        prop_assert_eq!(at(a).checked_sub(at(b)), Ok(at(a - b)));
    }

    #[test]
    fn sums_undo(a in arbitrary::number(), b in arbitrary::number()) {
        if let Ok(sum) = a.checked_add(b) {
            prop_assert_eq!(sum.checked_sub(b), Ok(a));
            prop_assert_eq!(b.checked_add(a), Ok(sum));
        }
    }

    #[test]
    fn hostile_text_is_refused_or_taken(text in "[-+0-9.eE]{0,60}") {
        if let Ok(n) = text.parse::<Number>() {
            prop_assert_eq!(number(&n.to_string()), n);
        }
    }

    #[test]
    fn hostile_bytes_decode_canonically(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..30)) {
        if let Ok((n, rest)) = Number::decode_ordered(&bytes) {
            prop_assert_eq!(&encoded(n)[..], &bytes[..bytes.len() - rest.len()]);
        }
    }
}
