//! Text to [`Number`], by the grammar of Java's `BigDecimal`, which the service uses: an optional
//! sign, digits with an optional point (a digit on either side suffices), an optional exponent.
//! No white space, no `NaN`, no `Infinity`.

use std::str::FromStr;

use super::{DIGITS_MAX, Error, Number, POW10};

/// Larger exponents are out of range whatever the digits, of which a request holds fewer than this.
const EXPONENT_CAP: i64 = 1 << 40;

impl FromStr for Number {
    type Err = Error;

    /// Syntax is judged before magnitude, and magnitude before precision, as the service does.
    /// A zero is a zero whatever its exponent (the service refuses `0e126` yet takes `0.0e126`).
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        let scan = scan(text.as_bytes()).ok_or_else(|| Error::NotNumeric(text.to_owned()))?;
        if scan.significand.digits == 0 {
            return Ok(Self::ZERO);
        }
        let leading = scan.exponent + scan.significand.digits - 1;
        if leading > i64::from(super::LEADING_EXPONENT_MAX) {
            Err(Error::Overflow)
        } else if leading < i64::from(super::LEADING_EXPONENT_MIN) {
            Err(Error::Underflow)
        } else if scan.significand.digits > i64::from(DIGITS_MAX) {
            Err(Error::TooManyDigits)
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

fn scan(text: &[u8]) -> Option<Scan> {
    let (negative, text) = sign(text);
    let mut significand = Significand::default();
    let mut fraction_digits = None;
    let mut any_digit = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                significand.push(byte - b'0');
                any_digit = true;
                if let Some(count) = &mut fraction_digits {
                    *count += 1;
                }
            }
            b'.' if fraction_digits.is_none() => fraction_digits = Some(0),
            b'e' | b'E' => break,
            _ => return None,
        }
        at += 1;
    }
    if !any_digit {
        return None;
    }
    let written = match text.get(at) {
        Some(_) => exponent(&text[at + 1..])?,
        None => 0,
    };
    let exponent = written - fraction_digits.unwrap_or(0) + significand.zeros_pending;
    Some(Scan {
        negative,
        significand,
        exponent,
    })
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i64::from(byte - b'0')).min(EXPONENT_CAP);
    }
    Some(if negative { -value } else { value })
}
