//! What `Query` and `Scan` read: a table, or one of its indexes.

use kv_core::api::Consistency;
use kv_core::tables::{Index, Table, TableStatus};
use kv_model::encoding::key::{
    ITEM_INDEX, Part, Range, SortCondition, partition_key, partition_rows, sort_rows, token,
    token_rows,
};
use kv_model::expression::{Condition, KeyClauses, RangeCondition};
use kv_model::index::{Place, Projection};
use kv_model::json::write_value;
use kv_model::schema::{self, HASH_KEY_LEN_MAX, KeyAttribute, RANGE_KEY_LEN_MAX};
use kv_model::value::{AttributeValue, Item};

use crate::dynamo::error::Error;
use crate::dynamo::expressions::Wanted;
use crate::dynamo::{keys, output};

/// A table, or one of its indexes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    pub table: &'t Table,
    pub index: Option<&'t Index>,
}

/// The key condition of a query: values of all hash attributes, of leading range attributes, and a test of the one behind them.
#[derive(Debug)]
pub struct Bound {
    hash: Vec<AttributeValue>,
    equal: Vec<AttributeValue>,
    test: Option<RangeCondition>,
}

impl<'t> Target<'t> {
    /// The table, or its index of that name.
    ///
    /// # Errors
    /// There is no such index, it can't be read yet, or not so.
    pub fn of(
        table: &'t Table,
        index: Option<&str>,
        consistency: Consistency,
    ) -> Result<Self, Error> {
        let Some(name) = index else {
            return Ok(Target { table, index: None });
        };
        let index = table
            .index(name)
            .filter(|index| index.status != TableStatus::Deleting)
            .ok_or_else(|| {
                Error::validation(format!(
                    "The table does not have the specified index: {name}"
                ))
            })?;
        if !index.schema.is_local() {
            if consistency == Consistency::Strong {
                return Err(Error::validation(
                    "Consistent reads are not supported on global secondary indexes",
                ));
            }
            if index.status == TableStatus::Creating {
                return Err(Error::validation(format!(
                    "Cannot read from backfilling global secondary index: {name}"
                )));
            }
        }
        Ok(Target {
            table,
            index: Some(index),
        })
    }

    /// The keyspace that is read, and the number of the index in its rows.
    pub fn place(&self) -> (u64, u8) {
        match self.index.map(|index| index.schema.place) {
            None => (self.table.id.0, ITEM_INDEX),
            Some(Place::Local(number)) => (self.table.id.0, number),
            Some(Place::Global(keyspace)) => (keyspace, ITEM_INDEX),
        }
    }

    fn hash(&self) -> &'t [KeyAttribute] {
        match self.index {
            Some(index) => &index.schema.hash,
            None => std::slice::from_ref(&self.table.schema.hash),
        }
    }

    fn range(&self) -> &'t [KeyAttribute] {
        match self.index {
            Some(index) => &index.schema.range,
            None => self.table.schema.range.as_slice(),
        }
    }

    /// Names of the hash attributes and of the range attributes.
    pub fn keys(&self) -> (Vec<String>, Vec<String>) {
        let names = |keys: &[KeyAttribute]| keys.iter().map(|key| key.name.clone()).collect();
        (names(self.hash()), names(self.range()))
    }

    /// Names of the key attributes of what is read.
    pub fn key_names(&self) -> Vec<&'t str> {
        let keys = self.hash().iter().chain(self.range());
        keys.map(|key| key.name.as_str()).collect()
    }

    /// Whether items must be fetched from the table for what is asked of an index.
    ///
    /// # Errors
    /// A global index has not what is asked for.
    pub fn fetches(&self, select: Option<&str>, wanted: Option<&Wanted>) -> Result<bool, Error> {
        let Some(index) = self.index else {
            return Ok(false);
        };
        let name = &index.schema.name;
        let all = select == Some("ALL_ATTRIBUTES") && index.schema.projection != Projection::All;
        if all && !index.schema.is_local() {
            return Err(Error::invalid(format_args!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {name} because its projection type is not ALL"
            )));
        }
        let mut missing: Vec<&str> = Vec::new();
        for path in wanted.iter().flat_map(|wanted| wanted.projection.paths()) {
            let head = path.head();
            if !index.schema.projects(&self.table.schema, head) && !missing.contains(&head) {
                missing.push(head);
            }
        }
        if !missing.is_empty() && !index.schema.is_local() {
            return Err(Error::invalid(format_args!(
                "Global secondary index {name} does not project [{}]",
                missing.join(", ")
            )));
        }
        Ok(all || !missing.is_empty())
    }

    /// Refuses a filter on attributes that the entries of an index have not (DynamoDB Local 2.6 has the words).
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn check_filter(&self, filter: &Condition) -> Result<(), Error> {
        let Some(index) = self.index else {
            return Ok(());
        };
        let mut missing: Vec<&str> = Vec::new();
        let paths = filter.paths();
        for path in &paths {
            let head = path.head();
            if !index.schema.projects(&self.table.schema, head) && !missing.contains(&head) {
                missing.push(head);
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(format_args!(
                "Secondary index {} does not project one or more filter attributes: [{}]",
                index.schema.name,
                missing.join(", ")
            ))),
        }
    }

    /// Fits the clauses of a key condition to the key.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn bind(&self, clauses: KeyClauses) -> Result<Bound, Error> {
        let (hash, range) = (self.hash(), self.range());
        if let ([hash], [] | [_]) = (hash, range) {
            let condition = clauses.bind(hash, range.first())?;
            return self.sized(Bound {
                hash: vec![condition.hash],
                equal: Vec::new(),
                test: condition.range,
            });
        }
        let many = clauses.bind_many(hash, range)?;
        self.sized(Bound {
            hash: many.hash,
            equal: many.equal,
            test: many.range,
        })
    }

    /// No key is empty or longer than keys may be, so none is looked for.
    fn sized(&self, bound: Bound) -> Result<Bound, Error> {
        let tested = bound.test.iter().flat_map(RangeCondition::operands);
        let tested = tested.filter_map(|value| Some((self.range().get(bound.equal.len())?, value)));
        let hash = self.hash().iter().zip(&bound.hash);
        for (attribute, value) in hash
            .chain(self.range().iter().zip(&bound.equal))
            .chain(tested)
        {
            attribute.check_not_empty(value)?;
        }
        if bound.hash.iter().any(|value| len(value) > HASH_KEY_LEN_MAX) {
            return Err(schema::Error::HashTooLong.into());
        }
        let equal: usize = bound.equal.iter().map(len).sum();
        let tested = bound.test.iter().flat_map(RangeCondition::operands);
        if equal + tested.map(len).max().unwrap_or(0) > RANGE_KEY_LEN_MAX {
            return Err(schema::Error::RangeTooLong.into());
        }
        Ok(bound)
    }

    /// The rows that a key condition describes.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn rows(&self, bound: &Bound) -> Result<Range, Error> {
        let (keyspace, number) = self.place();
        let hash: Vec<Part<'_>> = bound.hash.iter().map(part).collect::<Result<_, _>>()?;
        let partition = partition_key(&hash);
        let token = token(&partition);
        let mut equal: Vec<Part<'_>> = bound.equal.iter().map(part).collect::<Result<_, _>>()?;
        let test = match &bound.test {
            Some(test) => test.on_sort_keys().ok_or(schema::Error::Mismatch)?,
            None => match equal.pop() {
                Some(last) => SortCondition::Equal(last),
                None => return Ok(partition_rows(keyspace, token, &partition, number)),
            },
        };
        Ok(sort_rows(keyspace, token, &partition, number, &equal, test))
    }

    /// All rows with tokens from `start` up to `end`.
    pub fn tokens(&self, start: u128, end: Option<u128>) -> Range {
        token_rows(self.place().0, start, end)
    }

    /// The row that an `ExclusiveStartKey` names.
    ///
    /// # Errors
    /// It is no key of what is read.
    pub fn start_row(&self, key: &Item) -> Result<bytes::Bytes, schema::Error> {
        let (id, schema) = (self.table.id.0, &self.table.schema);
        match self.index {
            None => Ok(schema.validate_key(key)?.row(id).into()),
            Some(index) => Ok(index.schema.row_of_key(id, schema, key)?.into()),
        }
    }

    /// A starting key must lie within what is asked for.
    ///
    /// # Errors
    /// [`Error::Validation`].
    pub fn check_start(&self, bound: &Bound, key: &Item) -> Result<(), Error> {
        let mut hash = self.hash().iter().zip(&bound.hash);
        if hash.any(|(attribute, value)| key.get(&attribute.name) != Some(value)) {
            return Err(Error::validation(
                "The provided starting key is outside query boundaries based on provided conditions",
            ));
        }
        let mut equal = self.range().iter().zip(&bound.equal);
        let tested = self.range().get(bound.equal.len());
        let tested = tested.and_then(|attribute| key.get(&attribute.name));
        let fails = equal.any(|(attribute, value)| key.get(&attribute.name) != Some(value))
            || matches!((&bound.test, tested), (Some(test), Some(value)) if !test.matches(value));
        if fails {
            return Err(Error::validation(
                "The provided starting key does not match the range key predicate",
            ));
        }
        Ok(())
    }

    /// The key of a row as JSON; nothing if the row is none of these.
    pub fn write_key(&self, row: &[u8]) -> Option<Vec<u8>> {
        let Some(index) = self.index else {
            return keys::write_key(&self.table.schema, row);
        };
        let key = index.schema.key_of_row(&self.table.schema, row).ok()?;
        let mut out = Vec::with_capacity(96);
        output::object(&mut out, |o| {
            for (name, value) in &key {
                o.value_of(name, |out| write_value(value, out));
            }
        });
        Some(out)
    }
}

fn part(value: &AttributeValue) -> Result<Part<'_>, Error> {
    // Bound to the key, the value has its type.
    Part::new(value).ok_or_else(|| schema::Error::Mismatch.into())
}

/// Bytes of a key attribute's value; numbers are short.
fn len(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.len(),
        _ => 0,
    }
}
