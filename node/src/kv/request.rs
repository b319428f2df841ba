//! Messages as bodies of the operations that they become.

use bytes::Bytes;
use kv_proto::kv::batch_write::Write;
use kv_proto::kv::consistency::Level;
use kv_proto::kv::{
    BatchRequest, Consistency, DeleteRequest, GetRequest, Item, Placeholders, PutRequest,
    QueryRequest, Reads, ReturnValues, ScanRequest, UpdateRequest, Writes,
};

use super::status::Refusal;
use super::values::{write_item, write_value};
use crate::dynamo::output::{self, Object, object};

/// Longest causal context, bytes.
const CONTEXT_BYTES_MAX: usize = 4096;

type Body = Result<Vec<u8>, Refusal>;

pub(super) fn get(request: &GetRequest) -> Body {
    let consistent = is_strong(request.consistency.as_ref())?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        item(o, "Key", request.key.as_ref());
        o.bool("ConsistentRead", consistent);
        text(o, "ProjectionExpression", &request.projection);
        placeholders(o, request.placeholders.as_ref());
        consumed(o, request.return_consumed);
    }))
}

pub(super) fn put(request: &PutRequest) -> Body {
    check_write(request.consistency.as_ref(), &request.context)?;
    let returns = returns(request.return_values)?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        item(o, "Item", request.item.as_ref());
        text(o, "ConditionExpression", &request.condition);
        placeholders(o, request.placeholders.as_ref());
        o.string("ReturnValues", returns);
        on_failure(o, request.return_on_failure);
        consumed(o, request.return_consumed);
    }))
}

pub(super) fn update(request: &UpdateRequest) -> Body {
    check_write(request.consistency.as_ref(), &request.context)?;
    let returns = returns(request.return_values)?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        item(o, "Key", request.key.as_ref());
        text(o, "UpdateExpression", &request.update);
        text(o, "ConditionExpression", &request.condition);
        placeholders(o, request.placeholders.as_ref());
        o.string("ReturnValues", returns);
        on_failure(o, request.return_on_failure);
        consumed(o, request.return_consumed);
    }))
}

pub(super) fn delete(request: &DeleteRequest) -> Body {
    check_write(request.consistency.as_ref(), &request.context)?;
    let returns = returns(request.return_values)?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        item(o, "Key", request.key.as_ref());
        text(o, "ConditionExpression", &request.condition);
        placeholders(o, request.placeholders.as_ref());
        o.string("ReturnValues", returns);
        on_failure(o, request.return_on_failure);
        consumed(o, request.return_consumed);
    }))
}

pub(super) fn query(request: &QueryRequest) -> Body {
    let consistent = is_strong(request.consistency.as_ref())?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        text(o, "KeyConditionExpression", &request.key_condition);
        text(o, "FilterExpression", &request.filter);
        text(o, "ProjectionExpression", &request.projection);
        placeholders(o, request.placeholders.as_ref());
        number(o, "Limit", request.limit);
        o.bool("ScanIndexForward", !request.backwards);
        item(o, "ExclusiveStartKey", request.start_key.as_ref());
        count_only(o, request.count_only);
        o.bool("ConsistentRead", consistent);
        consumed(o, request.return_consumed);
    }))
}

/// A page of a scan, which goes on from `start_key` and looks at no more than `limit` items (0: as many as fit).
pub(super) fn scan(request: &ScanRequest, start_key: Option<&Item>, limit: u32) -> Body {
    let consistent = is_strong(request.consistency.as_ref())?;
    Ok(body(|o| {
        o.string("TableName", &request.table);
        text(o, "FilterExpression", &request.filter);
        text(o, "ProjectionExpression", &request.projection);
        placeholders(o, request.placeholders.as_ref());
        number(o, "Limit", limit);
        item(o, "ExclusiveStartKey", start_key);
        count_only(o, request.count_only);
        if request.total_segments > 0 || request.segment > 0 {
            o.number("Segment", request.segment.into());
            number(o, "TotalSegments", request.total_segments);
        }
        o.bool("ConsistentRead", consistent);
        consumed(o, request.return_consumed);
    }))
}

pub(super) fn batch_reads(request: &BatchRequest) -> Body {
    let mut consistent = Vec::with_capacity(request.reads.len());
    for reads in request.reads.values() {
        consistent.push(is_strong(reads.consistency.as_ref())?);
    }
    Ok(body(|o| {
        o.object("RequestItems", |o| {
            for ((table, reads), consistent) in request.reads.iter().zip(consistent) {
                o.value_of(table, |out| {
                    object(out, |o| write_reads(o, reads, consistent));
                });
            }
        });
        consumed(o, request.return_consumed);
    }))
}

fn write_reads(o: &mut Object<'_>, reads: &Reads, consistent: bool) {
    o.array("Keys", &reads.keys, write_item);
    o.bool("ConsistentRead", consistent);
    text(o, "ProjectionExpression", &reads.projection);
    if !reads.names.is_empty() {
        o.object("ExpressionAttributeNames", |o| {
            for (key, name) in &reads.names {
                o.value_of(key, |out| output::string(name, out));
            }
        });
    }
}

pub(super) fn batch_writes(request: &BatchRequest) -> Body {
    check_write(request.consistency.as_ref(), &Bytes::new())?;
    for write in request.writes.values().flat_map(|writes| &writes.writes) {
        check_context(&write.context)?;
        if write.write.is_none() {
            return Err(Refusal::invalid(
                "A write of a batch must be a put or a delete",
            ));
        }
    }
    Ok(body(|o| {
        o.object("RequestItems", |o| {
            for (table, writes) in &request.writes {
                o.value_of(table, |out| write_writes(writes, out));
            }
        });
        consumed(o, request.return_consumed);
    }))
}

fn write_writes(writes: &Writes, out: &mut Vec<u8>) {
    let writes = writes.writes.iter().filter_map(|w| w.write.as_ref());
    output::array(out, writes, |write, out| {
        let (kind, member, sent) = match write {
            Write::Put(sent) => ("PutRequest", "Item", sent),
            Write::Delete(sent) => ("DeleteRequest", "Key", sent),
        };
        object(out, |o| {
            o.object(kind, |o| o.value(member, |out| write_item(sent, out)));
        });
    });
}

fn body(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    object(&mut out, fill);
    out
}

/// Whether a read is to be linearizable.
fn is_strong(consistency: Option<&Consistency>) -> Result<bool, Refusal> {
    match consistency.and_then(|c| c.level.as_ref()) {
        None | Some(Level::Eventual(_)) => Ok(false),
        Some(Level::Strong(_)) => Ok(true),
        Some(Level::Quorum(_)) => Err(Refusal::Unimplemented(
            "quorum consistency comes with leaderless tables; ask for strong or eventual",
        )),
    }
}

fn check_write(consistency: Option<&Consistency>, context: &Bytes) -> Result<(), Refusal> {
    is_strong(consistency)?;
    check_context(context)
}

/// Nothing is concurrent on a table with a leader, so that a context says nothing new there; but it may not be anything.
fn check_context(context: &Bytes) -> Result<(), Refusal> {
    if context.len() > CONTEXT_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "A context has at most {CONTEXT_BYTES_MAX} bytes, this one has {}",
            context.len()
        )));
    }
    Ok(())
}

fn returns(value: i32) -> Result<&'static str, Refusal> {
    match ReturnValues::try_from(value) {
        Ok(ReturnValues::None) => Ok("NONE"),
        Ok(ReturnValues::AllOld) => Ok("ALL_OLD"),
        Ok(ReturnValues::UpdatedOld) => Ok("UPDATED_OLD"),
        Ok(ReturnValues::AllNew) => Ok("ALL_NEW"),
        Ok(ReturnValues::UpdatedNew) => Ok("UPDATED_NEW"),
        Err(_) => Err(Refusal::invalid(format!("{value} is no ReturnValues"))),
    }
}

fn item(o: &mut Object<'_>, name: &str, item: Option<&Item>) {
    if let Some(item) = item {
        o.value(name, |out| write_item(item, out));
    }
}

fn text(o: &mut Object<'_>, name: &str, text: &str) {
    if !text.is_empty() {
        o.string(name, text);
    }
}

/// 0 is none.
fn number(o: &mut Object<'_>, name: &str, number: u32) {
    if number > 0 {
        o.number(name, number.into());
    }
}

fn placeholders(o: &mut Object<'_>, placeholders: Option<&Placeholders>) {
    let Some(Placeholders { names, values }) = placeholders else {
        return;
    };
    if !names.is_empty() {
        o.object("ExpressionAttributeNames", |o| {
            for (key, name) in names {
                o.value_of(key, |out| output::string(name, out));
            }
        });
    }
    if !values.is_empty() {
        o.object("ExpressionAttributeValues", |o| {
            for (key, value) in values {
                o.value_of(key, |out| write_value(value, out));
            }
        });
    }
}

fn on_failure(o: &mut Object<'_>, wanted: bool) {
    if wanted {
        o.string("ReturnValuesOnConditionCheckFailure", "ALL_OLD");
    }
}

fn count_only(o: &mut Object<'_>, wanted: bool) {
    if wanted {
        o.string("Select", "COUNT");
    }
}

fn consumed(o: &mut Object<'_>, wanted: bool) {
    if wanted {
        o.string("ReturnConsumedCapacity", "TOTAL");
    }
}
