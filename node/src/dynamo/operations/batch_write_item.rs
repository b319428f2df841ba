//! `BatchWriteItem`: up to 25 puts and deletes over several tables. Each is atomic, the batch is not.

use std::collections::HashSet;
use std::sync::Arc;

use kv_core::api::{Action, Returns, Write, Written};
use kv_core::tables::Table;
use kv_model::encoding::item;
use kv_model::value::{Item, check_item};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::{Outcome, Pairs, run_all};
use super::write::{Collection, counts_indexes};
use super::{Context, read};
use crate::database::Database;
use crate::dynamo::capacity::{self, Report};
use crate::dynamo::error::Error;
use crate::dynamo::input::{BATCH_WRITE_ITEM, Text, table_name_of};
use crate::dynamo::{keys, output, values};

const WRITES_MAX: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    request_items: Pairs<'a, Vec<&'a RawValue>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    #[serde(borrow)]
    return_item_collection_metrics: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest<'a> {
    #[serde(borrow)]
    put_request: Option<PutRequest<'a>>,
    #[serde(borrow)]
    delete_request: Option<DeleteRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
    #[serde(borrow)]
    item: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest<'a> {
    #[serde(borrow)]
    key: &'a RawValue,
}

enum Change {
    Put(Item),
    Delete(Item),
}

/// One table's part of a request, checked.
struct Part<'r, 'a> {
    name: &'r str,
    sent: &'r [&'a RawValue],
    changes: Vec<Change>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&BATCH_WRITE_ITEM, body)?;
    let parts = check(&request)?;
    // All is checked before anything is written.
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    let asked = request.return_item_collection_metrics.as_deref();
    let mut writes = Vec::new();
    let mut collections: Vec<(&str, Vec<Collection>)> = Vec::new();
    for part in &parts {
        let table = context.active_table(part.name).await?;
        let of_part = writes_of(part, &table, report)?;
        let touched = of_part
            .iter()
            .filter_map(|write| Collection::of(&table, &write.key, asked));
        collections.push((part.name, touched.collect()));
        writes.extend(of_part);
    }
    collections.retain(|(_, touched)| !touched.is_empty());
    let tasks = writes.into_iter().map(|write| {
        let (database, caller) = (Arc::clone(context.database), context.caller.clone());
        let deadline = context.deadline;
        async move { database.write(&caller, write, deadline).await }
    });
    let outcomes = run_all(tasks.collect()).await?;
    answer(&parts, &outcomes, report, &collections, out);
    Ok(())
}

/// The checks that need no table.
fn check<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<Part<'r, 'a>>, Error> {
    let mut count = 0;
    let mut parts = Vec::new();
    for (name, sent) in &request.request_items.0 {
        let mut changes = Vec::with_capacity(sent.len());
        for one in sent {
            changes.push(change(one)?);
            count += 1;
            if count > WRITES_MAX {
                return Err(Error::validation(
                    "Too many items requested for the BatchWriteItem call",
                ));
            }
        }
        parts.push(Part {
            name: table_name_of(name),
            sent,
            changes,
        });
    }
    Ok(parts)
}

fn change(sent: &RawValue) -> Result<Change, Error> {
    let request: WriteRequest<'_> =
        serde_json::from_str(sent.get()).map_err(|_| Error::Serialization(None))?;
    match (request.put_request, request.delete_request) {
        (Some(put), None) => {
            let new = values::parse_item(put.item)?;
            check_item(&new).map_err(|error| Error::Validation(error.to_string()))?;
            Ok(Change::Put(new))
        }
        (None, Some(delete)) => Ok(Change::Delete(values::parse_item(delete.key)?)),
        (Some(_), Some(_)) | (None, None) => Err(Error::validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        )),
    }
}

fn writes_of(part: &Part<'_, '_>, table: &Table, report: Report) -> Result<Vec<Write>, Error> {
    let count_indexes = counts_indexes(table, report);
    let mut rows = HashSet::new();
    let mut writes = Vec::with_capacity(part.changes.len());
    for change in &part.changes {
        let (keyed, action) = match change {
            Change::Put(new) => {
                let keyed = keys::of_batched_item(table, new)?;
                let encoded = item::encode(new);
                keys::check_indexes(table, &encoded)?;
                (keyed, Action::Put(encoded))
            }
            Change::Delete(key) => (keys::of_key(table, key)?, Action::Delete(true)),
        };
        if !rows.insert(keyed.row.clone()) {
            return Err(Error::validation(
                "Provided list of item keys contains duplicates",
            ));
        }
        writes.push(Write {
            table: table.id.0,
            row: keyed.row,
            key: keyed.key,
            condition: None,
            returns: Returns::None.into(),
            action: Some(action),
            count_indexes,
            ..Default::default()
        });
    }
    Ok(writes)
}

fn answer(
    parts: &[Part<'_, '_>],
    outcomes: &[Outcome<Written>],
    report: Report,
    collections: &[(&str, Vec<Collection>)],
    out: &mut Vec<u8>,
) {
    let mut rest = outcomes;
    let mut by_part = Vec::with_capacity(parts.len());
    for part in parts {
        let (mine, others) = rest.split_at(part.changes.len().min(rest.len()));
        by_part.push((part, mine));
        rest = others;
    }
    output::object(out, |o| {
        o.object("UnprocessedItems", |o| {
            for (part, outcomes) in &by_part {
                let sent = part.sent.iter().zip(*outcomes);
                let mut left = sent
                    .filter(|(_, outcome)| matches!(outcome, Outcome::Unprocessed))
                    .peekable();
                if left.peek().is_some() {
                    o.value_of(part.name, |out| {
                        output::array(out, left, |(sent, _), out| {
                            out.extend_from_slice(sent.get().as_bytes());
                        });
                    });
                }
            }
        });
        if !collections.is_empty() {
            o.object("ItemCollectionMetrics", |o| {
                for (table, touched) in collections {
                    o.value_of(table, |out| {
                        output::array(out, touched, |one, out| one.write(out));
                    });
                }
            });
        }
        if report != Report::None {
            o.array("ConsumedCapacity", &by_part, |(part, outcomes), out| {
                let units = outcomes.iter().map(|outcome| match outcome {
                    Outcome::Done(written) => {
                        capacity::write_units(written.old_size, written.new_size)
                    }
                    Outcome::Unprocessed => 0.0,
                });
                let units = units.sum();
                let used =
                    capacity::sum_uses(outcomes.iter().filter_map(|outcome| match outcome {
                        Outcome::Done(written) => Some(&written.indexes[..]),
                        Outcome::Unprocessed => None,
                    }));
                output::object(out, |o| {
                    capacity::describe_with(o, report, part.name, units, &used);
                });
            });
        }
    });
}
