//! Who a data directory belongs to: the file `identity`.
//!
//! ```text
//!   magic "RINGKVID": 8 │ format: u32 │ cluster: 16 │ node: u64 │ incarnation counter: u64 │ nonce: u64 │ CRC-32 of all before: u32
//! ```
//! Little endian, 56 bytes. The file is replaced as a whole (written aside, synced, renamed, directory synced), so it is
//! always one identity or the other.
//!
//! The format is the version of the cluster that the whole directory is marked with ([`kv_core::version`]): it grows before anything of that version is
//! written, and one above [`FORMAT`] is a newer build's and is left alone.

use uuid::Uuid;

/// The newest format of the whole data directory that this binary reads.
pub const FORMAT: u32 = kv_core::version::NEWEST;

const MAGIC: &[u8; 8] = b"RINGKVID";
const BYTES: usize = 56;

/// Cluster and node of a directory, and which of its lives this is (DESIGN §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What may be found in the directory.
    pub format: u32,
    pub cluster: Uuid,
    pub node: u64,
    pub incarnation: Incarnation,
}

/// Grows at each start. A lower counter, or an equal one with another nonce, is a disk that went back in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incarnation {
    pub counter: u64,
    pub nonce: u64,
}

/// The bytes are no identity that this binary can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("format {0} of a newer version")]
    Newer(u32),
    #[error("it is damaged")]
    Damaged,
}

impl Identity {
    pub fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&self.format.to_le_bytes());
        out[12..28].copy_from_slice(self.cluster.as_bytes());
        out[28..36].copy_from_slice(&self.node.to_le_bytes());
        out[36..44].copy_from_slice(&self.incarnation.counter.to_le_bytes());
        out[44..52].copy_from_slice(&self.incarnation.nonce.to_le_bytes());
        let crc = crc32fast::hash(&out[..52]);
        out[52..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Identity, Malformed> {
        let body = bytes.strip_prefix(MAGIC).ok_or(Malformed::Damaged)?;
        // The format comes before the check of the rest: a newer one may be longer.
        let format = body
            .first_chunk()
            .map(|b| u32::from_le_bytes(*b))
            .ok_or(Malformed::Damaged)?;
        if format > FORMAT {
            return Err(Malformed::Newer(format));
        }
        let bytes: &[u8; BYTES] = bytes.try_into().map_err(|_| Malformed::Damaged)?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if format == 0 || crc32fast::hash(&bytes[..52]).to_le_bytes() != bytes[52..] {
            return Err(Malformed::Damaged);
        }
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&bytes[12..28]);
        let incarnation = Incarnation {
            counter: word(36),
            nonce: word(44),
        };
        Ok(Identity {
            format,
            cluster: Uuid::from_bytes(cluster),
            node: word(28),
            incarnation,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frozen: format 1 as it was first released.
    const FIXTURE: &str = "52494e474b56494401000000000102030405060708090a0b0c0d0e0f07000000000000000300000000000000efbeadde00000000";

    fn identity() -> Identity {
        let cluster = Uuid::from_bytes(std::array::from_fn(|i| i as u8));
        Identity {
            format: 1,
            cluster,
            node: 7,
            incarnation: Incarnation {
                counter: 3,
                nonce: 0xdead_beef,
            },
        }
    }

    #[test]
    fn format_1_stays_readable() {
        let mut bytes = hex::decode(FIXTURE).unwrap();
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(Identity::decode(&bytes), Ok(identity()));
        assert_eq!(identity().encode().as_slice(), bytes);
    }

    #[test]
    fn damage_and_newer_formats_are_told_apart() {
        let bytes = identity().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = Identity::decode(&bad);
            assert!(
                matches!(found, Err(Malformed::Damaged | Malformed::Newer(_))),
                "bit {bit}"
            );
        }
        let mut newer = bytes.to_vec();
        newer[8] = FORMAT as u8 + 1;
        newer.push(0);
        let found = Err(Malformed::Newer(FORMAT + 1));
        assert_eq!(Identity::decode(&newer), found);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = Identity::decode(&bytes);
        }
    }
}
