//! Answers of the operations as messages.

use std::collections::BTreeMap;

use kv_model::json::Checked;
use kv_model::value;
use kv_proto::kv::batch_write::Write;
use kv_proto::kv::{
    BatchReply, BatchRequest, BatchWrite, Consumed, GetReply, Item, Items, Page, Reads, WriteReply,
    Writes,
};
use serde::Deserialize;

use super::status::Refusal;
use super::values;
use crate::dynamo::Error;

type Parsed = Checked<value::Item>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    item: Option<Parsed>,
    attributes: Option<Parsed>,
    items: Vec<Parsed>,
    count: u64,
    scanned_count: u64,
    last_evaluated_key: Option<Parsed>,
    consumed_capacity: Option<Capacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Capacity {
    table_name: String,
    capacity_units: f64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BatchAnswer {
    responses: BTreeMap<String, Vec<Parsed>>,
    unprocessed_keys: BTreeMap<String, UnprocessedKeys>,
    unprocessed_items: BTreeMap<String, Vec<UnprocessedWrite>>,
    consumed_capacity: Vec<Capacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnprocessedKeys {
    keys: Vec<Parsed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnprocessedWrite {
    put_request: Option<PutRequest>,
    delete_request: Option<DeleteRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest {
    item: Parsed,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest {
    key: Parsed,
}

pub(super) fn get(text: &[u8]) -> Result<GetReply, Refusal> {
    let answer: Answer = parse(text)?;
    Ok(GetReply {
        item: answer.item.map(item).transpose()?,
        context: Default::default(),
        consumed: answer.consumed_capacity.map(consumed),
    })
}

pub(super) fn write(text: &[u8]) -> Result<WriteReply, Refusal> {
    let answer: Answer = parse(text)?;
    Ok(WriteReply {
        attributes: answer.attributes.map(item).transpose()?,
        context: Default::default(),
        consumed: answer.consumed_capacity.map(consumed),
    })
}

pub(super) fn page(text: &[u8]) -> Result<Page, Refusal> {
    let answer: Answer = parse(text)?;
    Ok(Page {
        items: items(answer.items)?,
        count: answer.count,
        scanned: answer.scanned_count,
        last_key: answer.last_evaluated_key.map(item).transpose()?,
        context: Default::default(),
        consumed: answer.consumed_capacity.map(consumed),
    })
}

/// What was not done is given back with what the request said beside it.
pub(super) fn batch(text: &[u8], request: &BatchRequest) -> Result<BatchReply, Refusal> {
    let answer: BatchAnswer = parse(text)?;
    let mut reply = BatchReply {
        consumed: answer.consumed_capacity.into_iter().map(consumed).collect(),
        ..Default::default()
    };
    for (table, found) in answer.responses {
        let items = items(found)?;
        reply.items.insert(table, Items { items });
    }
    for (table, left) in answer.unprocessed_keys {
        let sent = request.reads.get(&table);
        let reads = Reads {
            keys: items(left.keys)?,
            consistency: sent.and_then(|sent| sent.consistency),
            projection: sent.map(|sent| sent.projection.clone()).unwrap_or_default(),
            names: sent.map(|sent| sent.names.clone()).unwrap_or_default(),
        };
        reply.unprocessed_reads.insert(table, reads);
    }
    for (table, left) in answer.unprocessed_items {
        let writes = left.into_iter().map(unprocessed);
        let writes = writes.collect::<Result<_, _>>()?;
        reply.unprocessed_writes.insert(table, Writes { writes });
    }
    Ok(reply)
}

fn unprocessed(left: UnprocessedWrite) -> Result<BatchWrite, Refusal> {
    let put = left.put_request.map(|put| item(put.item).map(Write::Put));
    let delete = left
        .delete_request
        .map(|delete| item(delete.key).map(Write::Delete));
    Ok(BatchWrite {
        write: put.or(delete).transpose()?,
        context: Default::default(),
    })
}

fn items(all: Vec<Parsed>) -> Result<Vec<Item>, Refusal> {
    all.into_iter().map(item).collect()
}

fn item(parsed: Parsed) -> Result<Item, Refusal> {
    let read = parsed.into_result();
    read.map(values::item).map_err(|error| own_fault(&error))
}

fn consumed(capacity: Capacity) -> Consumed {
    Consumed {
        table: capacity.table_name,
        units: capacity.capacity_units,
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(text).map_err(|error| own_fault(&error))
}

/// An answer of ours that we can't read.
fn own_fault(error: &dyn std::error::Error) -> Refusal {
    Refusal::Api(Error::Internal(error.to_string()))
}
