//! `DeleteItem`: deletes an item, if there is one.

use kv_core::api::{Action, Write};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::write::{Collection, answer, counts_indexes, returns};
use super::{Context, read};
use crate::database::Database;
use crate::dynamo::capacity::Report;
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Expressions, check_condition_keys, check_parameters};
use crate::dynamo::input::{DELETE_ITEM, Names, Text, table_name_of};
use crate::dynamo::{keys, legacy, values};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    condition_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
    #[serde(borrow)]
    expression_attribute_values: Option<&'a RawValue>,
    #[serde(borrow)]
    return_values: Option<Text<'a>>,
    #[serde(borrow)]
    return_values_on_condition_check_failure: Option<Text<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    #[serde(borrow)]
    return_item_collection_metrics: Option<Text<'a>>,
    #[serde(borrow)]
    expected: Option<&'a RawValue>,
    #[serde(borrow)]
    conditional_operator: Option<Text<'a>>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&DELETE_ITEM, body)?;
    let old = [
        ("Expected", request.expected.is_some()),
        (
            "ConditionalOperator",
            request.conditional_operator.is_some(),
        ),
    ];
    check_parameters(
        &[(
            "ConditionExpression",
            request.condition_expression.is_some(),
        )],
        &old,
        request.expression_attribute_names.is_some(),
        request.expression_attribute_values.is_some(),
    )?;
    let key = values::parse_item(request.key)?;
    if !matches!(
        request.return_values.as_deref(),
        None | Some("ALL_OLD" | "NONE")
    ) {
        return Err(Error::validation(
            "ReturnValues can only be ALL_OLD or NONE",
        ));
    }
    let expected = legacy::expected(request.expected, request.conditional_operator.as_deref())?;
    let mut expressions = Expressions::new(
        request.expression_attribute_names,
        request.expression_attribute_values,
    )?;
    let condition = match request.condition_expression.as_deref() {
        Some(text) => Some((expressions.condition(text)?, expressions.wire(text))),
        None => expected.map(|condition| {
            let wire = legacy::wire(condition.to_source());
            (condition, wire)
        }),
    };
    expressions.check_all_used()?;
    let table = context.active_table(&request.table_name).await?;
    let keyed = keys::of_key(&table, &key)?;
    if let Some((condition, _)) = &condition {
        check_condition_keys(condition, &table.schema)?;
    }
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    let collection = Collection::of(
        &table,
        &keyed.key,
        request.return_item_collection_metrics.as_deref(),
    );
    let write = Write {
        table: table.id.0,
        row: keyed.row,
        key: keyed.key,
        condition: condition.map(|(_, wire)| wire),
        returns: returns(request.return_values.as_deref()).into(),
        return_on_failure: request.return_values_on_condition_check_failure.as_deref()
            == Some("ALL_OLD"),
        action: Some(Action::Delete(true)),
        count_indexes: counts_indexes(&table, report),
        ..Default::default()
    };
    let written = context
        .database
        .write(&context.caller, write, context.deadline)
        .await?;
    let name = table_name_of(&request.table_name);
    answer(&written, report, name, collection.as_ref(), out);
    Ok(())
}
