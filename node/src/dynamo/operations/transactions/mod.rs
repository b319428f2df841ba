//! `TransactWriteItems`, `TransactGetItems` and `ExecuteTransaction`: all of it at one moment, or nothing.
//!
//! ```text
//!   body ─► items, each checked as its own request would be ─► Write or Get of each ─► Database::transact ─► answer
//!             │ mistakes of the request: ValidationException       │ mistakes against the table: a reason of the cancellation
//! ```

mod items;
mod statements;

use std::collections::BTreeMap;
use std::sync::Arc;

use kv_core::api;
use kv_core::shard::io::{TransactError, Transacted};
use kv_core::tables::Table;
use serde::Deserialize;

use self::items::{ReadItem, WriteItem, Wrong, prepare_read, prepare_write};
pub use self::statements::execute;
use super::get_item::{size, write as write_item};
use super::{Context, read};
use crate::database::Database;
use crate::dynamo::capacity::{self, Report};
use crate::dynamo::error::{Error, Reason};
use crate::dynamo::input::{TRANSACT_GET_ITEMS, TRANSACT_WRITE_ITEMS, Text};
use crate::dynamo::output::{self, Object};

/// Items of a transaction and what is written to them are not larger than this together, bytes.
const TRANSACTION_BYTES_MAX: u64 = 4 << 20;
/// A transactional read or write costs twice as much as another.
const FACTOR: f64 = 2.0;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest<'a> {
    #[serde(borrow)]
    transact_items: Vec<WriteItem<'a>>,
    #[serde(borrow)]
    client_request_token: Option<Text<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    #[serde(borrow)]
    return_item_collection_metrics: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReadRequest<'a> {
    #[serde(borrow)]
    transact_items: Vec<ReadItem<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
}

pub async fn write<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: WriteRequest<'_> = read(&TRANSACT_WRITE_ITEMS, body)?;
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    let metrics = request.return_item_collection_metrics.as_deref();
    let token = request.client_request_token.as_deref().map(str::to_owned);
    write_all(
        context,
        request.transact_items,
        token,
        report,
        metrics,
        |_| {},
        out,
    )
    .await
}

/// Runs the writes; answers with what they cost, behind what `lead` writes.
async fn write_all<D: Database>(
    context: &Context<'_, D>,
    items: Vec<WriteItem<'_>>,
    token: Option<String>,
    report: Report,
    metrics: Option<&str>,
    lead: impl FnOnce(&mut Object<'_>),
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut parsed = Vec::with_capacity(items.len());
    for item in items {
        parsed.push(item.parse()?);
    }
    let mut prepared = Vec::with_capacity(parsed.len());
    for item in parsed {
        let table = context.active_table(item.table()).await?;
        prepared.push((prepare_write(item, &table, report, metrics), table));
    }
    let all = all_right(prepared)?;
    check_distinct(all.iter().map(|(item, _)| &item.write.row[..]))?;
    let bytes: u64 = all.iter().map(|(item, _)| item.bytes).sum();
    if bytes > TRANSACTION_BYTES_MAX {
        return Err(Error::validation(format!(
            "Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"
        )));
    }
    let writes = all.iter().map(|(item, _)| item.write.clone()).collect();
    let done = context
        .database
        .transact(&context.caller, token, writes, context.deadline)
        .await
        .map_err(Error::from)?;
    let written = match done {
        Transacted::Written(written) => Some(written),
        Transacted::Before => None,
        Transacted::Read(_) => return Err(Error::Internal("a read among writes".into())),
    };
    let mut used: BTreeMap<&str, Used> = BTreeMap::new();
    for (at, (item, table)) in all.iter().enumerate() {
        let sum = used.entry(&table.name).or_default();
        match written.as_ref().and_then(|written| written.get(at)) {
            Some(one) => {
                sum.units += capacity::write_units(one.old_size, one.new_size) * FACTOR;
                sum.indexes.push(&one.indexes);
            }
            // Done before: its items are read, to say so.
            None => sum.units += capacity::read_units(item.bytes, true) * FACTOR,
        }
    }
    output::object(out, |o| {
        let direction = match written {
            Some(_) => "WriteCapacityUnits",
            None => "ReadCapacityUnits",
        };
        lead(o);
        report_all(o, report, direction, &used);
        let mut collections: BTreeMap<&str, Vec<&super::write::Collection>> = BTreeMap::new();
        for (item, table) in &all {
            if let Some(collection) = &item.collection {
                collections.entry(&table.name).or_default().push(collection);
            }
        }
        if !collections.is_empty() {
            o.object("ItemCollectionMetrics", |o| {
                for (table, all) in collections {
                    o.value_of(table, |out| {
                        output::array(out, all, |one, out| one.write(out));
                    });
                }
            });
        }
    });
    Ok(())
}

/// What a transaction used of a table.
#[derive(Default)]
struct Used<'u> {
    units: f64,
    indexes: Vec<&'u [api::IndexUse]>,
}

fn report_all(
    o: &mut Object<'_>,
    report: Report,
    direction: &'static str,
    used: &BTreeMap<&str, Used<'_>>,
) {
    if report == Report::None {
        return;
    }
    o.array("ConsumedCapacity", used, |(table, used), out| {
        let indexes: Vec<(&str, bool, f64)> = capacity::sum_uses(used.indexes.iter().copied())
            .into_iter()
            .map(|(name, local, units)| (name, local, units * FACTOR))
            .collect();
        output::object(out, |o| {
            capacity::describe_transaction(o, report, direction, table, used.units, &indexes);
        });
    });
}

/// An item is part of a transaction at most once.
fn check_distinct<'r>(rows: impl Iterator<Item = &'r [u8]>) -> Result<(), Error> {
    let mut rows: Vec<&[u8]> = rows.collect();
    rows.sort_unstable();
    if rows.windows(2).any(|two| two[0] == two[1]) {
        return Err(Error::validation(
            "Transaction request cannot include multiple operations on one item",
        ));
    }
    Ok(())
}

/// Items with their tables; refuses a transaction some of whose items can't be right for theirs.
fn all_right<T>(
    prepared: Vec<(Result<T, Wrong>, Arc<Table>)>,
) -> Result<Vec<(T, Arc<Table>)>, Error> {
    let mut all = Vec::with_capacity(prepared.len());
    let mut reasons = Vec::with_capacity(prepared.len());
    for (item, table) in prepared {
        match item {
            Ok(item) => {
                all.push((item, table));
                reasons.push(Reason::none());
            }
            Err(Wrong::Item(message)) => reasons.push(Reason::new("ValidationError", message)),
            Err(Wrong::Request(error)) => return Err(error),
        }
    }
    match all.len() == reasons.len() {
        true => Ok(all),
        false => Err(Error::TransactionCanceled(reasons)),
    }
}

pub async fn get<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: ReadRequest<'_> = read(&TRANSACT_GET_ITEMS, body)?;
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    get_all(context, request.transact_items, report, out).await
}

async fn get_all<D: Database>(
    context: &Context<'_, D>,
    items: Vec<ReadItem<'_>>,
    report: Report,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut parsed = Vec::with_capacity(items.len());
    for item in items {
        parsed.push(item.parse()?);
    }
    let mut prepared = Vec::with_capacity(parsed.len());
    for item in parsed {
        let table = context.active_table(item.table()).await?;
        prepared.push((prepare_read(item, &table), table));
    }
    let all = all_right(prepared)?;
    check_distinct(all.iter().map(|(item, _)| &item.get.row[..]))?;
    let gets = all.iter().map(|(item, _)| item.get.clone()).collect();
    let done = context
        .database
        .transact_read(&context.caller, gets, context.deadline)
        .await
        .map_err(Error::from)?;
    let Transacted::Read(found) = done else {
        return Err(Error::Internal("a write among reads".into()));
    };
    let mut used: BTreeMap<&str, Used> = BTreeMap::new();
    for ((_, table), got) in all.iter().zip(&found) {
        let size = got.item.as_ref().map_or(0, |encoded| size(encoded));
        let sum = used.entry(&table.name).or_default();
        sum.units += capacity::read_units(size, true) * FACTOR;
    }
    let mut failed = Ok(());
    output::object(out, |o| {
        report_all(o, report, "ReadCapacityUnits", &used);
        o.array(
            "Responses",
            all.iter().zip(&found),
            |((item, _), got), out| {
                output::object(out, |o| {
                    if let Some(encoded) = &got.item {
                        o.value("Item", |out| {
                            if let Err(error) = write_item(encoded, item.wanted.as_ref(), out) {
                                failed = Err(error);
                            }
                        });
                    }
                });
            },
        );
    });
    failed
}

impl From<TransactError> for Error {
    fn from(error: TransactError) -> Self {
        match error {
            TransactError::Failed(error) => error.into(),
            TransactError::InProgress => Error::Named(
                "TransactionInProgressException",
                "The transaction with the given request token is already in progress.".into(),
            ),
            TransactError::Mismatch => {
                Error::Named("IdempotentParameterMismatchException", String::new())
            }
            TransactError::Cancelled(errors) => {
                let reasons = errors.into_iter();
                Error::TransactionCanceled(
                    reasons
                        .map(|e| e.map_or_else(Reason::none, reason))
                        .collect(),
                )
            }
        }
    }
}

fn reason(error: api::Error) -> Reason {
    match error {
        api::Error::ConditionFailed { item } => Reason {
            item,
            ..Reason::new("ConditionalCheckFailed", "The conditional request failed")
        },
        api::Error::Conflict { .. } => {
            Reason::new("TransactionConflict", "Transaction is ongoing for the item")
        }
        api::Error::Throttled(_) => Reason::new(
            "ThrottlingError",
            "Rate of requests exceeds the allowed throughput.",
        ),
        api::Error::Unavailable(_) | api::Error::OutcomeUnknown(_) => {
            Reason::new("InternalServerError", "Internal server error")
        }
        error => Reason::new("ValidationError", error.to_string()),
    }
}
