//! The side file `synced`: how far the log files are known to be on stable storage.
//!
//! ```text
//!   two slots of 512 bytes, written in turn:
//!   magic "RKSYNC01": 8 │ generation: u64 │ append: seq u64, offset u64 │ rewrite: seq u64, offset u64 │ CRC-32 of all before: u32
//! ```
//! Little endian; the valid slot of the higher generation counts. It is written after a sync has returned, so it is never ahead of
//! the log, and it is not synced itself for the append queue (that would double the price of each append): after a killed process it
//! is exact, after a power cut it is a lower bound. For the seldom written rewrite queue it is synced, so exact there too.
//!
//! With it: a bad record below the bound is corruption, whatever follows. What it can't tell after a power cut: a flipped bit in the
//! last group of records that one sync covered from a torn write, if the file system had not yet written the side file by itself. For
//! earlier records the stamps in later ones tell (`scan`).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;

const MAGIC: &[u8; 8] = b"RKSYNC01";
const SLOT_BYTES: usize = 512;
const USED_BYTES: usize = 52;

/// An end of bytes in a queue of files; the order of positions is that of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub seq: u64,
    pub offset: u64,
}

impl Position {
    /// 16 bytes, little endian: what each append carries of the position before it.
    pub fn stamp(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.seq.to_le_bytes());
        out[8..].copy_from_slice(&self.offset.to_le_bytes());
        out
    }

    pub fn from_stamp(bytes: &[u8]) -> Option<Position> {
        let (seq, offset) = bytes.split_first_chunk::<8>()?;
        Some(Position {
            seq: u64::from_le_bytes(*seq),
            offset: u64::from_le_bytes(offset.try_into().ok()?),
        })
    }
}

/// The two queues of files that raft-engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    Append,
    Rewrite,
}

/// The ends of what is on stable storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub append: Position,
    pub rewrite: Position,
}

impl Synced {
    pub fn of(&self, queue: Queue) -> Position {
        match queue {
            Queue::Append => self.append,
            Queue::Rewrite => self.rewrite,
        }
    }

    fn encode(&self, generation: u64) -> [u8; USED_BYTES] {
        let mut out = [0; USED_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&generation.to_le_bytes());
        out[16..32].copy_from_slice(&self.append.stamp());
        out[32..48].copy_from_slice(&self.rewrite.stamp());
        let crc = crc32fast::hash(&out[..48]);
        out[48..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(slot: &[u8]) -> Option<(u64, Synced)> {
        let slot: &[u8; USED_BYTES] = slot.first_chunk()?;
        if !slot.starts_with(MAGIC) || crc32fast::hash(&slot[..48]).to_le_bytes() != slot[48..] {
            return None;
        }
        let generation = Position::from_stamp(&slot[..16])?.offset;
        let append = Position::from_stamp(&slot[16..32])?;
        let rewrite = Position::from_stamp(&slot[32..48])?;
        Some((generation, Synced { append, rewrite }))
    }
}

/// What the side file in `dir` says; nothing is known where it is missing or damaged.
pub fn read(dir: &Path) -> io::Result<(u64, Synced)> {
    let bytes = match std::fs::read(dir.join("synced")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(error),
    };
    Ok(newest(&bytes))
}

/// The valid slot of the higher generation, with that; nothing is known where there is none.
pub fn newest(file: &[u8]) -> (u64, Synced) {
    let slots = file.chunks(SLOT_BYTES).take(2).filter_map(Synced::decode);
    slots
        .max_by_key(|(generation, _)| *generation)
        .unwrap_or_default()
}

/// The side file, open for writing.
#[derive(Debug)]
pub struct SyncedFile {
    file: File,
    state: Mutex<(u64, Synced)>,
}

impl SyncedFile {
    /// Both slots are allocated here, so that a full disk later does not matter.
    pub fn open(dir: &Path) -> io::Result<SyncedFile> {
        let state = read(dir)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("synced"))?;
        if file.metadata()?.len() < 2 * SLOT_BYTES as u64 {
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
            file.sync_all()?;
        }
        Ok(SyncedFile {
            file,
            state: Mutex::new(state),
        })
    }

    pub fn get(&self) -> Synced {
        self.state.lock().1
    }

    /// A sync up to here has returned.
    pub fn advance(&self, queue: Queue, end: Position) -> io::Result<()> {
        let mut state = self.state.lock();
        let (generation, synced) = &mut *state;
        match queue {
            Queue::Append => synced.append = end,
            Queue::Rewrite => synced.rewrite = end,
        }
        *generation += 1;
        let slot = *generation % 2 * SLOT_BYTES as u64;
        self.file.write_all_at(&synced.encode(*generation), slot)?;
        if queue == Queue::Rewrite {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Makes the bound exact up to now.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64, offset: u64) -> Position {
        Position { seq, offset }
    }

    /// Frozen: version 1 of a slot.
    #[test]
    fn version_1_stays_readable() {
        let mut slot = hex::decode(concat!(
            "524b53594e433031",
            "0900000000000000",
            "01000000000000000200000000000000",
            "03000000000000000400000000000000",
        ))
        .unwrap();
        let crc = crc32fast::hash(&slot);
        slot.extend_from_slice(&crc.to_le_bytes());
        let synced = Synced {
            append: at(1, 2),
            rewrite: at(3, 4),
        };
        assert_eq!(Synced::decode(&slot), Some((9, synced)));
        assert_eq!(synced.encode(9).as_slice(), slot);
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = SyncedFile::open(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap().1, Synced::default());
        for offset in 1..=5 {
            file.advance(Queue::Append, at(1, offset)).unwrap();
        }
        assert_eq!(
            read(dir.path()).unwrap(),
            (
                5,
                Synced {
                    append: at(1, 5),
                    ..Synced::default()
                }
            )
        );
        // Generation 5 lies in slot 1; torn, the one before it counts.
        let mut bytes = std::fs::read(dir.path().join("synced")).unwrap();
        bytes[SLOT_BYTES + 20] ^= 1;
        std::fs::write(dir.path().join("synced"), &bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap().1.append, at(1, 4));
        std::fs::write(dir.path().join("synced"), [7; 100]).unwrap();
        assert_eq!(read(dir.path()).unwrap().1, Synced::default());
    }
}
