//! `Scan`: all items of a table, or of one segment of it.
//!
//! Segments are equal spans of tokens, so they do not overlap, leave nothing out, and stay the same when partitions split.

use kv_model::encoding::key::Range;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::pages::{self, Wish, check_select};
use super::query::start_key;
use super::target::Target;
use super::{Context, consistency, read};
use crate::database::Database;
use crate::dynamo::capacity::Report;
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Expressions, Wanted, check_condition_keys, check_parameters};
use crate::dynamo::input::{Bool, Int, Names, SCAN, Text};
use crate::dynamo::legacy;

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
    segment: Option<Int>,
    total_segments: Option<Int>,
    #[serde(borrow)]
    exclusive_start_key: Option<&'a RawValue>,
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
    scan_filter: Option<&'a RawValue>,
    #[serde(borrow)]
    conditional_operator: Option<Text<'a>>,
}

/// One of so many equal parts of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    index: u32,
    total: u32,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut request: Request<'_> = read(&SCAN, body)?;
    let old = [
        ("AttributesToGet", request.attributes_to_get.is_some()),
        ("ScanFilter", request.scan_filter.is_some()),
        (
            "ConditionalOperator",
            request.conditional_operator.is_some(),
        ),
    ];
    check_parameters(
        &[
            (
                "ProjectionExpression",
                request.projection_expression.is_some(),
            ),
            ("FilterExpression", request.filter_expression.is_some()),
        ],
        &old,
        request.expression_attribute_names.is_some(),
        request.expression_attribute_values.is_some(),
    )?;
    let of_attributes = request
        .attributes_to_get
        .as_deref()
        .map(Wanted::of_attributes);
    let of_attributes = of_attributes.transpose()?;
    let operator = request.conditional_operator.as_deref();
    let old_filter = legacy::filter(request.scan_filter, operator)?;
    let start_key = start_key(request.exclusive_start_key)?;
    let segment = Segment::of(request.segment, request.total_segments)?;
    let mut expressions = Expressions::new(
        request.expression_attribute_names.take(),
        request.expression_attribute_values,
    )?;
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
    let count_only = check_select(
        request.select.as_deref(),
        request.projection_expression.is_some(),
        request.attributes_to_get.is_some(),
        request.index_name.is_some(),
    )?;
    let table = context.active_table(&request.table_name).await?;
    let consistency = consistency(request.consistent_read);
    let target = Target::of(&table, request.index_name.as_deref(), consistency)?;
    if let Some((filter, _)) = &filter {
        check_condition_keys(filter, &table.schema)?;
    }
    if let Some(wanted) = &wanted {
        wanted.check_keys(&table.schema)?;
    }
    let fetch = target.fetches(request.select.as_deref(), wanted.as_ref())?;
    if let Some((filter, _)) = filter.as_ref().filter(|_| !fetch) {
        target.check_filter(filter)?;
    }
    let mut wish = Wish {
        range: segment.rows(target),
        reverse: false,
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
        let row = target.start_row(key).map_err(|error| {
            Error::validation(format!("The provided starting key is invalid: {error}"))
        })?;
        if !wish.range.contains(&row) {
            return Err(Error::validation(format!(
                "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with \
                 correct Segment. TotalSegments: {} Segment: {}",
                segment.total, segment.index
            )));
        }
        wish.start_after(row);
    }
    let page = pages::walk(context, target, wish).await?;
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    pages::answer(&page, target, count_only, (report, consistency), out);
    Ok(())
}

impl Segment {
    fn of(segment: Option<Int>, total: Option<Int>) -> Result<Self, Error> {
        match (segment, total) {
            (None, None) => Ok(Segment { index: 0, total: 1 }),
            (Some(_), None) => Err(Error::validation(
                "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
            )),
            (None, Some(_)) => Err(Error::validation(
                "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
            )),
            (Some(Int(index)), Some(Int(total))) if index >= total => {
                Err(Error::validation(format!(
                    "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {index} is not less than TotalSegments: {total}"
                )))
            }
            (Some(Int(index)), Some(Int(total))) => Ok(Segment {
                // The constraints have bounded both.
                index: u32::try_from(index).unwrap_or(0),
                total: u32::try_from(total).unwrap_or(1).max(1),
            }),
        }
    }

    fn rows(self, target: Target<'_>) -> Range {
        let next = self.index + 1;
        let end = (next < self.total).then(|| self.first_token(next));
        target.tokens(self.first_token(self.index), end)
    }

    /// `⌊index × 2^128 / total⌋`
    fn first_token(self, index: u32) -> u128 {
        let total = u128::from(self.total);
        let index = u128::from(index);
        // 2^128 = whole × total + rest, and index × rest fits, for both are below 2^32.
        let whole = u128::MAX / total;
        let rest = u128::MAX % total + 1;
        index.wrapping_mul(whole).wrapping_add(index * rest / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cut_the_ring_into_equal_parts() {
        let first = |index, total| Segment { index, total }.first_token(index);
        assert_eq!(first(0, 1), 0);
        assert_eq!(first(1, 2), 1 << 127);
        assert_eq!(first(3, 4), 3 << 126);
        // ⌊2^128 / 3⌋ and ⌊2 × 2^128 / 3⌋
        assert_eq!(first(1, 3), u128::MAX / 3);
        assert_eq!(first(2, 3), u128::MAX / 3 * 2);
        for total in [3u32, 7, 1000, 1_000_000] {
            for index in [1, total / 2, total - 1] {
                assert!(
                    first(index, total) > first(index - 1, total),
                    "{index} of {total}"
                );
            }
        }
    }
}
