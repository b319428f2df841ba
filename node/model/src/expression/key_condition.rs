//! Key conditions: which items a `Query` reads.
//!
//! They have the grammar of conditions, of which little is allowed. The service looks at them in three
//! steps, between which other checks of the request take place, hence three types: [`KeyExpression`]
//! parsed well, [`KeyClauses`] is a conjunction of tests of attributes, and [`KeyCondition`] fits the
//! key of the table or index.

use std::sync::Arc;

use super::ast::{Comparator, Expr, Operand};
use super::condition::{begins_with, order, parse_expr};
use super::error::{Error, Reason};
use super::path::Path;
use super::placeholders::Placeholders;
use super::{Kind, Source, print};
use crate::encoding::key::{Part, SortCondition};
use crate::schema::KeyAttribute;
use crate::value::AttributeValue;

/// A `KeyConditionExpression` that is right as an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyExpression {
    expr: Expr,
}

/// Parses a key condition.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_key_condition(
    text: &str,
    placeholders: &mut Placeholders,
) -> Result<KeyExpression, Error> {
    let kind = Kind::KeyCondition;
    let expr = parse_expr(kind, text, placeholders);
    expr.map(|expr| KeyExpression { expr })
        .map_err(|reason| Error::Invalid { kind, reason })
}

/// Tests of top-level attributes against constants, at most one for each attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyClauses {
    clauses: Vec<(String, RangeCondition)>,
}

/// What a key attribute must be.
#[derive(Clone, Debug, PartialEq)]
pub enum RangeCondition {
    Equal(AttributeValue),
    Less(AttributeValue),
    LessOrEqual(AttributeValue),
    Greater(AttributeValue),
    GreaterOrEqual(AttributeValue),
    /// From the first to the second, both included.
    Between(AttributeValue, AttributeValue),
    BeginsWith(AttributeValue),
}

/// Which items of a table or index a `Query` reads.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCondition {
    /// The value of the hash key.
    pub hash: AttributeValue,
    /// `None`: all items with that hash key.
    pub range: Option<RangeCondition>,
}

/// Which items of an index with several key attributes a `Query` reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManyKeyCondition {
    /// Values of the hash attributes.
    pub hash: Vec<AttributeValue>,
    /// Values of the first range attributes.
    pub equal: Vec<AttributeValue>,
    /// A test of the range attribute behind those.
    pub range: Option<RangeCondition>,
}

impl KeyExpression {
    /// The tests that the expression joins.
    ///
    /// # Errors
    /// Operators that a key condition cannot have, nested attributes, two tests of an attribute.
    pub fn clauses(self) -> Result<KeyClauses, Error> {
        let mut clauses = Vec::with_capacity(2);
        collect(self.expr, &mut clauses)?;
        Ok(KeyClauses { clauses })
    }

    /// The condition as a text with placeholders of its own: parsed, it gives an equal condition.
    pub fn to_source(&self) -> Source {
        print::condition(&self.expr)
    }
}

fn collect(expr: Expr, clauses: &mut Vec<(String, RangeCondition)>) -> Result<(), Error> {
    let (attribute, test) = match expr {
        Expr::And(terms) => {
            return terms
                .into_iter()
                .try_for_each(|term| collect(term, clauses));
        }
        Expr::Compare {
            comparator,
            left,
            right,
        } => comparison(comparator, left, right)?,
        Expr::Between {
            operand,
            lower,
            upper,
        } => between(operand, lower, upper)?,
        Expr::BeginsWith { operand, prefix } => {
            let path = first_operand("begins_with", operand)?;
            let prefix = constant(&path, prefix)?;
            (attribute(path)?, RangeCondition::BeginsWith(prefix))
        }
        Expr::Or(_) => return Err(Error::KeyOperator { operator: "OR" }),
        Expr::Not(_) => return Err(Error::KeyOperator { operator: "NOT" }),
        Expr::In { .. } => return Err(Error::KeyOperator { operator: "IN" }),
        Expr::AttributeExists(_) => {
            return Err(Error::KeyOperator {
                operator: "attribute_exists",
            });
        }
        Expr::AttributeNotExists(_) => {
            return Err(Error::KeyOperator {
                operator: "attribute_not_exists",
            });
        }
        Expr::AttributeType { .. } => {
            return Err(Error::KeyOperator {
                operator: "attribute_type",
            });
        }
        Expr::Contains { .. } => {
            return Err(Error::KeyOperator {
                operator: "contains",
            });
        }
    };
    if clauses.iter().any(|(earlier, _)| *earlier == attribute) {
        return Err(Error::Invalid {
            kind: Kind::KeyCondition,
            reason: Reason::RepeatedKey,
        });
    }
    clauses.push((attribute, test));
    Ok(())
}

fn comparison(
    comparator: Comparator,
    left: Operand,
    right: Operand,
) -> Result<(String, RangeCondition), Error> {
    if comparator == Comparator::NotEqual {
        return Err(Error::KeyOperator {
            operator: comparator.symbol(),
        });
    }
    let (comparator, path, value) = match (left, right) {
        (Operand::Size(_), _) => return Err(Error::KeyNestedOperation),
        (Operand::Value(_), Operand::Value(_)) => return Err(Error::KeyNoAttribute),
        (Operand::Value(_), Operand::Size(_)) => return Err(Error::KeyNestedOperation),
        (Operand::Value(value), Operand::Path(path)) => (
            comparator.flipped(),
            attribute(path)?,
            Arc::unwrap_or_clone(value),
        ),
        (Operand::Path(path), right) => {
            let value = constant(&path, right)?;
            (comparator, attribute(path)?, value)
        }
    };
    let test = match comparator {
        Comparator::Equal | Comparator::NotEqual => RangeCondition::Equal(value),
        Comparator::Less => RangeCondition::Less(value),
        Comparator::LessOrEqual => RangeCondition::LessOrEqual(value),
        Comparator::Greater => RangeCondition::Greater(value),
        Comparator::GreaterOrEqual => RangeCondition::GreaterOrEqual(value),
    };
    Ok((path, test))
}

fn between(
    operand: Operand,
    lower: Operand,
    upper: Operand,
) -> Result<(String, RangeCondition), Error> {
    let path = first_operand("BETWEEN", operand)?;
    let lower = constant(&path, lower)?;
    let upper = constant(&path, upper)?;
    Ok((attribute(path)?, RangeCondition::Between(lower, upper)))
}

fn first_operand(operator: &'static str, operand: Operand) -> Result<Path, Error> {
    match operand {
        Operand::Path(path) => Ok(path),
        Operand::Value(_) | Operand::Size(_) => Err(Error::KeyNotFirst { operator }),
    }
}

/// The constant that the attribute at `path` is compared with.
fn constant(path: &Path, operand: Operand) -> Result<AttributeValue, Error> {
    if path.is_nested() {
        return Err(Error::KeyNestedAttribute);
    }
    match operand {
        Operand::Value(value) => Ok(Arc::unwrap_or_clone(value)),
        Operand::Path(_) => Err(Error::KeyMultipleAttributes),
        Operand::Size(_) => Err(Error::KeyNestedOperation),
    }
}

fn attribute(path: Path) -> Result<String, Error> {
    if path.is_nested() {
        Err(Error::KeyNestedAttribute)
    } else {
        Ok(path.head().to_owned())
    }
}

impl KeyClauses {
    /// Tests by attribute as `KeyConditions` gives them, each attribute once.
    pub fn of_tests(clauses: Vec<(String, RangeCondition)>) -> Self {
        KeyClauses { clauses }
    }

    /// The condition on a key of `hash` and, if it has one, `range`.
    ///
    /// # Errors
    /// No equality on the hash key, a test of another attribute, or a value of another type.
    pub fn bind(
        mut self,
        hash: &KeyAttribute,
        range: Option<&KeyAttribute>,
    ) -> Result<KeyCondition, Error> {
        let conditions = self.clauses.len();
        if conditions > 2 {
            let keys = 1 + usize::from(range.is_some());
            return Err(Error::TooManyKeyConditions { conditions, keys });
        }
        if conditions == 2 && range.is_none() {
            return Err(Error::KeyConditionNotSupported);
        }
        let missing = |key: &KeyAttribute| Error::MissingKeyCondition {
            attribute: key.name.clone(),
        };
        let hash = match self.take(hash)?.ok_or_else(|| missing(hash))? {
            RangeCondition::Equal(value) => value,
            _ => return Err(Error::KeyConditionNotSupported),
        };
        let range = match range {
            Some(key) if conditions == 2 => Some(self.take(key)?.ok_or_else(|| missing(key))?),
            _ => None,
        };
        Ok(KeyCondition { hash, range })
    }

    /// The condition on a key of several attributes a part: an equality on every hash attribute, equalities on leading range
    /// attributes, and any test of the one behind them.
    ///
    /// # Errors
    /// A hash attribute without equality, a range attribute that is left out before a tested one, a test of another attribute, or a
    /// value of another type.
    pub fn bind_many(
        mut self,
        hash: &[KeyAttribute],
        range: &[KeyAttribute],
    ) -> Result<ManyKeyCondition, Error> {
        let missing = |key: &KeyAttribute| Error::MissingKeyCondition {
            attribute: key.name.clone(),
        };
        let mut bound = ManyKeyCondition::default();
        for key in hash {
            match self.take(key)?.ok_or_else(|| missing(key))? {
                RangeCondition::Equal(value) => bound.hash.push(value),
                _ => return Err(Error::KeyConditionNotSupported),
            }
        }
        let mut open = true;
        for key in range {
            match self.take(key)? {
                None => open = false,
                Some(_) if bound.range.is_some() => return Err(Error::KeyConditionNotSupported),
                Some(_) if !open => return Err(missing(&range[bound.equal.len()])),
                Some(RangeCondition::Equal(value)) => bound.equal.push(value),
                Some(test) => {
                    bound.range = Some(test);
                    open = false;
                }
            }
        }
        match self.clauses.is_empty() {
            true => Ok(bound),
            false => Err(Error::KeyConditionNotSupported),
        }
    }

    /// The test of `key`, if there is one.
    fn take(&mut self, key: &KeyAttribute) -> Result<Option<RangeCondition>, Error> {
        let Some(found) = self
            .clauses
            .iter()
            .position(|(attribute, _)| *attribute == key.name)
        else {
            return Ok(None);
        };
        let (_, test) = self.clauses.swap_remove(found);
        if test
            .operands()
            .any(|value| value.type_name() != key.kind.name())
        {
            return Err(Error::KeyConditionType);
        }
        Ok(Some(test))
    }
}

impl RangeCondition {
    /// The constants of the test, one or two.
    pub fn operands(&self) -> impl Iterator<Item = &AttributeValue> {
        let (first, second) = match self {
            RangeCondition::Equal(value)
            | RangeCondition::Less(value)
            | RangeCondition::LessOrEqual(value)
            | RangeCondition::Greater(value)
            | RangeCondition::GreaterOrEqual(value)
            | RangeCondition::BeginsWith(value) => (value, None),
            RangeCondition::Between(lower, upper) => (lower, Some(upper)),
        };
        std::iter::once(first).chain(second)
    }

    /// The condition on encoded sort keys; `None` where an operand is of a type that no key has, which
    /// [`KeyClauses::bind`] refuses.
    pub fn on_sort_keys(&self) -> Option<SortCondition<'_>> {
        Some(match self {
            RangeCondition::Equal(value) => SortCondition::Equal(Part::new(value)?),
            RangeCondition::Less(value) => SortCondition::Less(Part::new(value)?),
            RangeCondition::LessOrEqual(value) => SortCondition::LessOrEqual(Part::new(value)?),
            RangeCondition::Greater(value) => SortCondition::Greater(Part::new(value)?),
            RangeCondition::GreaterOrEqual(value) => {
                SortCondition::GreaterOrEqual(Part::new(value)?)
            }
            RangeCondition::Between(lower, upper) => {
                SortCondition::Between(Part::new(lower)?, Part::new(upper)?)
            }
            RangeCondition::BeginsWith(prefix) => SortCondition::BeginsWith(Part::new(prefix)?),
        })
    }

    /// Whether the key attribute's `value` passes.
    pub fn matches(&self, value: &AttributeValue) -> bool {
        match self {
            RangeCondition::Equal(other) => value == other,
            RangeCondition::Less(other) => order(value, other).is_some_and(|o| o.is_lt()),
            RangeCondition::LessOrEqual(other) => order(value, other).is_some_and(|o| o.is_le()),
            RangeCondition::Greater(other) => order(value, other).is_some_and(|o| o.is_gt()),
            RangeCondition::GreaterOrEqual(other) => order(value, other).is_some_and(|o| o.is_ge()),
            RangeCondition::Between(lower, upper) => {
                order(value, lower).is_some_and(|o| o.is_ge())
                    && order(value, upper).is_some_and(|o| o.is_le())
            }
            RangeCondition::BeginsWith(prefix) => begins_with(value, prefix),
        }
    }
}
