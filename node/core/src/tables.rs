//! Tables as clients see them.

use kv_model::index::{IndexSchema, Projection};
use kv_model::schema::{KeyAttribute, TableSchema};

use crate::ids::TableId;
pub use crate::meta::extras::{ClassChange, Extras, ExtrasChange, OnDemand, Tag, Warm};
pub use crate::meta::records::StreamView;

/// Where a table or an index is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStatus {
    /// Its partitions have no leaders yet.
    Creating,
    Active,
    Updating,
    Deleting,
}

/// How a table is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    PayPerRequest,
    /// Units a second; kept and shown.
    Provisioned {
        read: u64,
        write: u64,
    },
}

/// An index that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIndex {
    pub name: String,
    pub local: bool,
    pub hash: Vec<KeyAttribute>,
    pub range: Vec<KeyAttribute>,
    pub projection: Projection,
    pub billing: Billing,
}

/// A secondary index of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    pub schema: IndexSchema,
    pub status: TableStatus,
    /// Items that were there before the index are being entered.
    pub backfilling: bool,
    pub billing: Billing,
    /// As of the last report.
    pub item_count: u64,
    pub size_bytes: u64,
}

/// A change of a table's global indexes; one at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum IndexChange {
    Create(NewIndex),
    Delete(String),
    /// New units by name.
    Units(Vec<(String, Billing)>),
}

/// A stream of a table's changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub id: u64,
    pub view: StreamView,
    /// Wall clock, ms since 1970; its label too.
    pub created_ms: u64,
    /// Ended at that time; it can be read for a day more.
    pub ended_ms: Option<u64>,
}

/// Items expire by an attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Expiry {
    pub attribute: String,
    pub enabled: bool,
    pub changed_ms: u64,
}

/// What `CreateTable` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTable {
    pub account: String,
    pub name: String,
    pub schema: TableSchema,
    pub billing: Billing,
    pub deletion_protection: bool,
    /// Partitions to begin with; 0 leaves it to the cluster (4; 1 on `kv-node dev`; more for provisioned units).
    pub partitions: u32,
    pub indexes: Vec<NewIndex>,
    pub stream: Option<StreamView>,
    pub extras: ExtrasChange,
}

/// What `UpdateTable` changes; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableChange {
    pub billing: Option<Billing>,
    pub deletion_protection: Option<bool>,
    pub index: Option<IndexChange>,
    /// Begins a stream, or ends the running one.
    pub stream: Option<Option<StreamView>>,
    /// Attribute by which items expire, and whether they do.
    pub expiry: Option<(String, bool)>,
    pub extras: Option<ExtrasChange>,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub id: TableId,
    /// The `TableId` that clients see.
    pub uuid: String,
    pub account: String,
    pub name: String,
    pub schema: TableSchema,
    pub status: TableStatus,
    pub billing: Billing,
    pub deletion_protection: bool,
    /// Wall clock of its creation, ms since 1970.
    pub created_ms: u64,
    /// Wall clock of the last change of billing to on-demand, ms since 1970.
    pub billing_changed_ms: Option<u64>,
    /// As of the last report: items and bytes (eventually true, as the service's own).
    pub item_count: u64,
    pub size_bytes: u64,
    pub indexes: Vec<Index>,
    /// Of which at most one runs.
    pub streams: Vec<Stream>,
    pub expiry: Option<Expiry>,
    pub extras: Extras,
}

impl Table {
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.schema.name == name)
    }

    pub fn has_local_indexes(&self) -> bool {
        self.indexes.iter().any(|index| index.schema.is_local())
    }

    /// The stream that runs, else the last one.
    pub fn stream(&self) -> Option<&Stream> {
        let running = self.streams.iter().find(|stream| stream.ended_ms.is_none());
        running.or(self.streams.last())
    }
}
