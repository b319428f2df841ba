//! What a node wrote: kept within a bound, and its last words.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use super::dir::NodeDir;

/// A log longer than this becomes `log.1` when its node starts.
const ROTATE_AT_START_BYTES: u64 = 1 << 20;
/// A log longer than this is copied to `log.1` and emptied while its node runs.
const ROTATE_WHILE_RUNNING_BYTES: u64 = 64 << 20;
/// Last words are looked for in this much of the end.
const TAIL_BYTES: u64 = 16 << 10;
/// And cut after this many characters.
const LINE_CHARS_MAX: usize = 800;

/// Makes room before a start.
///
/// # Errors
/// What the system says.
pub fn rotate(node: &NodeDir) -> io::Result<()> {
    if length(&node.log()) > ROTATE_AT_START_BYTES {
        fs::rename(node.log(), node.old_log())
    } else {
        Ok(())
    }
}

/// Makes room while the node runs. It appends, so that emptying the file is safe; lines written during the copy may be lost.
///
/// # Errors
/// What the system says.
pub fn trim(node: &NodeDir) -> io::Result<()> {
    if length(&node.log()) <= ROTATE_WHILE_RUNNING_BYTES {
        return Ok(());
    }
    fs::copy(node.log(), node.old_log())?;
    File::options().write(true).open(node.log())?.set_len(0)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The last line that says something; of a line in JSON its message.
#[must_use]
pub fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let end = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL_BYTES)))
        .ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let line = tail
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let text = message(line).unwrap_or_else(|| line.to_owned());
    Some(
        text.chars()
            .filter(|c| !c.is_control())
            .take(LINE_CHARS_MAX)
            .collect(),
    )
}

/// The message of a structured log line, and its error if it has one.
fn message(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).ok()?;
    let fields = value.get("fields").unwrap_or(&value);
    let text = fields.get("message")?.as_str()?;
    Some(match fields.get("error").and_then(Value::as_str) {
        Some(error) => format!("{text}: {error}"),
        None => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_found_in_text_and_json() {
        let dir = tempfile::tempdir().expect("directory");
        let log = dir.path().join("log");
        let words = |text: &str| {
            fs::write(&log, text).expect("written");
            last_line(&log)
        };
        assert_eq!(words(""), None);
        assert_eq!(
            words("a\nkv-node: the disk is full\n\n").as_deref(),
            Some("kv-node: the disk is full")
        );
        let json = "{\"level\":\"ERROR\",\"fields\":{\"message\":\"can't start\",\"error\":\"port taken\"}}\n";
        assert_eq!(words(json).as_deref(), Some("can't start: port taken"));
        assert_eq!(
            words(&"x".repeat(100_000)).map(|line| line.len()),
            Some(LINE_CHARS_MAX)
        );
    }

    #[test]
    fn long_logs_are_rotated() {
        let dir = tempfile::tempdir().expect("directory");
        let node = NodeDir::at(dir.path().to_owned());
        fs::write(node.log(), vec![b'x'; 10]).expect("written");
        rotate(&node).expect("kept");
        assert!(!node.old_log().exists());
        File::options()
            .write(true)
            .open(node.log())
            .and_then(|f| f.set_len(ROTATE_AT_START_BYTES + 1))
            .expect("grown");
        rotate(&node).expect("rotated");
        assert!(node.old_log().exists() && !node.log().exists());
    }
}
