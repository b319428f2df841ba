//! What a node finds on its disk when it starts.

use kv_core::store::memory;

use crate::storage::identity::Identity;
use crate::storage::job::Job;
use crate::storage::log::judge::{Found, inspect_file};
use crate::storage::log::{record, synced};

/// A file's sequence number (a byte), then its bytes. What is whole up to a bad batch is whole as a file of its own.
pub fn log_file(bytes: &[u8]) {
    let Some((seq, file)) = bytes.split_first() else {
        return;
    };
    let seq = u64::from(*seq);
    record::batch(file, seq);
    match inspect_file(file, seq) {
        Found::Bad { at, .. } => {
            let at = usize::try_from(at).expect("a place in the file");
            assert!(record::FILE_HEADER_BYTES <= at && at < file.len());
            assert_eq!(inspect_file(&file[..at], seq), Found::Whole);
        }
        Found::Whole => assert!(record::has_header(file)),
        Found::NoHeader => assert!(!record::has_header(file)),
    }
}

/// An append in the log that keeps everything in memory.
pub fn log_record(bytes: &[u8]) {
    let Ok(writes) = memory::decode(bytes) else {
        return;
    };
    let encoded = memory::encode(&writes).expect("what was decoded encodes");
    assert_eq!(memory::decode(&encoded), Ok(writes));
}

/// A byte says which: the side file of the log, the identity, an install that was decided.
pub fn disk_record(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    match which % 3 {
        0 => {
            synced::newest(bytes);
        }
        1 => {
            if let Ok(identity) = Identity::decode(bytes) {
                assert_eq!(identity.encode(), bytes);
            }
        }
        _ => {
            if let Ok(job) = Job::decode(bytes) {
                assert_eq!(job.encode(), bytes);
            }
        }
    }
}
