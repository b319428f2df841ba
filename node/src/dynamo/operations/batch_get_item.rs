//! `BatchGetItem`: up to 100 items of several tables, up to 16 MiB of them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kv_core::api::{Consistency, Get, Got};
use kv_core::tables::Table;
use kv_model::value::Item;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::{Outcome, Pairs, run_all};
use super::get_item::{size, wanted, write};
use super::{Context, consistency, read};
use crate::database::Database;
use crate::dynamo::capacity::{self, Report};
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Wanted, check_parameters};
use crate::dynamo::input::{BATCH_GET_ITEM, Bool, Names, Text, table_name_of};
use crate::dynamo::output::{self, Object};
use crate::dynamo::{keys, values};

const KEYS_MAX: usize = 100;
/// What one answer holds at most; the rest is left unprocessed.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    request_items: Pairs<'a, KeysAndAttributes<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAndAttributes<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    consistent_read: Option<Bool>,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
    #[serde(borrow)]
    attributes_to_get: Option<Vec<Text<'a>>>,
}

/// One table's part of a request, checked.
struct Part<'r, 'a> {
    name: &'r str,
    sent: &'r KeysAndAttributes<'a>,
    keys: Vec<Item>,
    wanted: Option<Wanted>,
    consistency: Consistency,
}

/// One table's part of an answer.
#[derive(Default)]
struct Answered {
    found: Vec<Bytes>,
    units: f64,
    unprocessed: Vec<usize>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&BATCH_GET_ITEM, body)?;
    let parts = check(&request)?;
    let mut gets = Vec::new();
    for part in &parts {
        let table = context.active_table(part.name).await?;
        for row in rows(part, &table)? {
            let get = Get {
                table: table.id.0,
                row,
                consistency: part.consistency.into(),
                ..Default::default()
            };
            let (database, caller) = (Arc::clone(context.database), context.caller.clone());
            let deadline = context.deadline;
            gets.push(async move { database.get(&caller, get, deadline).await });
        }
    }
    let outcomes = run_all(gets).await?;
    let answered = collect(&parts, outcomes);
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    answer(&parts, &answered, report, out)
}

/// The checks that need no table.
fn check<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<Part<'r, 'a>>, Error> {
    let mut count = 0;
    let mut parts = Vec::new();
    for (name, sent) in &request.request_items.0 {
        check_parameters(
            &[("ProjectionExpression", sent.projection_expression.is_some())],
            &[("AttributesToGet", sent.attributes_to_get.is_some())],
            sent.expression_attribute_names.is_some(),
            false,
        )?;
        let parsed: Vec<Item> = sent
            .keys
            .iter()
            .map(|key| values::parse_item(key))
            .collect::<Result<_, _>>()?;
        count += parsed.len();
        if count > KEYS_MAX {
            return Err(Error::validation(
                "Too many items requested for the BatchGetItem call",
            ));
        }
        let wanted = wanted(
            sent.projection_expression.as_deref(),
            sent.attributes_to_get.as_deref(),
            sent.expression_attribute_names.clone(),
        )?;
        let mut seen = HashSet::new();
        if !parsed
            .iter()
            .all(|key| seen.insert(kv_model::encoding::item::encode(key)))
        {
            return Err(Error::validation(
                "Provided list of item keys contains duplicates",
            ));
        }
        parts.push(Part {
            name: table_name_of(name),
            sent,
            keys: parsed,
            wanted,
            consistency: consistency(sent.consistent_read),
        });
    }
    Ok(parts)
}

fn rows(part: &Part<'_, '_>, table: &Table) -> Result<Vec<Bytes>, Error> {
    if let Some(wanted) = &part.wanted {
        wanted.check_keys(&table.schema)?;
    }
    part.keys
        .iter()
        .map(|key| Ok(keys::of_key(table, key)?.row))
        .collect()
}

/// Sorts outcomes by table, up to the size of an answer.
fn collect(parts: &[Part<'_, '_>], outcomes: Vec<Outcome<Got>>) -> Vec<Answered> {
    let mut outcomes = outcomes.into_iter();
    let mut bytes = 0;
    let of_part = |part: &Part<'_, '_>| {
        let mut answered = Answered::default();
        for (index, outcome) in outcomes.by_ref().take(part.keys.len()).enumerate() {
            let Outcome::Done(got) = outcome else {
                answered.unprocessed.push(index);
                continue;
            };
            let size = got.item.as_deref().map_or(0, size);
            if bytes > 0 && bytes + size > ANSWER_BYTES_MAX {
                answered.unprocessed.push(index);
                continue;
            }
            bytes += size;
            answered.units += capacity::read_units(size, part.consistency == Consistency::Strong);
            answered.found.extend(got.item);
        }
        answered
    };
    parts.iter().map(of_part).collect()
}

fn answer(
    parts: &[Part<'_, '_>],
    answered: &[Answered],
    report: Report,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let both = || parts.iter().zip(answered);
    let mut failed = Ok(());
    output::object(out, |o| {
        o.object("Responses", |o| {
            for (part, answered) in both() {
                o.value_of(part.name, |out| {
                    output::array(out, &answered.found, |encoded, out| {
                        if let Err(error) = write(encoded, part.wanted.as_ref(), out) {
                            failed = Err(error);
                        }
                    });
                });
            }
        });
        o.object("UnprocessedKeys", |o| {
            for (part, answered) in both().filter(|(_, answered)| !answered.unprocessed.is_empty())
            {
                o.value_of(part.name, |out| {
                    output::object(out, |o| {
                        write_unprocessed(o, part.sent, &answered.unprocessed)
                    });
                });
            }
        });
        if report != Report::None {
            o.array("ConsumedCapacity", both(), |(part, answered), out| {
                output::object(out, |o| {
                    capacity::describe(o, report, part.name, answered.units)
                });
            });
        }
    });
    failed
}

/// Gives back the part of a request that was not served, as it came.
fn write_unprocessed(o: &mut Object<'_>, sent: &KeysAndAttributes<'_>, unprocessed: &[usize]) {
    let keys = unprocessed.iter().filter_map(|index| sent.keys.get(*index));
    o.array("Keys", keys, |key, out| {
        out.extend_from_slice(key.get().as_bytes())
    });
    if let Some(consistent) = sent.consistent_read {
        o.bool("ConsistentRead", consistent.0);
    }
    if let Some(text) = &sent.projection_expression {
        o.string("ProjectionExpression", text);
    }
    if let Some(names) = &sent.expression_attribute_names {
        o.object("ExpressionAttributeNames", |o| {
            for (key, name) in &names.0 {
                o.value_of(key, |out| output::string(name, out));
            }
        });
    }
    if let Some(names) = &sent.attributes_to_get {
        o.array("AttributesToGet", names, |name, out| {
            output::string(name, out)
        });
    }
}
