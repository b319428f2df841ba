//! `Query`: the items of one partition key, in the order of the sort key.

use kv_core::api::Expression;
use kv_model::expression::{Condition, KeyClauses};
use kv_model::value::Item;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::pages::{self, Wish, check_select};
use super::target::Target;
use super::{Context, consistency, read};
use crate::database::Database;
use crate::dynamo::capacity::Report;
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Expressions, Wanted, check_condition_keys, check_parameters};
use crate::dynamo::input::{Bool, Int, Names, QUERY, Text};
use crate::dynamo::{legacy, values};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    index_name: Option<Text<'a>>,
    #[serde(borrow)]
    select: Option<Text<'a>>,
    limit: Option<Int>,
    consistent_read: Option<Bool>,
    scan_index_forward: Option<Bool>,
    #[serde(borrow)]
    exclusive_start_key: Option<&'a RawValue>,
    #[serde(borrow)]
    key_condition_expression: Option<Text<'a>>,
    #[serde(borrow)]
    filter_expression: Option<Text<'a>>,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
    #[serde(borrow)]
    expression_attribute_values: Option<&'a RawValue>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    #[serde(borrow)]
    attributes_to_get: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    query_filter: Option<&'a RawValue>,
    #[serde(borrow)]
    conditional_operator: Option<Text<'a>>,
    #[serde(borrow)]
    key_conditions: Option<&'a RawValue>,
}

/// The expressions of a request.
struct Parsed {
    clauses: KeyClauses,
    filter: Option<(Condition, Expression)>,
    wanted: Option<Wanted>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    answer(context, body, false, out).await
}

/// As [`run`], with a filter that may look at key attributes: PartiQL knows no such difference.
pub(super) async fn run_filtering_keys<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    answer(context, body, true, out).await
}

async fn answer<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    filters_keys: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut request: Request<'_> = read(&QUERY, body)?;
    check(&request)?;
    let start_key = start_key(request.exclusive_start_key)?;
    if request.key_conditions.is_none() && request.key_condition_expression.is_none() {
        return Err(no_key_condition());
    }
    let parsed = parse(&mut request)?;
    let count_only = check_select(
        request.select.as_deref(),
        request.projection_expression.is_some(),
        request.attributes_to_get.is_some(),
        request.index_name.is_some(),
    )?;
    let table = context.active_table(&request.table_name).await?;
    let Parsed {
        clauses,
        filter,
        wanted,
    } = parsed;
    let consistency = consistency(request.consistent_read);
    let target = Target::of(&table, request.index_name.as_deref(), consistency)?;
    let condition = target.bind(clauses)?;
    if let Some((filter, _)) = &filter {
        check_condition_keys(filter, &table.schema)?;
        let spared = match filters_keys {
            true => Ok(()),
            false => filter.check_spares_keys(&target.key_names()),
        };
        spared.map_err(|error| match request.query_filter {
            Some(_) => of_query_filter(error),
            None => error.into(),
        })?;
    }
    if let Some(wanted) = &wanted {
        wanted.check_keys(&table.schema)?;
    }
    let fetch = target.fetches(request.select.as_deref(), wanted.as_ref())?;
    if let Some((filter, _)) = filter.as_ref().filter(|_| !fetch) {
        target.check_filter(filter)?;
    }
    let mut wish = Wish {
        range: target.rows(&condition)?,
        reverse: request.scan_index_forward == Some(Bool(false)),
        limit: request
            .limit
            .and_then(|limit| u32::try_from(limit.0).ok())
            .unwrap_or(0),
        filter: filter.map(|(_, wire)| wire),
        fetch,
        projection: wanted.map(|wanted| wanted.expression),
        count_only,
        consistency,
    };
    if let Some(key) = &start_key {
        let row = target
            .start_row(key)
            .map_err(|_| Error::validation("The provided starting key is invalid"))?;
        target.check_start(&condition, key)?;
        wish.start_after(row);
    }
    let page = pages::walk(context, target, wish).await?;
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    pages::answer(&page, target, count_only, (report, consistency), out);
    Ok(())
}

/// Checks which parameters are together.
fn check(request: &Request<'_>) -> Result<(), Error> {
    let keyed = request.key_condition_expression.is_some();
    let legacy = [
        ("AttributesToGet", request.attributes_to_get.is_some()),
        ("QueryFilter", request.query_filter.is_some()),
        (
            "ConditionalOperator",
            request.conditional_operator.is_some(),
        ),
        ("KeyConditions", request.key_conditions.is_some()),
    ];
    // KeyConditions may stand beside the other expressions.
    let clashing = if keyed { &legacy[..] } else { &legacy[..3] };
    check_parameters(
        &[
            (
                "ProjectionExpression",
                request.projection_expression.is_some(),
            ),
            ("FilterExpression", request.filter_expression.is_some()),
            ("KeyConditionExpression", keyed),
        ],
        clashing,
        request.expression_attribute_names.is_some(),
        request.expression_attribute_values.is_some(),
    )
}

fn no_key_condition() -> Error {
    Error::validation(
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    )
}

/// The words for a filter that is no expression.
fn of_query_filter(error: kv_model::expression::Error) -> Error {
    let kv_model::expression::Error::FilterOnKey { attribute } = error else {
        return error.into();
    };
    Error::validation(format!(
        "QueryFilter can only contain non-primary key attributes: Primary key attribute: {attribute}"
    ))
}

/// Reads an `ExclusiveStartKey`.
pub(super) fn start_key(text: Option<&RawValue>) -> Result<Option<Item>, Error> {
    let Some(text) = text else { return Ok(None) };
    match values::parse_item(text) {
        Ok(key) => Ok(Some(key)),
        Err(Error::Validation(message)) => Err(Error::validation(format!(
            "The provided starting key is invalid: {message}"
        ))),
        Err(other) => Err(other),
    }
}

fn parse(request: &mut Request<'_>) -> Result<Parsed, Error> {
    let of_attributes = request
        .attributes_to_get
        .as_deref()
        .map(Wanted::of_attributes);
    let of_attributes = of_attributes.transpose()?;
    let old_filter = legacy::filter(
        request.query_filter,
        request.conditional_operator.as_deref(),
    )?;
    let old_clauses = request
        .key_conditions
        .map(legacy::key_conditions)
        .transpose()?;
    let mut expressions = Expressions::new(
        request.expression_attribute_names.take(),
        request.expression_attribute_values,
    )?;
    let key_expression = match request.key_condition_expression.as_deref() {
        Some(text) => Some(expressions.key_condition(text)?),
        None => None,
    };
    let filter = match request.filter_expression.as_deref() {
        Some(text) => Some((expressions.filter(text)?, expressions.wire(text))),
        None => old_filter.map(|filter| {
            let wire = legacy::wire(filter.to_source());
            (filter, wire)
        }),
    };
    let wanted = match request.projection_expression.as_deref() {
        Some(text) => Some(Wanted::parse(text, &mut expressions)?),
        None => of_attributes,
    };
    expressions.check_all_used()?;
    let clauses = match (key_expression, old_clauses) {
        (Some(expression), _) => expression.clauses()?,
        (None, Some(clauses)) => clauses,
        (None, None) => return Err(no_key_condition()),
    };
    Ok(Parsed {
        clauses,
        filter,
        wanted,
    })
}
