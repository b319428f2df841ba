//! Conditions and updates as they were written before there were expressions, made into the same trees.
//!
//! ```text
//!   Expected, QueryFilter, ScanFilter ──test──▶ Expr ──join──▶ Condition
//!   KeyConditions ──key_test──▶ KeyClauses
//!   AttributeUpdates ──update_action──▶ Action
//! ```
//! The words are those of the service's Java validators, which DynamoDB Local shares, and of dynalite's recordings.

use std::sync::Arc;

use super::ast::{AttributeType, Comparator, Expr, Operand};
use super::condition::{Condition, order};
use super::key_condition::RangeCondition;
use super::path::Path;
use super::update::{Action, UpdateOperand, UpdateValue};
use crate::value::AttributeValue;

/// A `ComparisonOperator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    In,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Between,
    NotNull,
    Null,
    Contains,
    NotContains,
    BeginsWith,
}

/// Why a legacy condition or update is refused; `Display` is the service's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    #[error(
        "One or more parameter values were invalid: Invalid number of argument(s) for the {0} ComparisonOperator"
    )]
    ArgumentCount(&'static str),
    #[error(
        "One or more parameter values were invalid: ComparisonOperator {operator} is not valid for {kind} AttributeValue type"
    )]
    ArgumentType {
        operator: &'static str,
        kind: &'static str,
    },
    #[error(
        "One or more parameter values were invalid: AttributeValues inside AttributeValueList must be of same type"
    )]
    MixedTypes,
    #[error(
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
    )]
    Bounds,
    #[error("Attempted conditional constraint is not an indexable operation")]
    NotIndexable,
    #[error(
        "One or more parameter values were invalid: Only DELETE action is allowed when no attribute value is specified"
    )]
    NoValue,
    #[error(
        "One or more parameter values were invalid: {action} is not supported for the type {kind}"
    )]
    ActionType {
        action: &'static str,
        kind: &'static str,
    },
}

impl Operator {
    const ALL: [(Operator, &'static str); 13] = [
        (Operator::Equal, "EQ"),
        (Operator::NotEqual, "NE"),
        (Operator::In, "IN"),
        (Operator::LessOrEqual, "LE"),
        (Operator::Less, "LT"),
        (Operator::GreaterOrEqual, "GE"),
        (Operator::Greater, "GT"),
        (Operator::Between, "BETWEEN"),
        (Operator::NotNull, "NOT_NULL"),
        (Operator::Null, "NULL"),
        (Operator::Contains, "CONTAINS"),
        (Operator::NotContains, "NOT_CONTAINS"),
        (Operator::BeginsWith, "BEGINS_WITH"),
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(operator, _)| *operator)
    }

    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(known, _)| *known == self);
        found.map_or("", |(_, name)| name)
    }

    fn takes(self, kind: AttributeType) -> bool {
        use AttributeType::{B, Bool, N, Null, S};
        match self {
            Operator::Equal | Operator::NotEqual | Operator::NotNull | Operator::Null => true,
            Operator::Contains | Operator::NotContains => matches!(kind, S | N | B | Bool | Null),
            Operator::BeginsWith => matches!(kind, S | B),
            Operator::In
            | Operator::LessOrEqual
            | Operator::Less
            | Operator::GreaterOrEqual
            | Operator::Greater
            | Operator::Between => kind.is_ordered(),
        }
    }

    /// Checks the values beside the operator.
    ///
    /// # Errors
    /// Their number, types or order.
    pub fn check(self, values: &[AttributeValue]) -> Result<(), LegacyError> {
        let right = match self {
            Operator::Null | Operator::NotNull => values.is_empty(),
            Operator::Between => values.len() == 2,
            Operator::In => !values.is_empty(),
            _ => values.len() == 1,
        };
        if !right {
            return Err(LegacyError::ArgumentCount(self.name()));
        }
        let kinds: Vec<AttributeType> = values.iter().map(AttributeType::of).collect();
        if let Some(kind) = kinds.iter().find(|kind| !self.takes(**kind)) {
            return Err(LegacyError::ArgumentType {
                operator: self.name(),
                kind: kind.name(),
            });
        }
        if kinds.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(LegacyError::MixedTypes);
        }
        match (self, values) {
            (Operator::Between, [lower, upper])
                if order(lower, upper).is_some_and(|order| order.is_gt()) =>
            {
                Err(LegacyError::Bounds)
            }
            _ => Ok(()),
        }
    }
}

/// One test of an attribute.
///
/// # Errors
/// [`Operator::check`].
pub fn test(
    attribute: &str,
    operator: Operator,
    values: Vec<AttributeValue>,
) -> Result<Expr, LegacyError> {
    operator.check(&values)?;
    let path = Path::attribute(attribute);
    let operand = Operand::Path(path.clone());
    let mut values = values.into_iter().map(|v| Operand::Value(Arc::new(v)));
    let mut value = || {
        values
            .next()
            .ok_or(LegacyError::ArgumentCount(operator.name()))
    };
    let compare = |comparator, right| Expr::Compare {
        comparator,
        left: Operand::Path(path.clone()),
        right,
    };
    Ok(match operator {
        Operator::Equal => compare(Comparator::Equal, value()?),
        Operator::NotEqual => compare(Comparator::NotEqual, value()?),
        Operator::LessOrEqual => compare(Comparator::LessOrEqual, value()?),
        Operator::Less => compare(Comparator::Less, value()?),
        Operator::GreaterOrEqual => compare(Comparator::GreaterOrEqual, value()?),
        Operator::Greater => compare(Comparator::Greater, value()?),
        Operator::In => Expr::In {
            operand,
            list: values.collect(),
        },
        Operator::Between => Expr::Between {
            operand,
            lower: value()?,
            upper: value()?,
        },
        Operator::NotNull => Expr::AttributeExists(path),
        Operator::Null => Expr::AttributeNotExists(path),
        Operator::Contains => Expr::Contains {
            container: operand,
            element: value()?,
        },
        // Unlike `NOT contains(…)` it does not hold for an attribute that is not there.
        Operator::NotContains => Expr::And(vec![
            Expr::AttributeExists(path),
            Expr::Not(Box::new(Expr::Contains {
                container: operand,
                element: value()?,
            })),
        ]),
        Operator::BeginsWith => Expr::BeginsWith {
            operand,
            prefix: value()?,
        },
    })
}

/// All tests together, or any of them; none if there are none.
pub fn join(mut tests: Vec<Expr>, any: bool) -> Option<Condition> {
    let expr = match (tests.len(), any) {
        (0, _) => return None,
        (1, _) => tests.pop()?,
        (_, true) => Expr::Or(tests),
        // A conjunction within one would not stand in the tree of an expression's text.
        (_, false) => Expr::And(
            tests
                .into_iter()
                .flat_map(|test| match test {
                    Expr::And(inner) => inner,
                    other => vec![other],
                })
                .collect(),
        ),
    };
    Some(Condition::new(expr))
}

/// A test of a key attribute.
///
/// # Errors
/// [`Operator::check`], or an operator that keys are not looked up by.
pub fn key_test(
    operator: Operator,
    values: Vec<AttributeValue>,
) -> Result<RangeCondition, LegacyError> {
    operator.check(&values)?;
    let mut values = values.into_iter();
    let mut value = || {
        values
            .next()
            .ok_or(LegacyError::ArgumentCount(operator.name()))
    };
    Ok(match operator {
        Operator::Equal => RangeCondition::Equal(value()?),
        Operator::LessOrEqual => RangeCondition::LessOrEqual(value()?),
        Operator::Less => RangeCondition::Less(value()?),
        Operator::GreaterOrEqual => RangeCondition::GreaterOrEqual(value()?),
        Operator::Greater => RangeCondition::Greater(value()?),
        Operator::Between => RangeCondition::Between(value()?, value()?),
        Operator::BeginsWith => RangeCondition::BeginsWith(value()?),
        Operator::NotEqual
        | Operator::In
        | Operator::NotNull
        | Operator::Null
        | Operator::Contains
        | Operator::NotContains => return Err(LegacyError::NotIndexable),
    })
}

/// An action of `AttributeUpdates`: `PUT`, `ADD` or `DELETE`.
///
/// # Errors
/// A value is missing, or is of a type that the action does not take.
pub fn update_action(
    attribute: &str,
    action: &str,
    value: Option<AttributeValue>,
) -> Result<Action, LegacyError> {
    let path = Path::attribute(attribute);
    let Some(value) = value else {
        return match action {
            "DELETE" => Ok(Action::Remove { path }),
            _ => Err(LegacyError::NoValue),
        };
    };
    let refuse = |action, value: &AttributeValue| {
        let kind = AttributeType::of(value).word();
        Err(LegacyError::ActionType { action, kind })
    };
    let is_set = matches!(
        value,
        AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_)
    );
    match (action, value) {
        ("DELETE", value) if is_set => Ok(Action::Delete {
            path,
            operand: Arc::new(value),
        }),
        ("DELETE", value) => refuse("DELETE action with value", &value),
        ("ADD", value) if is_set || matches!(value, AttributeValue::N(_)) => Ok(Action::Add {
            path,
            operand: Arc::new(value),
        }),
        ("ADD", list @ AttributeValue::L(_)) => Ok(Action::Set {
            path: path.clone(),
            value: UpdateValue::Operand(append(path, list)),
        }),
        ("ADD", value) => refuse("ADD action", &value),
        (_, value) => Ok(Action::Set {
            path,
            value: UpdateValue::Operand(UpdateOperand::Value(Arc::new(value))),
        }),
    }
}

/// The list at `path`, if there is one, with `list` behind it.
fn append(path: Path, list: AttributeValue) -> UpdateOperand {
    let operand = |value| Box::new(UpdateOperand::Value(Arc::new(value)));
    let front = UpdateOperand::IfNotExists(path, operand(AttributeValue::L(Vec::new())));
    UpdateOperand::ListAppend(Box::new(front), operand(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::update::Update;
    use crate::expression::{Kind, parse_condition, parse_update};
    use crate::value::Item;

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.into())
    }

    fn item() -> Item {
        [
            ("s".to_owned(), s("xyz")),
            ("l".to_owned(), AttributeValue::L(vec![s("a")])),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn tests_hold_as_the_service_recorded() {
        let n = || AttributeValue::N("5".parse().expect("a number"));
        for (attribute, operator, values, holds) in [
            ("s", "EQ", vec![s("xyz")], true),
            ("s", "NE", vec![s("xyz")], false),
            ("missing", "NE", vec![s("x")], true),
            ("s", "NE", vec![n()], true),
            ("s", "GT", vec![s("x")], true),
            ("s", "GT", vec![n()], false),
            ("s", "CONTAINS", vec![s("y")], true),
            ("l", "CONTAINS", vec![s("a")], true),
            ("s", "NOT_CONTAINS", vec![s("q")], true),
            ("missing", "NOT_CONTAINS", vec![s("q")], false),
            ("s", "IN", vec![s("q"), s("xyz")], true),
            ("s", "BETWEEN", vec![s("a"), s("z")], true),
            ("s", "BEGINS_WITH", vec![s("xy")], true),
            ("missing", "NULL", vec![], true),
            ("s", "NULL", vec![], false),
            ("s", "NOT_NULL", vec![], true),
        ] {
            let known = Operator::from_name(operator).expect("an operator");
            let one = join(vec![test(attribute, known, values).expect("fits")], false);
            let condition = one.expect("a condition");
            assert_eq!(
                condition.matches(Some(&item())),
                holds,
                "{attribute} {operator}"
            );
            // It travels as text.
            let source = condition.to_source();
            let mut placeholders = source.placeholders().expect("its own");
            let again = parse_condition(Kind::Condition, &source.text, &mut placeholders);
            assert_eq!(again.expect("parses"), condition);
        }
    }

    #[test]
    fn joins_travel_as_text() {
        let not = || test("a", Operator::NotContains, vec![s("q")]).expect("fits");
        let equal = || test("b", Operator::Equal, vec![s("q")]).expect("fits");
        for any in [true, false] {
            let condition = join(vec![not(), equal()], any).expect("a condition");
            let source = condition.to_source();
            let mut placeholders = source.placeholders().expect("its own");
            let again = parse_condition(Kind::Condition, &source.text, &mut placeholders);
            assert_eq!(again.expect("parses"), condition);
        }
    }

    #[test]
    fn lists_are_appended_to() {
        let list = AttributeValue::L(vec![s("b")]);
        for (attribute, length) in [("l", 2), ("new", 1)] {
            let action = update_action(attribute, "ADD", Some(list.clone())).expect("fits");
            let source = Update::new(vec![action]).to_source();
            let mut placeholders = source.placeholders().expect("its own");
            let update = parse_update(&source.text, &mut placeholders).expect("parses");
            let new = update.apply(Some(&item()), &Item::new()).expect("fits");
            let Some(AttributeValue::L(elements)) = new.get(attribute) else {
                panic!("no list: {new:?}")
            };
            assert_eq!(elements.len(), length);
        }
    }

    #[test]
    fn refusals_have_the_words_of_the_service() {
        let told = |operator, values: &[AttributeValue]| {
            Operator::check(operator, values)
                .expect_err("refused")
                .to_string()
        };
        assert!(
            told(Operator::Equal, &[])
                .ends_with("Invalid number of argument(s) for the EQ ComparisonOperator")
        );
        assert!(
            told(Operator::Less, &[AttributeValue::Null])
                .ends_with("ComparisonOperator LT is not valid for NULL AttributeValue type")
        );
        assert_eq!(
            told(Operator::Between, &[s("b"), s("a")]),
            LegacyError::Bounds.to_string()
        );
        assert_eq!(
            update_action("a", "ADD", Some(s("a")))
                .expect_err("refused")
                .to_string(),
            "One or more parameter values were invalid: ADD action is not supported for the type STRING"
        );
        assert_eq!(update_action("a", "PUT", None), Err(LegacyError::NoValue));
    }
}
