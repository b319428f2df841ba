//! The items of a transaction: each as its own operation would have it.

use bytes::Bytes;
use kv_core::api::{Action, Consistency, Expression, Get, Write};
use kv_core::tables::Table;
use kv_model::encoding::item;
use kv_model::expression::{Condition, Update};
use kv_model::value::{Item, check_item};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::get_item::wanted;
use super::super::write::{Collection, counts_indexes};
use crate::dynamo::capacity::Report;
use crate::dynamo::error::Error;
use crate::dynamo::expressions::{Expressions, Wanted, check_condition_keys, check_parameters};
use crate::dynamo::input::{Names, Text};
use crate::dynamo::{keys, values};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WriteItem<'a> {
    #[serde(borrow)]
    pub condition_check: Option<Part<'a>>,
    #[serde(borrow)]
    pub put: Option<Part<'a>>,
    #[serde(borrow)]
    pub delete: Option<Part<'a>>,
    #[serde(borrow)]
    pub update: Option<Part<'a>>,
}

/// What the four kinds of writes have, each some of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Part<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    update_expression: Option<Text<'a>>,
    #[serde(borrow)]
    condition_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
    #[serde(borrow)]
    expression_attribute_values: Option<&'a RawValue>,
    #[serde(borrow)]
    return_values_on_condition_check_failure: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadItem<'a> {
    #[serde(borrow)]
    pub get: ReadPart<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadPart<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    expression_attribute_names: Option<Names>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Check,
    Put,
    Delete,
    Update,
}

/// A write whose values and expressions are right in themselves.
pub struct ParsedWrite<'a> {
    kind: Kind,
    part: Part<'a>,
    /// The key, or the whole item of a put.
    item: Item,
    update: Option<(Update, Expression)>,
    condition: Option<(Condition, Expression)>,
}

/// What keeps an item from its table.
#[derive(Debug)]
pub enum Wrong {
    /// The request is refused as a whole.
    Request(Error),
    /// The transaction is cancelled, with this among the reasons.
    Item(String),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        match error {
            Error::Validation(message) => Wrong::Item(message),
            error => Wrong::Request(error),
        }
    }
}

impl<'a> WriteItem<'a> {
    /// # Errors
    /// [`Error::Validation`], or of serialization.
    pub fn parse(self) -> Result<ParsedWrite<'a>, Error> {
        let parts = [
            (Kind::Check, self.condition_check),
            (Kind::Put, self.put),
            (Kind::Delete, self.delete),
            (Kind::Update, self.update),
        ];
        let mut given = parts
            .into_iter()
            .filter_map(|(kind, part)| Some((kind, part?)));
        let (kind, mut part) = given.next().ok_or_else(|| {
            Error::validation(
                "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
            )
        })?;
        if given.next().is_some() {
            return Err(Error::validation(
                "TransactItems can only contain one of Check, Put, Update or Delete",
            ));
        }
        let update = ("UpdateExpression", part.update_expression.is_some());
        let condition = ("ConditionExpression", part.condition_expression.is_some());
        let both = [update, condition];
        check_parameters(
            match kind {
                Kind::Update => &both,
                _ => &both[1..],
            },
            &[],
            part.expression_attribute_names.is_some(),
            part.expression_attribute_values.is_some(),
        )?;
        let item = match kind {
            Kind::Put => part.item,
            _ => part.key,
        };
        let item = values::parse_item(item.ok_or(Error::Serialization(None))?)?;
        if kind == Kind::Put {
            check_item(&item).map_err(|error| Error::Validation(error.to_string()))?;
        }
        let mut expressions = Expressions::new(
            part.expression_attribute_names.take(),
            part.expression_attribute_values,
        )?;
        let update = match part.update_expression.as_deref() {
            Some(text) if kind == Kind::Update => {
                Some((expressions.update(text)?, expressions.wire(text)))
            }
            _ => None,
        };
        let condition = match part.condition_expression.as_deref() {
            Some(text) => Some((expressions.condition(text)?, expressions.wire(text))),
            None => None,
        };
        expressions.check_all_used()?;
        Ok(ParsedWrite {
            kind,
            part,
            item,
            update,
            condition,
        })
    }
}

impl ParsedWrite<'_> {
    pub fn table(&self) -> &str {
        &self.part.table_name
    }
}

/// A write as it goes to the cluster.
#[derive(Debug)]
pub struct PreparedWrite {
    pub write: Write,
    pub collection: Option<Collection>,
    /// What it brings along, by the service's arithmetic.
    pub bytes: u64,
}

/// Fits a write to its table.
///
/// # Errors
/// [`Wrong`].
pub fn prepare_write(
    parsed: ParsedWrite<'_>,
    table: &Table,
    report: Report,
    metrics: Option<&str>,
) -> Result<PreparedWrite, Wrong> {
    let ParsedWrite {
        kind,
        part,
        item,
        update,
        condition,
    } = parsed;
    let keyed = match kind {
        Kind::Put => keys::of_item(table, &item)?,
        _ => keys::of_key(table, &item)?,
    };
    let encoded: Bytes = item::encode(&item);
    if kind == Kind::Put {
        keys::check_indexes(table, &encoded)?;
    }
    if let Some((update, _)) = &update {
        let spared = update.check_spares_keys(&keys::names(&table.schema));
        spared.map_err(Error::from)?;
    }
    if let Some((condition, _)) = &condition {
        check_condition_keys(condition, &table.schema)?;
    }
    let collection = Collection::of(table, &keyed.key, metrics);
    let values = |expression: &Expression| expression.values.len() as u64;
    let expressions = update.iter().map(|(_, wire)| values(wire));
    let expressions = expressions.chain(condition.iter().map(|(_, wire)| values(wire)));
    let bytes =
        item::size(&encoded).unwrap_or(encoded.len()) as u64 + expressions.max().unwrap_or(0);
    let write = Write {
        table: table.id.0,
        row: keyed.row,
        key: keyed.key,
        condition: condition.map(|(_, wire)| wire),
        return_on_failure: part.return_values_on_condition_check_failure.as_deref()
            == Some("ALL_OLD"),
        action: Some(match kind {
            Kind::Put => Action::Put(encoded),
            Kind::Delete => Action::Delete(true),
            Kind::Check => Action::Check(true),
            Kind::Update => Action::Update(update.map(|(_, wire)| wire).unwrap_or_default()),
        }),
        count_indexes: counts_indexes(table, report),
        ..Default::default()
    };
    Ok(PreparedWrite {
        write,
        collection,
        bytes,
    })
}

/// A read whose values and expressions are right in themselves.
pub struct ParsedRead<'a> {
    table_name: Text<'a>,
    key: Item,
    wanted: Option<Wanted>,
}

impl<'a> ReadItem<'a> {
    /// # Errors
    /// [`Error::Validation`], or of serialization.
    pub fn parse(self) -> Result<ParsedRead<'a>, Error> {
        let ReadPart {
            table_name,
            key,
            projection_expression,
            expression_attribute_names,
        } = self.get;
        check_parameters(
            &[("ProjectionExpression", projection_expression.is_some())],
            &[],
            expression_attribute_names.is_some(),
            false,
        )?;
        let key = values::parse_item(key)?;
        let projection = projection_expression.as_deref();
        let wanted = wanted(projection, None, expression_attribute_names)?;
        Ok(ParsedRead {
            table_name,
            key,
            wanted,
        })
    }
}

impl ParsedRead<'_> {
    pub fn table(&self) -> &str {
        &self.table_name
    }
}

/// A read as it goes to the cluster.
#[derive(Debug)]
pub struct PreparedRead {
    pub get: Get,
    pub wanted: Option<Wanted>,
}

/// Fits a read to its table.
///
/// # Errors
/// [`Wrong`].
pub fn prepare_read(parsed: ParsedRead<'_>, table: &Table) -> Result<PreparedRead, Wrong> {
    let keyed = keys::of_key(table, &parsed.key)?;
    if let Some(wanted) = &parsed.wanted {
        wanted.check_keys(&table.schema)?;
    }
    let get = Get {
        table: table.id.0,
        row: keyed.row,
        consistency: Consistency::Strong.into(),
        transactional: true,
    };
    Ok(PreparedRead {
        get,
        wanted: parsed.wanted,
    })
}
