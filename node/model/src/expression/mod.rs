//! DynamoDB's expressions: conditions, filters, key conditions, updates and projections.
//!
//! ```text
//!  text ──lexer──▶ tokens ──grammar──▶ syntax tree ──resolve──▶ Condition, Update, …
//!                                          ▲
//!                         Placeholders ────┘   (#names and :values of the request)
//! ```
//!
//! The checks come in the service's order, so that a request with several mistakes hears of the same
//! one: size, syntax, redundant parentheses, function names, reserved words; then, condition by
//! condition, placeholders, number, distinctness and types of operands; for updates repeated sections,
//! placeholders, clashing paths and types. What comes out holds no placeholders any more and is
//! evaluated without further errors, except that an update may not fit the item.
//!
//! Everything is bounded: text, operators, operands of `IN`, nesting. No text makes this code panic.
//!
//! The words were recorded from the service by others: the tests of dynalite, Alternator's tests, and
//! the public conformance suites of 2026 where the service has changed its words since.

mod apply;
mod ast;
mod condition;
mod error;
mod function;
mod grammar;
mod key_condition;
pub mod legacy;
mod lexer;
mod path;
mod placeholders;
mod print;
mod projection;
mod reserved;
mod resolve;
mod syntax;
mod update;
mod words;

use std::collections::BTreeMap;
use std::fmt;

pub use ast::{AttributeType, Comparator, Expr, Operand};
pub use condition::{Condition, parse_condition};
pub use error::{ApplyError, Error, KeyRole, PlaceholderMap, Reason};
pub use key_condition::{
    KeyClauses, KeyCondition, KeyExpression, ManyKeyCondition, RangeCondition, parse_key_condition,
};
pub use path::{Path, Step, check_scalar_keys};
pub use placeholders::Placeholders;
pub use projection::{Projection, parse_projection};
pub use update::{Action, Update, UpdateOperand, UpdateValue, parse_update};

use crate::value::AttributeValue;

/// Largest expression, in bytes of its text as it came.
pub const MAX_BYTES: usize = 4096;
/// Most operators and functions in an expression. `IN` counts once, `SET`'s `=` does not.
pub const MAX_OPERATORS: usize = 300;
/// Most operands in the list of an `IN`.
pub const MAX_IN_OPERANDS: usize = 100;
/// Deepest nesting of parentheses and function calls. The service has no such limit of its own, but
/// with [`MAX_OPERATORS`] a chain like `a < b AND (c < d OR (…))` ends at 150.
pub const MAX_DEPTH: usize = 160;

/// Which parameter of a request an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Condition,
    Filter,
    KeyCondition,
    Update,
    Projection,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Condition => "ConditionExpression",
            Kind::Filter => "FilterExpression",
            Kind::KeyCondition => "KeyConditionExpression",
            Kind::Update => "UpdateExpression",
            Kind::Projection => "ProjectionExpression",
        })
    }
}

/// An expression's text with the placeholders of its request, as they came: the form that travels
/// between nodes. The maps may hold placeholders that only the request's other expressions use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    pub text: String,
    pub names: BTreeMap<String, String>,
    pub values: BTreeMap<String, AttributeValue>,
}

impl Source {
    /// The placeholders, ready for parsing [`Source::text`].
    ///
    /// # Errors
    /// [`Error::InvalidKey`] and [`Error::EmptyName`].
    pub fn placeholders(&self) -> Result<Placeholders, Error> {
        let names = (!self.names.is_empty()).then(|| self.names.clone());
        let values = (!self.values.is_empty()).then(|| self.values.clone());
        Placeholders::new(names, values)
    }
}
