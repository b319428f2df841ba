//! Decimal numbers with up to 38 significant digits.

/// A DynamoDB number: `mantissa × 10^exponent`, normalized (no trailing zero in the mantissa; zero is `0 × 10^0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    mantissa: u128,
    exponent: i16,
}
