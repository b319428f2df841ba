//! Transactions over items of any partitions: two-phase commit with one record that decides.
//!
//! ```text
//!   coordinator (shard/transactions)            partitions of the items (partition/intents.rs)      partition of the record
//!     Prepare ───────────────────────────────►  evaluate, keep an intent beside the item
//!     ◄── all prepared ──────────────────────
//!     commit, unless the record says otherwise ─────────────────────────────────────────────────►  one conditional put
//!     ◄── committed ────────────────────────────────────────────────────────────────────────────
//!     Finish ────────────────────────────────►  the intent becomes the item
//!     ◄── all finished ──────────────────────      ─► the client is answered
//!     the record may be forgotten in ten minutes ──────────────────────────────────────────────►  an expiry
//! ```
//! Intents are locks that nobody waits for: whoever meets one asks the record, and conflicts if that has not decided. So the order in
//! which transactions commit is an order that explains all that they, and single strong reads and writes, have seen.
//! Whoever finds an intent past its time has the record abort the attempt, unless it has committed.

pub mod record;

use crate::meta::records::{Expiry, KeyAttribute};
use crate::meta::wire::{CreateTable, TableName};

/// Account and name of the table that holds the records: no client's request can name them.
pub const ACCOUNT: &str = "\u{1}ringkv";
pub const TABLE: &str = "\u{1}transactions";

/// The table of records. It is made before the first transaction, and splits and moves as every table does.
pub fn create_table(uuid: String, created_ms: u64) -> CreateTable {
    CreateTable {
        table: TableName {
            account: ACCOUNT.to_owned(),
            name: TABLE.to_owned(),
        },
        uuid,
        hash: KeyAttribute {
            name: record::KEY.to_owned(),
            kind: "B".to_owned(),
        },
        created_ms,
        expiry: Some(Expiry {
            attribute: record::EXPIRES.to_owned(),
            enabled: true,
            changed_ms: created_ms,
        }),
        ..Default::default()
    }
}
