//! In-memory [`Store`](super::Store) and [`LogStore`](super::LogStore) for simulation: they keep what a disk would keep.
//!
//! ```text
//!   MemoryStore   durable content ── batches since the last flush ──► current content ──► snapshots (copy on write)
//!                       └───────────────────── crash(choice) lands on any boundary between ◄─┘
//!   MemoryLog     [ frames on stable storage │ frames appended without sync ]
//!                                            └── crash(choice) keeps a prefix of whole frames, or cuts the next in two
//! ```
//! Neither has a clock, threads or randomness: what a crash keeps is chosen by a number of the caller, so a seed replays.
//! Faults of disks are switches ([`Fault`]).

mod content;
mod log;
mod record;
mod store;

pub use log::MemoryLog;
pub use record::{Malformed, decode, encode};
pub use store::MemoryStore;

use super::{Error, Result};

/// What the simulated disk refuses at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// No space: every change answers [`Error::Full`] and nothing is applied. Reads go on.
    Full,
    /// The device answers errors: every call but a crash ends in [`Error::Failed`].
    Failed,
}

impl Fault {
    fn on_read(self) -> Result<()> {
        match self {
            Fault::None | Fault::Full => Ok(()),
            Fault::Failed => Err(Error::Failed("the simulated device answers errors".into())),
        }
    }

    fn on_write(self) -> Result<()> {
        match self {
            Fault::Full => Err(Error::Full("the simulated device is full".into())),
            Fault::None | Fault::Failed => self.on_read(),
        }
    }
}
