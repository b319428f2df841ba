//! Tables as clients see them.

use kv_model::schema::TableSchema;

use crate::ids::TableId;

/// Where a table is in its life.
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
}

/// What `UpdateTable` changes; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableChange {
    pub billing: Option<Billing>,
    pub deletion_protection: Option<bool>,
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
}
