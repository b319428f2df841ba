//! Ids of requests: 52 upper-case letters and digits, unique in practice, not secret.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::HeaderValue;

const LENGTH: usize = 52;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Makes ids from a random seed and a counter, without a system call each.
#[derive(Debug)]
pub struct Ids {
    seed: [u64; 2],
    count: AtomicU64,
}

/// One request's id.
#[derive(Clone, Copy, Debug)]
pub struct RequestId([u8; LENGTH]);

impl Ids {
    pub fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Ids {
            seed: [high, low],
            count: AtomicU64::new(0),
        }
    }

    pub fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.seed[0] ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut id = [0; LENGTH];
        for block in id.chunks_mut(12) {
            // 12 characters of 5 bits from each 64 bits.
            let mut bits = mix(state ^ self.seed[1]);
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            for place in block {
                *place = ALPHABET[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        RequestId(id)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestId {
    pub fn as_str(&self) -> &str {
        // Made of ASCII letters and digits alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
