//! Tokens: positions on a circle of 2^128.
//!
//! A token is the MD5 of an encoded partition key, read big endian (Dynamo, SOSP 2007, §4.2), so that keys of any
//! shape spread evenly over the circle. MD5 is used for its spread, not for security. The mapping is part of the disk
//! format: it never changes.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

/// The circumference of the circle, 2^128, as a float: arcs are measured as fractions of it.
const CIRCLE: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// Sets the hash of a table id apart from that of any partition key of the same bytes.
const TABLE_DOMAIN: &[u8] = b"ringkv table\0";

/// A position on the circle. Written as 32 hexadecimal digits wherever people or JSON see it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Token(pub u128);

impl Token {
    /// Where the circle starts.
    pub const MIN: Self = Self(0);
    /// The last position before it starts again.
    pub const MAX: Self = Self(u128::MAX);

    /// The token of an encoded partition key: its MD5, big endian.
    #[must_use]
    pub fn of(encoded_partition_key: &[u8]) -> Self {
        Self(u128::from_be_bytes(
            Md5::digest(encoded_partition_key).into(),
        ))
    }

    /// The start tokens of `count` ranges of equal size, in order. The first is 0; none for `count` = 0.
    #[must_use]
    pub fn evenly_spaced(count: u32) -> Vec<Self> {
        if count == 0 {
            return Vec::new();
        }
        // 2^128 does not fit: divide 2^128 − 1 and carry what is missing, so that starts are floor(i · 2^128 / count).
        let divisor = u128::from(count);
        let (quotient, remainder) = (u128::MAX / divisor, u128::MAX % divisor + 1);
        (0..divisor)
            .map(|i| Self(i * quotient + i * remainder / divisor))
            .collect()
    }

    /// The fraction of the circle in the arc `(from, self]`, going clockwise; a whole turn if both are the same.
    #[must_use]
    pub fn fraction_since(self, from: Self) -> f64 {
        match self.0.wrapping_sub(from.0) {
            0 => 1.0,
            distance => to_f64(distance) / CIRCLE,
        }
    }

    /// This position moved clockwise by a fraction of the circle in `[0, 1)`; what lies outside is clamped.
    #[must_use]
    pub fn advanced_by(self, fraction: f64) -> Self {
        Self(self.0.wrapping_add(to_distance(fraction)))
    }

    /// This position moved counterclockwise by a fraction of the circle in `[0, 1)`; what lies outside is clamped.
    #[must_use]
    pub fn moved_back_by(self, fraction: f64) -> Self {
        Self(self.0.wrapping_sub(to_distance(fraction)))
    }
}

/// The position that places a partition at first: its start token rotated by a hash of its table, so that tables whose
/// partitions start at the same tokens do not pile up on the same nodes.
#[must_use]
pub fn partition_position(start: Token, table_id: u64) -> Token {
    let mut hash = Md5::new();
    hash.update(TABLE_DOMAIN);
    hash.update(table_id.to_be_bytes());
    Token(
        start
            .0
            .wrapping_add(u128::from_be_bytes(hash.finalize().into())),
    )
}

#[expect(clippy::cast_precision_loss, reason = "fractions need 53 bits")]
fn to_f64(distance: u128) -> f64 {
    distance as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate"
)]
fn to_distance(fraction: f64) -> u128 {
    (fraction * CIRCLE) as u128
}

/// What [`Token`]'s `FromStr` and deserialization refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 hexadecimal digits")]
pub struct ParseTokenError;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would also take a sign and fewer digits.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseTokenError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ParseTokenError)
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.to_string()
    }
}

impl TryFrom<String> for Token {
    type Error = ParseTokenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: data on disk is ordered by these values.
    #[test]
    fn values_never_change() {
        assert_eq!(
            Token::of(b"").to_string(),
            "d41d8cd98f00b204e9800998ecf8427e"
        );
        assert_eq!(
            Token::of(b"abc").to_string(),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            partition_position(Token(0), 1).to_string(),
            "c4b2472f5b090dbbe53f377cef10703a"
        );
        assert_eq!(
            partition_position(Token(5), 1).0,
            partition_position(Token(0), 1).0.wrapping_add(5)
        );
    }

    #[test]
    fn evenly_spaced_starts_are_exact() {
        assert!(Token::evenly_spaced(0).is_empty());
        assert_eq!(Token::evenly_spaced(1), [Token(0)]);
        assert_eq!(
            Token::evenly_spaced(4),
            [0, 1 << 126, 1 << 127, 3 << 126].map(Token)
        );
        assert_eq!(Token::evenly_spaced(3)[1], Token(u128::MAX / 3));
        let many = Token::evenly_spaced(1000);
        let gaps: Vec<u128> = many.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().max().unwrap() - gaps.iter().min().unwrap() <= 1);
        assert_eq!(many[999].0.wrapping_add(*gaps.iter().max().unwrap()), 0);
    }

    #[test]
    fn text_is_strict() {
        for token in [Token(0), Token(255), Token::MAX] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for bad in [
            "",
            "0",
            "+000000000000000000000000000000f",
            "g0000000000000000000000000000000",
            "000000000000000000000000000000000",
        ] {
            assert_eq!(bad.parse::<Token>(), Err(ParseTokenError), "{bad:?}");
        }
    }

    #[test]
    fn fractions_go_clockwise() {
        assert_eq!(Token(0).fraction_since(Token(0)), 1.0);
        assert_eq!(Token(1 << 127).fraction_since(Token(0)), 0.5);
        assert_eq!(Token(0).fraction_since(Token(1 << 126)), 0.75);
        assert_eq!(Token(1 << 127).advanced_by(0.5), Token(0));
    }
}
