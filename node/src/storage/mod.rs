//! The disk of a node: `DESIGN.md` beside this file has the picture, the formats and the invariants.
//!
//! ```text
//!   DataDir ── identity, lock        RocksStore ── engine/, staging/        EngineLog ── log/        SpaceMonitor ── ballast
//! ```

pub mod data_dir;
pub mod identity;
pub mod log;
pub mod rocks;
pub mod space;

pub use data_dir::{DataDir, OpenError};
pub use identity::Identity;
pub use log::{EngineLog, LogConfig};
pub use rocks::{RocksConfig, RocksStore};
pub use space::{SpaceConfig, SpaceMonitor, WriteMode};

use std::fs::File;
use std::io;
use std::path::Path;

use kv_core::store::Error;

/// Maps what the file system answers, told apart by whether freeing space would help.
pub(crate) fn io_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let text = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(text),
        _ => Error::Failed(text),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
