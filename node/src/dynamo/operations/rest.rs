//! What surrounds tables and is not offered here: backups, point-in-time recovery, exports, imports, bulk operations, global
//! tables, Kinesis, contributor insights, policies, vectors.
//!
//! The input is checked as the service checks it. Then comes the service's answer for a feature that is off or for
//! something that is not there, or an error that names what is not offered: nothing claims to have happened.

use kv_core::tables::Table;
use serde::Deserialize;

use super::{Context, Operation};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{self, Bool, Text, of_generated};
use crate::dynamo::output;

/// All that the answers look at; the rest of the input was checked and is dropped.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    #[serde(borrow)]
    table_arn: Option<Text<'a>>,
    #[serde(borrow)]
    source_table_name: Option<Text<'a>>,
    #[serde(borrow)]
    source_table_arn: Option<Text<'a>>,
    #[serde(borrow)]
    global_table_name: Option<Text<'a>>,
    #[serde(borrow)]
    resource_arn: Option<Text<'a>>,
    #[serde(borrow)]
    backup_arn: Option<Text<'a>>,
    #[serde(borrow)]
    export_arn: Option<Text<'a>>,
    #[serde(borrow)]
    import_arn: Option<Text<'a>>,
    #[serde(borrow)]
    bulk_operation_arn: Option<Text<'a>>,
    #[serde(borrow)]
    index_name: Option<Text<'a>>,
    #[serde(borrow)]
    contributor_insights_action: Option<Text<'a>>,
    point_in_time_recovery_specification: Option<Recovery>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recovery {
    point_in_time_recovery_enabled: Bool,
}

pub async fn run<D: Database>(
    operation: Operation,
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    input::check(of_generated(operation.name())?, body)?;
    let request: Request<'_> =
        serde_json::from_slice(body).map_err(|_| Error::Serialization(None))?;
    match operation {
        Operation::ListBackups => empty_list("BackupSummaries", out),
        Operation::ListExports => empty_list("ExportSummaries", out),
        Operation::ListImports => empty_list("ImportSummaryList", out),
        Operation::ListGlobalTables => empty_list("GlobalTables", out),
        Operation::ListContributorInsights => empty_list("ContributorInsightsSummaries", out),
        Operation::ListBulkOperations => empty_list("BulkOperationsSummaryList", out),
        Operation::CreateBackup
        | Operation::UpdateContinuousBackups
        | Operation::ExportTableToPointInTime
        | Operation::RestoreTableToPointInTime => recovery(operation, context, &request, out).await,
        Operation::DescribeContributorInsights
        | Operation::UpdateContributorInsights
        | Operation::DescribeKinesisStreamingDestination
        | Operation::EnableKinesisStreamingDestination
        | Operation::DisableKinesisStreamingDestination
        | Operation::UpdateKinesisStreamingDestination
        | Operation::DescribeTableReplicaAutoScaling
        | Operation::UpdateTableReplicaAutoScaling
        | Operation::StartBulkPutItems
        | Operation::SearchVectors => of_table(operation, context, &request, out).await,
        Operation::GetResourcePolicy
        | Operation::PutResourcePolicy
        | Operation::DeleteResourcePolicy => policy(operation, context, &request, out).await,
        Operation::ImportTable => Err(not_offered(operation)),
        Operation::CreateGlobalTable => {
            let name = request.global_table_name.as_deref().unwrap_or_default();
            known(context, name).await?;
            Err(not_offered(operation))
        }
        _ => Err(absent(operation, &request)),
    }
}

fn empty_list(member: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    output::object(out, |o| o.array(member, [(); 0], |(), _| {}));
    Ok(())
}

fn not_offered(operation: Operation) -> Error {
    Error::validation(format!(
        "The operation {} is not offered here",
        operation.name()
    ))
}

/// Nothing of the kind that a request names exists.
fn absent(operation: Operation, request: &Request<'_>) -> Error {
    let arn = |arn: &Option<Text<'_>>| arn.as_deref().unwrap_or_default().to_owned();
    match operation {
        Operation::DescribeBackup | Operation::DeleteBackup | Operation::RestoreTableFromBackup => {
            Error::Named(
                "BackupNotFoundException",
                format!("Backup not found: {}", arn(&request.backup_arn)),
            )
        }
        Operation::DescribeExport => Error::Named(
            "ExportNotFoundException",
            format!("Export not found: {}", arn(&request.export_arn)),
        ),
        Operation::DescribeImport => Error::Named(
            "ImportNotFoundException",
            format!("Import not found: {}", arn(&request.import_arn)),
        ),
        Operation::DescribeBulkOperation | Operation::CancelBulkOperation => {
            Error::ResourceNotFound(format!(
                "Requested resource not found: Bulk operation: {} not found",
                arn(&request.bulk_operation_arn)
            ))
        }
        _ => Error::Named(
            "GlobalTableNotFoundException",
            format!(
                "Global table not found: Global table with name: {} does not exist",
                arn(&request.global_table_name)
            ),
        ),
    }
}

/// The table that a request names, in the words of the newer operations if it is not there.
async fn known<D: Database>(
    context: &Context<'_, D>,
    name: &str,
) -> Result<std::sync::Arc<Table>, Error> {
    context.table(name).await.map_err(|error| match error {
        Error::ResourceNotFound(_) => Error::Named(
            "TableNotFoundException",
            format!("Table not found: {}", input::table_name_of(name)),
        ),
        other => other,
    })
}

async fn recovery<D: Database>(
    operation: Operation,
    context: &Context<'_, D>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let names = [
        &request.table_name,
        &request.table_arn,
        &request.source_table_name,
        &request.source_table_arn,
    ];
    let Some(name) = names.into_iter().find_map(|name| name.as_deref()) else {
        return Err(Error::validation(
            "One of SourceTableArn or SourceTableName must be provided",
        ));
    };
    let table = known(context, name).await?;
    let enables = request
        .point_in_time_recovery_specification
        .as_ref()
        .is_some_and(|recovery| recovery.point_in_time_recovery_enabled.0);
    match operation {
        Operation::UpdateContinuousBackups if !enables => {
            super::table_features::describe_off(out);
            Ok(())
        }
        Operation::UpdateContinuousBackups | Operation::CreateBackup => Err(Error::Named(
            "ContinuousBackupsUnavailableException",
            "Backups are not available on this cluster".into(),
        )),
        _ => Err(Error::Named(
            "PointInTimeRecoveryUnavailableException",
            format!(
                "Point in time recovery is not enabled for table '{}'",
                table.name
            ),
        )),
    }
}

async fn of_table<D: Database>(
    operation: Operation,
    context: &Context<'_, D>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let table = context
        .table(request.table_name.as_deref().unwrap_or_default())
        .await?;
    if let Some(index) = request.index_name.as_deref()
        && table.index(index).is_none()
    {
        return Err(Error::ResourceNotFound(format!(
            "Requested resource not found: Table: {} Index: {index} not found",
            table.name
        )));
    }
    let disables = request.contributor_insights_action.as_deref() == Some("DISABLE");
    match operation {
        Operation::UpdateContributorInsights if !disables => Err(not_offered(operation)),
        Operation::DescribeContributorInsights | Operation::UpdateContributorInsights => {
            output::object(out, |o| {
                o.string("TableName", &table.name);
                if let Some(index) = request.index_name.as_deref() {
                    o.string("IndexName", index);
                }
                o.string("ContributorInsightsStatus", "DISABLED");
            });
            Ok(())
        }
        Operation::DescribeKinesisStreamingDestination => {
            output::object(out, |o| {
                o.string("TableName", &table.name);
                o.array("KinesisDataStreamDestinations", [(); 0], |(), _| {});
            });
            Ok(())
        }
        Operation::DisableKinesisStreamingDestination
        | Operation::UpdateKinesisStreamingDestination => {
            let verb = match operation {
                Operation::DisableKinesisStreamingDestination => "disable",
                _ => "update",
            };
            Err(Error::validation(format!(
                "Table is not in a valid state to {verb} Kinesis Streaming Destination: Streaming Destination must be \
                 ACTIVE to perform {} operation.",
                verb.to_uppercase()
            )))
        }
        Operation::DescribeTableReplicaAutoScaling => {
            output::object(out, |o| {
                o.object("TableAutoScalingDescription", |o| {
                    o.string("TableName", &table.name);
                    o.string("TableStatus", crate::dynamo::describe::status(table.status));
                    o.array("Replicas", [(); 0], |(), _| {});
                });
            });
            Ok(())
        }
        _ => Err(not_offered(operation)),
    }
}

async fn policy<D: Database>(
    operation: Operation,
    context: &Context<'_, D>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let arn = request.resource_arn.as_deref().unwrap_or_default();
    context
        .table(arn.split("/index/").next().unwrap_or(arn))
        .await?;
    match operation {
        Operation::PutResourcePolicy => Err(not_offered(operation)),
        // To delete what is not there is no mistake.
        Operation::DeleteResourcePolicy => {
            output::object(out, |_| {});
            Ok(())
        }
        _ => Err(Error::Named(
            "PolicyNotFoundException",
            format!("Resource-based policy not found for the provided ResourceArn: {arn}"),
        )),
    }
}
