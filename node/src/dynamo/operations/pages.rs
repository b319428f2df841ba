//! What `Query` and `Scan` share: what to select, and the walk over a range until the page is full.
//!
//! A page of the service ends at `Limit` items looked at, after 1 MiB of items looked at, or at the end of the range.
//! The cluster's own pages may end earlier, at a partition's border; the walk goes on from there.

use std::ops::Bound;

use bytes::Bytes;
use kv_core::api::{Consistency, Expression, Page, Paged};
use kv_model::encoding::key::Range;

use super::Context;
use super::target::Target;
use crate::database::Database;
use crate::dynamo::capacity::{self, Report};
use crate::dynamo::error::Error;
use crate::dynamo::output;

/// What a page looks at at most.
const PAGE_BYTES: u64 = 1024 * 1024;

/// Checks `Select` against the parameters beside it; yields whether only the count is wanted.
///
/// # Errors
/// [`Error::Validation`].
pub fn check_select(
    select: Option<&str>,
    projection: bool,
    attributes: bool,
    indexed: bool,
) -> Result<bool, Error> {
    let given = match (projection, attributes) {
        (true, _) => Some("ProjectionExpression"),
        (false, true) => Some("AttributesToGet"),
        (false, false) => None,
    };
    let refuse = |name: &str, what: &str| {
        Err(Error::validation(format!(
            "Cannot specify the {name} when choosing to get {what}"
        )))
    };
    match (select, given) {
        (Some("COUNT"), Some(name)) => refuse(name, "only the Count"),
        (Some("ALL_ATTRIBUTES"), Some(name)) => refuse(name, "ALL_ATTRIBUTES"),
        (Some("ALL_PROJECTED_ATTRIBUTES"), Some(name)) => refuse(name, "ALL_PROJECTED_ATTRIBUTES"),
        (Some("ALL_PROJECTED_ATTRIBUTES"), None) if !indexed => Err(Error::invalid(
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        )),
        (Some("SPECIFIC_ATTRIBUTES"), None) => Err(Error::validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        (select, _) => Ok(select == Some("COUNT")),
    }
}

/// A page that is wanted.
#[derive(Debug)]
pub struct Wish {
    pub range: Range,
    pub reverse: bool,
    /// 0: none.
    pub limit: u32,
    pub filter: Option<Expression>,
    pub projection: Option<Expression>,
    pub count_only: bool,
    pub consistency: Consistency,
    /// Answer with the items behind the entries of a local index.
    pub fetch: bool,
}

impl Wish {
    /// Leaves out what comes up to and with the row of `ExclusiveStartKey`.
    pub fn start_after(&mut self, row: Bytes) {
        if self.reverse {
            self.range.end = Bound::Excluded(row.into());
        } else {
            self.range.start = Bound::Excluded(row.into());
        }
    }
}

/// Walks over the range until the page is full.
///
/// # Errors
/// The cluster's.
pub async fn walk<D: Database>(
    context: &Context<'_, D>,
    target: Target<'_>,
    wish: Wish,
) -> Result<Paged, Error> {
    let mut start = start_of(wish.range.start);
    let mut end = end_of(wish.range.end);
    let mut whole = Paged::default();
    let limit = u64::from(wish.limit);
    let (keyspace, number) = target.place();
    // An empty end is none: only a start can lie behind it.
    while end.is_empty() || start < end {
        let page = Page {
            table: keyspace,
            start: start.clone(),
            end: end.clone(),
            reverse: wish.reverse,
            limit: u32::try_from(limit.saturating_sub(whole.scanned)).unwrap_or(u32::MAX),
            max_bytes: PAGE_BYTES - whole.bytes,
            filter: wish.filter.clone(),
            projection: wish.projection.clone(),
            count_only: wish.count_only,
            consistency: wish.consistency.into(),
            index: number.into(),
            fetch: wish.fetch,
        };
        let page = context
            .database
            .page(&context.caller, page, context.deadline)
            .await?;
        whole.items.extend(page.items);
        whole.count += page.count;
        whole.scanned += page.scanned;
        whole.bytes += page.bytes;
        whole.fetched += page.fetched;
        let Some(last) = page.last else { break };
        if limit > 0 && whole.scanned >= limit || whole.bytes >= PAGE_BYTES {
            whole.last = Some(last);
            break;
        }
        if wish.reverse {
            end = last;
        } else {
            start = after(&last);
        }
    }
    Ok(whole)
}

/// The key just behind `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

fn start_of(bound: Bound<Vec<u8>>) -> Bytes {
    match bound {
        Bound::Included(key) => key.into(),
        Bound::Excluded(key) => after(&key),
        Bound::Unbounded => Bytes::new(),
    }
}

fn end_of(bound: Bound<Vec<u8>>) -> Bytes {
    match bound {
        Bound::Included(key) => after(&key),
        Bound::Excluded(key) => key.into(),
        Bound::Unbounded => Bytes::new(),
    }
}

/// Writes the answer.
pub fn answer(
    page: &Paged,
    target: Target<'_>,
    count_only: bool,
    (report, consistency): (Report, Consistency),
    out: &mut Vec<u8>,
) {
    out.reserve(page.items.iter().map(Bytes::len).sum::<usize>() * 5 / 4);
    output::object(out, |o| {
        o.number("Count", page.count);
        o.number("ScannedCount", page.scanned);
        if !count_only {
            o.array("Items", &page.items, |encoded, out| {
                output::item(encoded, out)
            });
        }
        let key = page.last.as_ref().and_then(|row| target.write_key(row));
        if let Some(key) = key {
            o.value("LastEvaluatedKey", |out| out.extend_from_slice(&key));
        }
        let strong = consistency == Consistency::Strong;
        let units = capacity::read_units(page.bytes, strong);
        let table = &target.table.name;
        match target.index {
            None => capacity::report(o, report, table, units),
            Some(_) if report == Report::None => {}
            Some(index) => {
                let fetched = page.fetched as f64 * if strong { 1.0 } else { 0.5 };
                let used = [(&*index.schema.name, index.schema.is_local(), units)];
                o.object("ConsumedCapacity", |o| {
                    capacity::describe_with(o, report, table, fetched, &used);
                });
            }
        }
    });
}
