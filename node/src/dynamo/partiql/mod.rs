//! PartiQL statements, planned into the operations that are there already.
//!
//! ```text
//!   text ──parse──► Statement ──plan (with the table's keys)──► body of a Query, Scan, PutItem, UpdateItem or DeleteItem
//!         └ parameters take the places of `?`            └ the same checks, limits and words as that operation has
//! ```
//! A statement never does more than the operation would: a table is read whole only if nothing fixes the partition key.
//! Language: the service's "PartiQL for DynamoDB" reference.

mod expression;
mod lexer;
mod parser;
pub mod plan;

use super::error::Error;

/// How deep conditions and literals may nest.
const DEPTH_MAX: usize = 32;
/// Values of one `IN`.
const IN_MAX: usize = 100;

/// A statement with its parameters in place.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    Select(Select),
    Insert {
        table: String,
        /// Members of the new item: name and value as JSON of the data model.
        item: Vec<(String, String)>,
    },
    Update {
        table: String,
        changes: Vec<Change>,
        condition: Condition,
        /// As `ReturnValues` has it.
        returning: Option<&'static str>,
    },
    Delete {
        table: String,
        condition: Condition,
        returning: Option<&'static str>,
    },
}

impl Statement {
    /// The table that it is about.
    pub fn table(&self) -> &str {
        match self {
            Statement::Select(select) => &select.table,
            Statement::Insert { table, .. }
            | Statement::Update { table, .. }
            | Statement::Delete { table, .. } => table,
        }
    }

    pub fn is_read(&self) -> bool {
        matches!(self, Statement::Select(_))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub table: String,
    pub index: Option<String>,
    /// None is `*`.
    pub paths: Option<Vec<Path>>,
    pub condition: Option<Condition>,
    /// Attribute and whether it descends.
    pub order: Vec<(String, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Name(String),
    Index(u32),
}

/// A path into an item; its first step is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The attribute's name if the path is only that.
    fn as_attribute(&self) -> Option<&str> {
        match &self.0[..] {
            [Step::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The attribute that it leads into.
    fn head(&self) -> &str {
        match self.0.first() {
            Some(Step::Name(name)) => name,
            _ => "",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Path(Path),
    /// JSON of the data model.
    Value(String),
    Size(Path),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Operand, &'static str, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    /// `begins_with`, `contains` or `attribute_type`.
    Call(&'static str, Path, Operand),
    Missing(Path),
}

/// What an `UPDATE` does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Set(Path, Source),
    Remove(Path),
    /// `set_add` and `set_delete`.
    SetAdd(Path, String),
    SetDelete(Path, String),
}

/// What an attribute is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Operand(Operand),
    Sum(Operand, char, Operand),
    Append(Operand, Operand),
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::validation(format!(
        "Statement wasn't well formed, can't be processed: {what}"
    ))
}

/// Reads a statement; `parameters` are JSON of the data model.
///
/// # Errors
/// [`Error::Validation`].
pub fn parse(text: &str, parameters: &[&str]) -> Result<Statement, Error> {
    parser::parse(lexer::lex(text)?, parameters)
}

#[cfg(test)]
mod tests;
