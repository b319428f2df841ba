//! `UpdateTable`: billing and deletion protection.

use kv_core::tables::{Billing, ExtrasChange, StreamView, Table, TableChange, TableStatus};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::create_table::{Definition, Encryption, OnDemand, Stream, Throughput, Warm, extras};
use super::{Context, indexes, named, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{Bool, Text, UPDATE_TABLE};
use crate::dynamo::{describe, output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    billing_mode: Option<Text<'a>>,
    provisioned_throughput: Option<Throughput>,
    deletion_protection_enabled: Option<Bool>,
    #[serde(borrow)]
    global_secondary_index_updates: Option<Vec<indexes::Update<'a>>>,
    #[serde(borrow)]
    attribute_definitions: Option<Vec<Definition<'a>>>,
    #[serde(borrow)]
    stream_specification: Option<Stream<'a>>,
    #[serde(rename = "SSESpecification")]
    sse_specification: Option<Encryption>,
    #[serde(borrow)]
    table_class: Option<Text<'a>>,
    on_demand_throughput: Option<OnDemand>,
    warm_throughput: Option<Warm>,
    replica_updates: Option<IgnoredAny>,
    multi_region_consistency: Option<IgnoredAny>,
    global_table_witness_updates: Option<IgnoredAny>,
    global_table_settings_replication_mode: Option<IgnoredAny>,
    disassociation_protection_enabled: Option<IgnoredAny>,
    vector_index_updates: Option<IgnoredAny>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&UPDATE_TABLE, body)?;
    let asked = request
        .provisioned_throughput
        .map(Throughput::billing)
        .transpose()?;
    check_something(&request)?;
    let updates = request
        .global_secondary_index_updates
        .as_deref()
        .unwrap_or_default();
    indexes::check_updates(updates)?;
    let stream = request
        .stream_specification
        .as_ref()
        .map(Stream::view)
        .transpose()?;
    refuse_later(&request)?;
    let table = context.table(&request.table_name).await?;
    if table.status != TableStatus::Active {
        return Err(Error::ResourceInUse(format!(
            "Attempt to change a resource which is still in use: Table is being {}: {}",
            match table.status {
                TableStatus::Creating => "created",
                TableStatus::Deleting => "deleted",
                TableStatus::Active | TableStatus::Updating => "updated",
            },
            table.name
        )));
    }
    let billing = billing(&table, request.billing_mode.as_deref(), asked)?;
    let definitions = request.attribute_definitions.as_deref().unwrap_or_default();
    let definitions = indexes::Definitions(definitions);
    let index = indexes::change(
        updates,
        &table,
        &definitions,
        billing.unwrap_or(table.billing),
    )?;
    if let Some(view) = stream {
        check_stream(&table, view)?;
    }
    let extras = extras(
        request.table_class.as_deref(),
        request.on_demand_throughput,
        request.warm_throughput.as_ref(),
    );
    let change = TableChange {
        billing,
        deletion_protection: request.deletion_protection_enabled.map(|enabled| enabled.0),
        index,
        stream,
        expiry: None,
        extras: (extras != ExtrasChange::default()).then_some(extras),
    };
    let table = context
        .database
        .update_table(&context.caller, &table.name, change, context.deadline)
        .await
        .map_err(|error| named(error, &table.name))?;
    output::object(out, |o| {
        o.object("TableDescription", |o| {
            describe::table(o, &table, context.region)
        });
    });
    Ok(())
}

/// A stream is begun where none runs, and ended where one does.
fn check_stream(table: &Table, view: Option<StreamView>) -> Result<(), Error> {
    let runs = table
        .stream()
        .is_some_and(|stream| stream.ended_ms.is_none());
    match (view, runs) {
        (Some(_), true) => Err(Error::validation(format!(
            "Table already has an enabled stream: TableName: {}",
            table.name
        ))),
        (None, false) => Err(Error::validation("Table has no stream to disable")),
        _ => Ok(()),
    }
}

/// There must be something to change.
fn check_something(request: &Request<'_>) -> Result<(), Error> {
    let something = request.provisioned_throughput.is_some()
        || request.billing_mode.is_some()
        || request.deletion_protection_enabled.is_some()
        || request
            .global_secondary_index_updates
            .as_ref()
            .is_some_and(|all| !all.is_empty())
        || request.stream_specification.is_some()
        || request.sse_specification.is_some()
        || request.table_class.is_some()
        || request.on_demand_throughput.is_some()
        || request.warm_throughput.is_some()
        || of_later(request).iter().any(|(_, given)| *given);
    if something {
        return Ok(());
    }
    Err(Error::validation(
        "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
         SSESpecification or ReplicaUpdates is required",
    ))
}

/// What no table here has, and whether it is asked for.
fn of_later(request: &Request<'_>) -> [(&'static str, bool); 6] {
    [
        ("ReplicaUpdates", request.replica_updates.is_some()),
        (
            "MultiRegionConsistency",
            request.multi_region_consistency.is_some(),
        ),
        (
            "GlobalTableWitnessUpdates",
            request.global_table_witness_updates.is_some(),
        ),
        (
            "GlobalTableSettingsReplicationMode",
            request.global_table_settings_replication_mode.is_some(),
        ),
        (
            "DisassociationProtectionEnabled",
            request.disassociation_protection_enabled.is_some(),
        ),
        ("VectorIndexUpdates", request.vector_index_updates.is_some()),
    ]
}

fn refuse_later(request: &Request<'_>) -> Result<(), Error> {
    let encrypted = [(
        "SSESpecification",
        request
            .sse_specification
            .as_ref()
            .is_some_and(|s| s.enabled.unwrap_or_default().0),
    )];
    let mut given = encrypted.into_iter().chain(of_later(request));
    match given.find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::later(name)),
        None => Ok(()),
    }
}

/// The change of billing, if there is one.
fn billing(
    table: &Table,
    mode: Option<&str>,
    asked: Option<Billing>,
) -> Result<Option<Billing>, Error> {
    match (mode, asked) {
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(Error::invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (Some("PAY_PER_REQUEST"), None) => Ok(Some(Billing::PayPerRequest)),
        (Some(_), None) if table.billing == Billing::PayPerRequest => Err(Error::invalid(
            "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        )),
        (None, Some(_)) if table.billing == Billing::PayPerRequest => Err(Error::invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (_, Some(asked)) if asked == table.billing => Err(unchanged(asked)),
        (_, asked) => Ok(asked),
    }
}

fn unchanged(billing: Billing) -> Error {
    let Billing::Provisioned { read, write } = billing else {
        return Error::validation("The billing mode for the table will not change.");
    };
    Error::validation(format!(
        "The provisioned throughput for the table will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for the table: {read}. Requested ReadCapacityUnits: {read}. \
         Current WriteCapacityUnits provisioned for the table: {write}. Requested WriteCapacityUnits: {write}. \
         Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    ))
}
