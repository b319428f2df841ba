//! Reads the log files before raft-engine opens them, and tells a torn tail from corruption.
//!
//! raft-engine would cut the last file at its first bad batch, even where valid ones follow, and drop files before a gap. Here the
//! rule is (DESIGN §7): what was synced must be there. At the first bad batch, at position P of the last file of a queue:
//!
//! | P … | verdict |
//! | --- | --- |
//! | is below the synced end that the side file remembers | corrupt |
//! | is below the synced end that a later, valid batch is stamped with: P was synced before that one was made | corrupt |
//! | neither | torn: the file is cut at P |
//!
//! A bad batch in an earlier file is corrupt (a file is closed with a sync before the next is made), so are a gap between files and a
//! file or an end that the side file knows of and that is missing. A valid batch after a bad one is by itself no proof of corruption:
//! two appends of one sync may reach the disk in either order, and a power cut between must not retire a node, let alone all at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kv_core::store::{Error, Result};

use super::judge::{Found, inspect_file};
use super::synced::{Position, Queue, Synced, SyncedFile};
use crate::storage::{io_error, sync_dir};

/// What must go before raft-engine opens the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Of the file only that many bytes are whole.
    Truncate(PathBuf, u64),
    /// The file has not even a header: it was being made.
    Remove(PathBuf),
}

/// Judges the files of both queues without changing anything.
pub fn inspect(dir: &Path, synced: &Synced) -> Result<Vec<Cut>> {
    let mut cuts = Vec::new();
    for queue in [Queue::Append, Queue::Rewrite] {
        inspect_queue(
            &files(dir, queue).map_err(|error| io_error("listing", dir, &error))?,
            synced.of(queue),
            &mut cuts,
        )?;
    }
    Ok(cuts)
}

/// Does what [`inspect`] found to do. Durable with [`settle`].
pub fn apply(cuts: &[Cut]) -> Result<()> {
    for cut in cuts {
        let (path, done) = match cut {
            Cut::Truncate(path, length) => (path, truncate(path, *length)),
            Cut::Remove(path) => (path, fs::remove_file(path)),
        };
        done.map_err(|error| io_error("cutting the torn tail of", path, &error))?;
        tracing::debug!(
            ?cut,
            "cut off what lies above the last whole record of the log"
        );
    }
    Ok(())
}

/// Makes durable whatever is left: records that a killed process never synced are in the page cache, and once they are recovered
/// the node acts on them.
pub fn settle(dir: &Path, side: &SyncedFile) -> io::Result<()> {
    for queue in [Queue::Append, Queue::Rewrite] {
        if let Some((seq, path)) = files(dir, queue)?.pop() {
            let file = fs::File::open(path)?;
            file.sync_all()?;
            let offset = file.metadata()?.len();
            side.advance(queue, Position { seq, offset })?;
        }
    }
    side.sync()?;
    sync_dir(dir)
}

fn truncate(path: &Path, length: u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(length)
}

/// The files of a queue by sequence number.
pub fn files(dir: &Path, queue: Queue) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some((seq, of)) = parse_name(&path).filter(|(_, of)| *of == queue) {
            debug_assert_eq!(of, queue);
            found.push((seq, path));
        }
    }
    found.sort();
    Ok(found)
}

/// raft-engine's names: 16 digits and the queue.
pub fn parse_name(path: &Path) -> Option<(u64, Queue)> {
    let (seq, queue) = path.file_name()?.to_str()?.split_once('.')?;
    let queue = match queue {
        "raftlog" => Queue::Append,
        "rewrite" => Queue::Rewrite,
        _ => return None,
    };
    if seq.len() == 16 {
        Some((seq.parse().ok()?, queue))
    } else {
        None
    }
}

fn inspect_queue(files: &[(u64, PathBuf)], synced: Position, cuts: &mut Vec<Cut>) -> Result<()> {
    for pair in files.windows(2) {
        if pair[1].0 != pair[0].0 + 1 {
            return Err(corrupt(
                &pair[0].1,
                format!("the file after it is missing, the next is {}", pair[1].0),
            ));
        }
    }
    let mut last = true;
    for (seq, path) in files.iter().rev() {
        let bytes = fs::read(path).map_err(|error| io_error("reading", path, &error))?;
        let needed = if synced.seq == *seq { synced.offset } else { 0 };
        if last && synced.seq > *seq {
            return Err(corrupt(
                path,
                format!(
                    "it should be followed by a file {} with synced records",
                    synced.seq
                ),
            ));
        }
        match inspect_file(&bytes, *seq) {
            Found::Whole => last = false,
            Found::NoHeader if last && needed == 0 => cuts.push(Cut::Remove(path.clone())),
            Found::NoHeader => return Err(corrupt(path, "its header is damaged".into())),
            Found::Bad { at, synced_later }
                if last
                    && at >= needed
                    && synced_later.is_none_or(|later| {
                        later
                            <= (Position {
                                seq: *seq,
                                offset: at,
                            })
                    }) =>
            {
                cuts.push(Cut::Truncate(path.clone(), at));
                last = false;
            }
            Found::Bad { at, .. } => {
                return Err(corrupt(
                    path,
                    format!("the synced record at {at} fails its checksum"),
                ));
            }
        }
        if needed > bytes.len() as u64 {
            return Err(corrupt(
                path,
                format!("it ends at {}, but was synced up to {needed}", bytes.len()),
            ));
        }
    }
    if files.is_empty() && synced != Position::default() {
        return Err(Error::Corrupt {
            place: "log".into(),
            detail: format!("file {} with synced records is missing", synced.seq),
        });
    }
    Ok(())
}

fn corrupt(path: &Path, detail: String) -> Error {
    Error::Corrupt {
        place: path.display().to_string(),
        detail,
    }
}
