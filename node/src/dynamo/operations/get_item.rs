//! `GetItem`: one item by its key.
//!
//! The hot path: without a projection the item goes from its encoding straight into the answer.

use kv_core::api::{Consistency, Get};
use kv_model::encoding::item;
use kv_model::json::write_item;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Context, consistency, read};
use crate::database::Database;
use crate::dynamo::capacity::{self, Report};
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Expressions, Wanted, check_parameters};
use crate::dynamo::input::{Bool, GET_ITEM, Names, Text, table_name_of};
use crate::dynamo::{keys, output, values};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    key: &'a RawValue,
    consistent_read: Option<Bool>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
    #[serde(borrow)]
    attributes_to_get: Option<Vec<Text<'a>>>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&GET_ITEM, body)?;
    check_parameters(
        &[(
            "ProjectionExpression",
            request.projection_expression.is_some(),
        )],
        &[("AttributesToGet", request.attributes_to_get.is_some())],
        request.expression_attribute_names.is_some(),
        false,
    )?;
    let key = values::parse_item(request.key)?;
    let wanted = wanted(
        request.projection_expression.as_deref(),
        request.attributes_to_get.as_deref(),
        request.expression_attribute_names,
    )?;
    let table = context.active_table(&request.table_name).await?;
    let keyed = keys::of_key(&table, &key)?;
    if let Some(wanted) = &wanted {
        wanted.check_keys(&table.schema)?;
    }
    let consistency = consistency(request.consistent_read);
    let get = Get {
        table: table.id.0,
        row: keyed.row,
        consistency: consistency.into(),
        ..Default::default()
    };
    let got = context
        .database
        .get(&context.caller, get, context.deadline)
        .await?;
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    let mut failed = Ok(());
    output::object(out, |o| {
        if let Some(encoded) = &got.item {
            o.value("Item", |out| failed = write(encoded, wanted.as_ref(), out));
        }
        if report != Report::None {
            let size = got.item.as_ref().map_or(0, |encoded| size(encoded));
            let units = capacity::read_units(size, consistency == Consistency::Strong);
            capacity::report(o, report, table_name_of(&request.table_name), units);
        }
    });
    failed
}

/// What a `ProjectionExpression` or `AttributesToGet` asks for.
pub(super) fn wanted(
    projection: Option<&str>,
    attributes: Option<&[Text<'_>]>,
    names: Option<Names>,
) -> Result<Option<Wanted>, Error> {
    if let Some(attributes) = attributes {
        return Wanted::of_attributes(attributes).map(Some);
    }
    let Some(text) = projection else {
        return Ok(None);
    };
    let mut expressions = Expressions::new(names, None)?;
    let wanted = Wanted::parse(text, &mut expressions)?;
    expressions.check_all_used()?;
    Ok(Some(wanted))
}

/// Writes an encoded item, or what is wanted of it.
pub(super) fn write(
    encoded: &[u8],
    wanted: Option<&Wanted>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match wanted {
        None => output::item(encoded, out),
        Some(wanted) => {
            let whole =
                item::decode(encoded).map_err(|error| Error::Internal(error.to_string()))?;
            write_item(&wanted.projection.apply(&whole), out);
        }
    }
    Ok(())
}

/// Size of an encoded item by the service's rules, bytes.
pub(super) fn size(encoded: &[u8]) -> u64 {
    item::size(encoded).unwrap_or(encoded.len()) as u64
}
