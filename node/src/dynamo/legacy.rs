//! Parameters from before there were expressions, read into the trees of expressions.
//!
//! The order of checks, for each attribute as it comes: values, then which members stand together, then the operator's
//! arguments. `ConditionalOperator` comes before all of them.

use bytes::Bytes;
use kv_core::api::Expression;
use kv_model::encoding::item;
use kv_model::expression::legacy::{self, LegacyError, Operator};
use kv_model::expression::{Condition, Expr, KeyClauses, Source, Update};
use kv_model::value::AttributeValue;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::Error;
use super::input::{Bool, Text};
use super::operations::Pairs;
use super::values;

/// What the service answers where an expression says that an operand has an incorrect type.
const TYPE_MISMATCH: &str = "Type mismatch for attribute to update";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Test<'a> {
    #[serde(borrow)]
    attribute_value_list: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    comparison_operator: Option<Text<'a>>,
    exists: Option<Bool>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    #[serde(borrow)]
    action: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// `Expected` as a condition; none if it is not there, or empty.
///
/// # Errors
/// [`Error::Validation`], or of serialization.
pub fn expected(
    text: Option<&RawValue>,
    operator: Option<&str>,
) -> Result<Option<Condition>, Error> {
    let tests = pairs::<Test<'_>>(text)?;
    let any = joined_by_any(operator, tests.0.len())?;
    let tests = tests.0.iter().map(|(name, test)| expected_one(name, test));
    let tests: Vec<Expr> = tests.collect::<Result<_, _>>()?;
    Ok(legacy::join(tests, any))
}

/// `QueryFilter` or `ScanFilter` as a condition; none if it is not there, or empty.
///
/// # Errors
/// [`Error::Validation`], or of serialization.
pub fn filter(text: Option<&RawValue>, operator: Option<&str>) -> Result<Option<Condition>, Error> {
    let tests = pairs::<Test<'_>>(text)?;
    let any = joined_by_any(operator, tests.0.len())?;
    let tests = tests.0.iter().map(|(name, test)| {
        let values = listed(test.attribute_value_list.as_deref())?;
        check_name(name)?;
        Ok(legacy::test(name, operator_of(test)?, values)?)
    });
    let tests: Vec<Expr> = tests.collect::<Result<_, Error>>()?;
    Ok(legacy::join(tests, any))
}

/// `KeyConditions`.
///
/// # Errors
/// [`Error::Validation`], or of serialization.
pub fn key_conditions(text: &RawValue) -> Result<KeyClauses, Error> {
    let tests = pairs::<Test<'_>>(Some(text))?;
    let mut clauses = Vec::with_capacity(tests.0.len());
    for (name, test) in &tests.0 {
        let values = listed(test.attribute_value_list.as_deref())?;
        let test = legacy::key_test(operator_of(test)?, values)?;
        clauses.push((name.to_string(), test));
    }
    if !(1..=2).contains(&clauses.len()) {
        return Err(Error::validation("Conditions can be of length 1 or 2 only"));
    }
    Ok(KeyClauses::of_tests(clauses))
}

/// `AttributeUpdates`; none if it is not there, or empty.
///
/// # Errors
/// [`Error::Validation`], or of serialization.
pub fn updates(text: Option<&RawValue>) -> Result<Option<Update>, Error> {
    let changes = pairs::<Change<'_>>(text)?;
    let mut actions = Vec::with_capacity(changes.0.len());
    for (name, change) in &changes.0 {
        let value = change.value.map(values::parse_value).transpose()?;
        check_name(name)?;
        let action = change.action.as_deref().unwrap_or("PUT");
        actions.push(legacy::update_action(name, action, value)?);
    }
    Ok((!actions.is_empty()).then(|| Update::new(actions)))
}

/// A tree's text with placeholders of its own, as it travels.
pub fn wire(source: Source) -> Expression {
    let values = match source.values.is_empty() {
        true => Bytes::new(),
        false => item::encode(&source.values),
    };
    Expression {
        text: source.text,
        names: source.names,
        values,
    }
}

/// The error of an update in the words for requests without expressions.
pub fn reworded(error: Error) -> Error {
    use kv_model::expression::ApplyError;
    match error {
        Error::Validation(message) if message == ApplyError::OperandType.to_string() => {
            Error::validation(TYPE_MISMATCH)
        }
        other => other,
    }
}

fn pairs<'a, T: Deserialize<'a>>(text: Option<&'a RawValue>) -> Result<Pairs<'a, T>, Error> {
    let Some(text) = text else {
        return Ok(Pairs(Vec::new()));
    };
    serde_json::from_str(text.get()).map_err(|_| Error::Serialization(None))
}

/// Whether one test that holds is enough.
fn joined_by_any(operator: Option<&str>, tests: usize) -> Result<bool, Error> {
    match (operator, tests) {
        (None, _) => Ok(false),
        (Some(_), 0) => Err(Error::validation(
            "ConditionalOperator cannot be used without Filter or Expected",
        )),
        (Some(_), 1) => Err(Error::validation(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )),
        (Some(operator), _) => Ok(operator == "OR"),
    }
}

fn expected_one(name: &str, test: &Test<'_>) -> Result<Expr, Error> {
    let mut values = listed(test.attribute_value_list.as_deref())?;
    values.extend(test.value.map(values::parse_value).transpose()?);
    check_name(name)?;
    let refuse = |what: &str| Err(Error::invalid(format_args!("{what} for Attribute: {name}")));
    let (listed, valued) = (test.attribute_value_list.is_some(), test.value.is_some());
    if listed && valued {
        return refuse("Value and AttributeValueList cannot be used together");
    }
    if let Some(operator) = test.comparison_operator.as_deref() {
        if test.exists.is_some() {
            return refuse("Exists and ComparisonOperator cannot be used together");
        }
        let needs_none = matches!(operator, "NULL" | "NOT_NULL");
        if !needs_none && !listed && !valued {
            return refuse(&format!(
                "Value or AttributeValueList must be used with ComparisonOperator: {operator}"
            ));
        }
        return Ok(legacy::test(name, operator_of(test)?, values)?);
    }
    if listed {
        return refuse("AttributeValueList can only be used with a ComparisonOperator");
    }
    match (test.exists, valued) {
        (None, false) => refuse("Value must be provided when Exists is null"),
        (Some(Bool(true)), false) => refuse("Value must be provided when Exists is true"),
        (Some(Bool(false)), true) => refuse("Value cannot be used when Exists is false"),
        (Some(Bool(false)), false) => Ok(legacy::test(name, Operator::Null, Vec::new())?),
        (None | Some(Bool(true)), true) => Ok(legacy::test(name, Operator::Equal, values)?),
    }
}

fn listed(values: Option<&[&RawValue]>) -> Result<Vec<AttributeValue>, Error> {
    let values = values.unwrap_or_default().iter();
    values.map(|value| values::parse_value(value)).collect()
}

/// The constraints have checked that it is there, and is one.
fn operator_of(test: &Test<'_>) -> Result<Operator, Error> {
    let name = test.comparison_operator.as_deref().unwrap_or_default();
    Operator::from_name(name)
        .ok_or_else(|| Error::validation("ComparisonOperator is not one of the known"))
}

fn check_name(name: &str) -> Result<(), Error> {
    match name.is_empty() {
        true => Err(Error::validation("Empty attribute name")),
        false => Ok(()),
    }
}

impl From<LegacyError> for Error {
    fn from(error: LegacyError) -> Self {
        Error::Validation(error.to_string())
    }
}
