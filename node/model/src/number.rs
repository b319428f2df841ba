//! Decimal numbers with up to 38 significant digits.
//!
//! A [`Number`] is always in range and normalized: the mantissa has no trailing zero and at most
//! 38 digits, zero has one form. So equality, hashing and every encoding go by value: `1`, `1.0`
//! and `10e-1` are the same number. Magnitudes reach from `1E-130` to
//! `9.9999999999999999999999999999999999999E+125`, as the Amazon DynamoDB developer guide gives
//! them under "Supported data types".

mod arithmetic;
mod format;
mod ordered;
mod parse;

use std::cmp::Ordering;

pub(crate) use format::PlainDigits;
pub use ordered::DecodeError;
pub(crate) use ordered::OrderedDigits;

/// Significant digits that a number may have.
pub const DIGITS_MAX: u32 = 38;
/// Exponent of the leading digit of the largest magnitude.
const LEADING_EXPONENT_MAX: i32 = 125;
/// Exponent of the leading digit of the smallest magnitude.
const LEADING_EXPONENT_MIN: i32 = -130;
/// Powers of ten that fit beside a mantissa: `10^0` to `10^38`.
const POW10: [u128; DIGITS_MAX as usize + 1] = {
    let mut table = [1u128; DIGITS_MAX as usize + 1];
    let mut i = 1;
    while i < table.len() {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// A DynamoDB number: `mantissa × 10^exponent`, normalized (no trailing zero in the mantissa; zero is `0 × 10^0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    mantissa: u128,
    exponent: i16,
}

/// Why a text or a result is not a [`Number`]; the texts are the service's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    NotNumeric(String),
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooManyDigits,
    #[error(
        "Number overflow. Attempting to store a number with magnitude larger than supported range"
    )]
    Overflow,
    #[error(
        "Number underflow. Attempting to store a number with magnitude smaller than supported range"
    )]
    Underflow,
}

impl Error {
    /// The words of the service's newer validation layer, which differ for an empty text alone.
    pub fn current_wording(&self) -> String {
        match self {
            Self::Empty => format!("{self}: "),
            _ => self.to_string(),
        }
    }
}

impl Number {
    pub const ZERO: Number = Number {
        negative: false,
        mantissa: 0,
        exponent: 0,
    };

    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// True below zero; zero has no sign.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Bytes that the service counts for this number in an item's size, 1 to 21.
    pub fn size_bytes(&self) -> usize {
        size_bytes(
            self.negative,
            self.leading_exponent(),
            self.significant_digits(),
        )
    }

    /// Significant digits; 0 for zero.
    fn significant_digits(&self) -> u32 {
        self.mantissa.checked_ilog10().map_or(0, |log| log + 1)
    }

    /// The power of ten of the leading digit: 2 for 123, -2 for 0.012.
    fn leading_exponent(&self) -> i32 {
        i32::from(self.exponent) + (self.significant_digits() as i32 - 1).max(0)
    }

    /// Normalizes `mantissa × 10^exponent`, whatever its trailing zeros, and checks its range.
    fn normalized(negative: bool, mut mantissa: u128, mut exponent: i32) -> Result<Self, Error> {
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent += 1;
        }
        let digits = mantissa.ilog10() as i32 + 1;
        let leading = exponent + digits - 1;
        if leading > LEADING_EXPONENT_MAX {
            Err(Error::Overflow)
        } else if leading < LEADING_EXPONENT_MIN {
            Err(Error::Underflow)
        } else if digits > DIGITS_MAX as i32 {
            Err(Error::TooManyDigits)
        } else {
            Ok(Self {
                negative,
                mantissa,
                exponent: exponent as i16,
            })
        }
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let aligned = |n: &Self| n.mantissa * POW10[(DIGITS_MAX - n.significant_digits()) as usize];
        self.leading_exponent()
            .cmp(&other.leading_exponent())
            .then_with(|| aligned(self).cmp(&aligned(other)))
    }
}

/// The service's size of a number.
///
/// The developer guide says "approximately one byte per two significant digits, plus one". The exact
/// rule follows from the base-100 form that the service hashes (dynalite's `numToBuffer`) and agrees
/// with sizes measured at the 400 KiB limit (paritysuite's `numberByteSize`): an exponent byte, a byte
/// for each pair of digits with the pairs aligned to the decimal point, 20 at most; a negative number
/// of fewer pairs has an end byte; zero is one byte.
fn size_bytes(negative: bool, leading_exponent: i32, significant_digits: u32) -> usize {
    if significant_digits == 0 {
        return 1;
    }
    // A leading digit in an even place stands alone in its pair.
    let lone_leading_digit = u32::from(leading_exponent.rem_euclid(2) == 0);
    let pairs = (significant_digits + lone_leading_digit).div_ceil(2) as usize;
    1 + pairs + usize::from(negative && pairs < 20)
}

/// By value.
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Every integer of 64 bits is in range and exact.
macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                let value = i128::from(value);
                let (mut mantissa, mut exponent) = (value.unsigned_abs(), 0);
                while mantissa != 0 && mantissa.is_multiple_of(10) {
                    mantissa /= 10;
                    exponent += 1;
                }
                Number { negative: value < 0, mantissa, exponent }
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64);
