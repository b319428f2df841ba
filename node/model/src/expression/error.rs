//! What is wrong with an expression, in the service's own words.
//!
//! `Display` of [`Error`] and [`ApplyError`] is the message of the `ValidationException` that the
//! service answers. Some operations of the service wrap it in `1 validation error detected: …`;
//! that envelope belongs to the operation and is not added here.

use std::fmt;
use std::ops::Range;

use super::Kind;
use super::path::Path;

/// A request's expressions or placeholders are not acceptable, whatever the item holds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// One expression is wrong in itself.
    #[error("Invalid {kind}: {reason}")]
    Invalid { kind: Kind, reason: Reason },

    /// `ExpressionAttributeNames` or `ExpressionAttributeValues` was given without an entry.
    #[error("{map} must not be empty")]
    EmptyMap { map: PlaceholderMap },
    /// A placeholder is not `#` or `:` followed by letters, digits and underscores.
    #[error("{map} contains invalid key: Syntax error; key: \"{key}\"")]
    InvalidKey { map: PlaceholderMap, key: String },
    /// Of a value the service does not tell the size.
    #[error(
        "{map} contains invalid key: The expression attribute map contains a key that is too long;{}",
        match map {
            PlaceholderMap::Names => format!(" size of key: {size}"),
            PlaceholderMap::Values => String::new(),
        }
    )]
    KeyTooLong { map: PlaceholderMap, size: usize },
    /// `#name` stands for the empty string.
    #[error("ExpressionAttributeNames contains invalid value: Empty attribute name for key {key}")]
    EmptyName { key: String },
    /// Placeholders that no expression of the request mentions, sorted.
    #[error("Value provided in {map} unused in expressions: keys: {{{}}}", keys.join(", "))]
    Unused {
        map: PlaceholderMap,
        keys: Vec<String>,
    },

    /// An operator that a key condition cannot have.
    #[error("Invalid operator used in KeyConditionExpression: {operator}")]
    KeyOperator { operator: &'static str },
    /// The key attribute is not where this operator wants it.
    #[error(
        "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
    )]
    KeyNotFirst { operator: &'static str },
    #[error("KeyConditionExpressions cannot contain nested operations")]
    KeyNestedOperation,
    #[error(
        "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
    )]
    KeyMultipleAttributes,
    #[error("KeyConditionExpressions cannot have conditions on nested attributes")]
    KeyNestedAttribute,
    #[error("Invalid condition in KeyConditionExpression: No key attribute specified")]
    KeyNoAttribute,
    #[error(
        "The number of query conditions ({conditions}) exceeds the number of key attributes defined in the schema ({keys})"
    )]
    TooManyKeyConditions { conditions: usize, keys: usize },
    #[error("Query condition missed key schema element: {attribute}")]
    MissingKeyCondition { attribute: String },
    #[error("Query key condition not supported")]
    KeyConditionNotSupported,
    #[error(
        "One or more parameter values were invalid: Condition parameter type does not match schema type"
    )]
    KeyConditionType,

    /// A `Query` filters on an attribute of the key that it queries by.
    #[error(
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: {attribute}"
    )]
    FilterOnKey { attribute: String },
    /// An update touches the key.
    #[error(
        "One or more parameter values were invalid: Cannot update attribute {attribute}. This attribute is part of the key"
    )]
    UpdateOfKey { attribute: String },
    /// A path looks inside an attribute that is a key, thus a scalar.
    #[error(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {role}: {attribute}"
    )]
    PathIntoKey { role: KeyRole, attribute: String },
}

/// Which key a [`Error::PathIntoKey`] speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    Table,
    Index,
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyRole::Table => "Key",
            KeyRole::Index => "IndexKey",
        })
    }
}

/// One of the two maps of placeholders that a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceholderMap {
    Names,
    Values,
}

impl fmt::Display for PlaceholderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlaceholderMap::Names => "ExpressionAttributeNames",
            PlaceholderMap::Values => "ExpressionAttributeValues",
        })
    }
}

/// Why one expression is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Reason {
    #[error("The expression can not be empty;")]
    Empty,
    /// Longer than [`super::MAX_BYTES`]; the service tells the size for conditions and filters only.
    #[error("Expression size has exceeded the maximum allowed size;{}", size_suffix(*.size))]
    TooLarge { size: Option<usize> },
    /// `near` is the text from the token before the wrong one to the token after it.
    #[error("Syntax error; token: \"{token}\", near: \"{near}\"")]
    Syntax {
        token: String,
        near: String,
        /// Bytes of the wrong token; empty at the end of the text.
        span: Range<usize>,
    },
    /// More than [`super::MAX_OPERATORS`] operators and functions.
    #[error("The expression contains too many operators; operator count: {count}")]
    TooManyOperators { count: usize },
    /// More than [`super::MAX_DEPTH`] levels of parentheses and function calls. Not a message of the
    /// service: it is the bound on this implementation's stack.
    #[error("The expression is nested too deeply; maximum depth: {max}")]
    TooDeep { max: usize },
    #[error("The expression has redundant parentheses;")]
    RedundantParentheses,
    #[error("Invalid function name; function: {name}")]
    UnknownFunction { name: String },
    #[error("The function is not allowed in {place} expression; function: {name}")]
    FunctionNotAllowed {
        place: &'static str,
        name: &'static str,
    },
    #[error("The function is not allowed to be used this way in an expression; function: {name}")]
    FunctionMisused { name: &'static str },
    #[error("Attribute name is a reserved keyword; reserved keyword: {word}")]
    Reserved { word: String },
    #[error("List index is not within the allowable range; index: [{index}]")]
    IndexOutOfRange { index: String },
    #[error(
        "An expression attribute name used in the document path is not defined; attribute name: {name}"
    )]
    UndefinedName { name: String },
    #[error(
        "An expression attribute value used in expression is not defined; attribute value: {name}"
    )]
    UndefinedValue { name: String },
    #[error(
        "Incorrect number of operands for operator or function; operator or function: {operator}, number of operands: {count}"
    )]
    OperandCount {
        operator: &'static str,
        count: usize,
    },
    #[error("The IN operator is provided with too many operands; number of operands: {count}")]
    TooManyInOperands { count: usize },
    #[error(
        "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {path}"
    )]
    NotDistinct { operator: &'static str, path: Path },
    #[error(
        "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {found}"
    )]
    OperandType {
        operator: &'static str,
        found: &'static str,
    },
    /// `ADD` or `DELETE` with a value that is no set (nor number).
    #[error(
        "Incorrect operand type for operator or function; operator: {operator}, operand type: {found}, typeSet: ALLOWED_FOR_{operator}_OPERAND"
    )]
    ActionOperandType {
        operator: &'static str,
        found: &'static str,
    },
    #[error("Operator or function requires a document path; operator or function: {operator}")]
    PathRequired { operator: &'static str },
    #[error(
        "Invalid attribute type name found; type: {name}, valid types: {{S,SS,N,NS,B,BS,BOOL,NULL,L,M}}"
    )]
    UnknownType { name: String },
    #[error(
        "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {{{lower}}}, upper bound operand: AttributeValue: {{{upper}}}"
    )]
    BetweenTypes { lower: String, upper: String },
    #[error(
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {{{lower}}}, upper bound operand: AttributeValue: {{{upper}}}"
    )]
    BetweenOrder { lower: String, upper: String },
    #[error("The \"{section}\" section can only be used once in an update expression;")]
    RepeatedSection { section: &'static str },
    #[error(
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
    )]
    Overlap { one: Path, two: Path },
    #[error(
        "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
    )]
    Conflict { one: Path, two: Path },
    #[error("KeyConditionExpressions must only contain one condition per key")]
    RepeatedKey,
}

fn size_suffix(size: Option<usize>) -> String {
    size.map_or_else(String::new, |size| format!(" expression size: {size}"))
}

/// An update cannot be applied to this item. The item stays as it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    #[error("The document path provided in the update expression is invalid for update")]
    InvalidPath,
    #[error("An operand in the update expression has an incorrect data type")]
    OperandType,
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    MissingAttribute,
    /// A sum or difference has no place in the service's range of numbers.
    #[error(transparent)]
    Number(#[from] crate::number::Error),
}
