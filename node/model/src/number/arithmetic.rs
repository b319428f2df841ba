//! Exact addition and subtraction: a result is right to the last digit or an error.

use std::ops::Neg;

use super::{Error, Number, POW10};

impl Neg for Number {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            negative: !self.negative && !self.is_zero(),
            ..self
        }
    }
}

impl Number {
    /// The exact sum.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the sum is out of range *or* needs more than 38 digits: for
    /// `1e50 + 1` the service speaks of an overflow too. [`Error::Underflow`] if it is too near zero.
    pub fn checked_add(self, other: Self) -> Result<Self, Error> {
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        if low.is_zero() {
            return Ok(high);
        }
        if high.is_zero() {
            return Ok(low);
        }
        // Where the exponents differ, the sum ends in low's last digit, which is not zero: all its
        // digits count. One that does not fit 128 bits (3.4 × 10^38) is ≥ 2.4 × 10^38 even after a
        // subtraction (low < 10^38), so it has 39 digits at least.
        let shift = i32::from(high.exponent) - i32::from(low.exponent);
        let aligned = POW10
            .get(shift as usize)
            .and_then(|power| high.mantissa.checked_mul(*power))
            .ok_or(Error::Overflow)?;
        let (negative, mantissa) = if high.negative == low.negative {
            let sum = aligned.checked_add(low.mantissa).ok_or(Error::Overflow)?;
            (high.negative, sum)
        } else if aligned >= low.mantissa {
            (high.negative, aligned - low.mantissa)
        } else {
            (low.negative, low.mantissa - aligned)
        };
        Self::normalized(negative, mantissa, i32::from(low.exponent)).map_err(|error| match error {
            Error::TooManyDigits => Error::Overflow,
            other => other,
        })
    }

    /// The exact difference; errors as [`Self::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, Error> {
        self.checked_add(-other)
    }
}
