//! Syntax trees to conditions: placeholders are replaced and operands checked.
//!
//! Everything here happens condition by condition in the order of the text; within a condition
//! placeholders come first, then numbers of operands, distinctness, and types.

use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::MAX_IN_OPERANDS;
use super::ast::{AttributeType, Comparator, Expr, Operand};
use super::condition::order;
use super::error::Reason;
use super::function::Function;
use super::path::{Path, Step};
use super::placeholders::Placeholders;
use super::syntax::{Call, ConditionSyntax, NameSyntax, OperandSyntax, PathSyntax, StepSyntax};
use super::words::list_index;
use crate::value::AttributeValue;

/// What the service says to a path where only a constant type name may stand.
const ANY_TYPE: &str = "{S,SS,N,NS,B,BS,BOOL,NULL,L,M,HD,DOUBLE,FLOAT,HDS,FS,DOUBLESET,DICT,\
                        DECIMAL,INT,DECIMALSET,INTSET}";

/// An operand whose placeholders are replaced; its functions are still unchecked.
pub(super) enum Argument {
    Path(Path),
    Value(Arc<AttributeValue>),
    Call(Function, Vec<Argument>),
}

impl Argument {
    /// The value, if it is known without an item.
    pub fn constant(&self) -> Option<&AttributeValue> {
        match self {
            Argument::Value(value) => Some(value),
            Argument::Path(_) | Argument::Call(..) => None,
        }
    }

    /// The type, if it is known without an item.
    fn known_type(&self) -> Option<AttributeType> {
        match self {
            Argument::Value(value) => Some(AttributeType::of(value)),
            Argument::Call(Function::Size, _) => Some(AttributeType::N),
            Argument::Path(_) | Argument::Call(..) => None,
        }
    }
}

pub(super) fn resolve_path(
    syntax: &PathSyntax<'_>,
    placeholders: &mut Placeholders,
) -> Result<Path, Reason> {
    let head = resolve_name(syntax.head, placeholders)?;
    let mut inner = Vec::with_capacity(syntax.inner.len());
    for step in &syntax.inner {
        inner.push(match step {
            StepSyntax::Field(name) => Step::Field(resolve_name(*name, placeholders)?),
            StepSyntax::Index(digits) => Step::Index(list_index(digits)?),
        });
    }
    Ok(Path::new(head, inner))
}

fn resolve_name(syntax: NameSyntax<'_>, placeholders: &mut Placeholders) -> Result<String, Reason> {
    match syntax {
        NameSyntax::Plain(name) => Ok(name.to_owned()),
        NameSyntax::Placeholder(name) => Ok(placeholders.name(name)?.to_owned()),
    }
}

pub(super) fn resolve_operand(
    syntax: &OperandSyntax<'_>,
    placeholders: &mut Placeholders,
) -> Result<Argument, Reason> {
    match syntax {
        OperandSyntax::Path(path) => Ok(Argument::Path(resolve_path(path, placeholders)?)),
        OperandSyntax::Value(name) => Ok(Argument::Value(Arc::clone(placeholders.value(name)?))),
        OperandSyntax::Call(call) => {
            let (function, arguments) = resolve_call(call, placeholders)?;
            Ok(Argument::Call(function, arguments))
        }
    }
}

fn resolve_call(
    call: &Call<'_>,
    placeholders: &mut Placeholders,
) -> Result<(Function, Vec<Argument>), Reason> {
    let Some(function) = call.function else {
        return Err(Reason::UnknownFunction {
            name: String::new(),
        });
    };
    Ok((function, resolve_operands(&call.operands, placeholders)?))
}

fn resolve_operands(
    operands: &[OperandSyntax<'_>],
    placeholders: &mut Placeholders,
) -> Result<Vec<Argument>, Reason> {
    operands
        .iter()
        .map(|operand| resolve_operand(operand, placeholders))
        .collect()
}

pub(super) fn resolve_condition(
    syntax: &ConditionSyntax<'_>,
    placeholders: &mut Placeholders,
) -> Result<Expr, Reason> {
    match syntax {
        ConditionSyntax::And(terms) => resolve_terms(terms, placeholders).map(Expr::And),
        ConditionSyntax::Or(terms) => resolve_terms(terms, placeholders).map(Expr::Or),
        ConditionSyntax::Not(inner) => {
            resolve_condition(inner, placeholders).map(|inner| Expr::Not(Box::new(inner)))
        }
        leaf => resolve_leaf(leaf, placeholders),
    }
}

fn resolve_terms(
    syntax: &[ConditionSyntax<'_>],
    placeholders: &mut Placeholders,
) -> Result<Vec<Expr>, Reason> {
    let mut terms = Vec::with_capacity(syntax.len());
    for term in syntax {
        terms.push(resolve_condition(term, placeholders)?);
    }
    Ok(terms)
}

/// A condition without conditions in it; apart from the others to keep their frames small.
fn resolve_leaf(
    syntax: &ConditionSyntax<'_>,
    placeholders: &mut Placeholders,
) -> Result<Expr, Reason> {
    match syntax {
        ConditionSyntax::Compare(comparator, operands) => {
            let [left, right] = &**operands;
            let left = resolve_operand(left, placeholders)?;
            let right = resolve_operand(right, placeholders)?;
            comparison(*comparator, left, right)
        }
        ConditionSyntax::Between(operands) => {
            let [operand, lower, upper] = &**operands;
            let operand = resolve_operand(operand, placeholders)?;
            let lower = resolve_operand(lower, placeholders)?;
            let upper = resolve_operand(upper, placeholders)?;
            between(operand, lower, upper)
        }
        ConditionSyntax::In(operand, list) => {
            let operand = resolve_operand(operand, placeholders)?;
            let list = resolve_operands(list, placeholders)?;
            membership(operand, list)
        }
        ConditionSyntax::Call(call) => {
            let (function, arguments) = resolve_call(call, placeholders)?;
            test(function, arguments)
        }
        ConditionSyntax::And(_) | ConditionSyntax::Or(_) | ConditionSyntax::Not(_) => {
            resolve_condition(syntax, placeholders)
        }
    }
}

fn comparison(comparator: Comparator, left: Argument, right: Argument) -> Result<Expr, Reason> {
    let operator = comparator.symbol();
    check_calls([&left, &right])?;
    check_distinct(operator, &left, &right)?;
    let (left, right) = (operand(left)?, operand(right)?);
    if comparator.is_ordering() {
        check_ordered(operator, [&left, &right])?;
    }
    Ok(Expr::Compare {
        comparator,
        left,
        right,
    })
}

fn between(value: Argument, lower: Argument, upper: Argument) -> Result<Expr, Reason> {
    check_calls([&value, &lower, &upper])?;
    let (value, lower, upper) = (operand(value)?, operand(lower)?, operand(upper)?);
    check_ordered("BETWEEN", [&value, &lower, &upper])?;
    if let (Operand::Value(low), Operand::Value(high)) = (&lower, &upper) {
        let shown = || (show(low), show(high));
        match order(low, high) {
            None => {
                let (lower, upper) = shown();
                return Err(Reason::BetweenTypes { lower, upper });
            }
            Some(Ordering::Greater) => {
                let (lower, upper) = shown();
                return Err(Reason::BetweenOrder { lower, upper });
            }
            Some(Ordering::Less | Ordering::Equal) => {}
        }
    }
    Ok(Expr::Between {
        operand: value,
        lower,
        upper,
    })
}

fn membership(value: Argument, list: Vec<Argument>) -> Result<Expr, Reason> {
    if list.len() > MAX_IN_OPERANDS {
        return Err(Reason::TooManyInOperands { count: list.len() });
    }
    check_calls(std::iter::once(&value).chain(&list))?;
    for one in &list {
        check_distinct("IN", &value, one)?;
    }
    let value = operand(value)?;
    let list = list.into_iter().map(operand).collect::<Result<_, _>>()?;
    Ok(Expr::In {
        operand: value,
        list,
    })
}

/// A function that is a condition by itself.
fn test(function: Function, arguments: Vec<Argument>) -> Result<Expr, Reason> {
    let operator = function.name();
    check_calls(&arguments)?;
    check_count(function, &arguments)?;
    let mut arguments = arguments.into_iter();
    match (function, arguments.next(), arguments.next()) {
        (Function::AttributeExists, Some(path), None) => {
            Ok(Expr::AttributeExists(required_path(operator, path)?))
        }
        (Function::AttributeNotExists, Some(path), None) => {
            Ok(Expr::AttributeNotExists(required_path(operator, path)?))
        }
        (Function::AttributeType, Some(one), Some(two)) => {
            check_distinct(operator, &one, &two)?;
            let value = operand(one)?;
            let expected = type_name(operator, &two)?;
            operand(two)?;
            Ok(Expr::AttributeType {
                operand: value,
                expected,
            })
        }
        (Function::BeginsWith, Some(one), Some(two)) => {
            check_distinct(operator, &one, &two)?;
            let (value, prefix) = (operand(one)?, operand(two)?);
            for side in [&value, &prefix] {
                let found = operand_type(side);
                check_type(operator, found, |t| {
                    matches!(t, AttributeType::S | AttributeType::B)
                })?;
            }
            Ok(Expr::BeginsWith {
                operand: value,
                prefix,
            })
        }
        (Function::Contains, Some(one), Some(two)) => {
            check_distinct(operator, &one, &two)?;
            Ok(Expr::Contains {
                container: operand(one)?,
                element: operand(two)?,
            })
        }
        // The grammar notes the others as misused before anything is resolved.
        _ => Err(Reason::FunctionMisused { name: operator }),
    }
}

/// Checks the number of operands of all calls among `arguments`, innermost first.
fn check_calls<'a>(arguments: impl IntoIterator<Item = &'a Argument>) -> Result<(), Reason> {
    for argument in arguments {
        if let Argument::Call(function, inner) = argument {
            check_calls(inner)?;
            check_count(*function, inner)?;
        }
    }
    Ok(())
}

pub(super) fn check_count(function: Function, arguments: &[Argument]) -> Result<(), Reason> {
    if arguments.len() == function.arity() {
        return Ok(());
    }
    Err(Reason::OperandCount {
        operator: function.name(),
        count: arguments.len(),
    })
}

fn check_distinct(operator: &'static str, one: &Argument, two: &Argument) -> Result<(), Reason> {
    match (one, two) {
        (Argument::Path(one), Argument::Path(two)) if one == two => Err(Reason::NotDistinct {
            operator,
            path: one.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_type(
    operator: &'static str,
    found: Option<AttributeType>,
    fits: impl Fn(AttributeType) -> bool,
) -> Result<(), Reason> {
    match found {
        Some(found) if !fits(found) => Err(Reason::OperandType {
            operator,
            found: found.name(),
        }),
        _ => Ok(()),
    }
}

fn check_ordered<'o>(
    operator: &'static str,
    operands: impl IntoIterator<Item = &'o Operand>,
) -> Result<(), Reason> {
    let mut types = operands.into_iter().map(operand_type);
    types.try_for_each(|found| check_type(operator, found, AttributeType::is_ordered))
}

fn operand_type(operand: &Operand) -> Option<AttributeType> {
    match operand {
        Operand::Path(_) => None,
        Operand::Value(value) => Some(AttributeType::of(value)),
        Operand::Size(_) => Some(AttributeType::N),
    }
}

fn required_path(operator: &'static str, argument: Argument) -> Result<Path, Reason> {
    match argument {
        Argument::Path(path) => Ok(path),
        other => {
            // What is wrong with an inner function is told first.
            operand(other)?;
            Err(Reason::PathRequired { operator })
        }
    }
}

/// The second operand of `attribute_type`.
fn type_name(operator: &'static str, argument: &Argument) -> Result<AttributeType, Reason> {
    match argument {
        Argument::Value(value) => match &**value {
            AttributeValue::S(name) => AttributeType::from_name(name)
                .ok_or_else(|| Reason::UnknownType { name: name.clone() }),
            other => {
                let found = AttributeType::of(other).name();
                Err(Reason::OperandType { operator, found })
            }
        },
        other => {
            let found = other.known_type().map_or(ANY_TYPE, AttributeType::name);
            Err(Reason::OperandType { operator, found })
        }
    }
}

/// An operand of a condition; of the functions only `size` can be one.
fn operand(argument: Argument) -> Result<Operand, Reason> {
    match argument {
        Argument::Path(path) => Ok(Operand::Path(path)),
        Argument::Value(value) => Ok(Operand::Value(value)),
        Argument::Call(Function::Size, arguments) => {
            let operator = Function::Size.name();
            check_count(Function::Size, &arguments)?;
            let Some(inner) = arguments.into_iter().next() else {
                return Err(Reason::OperandCount { operator, count: 0 });
            };
            let inner = operand(inner)?;
            check_type(operator, operand_type(&inner), AttributeType::has_size)?;
            Ok(Operand::Size(Box::new(inner)))
        }
        Argument::Call(function, _) => Err(Reason::FunctionMisused {
            name: function.name(),
        }),
    }
}

/// A scalar as the service's messages show it: `N:5`, `S:a`, `B:YQ==`.
fn show(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) => format!("S:{text}"),
        AttributeValue::N(number) => format!("N:{number}"),
        AttributeValue::B(bytes) => format!("B:{}", STANDARD.encode(bytes)),
        other => AttributeType::of(other).name().to_owned(),
    }
}
