//! [`Number`] to text as the service prints it: plain digits, never an exponent.

use std::fmt;

use super::{DIGITS_MAX, Number};

/// 10^19, the largest power of ten below 2^64.
const TEN_POW_19: u128 = 10_000_000_000_000_000_000;

/// A number as its significant decimal digits, ready to be printed.
pub(crate) struct PlainDigits {
    negative: bool,
    /// The power of ten of the last digit.
    exponent: i32,
    start: u8,
    end: u8,
    /// ASCII; what is between start and end counts.
    buffer: [u8; DIGITS_MAX as usize],
}

impl PlainDigits {
    /// `fill` writes ASCII digits into the front of the buffer, at least one, without leading or
    /// trailing zeros, and returns how many.
    pub(crate) fn fill(
        negative: bool,
        leading_exponent: i32,
        fill: impl FnOnce(&mut [u8; DIGITS_MAX as usize]) -> usize,
    ) -> Self {
        let mut buffer = [b'0'; DIGITS_MAX as usize];
        let len = fill(&mut buffer);
        Self {
            negative,
            exponent: leading_exponent + 1 - len as i32,
            start: 0,
            end: len as u8,
            buffer,
        }
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.buffer[usize::from(self.start)..usize::from(self.end)]
    }

    /// Appends the number as ASCII, at most 171 bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let digits = self.digits();
        if self.exponent >= 0 {
            out.extend_from_slice(digits);
            out.resize(out.len() + self.exponent as usize, b'0');
            return;
        }
        let fraction = -self.exponent as usize;
        if fraction < digits.len() {
            let (whole, fraction) = digits.split_at(digits.len() - fraction);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + fraction - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
    }
}

impl From<&Number> for PlainDigits {
    fn from(number: &Number) -> Self {
        let mut buffer = [b'0'; DIGITS_MAX as usize];
        let mut start = buffer.len();
        // Two halves of 64 bits: division of 128 bits is an order slower.
        let (high, low) = match u64::try_from(number.mantissa) {
            Ok(low) => (0, low),
            Err(_) => (
                (number.mantissa / TEN_POW_19) as u64,
                (number.mantissa % TEN_POW_19) as u64,
            ),
        };
        for (mut half, padded_to) in [(low, buffer.len() - 19), (high, 0)] {
            while half > 0 {
                start -= 1;
                buffer[start] = b'0' + (half % 10) as u8;
                half /= 10;
            }
            if high == 0 {
                break;
            }
            if padded_to > 0 {
                start = padded_to; // zeros between the halves
            }
        }
        if number.is_zero() {
            start -= 1;
        }
        Self {
            negative: number.negative,
            exponent: i32::from(number.exponent),
            start: start as u8,
            end: buffer.len() as u8,
            buffer,
        }
    }
}

impl Number {
    /// Appends the number as the service prints it.
    pub fn write(&self, out: &mut Vec<u8>) {
        PlainDigits::from(self).write(out);
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(48);
        self.write(&mut text);
        f.pad(&String::from_utf8_lossy(&text))
    }
}
