//! Text to [`Number`], by the grammar of Java's `BigDecimal`, which the service uses: an optional
//! sign, digits with an optional point (a digit on either side suffices), an optional exponent.
//! No white space, no `NaN`, no `Infinity`; an exponent that does not fit 64 bits is no number.

use std::str::FromStr;

use super::{DIGITS_MAX, Error, LEADING_EXPONENT_MAX, LEADING_EXPONENT_MIN, Number, POW10};

impl FromStr for Number {
    type Err = Error;

    /// Syntax is judged before magnitude, and magnitude before precision, as the service does.
    /// A zero is judged by the place of its last written digit: `0e126` overflows, `0.0e126` is 0.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        let scan = scan(text).ok_or_else(|| Error::NotNumeric(text.to_owned()))?;
        let digits = scan.significand.digits;
        let leading = scan.exponent.saturating_add((digits - 1).max(0));
        if leading > i64::from(LEADING_EXPONENT_MAX) {
            Err(Error::Overflow)
        } else if leading < i64::from(LEADING_EXPONENT_MIN) {
            Err(Error::Underflow)
        } else if digits > i64::from(DIGITS_MAX) {
            Err(Error::TooManyDigits)
        } else if digits == 0 {
            Ok(Self::ZERO)
        } else {
            Ok(Self {
                negative: scan.negative,
                mantissa: scan.significand.mantissa,
                exponent: scan.exponent as i16,
            })
        }
    }
}

/// A decimal as written, without leading and trailing zeros.
struct Scan {
    negative: bool,
    significand: Significand,
    /// The power of ten of the last significant digit.
    exponent: i64,
}

/// Significant digits gathered so far; trailing zeros wait until a digit makes them count.
#[derive(Default)]
struct Significand {
    /// Meaningless once `digits` is above 38.
    mantissa: u128,
    digits: i64,
    zeros_pending: i64,
}

impl Significand {
    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros_pending += i64::from(self.digits > 0);
            return;
        }
        let shift = self.zeros_pending + 1;
        self.digits += shift;
        self.zeros_pending = 0;
        if self.digits <= i64::from(DIGITS_MAX) {
            self.mantissa = self.mantissa * POW10[shift as usize] + u128::from(digit);
        }
    }
}

fn scan(text: &str) -> Option<Scan> {
    let (negative, text) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut significand = Significand::default();
    let mut fraction_digits = None;
    let mut any_digit = false;
    let mut written_exponent = 0i64;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                significand.push(byte - b'0');
                any_digit = true;
                if let Some(count) = &mut fraction_digits {
                    *count += 1;
                }
            }
            b'.' if fraction_digits.is_none() => fraction_digits = Some(0),
            b'e' | b'E' => {
                // An optional sign and digits: the grammar of Rust's integers too.
                written_exponent = text[at + 1..].parse().ok()?;
                break;
            }
            _ => return None,
        }
    }
    any_digit.then(|| Scan {
        negative,
        exponent: written_exponent
            .saturating_sub(fraction_digits.unwrap_or(0))
            .saturating_add(significand.zeros_pending),
        significand,
    })
}
