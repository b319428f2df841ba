//! The order-preserving byte form of a [`Number`]: `memcmp` of two encodings is their numeric order.
//!
//! ```text
//! zero      02
//! positive  03 | leading exponent + 130 (one byte) | digits
//! negative  01 | the complement of what the positive number has there
//! digits    base 100 from the leading digit on, 1 to 19 bytes: 2 × pair + 1, the last 2 × pair
//! ```
//! The even last byte ends the number, so that it needs no length, is a prefix of no other, and
//! sorts before a longer one with the same beginning. (The scheme of SQLite4's key encoding.)
//! At most 21 bytes. There is one encoding for each number, and the decoder takes no other.

use super::{DIGITS_MAX, LEADING_EXPONENT_MIN, Number, PlainDigits};

const NEGATIVE: u8 = 0x01;
const ZERO: u8 = 0x02;
const POSITIVE: u8 = 0x03;
const PAIRS_MAX: usize = DIGITS_MAX as usize / 2;

/// Bytes that are not the encoding of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("an encoded number ends early")]
    Truncated,
    #[error("an encoded number has the unknown sign byte {0:#04x}")]
    Sign(u8),
    #[error("an encoded number has digits that are not in canonical form")]
    Digits,
}

impl Number {
    /// Appends the order-preserving encoding, 1 to 21 bytes.
    pub fn encode_ordered(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            out.push(ZERO);
            return;
        }
        let mask = if self.negative { 0xff } else { 0x00 };
        out.push(if self.negative { NEGATIVE } else { POSITIVE });
        out.push((self.leading_exponent() - LEADING_EXPONENT_MIN) as u8 ^ mask);
        let plain = PlainDigits::from(self);
        let mut pairs = plain.digits().chunks(2).peekable();
        while let Some(pair) = pairs.next() {
            let tens = pair[0] - b'0';
            let ones = pair.get(1).map_or(0, |digit| digit - b'0');
            let more = u8::from(pairs.peek().is_some());
            out.push((2 * (10 * tens + ones) + more) ^ mask);
        }
    }

    /// Reads one number off the front of `bytes`; returns it and the rest.
    pub fn decode_ordered(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (digits, rest) = OrderedDigits::read(bytes)?;
        Ok((digits.number(), rest))
    }
}

/// An encoded number, checked but not decoded; no pairs means zero.
#[derive(Clone, Copy)]
pub(crate) struct OrderedDigits<'a> {
    negative: bool,
    leading_exponent: i32,
    /// As encoded.
    pairs: &'a [u8],
}

impl<'a> OrderedDigits<'a> {
    /// Reads one number off the front of `bytes`; returns it and the rest.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (&sign, bytes) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        let negative = match sign {
            ZERO => {
                let zero = Self {
                    negative: false,
                    leading_exponent: 0,
                    pairs: &[],
                };
                return Ok((zero, bytes));
            }
            NEGATIVE => true,
            POSITIVE => false,
            other => return Err(DecodeError::Sign(other)),
        };
        let mask = if negative { 0xff } else { 0x00 };
        let (&exponent, bytes) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        let window = &bytes[..bytes.len().min(PAIRS_MAX)];
        let Some(last) = window.iter().position(|byte| (byte ^ mask) % 2 == 0) else {
            return Err(if window.len() < PAIRS_MAX {
                DecodeError::Truncated
            } else {
                DecodeError::Digits
            });
        };
        let (pairs, rest) = bytes.split_at(last + 1);
        let digits = Self {
            negative,
            leading_exponent: i32::from(exponent ^ mask) + LEADING_EXPONENT_MIN,
            pairs,
        };
        let canonical = pairs.iter().all(|byte| (byte ^ mask) / 2 < 100)
            && (pairs[0] ^ mask) / 2 >= 10
            && (pairs[last] ^ mask) / 2 != 0;
        if canonical {
            Ok((digits, rest))
        } else {
            Err(DecodeError::Digits)
        }
    }

    pub(crate) fn number(&self) -> Number {
        let mut mantissa = self
            .decimal_pairs()
            .fold(0u128, |value, pair| value * 100 + u128::from(pair));
        let digits = self.significant_digits();
        if digits == 0 {
            return Number::ZERO;
        }
        if digits % 2 == 1 {
            mantissa /= 10;
        }
        Number {
            negative: self.negative,
            mantissa,
            exponent: (self.leading_exponent + 1 - digits as i32) as i16,
        }
    }

    /// The digits ready to be printed, without making the number.
    pub(crate) fn plain(&self) -> PlainDigits {
        PlainDigits::fill(self.negative, self.leading_exponent, |buffer| {
            for (chunk, pair) in buffer.chunks_exact_mut(2).zip(self.decimal_pairs()) {
                chunk[0] = b'0' + pair / 10;
                chunk[1] = b'0' + pair % 10;
            }
            self.significant_digits().max(1)
        })
    }

    /// The service's size of the number.
    pub(crate) fn size_bytes(&self) -> usize {
        super::size_bytes(
            self.negative,
            self.leading_exponent,
            self.significant_digits() as u32,
        )
    }

    /// Pairs of digits, 0 to 99, from the leading one on.
    fn decimal_pairs(&self) -> impl Iterator<Item = u8> + '_ {
        let mask = if self.negative { 0xff } else { 0x00 };
        self.pairs.iter().map(move |byte| (byte ^ mask) / 2)
    }

    /// 0 for zero.
    fn significant_digits(&self) -> usize {
        match self.decimal_pairs().last() {
            Some(last) => 2 * self.pairs.len() - usize::from(last.is_multiple_of(10)),
            None => 0,
        }
    }
}
