//! The cluster as the API front ends see it: requests in, answers out, routed to wherever the data lives.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use kv_core::api::{Caller, Error, Get, Got, Page, Paged, Rows, RowsRead, Write, Written};
use kv_core::shard::io::{TransactError, Transacted};
use kv_core::tables::{NewTable, Table, TableChange};

/// Every call retries inside the cluster until `deadline`; so an error is final for this attempt, and only
/// [`Error::OutcomeUnknown`] leaves open whether something was written.
pub trait Database: Send + Sync + 'static {
    /// A table by account and name; asks the metadata leader before it says that there is none.
    fn table(
        &self,
        account: &str,
        name: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<Arc<Table>, Error>> + Send;

    /// Names of the account's tables in order, after `after`, at most `limit`.
    fn tables(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Returns as soon as the table is recorded (`Creating`).
    fn create_table(
        &self,
        caller: &Caller,
        table: NewTable,
        deadline: Instant,
    ) -> impl Future<Output = Result<Arc<Table>, Error>> + Send;

    fn update_table(
        &self,
        caller: &Caller,
        name: &str,
        change: TableChange,
        deadline: Instant,
    ) -> impl Future<Output = Result<Arc<Table>, Error>> + Send;

    /// Returns the table as `Deleting`; its data goes in the background.
    fn delete_table(
        &self,
        caller: &Caller,
        name: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<Arc<Table>, Error>> + Send;

    fn write(
        &self,
        caller: &Caller,
        write: Write,
        deadline: Instant,
    ) -> impl Future<Output = Result<Written, Error>> + Send;

    fn get(
        &self,
        caller: &Caller,
        get: Get,
        deadline: Instant,
    ) -> impl Future<Output = Result<Got, Error>> + Send;

    /// Writes that happen together or not at all; again under the same token without a second effect for ten minutes.
    fn transact(
        &self,
        caller: &Caller,
        client_token: Option<String>,
        writes: Vec<Write>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Transacted, TransactError>> + Send;

    /// Reads of items as they were at one moment.
    fn transact_read(
        &self,
        caller: &Caller,
        gets: Vec<Get>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Transacted, TransactError>> + Send;

    /// Raw rows of one partition.
    fn rows(
        &self,
        caller: &Caller,
        rows: Rows,
        deadline: Instant,
    ) -> impl Future<Output = Result<RowsRead, Error>> + Send;

    /// Groups of a table's partitions, as known here.
    fn partitions(&self, table: u64) -> Vec<u64>;

    /// Wall clock, ms since 1970.
    fn now_ms(&self) -> u64;

    /// A page may end early at a partition's border (`last` set, nothing skipped): callers go on until the page is full or the range ends.
    fn page(
        &self,
        caller: &Caller,
        page: Page,
        deadline: Instant,
    ) -> impl Future<Output = Result<Paged, Error>> + Send;
}
