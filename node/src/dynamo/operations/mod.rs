//! The operations, a file each; and what they share.

mod batch;
mod batch_get_item;
mod batch_write_item;
mod counts;
mod create_table;
mod delete_item;
mod delete_table;
mod describe_table;
mod environment;
mod get_item;
mod indexes;
mod list_tables;
mod pages;
mod put_item;
mod query;
mod rest;
mod scan;
mod statements;
mod streams;
mod table_features;
mod tags;
mod target;
mod transactions;
mod ttl;
mod update_item;
mod update_table;
mod write;

use std::sync::Arc;
use std::time::Instant;

use kv_core::api::{self, Caller};
use kv_core::tables::{Table, TableStatus};
use serde::Deserialize;

pub(super) use batch::Pairs;

use super::error::Error;
use super::input::{self, Structure, table_name_of};
use crate::database::Database;

/// Names an operation of the service.
macro_rules! operations {
    ($($operation:ident),* $(,)?) => {
        /// An operation that is served.
        #[expect(
            clippy::enum_variant_names,
            reason = "the names are the service's"
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($operation),*
        }

        impl Operation {
            pub const ALL: &[Operation] = &[$(Operation::$operation),*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Operation::$operation => stringify!($operation)),*
                }
            }

            fn of_name(name: &[u8]) -> Option<Self> {
                $(if name == stringify!($operation).as_bytes() {
                    return Some(Operation::$operation);
                })*
                None
            }
        }
    };
}

// The hot ones first: names are compared in this order.
operations! {
    GetItem,
    PutItem,
    UpdateItem,
    DeleteItem,
    Query,
    Scan,
    BatchGetItem,
    BatchWriteItem,
    ExecuteStatement,
    BatchExecuteStatement,
    TransactWriteItems,
    TransactGetItems,
    ExecuteTransaction,
    CreateTable,
    DescribeTable,
    ListTables,
    DeleteTable,
    UpdateTable,
    DescribeTimeToLive,
    UpdateTimeToLive,
    DescribeContinuousBackups,
    ListTagsOfResource,
    ListStreams,
    DescribeStream,
    GetShardIterator,
    GetRecords,
    DescribeLimits,
    DescribeEndpoints,
    CancelBulkOperation,
    CreateBackup,
    CreateGlobalTable,
    DeleteBackup,
    DeleteResourcePolicy,
    DescribeBackup,
    DescribeBulkOperation,
    DescribeContributorInsights,
    DescribeExport,
    DescribeGlobalTable,
    DescribeGlobalTableSettings,
    DescribeImport,
    DescribeKinesisStreamingDestination,
    DescribeTableReplicaAutoScaling,
    DisableKinesisStreamingDestination,
    EnableKinesisStreamingDestination,
    ExportTableToPointInTime,
    GetResourcePolicy,
    ImportTable,
    ListBackups,
    ListBulkOperations,
    ListContributorInsights,
    ListExports,
    ListGlobalTables,
    ListImports,
    PutResourcePolicy,
    RestoreTableFromBackup,
    RestoreTableToPointInTime,
    SearchVectors,
    StartBulkPutItems,
    TagResource,
    UntagResource,
    UpdateContinuousBackups,
    UpdateContributorInsights,
    UpdateGlobalTable,
    UpdateGlobalTableSettings,
    UpdateKinesisStreamingDestination,
    UpdateTableReplicaAutoScaling,
}

/// The target of operations on streams.
const STREAMS: &[u8] = b"DynamoDBStreams_20120810.";

impl Operation {
    /// Whether it belongs to the service of streams.
    fn is_of_streams(self) -> bool {
        matches!(
            self,
            Operation::ListStreams
                | Operation::DescribeStream
                | Operation::GetShardIterator
                | Operation::GetRecords
        )
    }

    /// The operation that an `X-Amz-Target` names.
    ///
    /// # Errors
    /// [`Error::UnknownOperation`].
    pub fn of_target(target: &[u8]) -> Result<Self, Error> {
        let (name, of_streams) = match target.strip_prefix(STREAMS) {
            Some(name) => (name, true),
            None => match target.strip_prefix(b"DynamoDB_20120810.") {
                Some(name) => (name, false),
                None => return Err(Error::UnknownOperation),
            },
        };
        let found = Operation::of_name(name).filter(|found| found.is_of_streams() == of_streams);
        found.ok_or(Error::UnknownOperation)
    }

    /// Runs the operation; its answer goes to `out`.
    ///
    /// # Errors
    /// What the client is answered instead.
    pub async fn run<D: Database>(
        self,
        context: &Context<'_, D>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            Operation::GetItem => get_item::run(context, body, out).await,
            Operation::PutItem => put_item::run(context, body, out).await,
            Operation::UpdateItem => update_item::run(context, body, out).await,
            Operation::DeleteItem => delete_item::run(context, body, out).await,
            Operation::Query => query::run(context, body, out).await,
            Operation::Scan => scan::run(context, body, out).await,
            Operation::BatchGetItem => batch_get_item::run(context, body, out).await,
            Operation::BatchWriteItem => batch_write_item::run(context, body, out).await,
            Operation::ExecuteStatement => statements::execute(context, body, out).await,
            Operation::BatchExecuteStatement => statements::batch(context, body, out).await,
            Operation::TransactWriteItems => transactions::write(context, body, out).await,
            Operation::TransactGetItems => transactions::get(context, body, out).await,
            Operation::ExecuteTransaction => transactions::execute(context, body, out).await,
            Operation::CreateTable => create_table::run(context, body, out).await,
            Operation::DescribeTable => describe_table::run(context, body, out).await,
            Operation::ListTables => list_tables::run(context, body, out).await,
            Operation::DeleteTable => delete_table::run(context, body, out).await,
            Operation::UpdateTable => update_table::run(context, body, out).await,
            Operation::DescribeTimeToLive => ttl::describe(context, body, out).await,
            Operation::UpdateTimeToLive => ttl::update(context, body, out).await,
            Operation::DescribeContinuousBackups => {
                table_features::continuous_backups(context, body, out).await
            }
            Operation::ListTagsOfResource => tags::list(context, body, out).await,
            Operation::TagResource => tags::tag(context, body).await,
            Operation::UntagResource => tags::untag(context, body).await,
            Operation::ListStreams => streams::list(context, body, out).await,
            Operation::DescribeStream => streams::describe(context, body, out).await,
            Operation::GetShardIterator => streams::iterator(context, body, out).await,
            Operation::GetRecords => streams::records(context, body, out).await,
            Operation::DescribeLimits => environment::limits(body, out),
            Operation::DescribeEndpoints => environment::endpoints(context, body, out),
            other => rest::run(other, context, body, out).await,
        }
    }
}

/// What an operation works with.
#[derive(Debug)]
pub struct Context<'c, D> {
    pub database: &'c Arc<D>,
    pub caller: Caller,
    pub region: &'c str,
    /// The `Host` of the request.
    pub endpoint: Option<&'c str>,
    pub deadline: Instant,
}

impl<D: Database> Context<'_, D> {
    /// A table whose items are wanted.
    async fn active_table(&self, name: &str) -> Result<Arc<Table>, Error> {
        let name = table_name_of(name);
        let table = self
            .database
            .table(&self.caller.account, name, self.deadline)
            .await?;
        match table.status {
            TableStatus::Active | TableStatus::Updating => Ok(table),
            TableStatus::Deleting | TableStatus::Creating => Err(Error::no_table()),
        }
    }

    /// A table that is itself wanted.
    async fn table(&self, name: &str) -> Result<Arc<Table>, Error> {
        let name = table_name_of(name);
        let found = self
            .database
            .table(&self.caller.account, name, self.deadline)
            .await;
        found.map_err(|error| named(error, name))
    }
}

/// An error of an operation on the table `name`.
fn named(error: api::Error, name: &str) -> Error {
    match error {
        api::Error::TableNotFound(_) => Error::no_table_named(name),
        other => other.into(),
    }
}

/// Checks a body against its table and reads it.
fn read<'b, T: Deserialize<'b>>(input: &'static Structure, body: &'b [u8]) -> Result<T, Error> {
    input::check(input, body)?;
    // What passed the check is of the shape; what is left are members given twice.
    serde_json::from_slice(body).map_err(|_| Error::Serialization(None))
}

/// How fresh a read is to be.
fn consistency(consistent: Option<input::Bool>) -> api::Consistency {
    match consistent {
        Some(input::Bool(true)) => api::Consistency::Strong,
        _ => api::Consistency::Eventual,
    }
}
