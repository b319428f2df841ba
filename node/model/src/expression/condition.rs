//! Conditions and filters: parsing and evaluation.

use std::cmp::Ordering;
use std::fmt;

use memchr::memmem;

use super::ast::{AttributeType, Comparator, Expr, Operand};
use super::error::{Error, Reason};
use super::path::Path;
use super::placeholders::Placeholders;
use super::resolve::resolve_condition;
use super::{Kind, MAX_BYTES, Source, grammar, lexer, print};
use crate::number::Number;
use crate::value::{AttributeValue, Item};

/// A parsed `ConditionExpression` or `FilterExpression`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    expr: Expr,
}

/// Parses a condition: `kind` is [`Kind::Condition`] or [`Kind::Filter`], and names it in errors.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_condition(
    kind: Kind,
    text: &str,
    placeholders: &mut Placeholders,
) -> Result<Condition, Error> {
    let expr = parse_expr(kind, text, placeholders);
    expr.map(|expr| Condition { expr })
        .map_err(|reason| Error::Invalid { kind, reason })
}

pub(super) fn parse_expr(
    kind: Kind,
    text: &str,
    placeholders: &mut Placeholders,
) -> Result<Expr, Reason> {
    check_size(kind, text)?;
    let tokens = lexer::tokenize(text, kind);
    let syntax = grammar::parse_condition(text, &tokens, kind)?;
    resolve_condition(&syntax, placeholders)
}

/// Refuses empty and oversized texts.
pub(super) fn check_size(kind: Kind, text: &str) -> Result<(), Reason> {
    if text.trim_ascii().is_empty() {
        return Err(Reason::Empty);
    }
    if text.len() > MAX_BYTES {
        let told = matches!(kind, Kind::Condition | Kind::Filter);
        return Err(Reason::TooLarge {
            size: told.then_some(text.len()),
        });
    }
    Ok(())
}

impl Condition {
    /// A condition made from its tree instead of a text.
    pub fn new(expr: Expr) -> Self {
        Condition { expr }
    }

    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Whether the condition holds for `item`; an item that does not exist has no attributes.
    pub fn matches(&self, item: Option<&Item>) -> bool {
        const NOTHING: &Item = &Item::new();
        holds(&self.expr, item.unwrap_or(NOTHING))
    }

    /// All document paths, in the order of the text.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        self.expr.visit_paths(&mut |path| paths.push(path));
        paths
    }

    /// Refuses a filter on one of the attributes by which a `Query` finds its items.
    ///
    /// # Errors
    /// [`Error::FilterOnKey`] for the first of `keys` that the condition mentions.
    pub fn check_spares_keys(&self, keys: &[&str]) -> Result<(), Error> {
        let paths = self.paths();
        match keys
            .iter()
            .find(|key| paths.iter().any(|path| path.head() == **key))
        {
            Some(key) => Err(Error::FilterOnKey {
                attribute: (*key).to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The condition as a text with placeholders of its own: parsed, it gives an equal condition.
    pub fn to_source(&self) -> Source {
        print::condition(&self.expr)
    }
}

/// The text of [`Condition::to_source`].
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_source().text)
    }
}

/// A value of the item or of the request, or one that was computed.
enum Evaluated<'v> {
    Borrowed(&'v AttributeValue),
    Size(AttributeValue),
}

impl Evaluated<'_> {
    fn get(&self) -> &AttributeValue {
        match self {
            Evaluated::Borrowed(value) => value,
            Evaluated::Size(size) => size,
        }
    }
}

fn evaluate<'v>(operand: &'v Operand, item: &'v Item) -> Option<Evaluated<'v>> {
    match operand {
        Operand::Path(path) => path.get(item).map(Evaluated::Borrowed),
        Operand::Value(value) => Some(Evaluated::Borrowed(value)),
        Operand::Size(inner) => {
            let size = size(evaluate(inner, item)?.get())?;
            Some(Evaluated::Size(AttributeValue::N(Number::from(size))))
        }
    }
}

/// Bytes of a string or binary, elements of a set, list or map; other types have no size.
fn size(value: &AttributeValue) -> Option<u64> {
    let size = match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::M(members) => members.len(),
        AttributeValue::L(elements) => elements.len(),
        AttributeValue::Ss(set) => set.len(),
        AttributeValue::Ns(set) => set.len(),
        AttributeValue::Bs(set) => set.len(),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => return None,
    };
    u64::try_from(size).ok()
}

fn holds(expr: &Expr, item: &Item) -> bool {
    match expr {
        Expr::And(terms) => terms.iter().all(|term| holds(term, item)),
        Expr::Or(terms) => terms.iter().any(|term| holds(term, item)),
        Expr::Not(inner) => !holds(inner, item),
        Expr::Compare {
            comparator,
            left,
            right,
        } => {
            match (evaluate(left, item), evaluate(right, item)) {
                (Some(left), Some(right)) => compare(*comparator, left.get(), right.get()),
                // What is missing differs from everything, also from what else is missing.
                _ => *comparator == Comparator::NotEqual,
            }
        }
        Expr::Between {
            operand,
            lower,
            upper,
        } => {
            let values = (
                evaluate(operand, item),
                evaluate(lower, item),
                evaluate(upper, item),
            );
            let (Some(value), Some(lower), Some(upper)) = values else {
                return false;
            };
            compare(Comparator::GreaterOrEqual, value.get(), lower.get())
                && compare(Comparator::LessOrEqual, value.get(), upper.get())
        }
        Expr::In { operand, list } => evaluate(operand, item).is_some_and(|value| {
            let mut elements = list.iter().filter_map(|element| evaluate(element, item));
            elements.any(|element| element.get() == value.get())
        }),
        Expr::AttributeExists(path) => path.get(item).is_some(),
        Expr::AttributeNotExists(path) => path.get(item).is_none(),
        Expr::AttributeType { operand, expected } => {
            evaluate(operand, item).is_some_and(|value| AttributeType::of(value.get()) == *expected)
        }
        Expr::BeginsWith { operand, prefix } => {
            match (evaluate(operand, item), evaluate(prefix, item)) {
                (Some(value), Some(prefix)) => begins_with(value.get(), prefix.get()),
                _ => false,
            }
        }
        Expr::Contains { container, element } => {
            match (evaluate(container, item), evaluate(element, item)) {
                (Some(container), Some(element)) => contains(container.get(), element.get()),
                _ => false,
            }
        }
    }
}

/// How two values of the same ordered type compare: strings and binaries by their bytes.
pub(super) fn order(left: &AttributeValue, right: &AttributeValue) -> Option<Ordering> {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.cmp(right)),
        (AttributeValue::N(left), AttributeValue::N(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Values of different types are unequal and in no order.
fn compare(comparator: Comparator, left: &AttributeValue, right: &AttributeValue) -> bool {
    match comparator {
        Comparator::Equal => left == right,
        Comparator::NotEqual => left != right,
        Comparator::Less => order(left, right).is_some_and(Ordering::is_lt),
        Comparator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparator::Greater => order(left, right).is_some_and(Ordering::is_gt),
        Comparator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
    }
}

pub(super) fn begins_with(value: &AttributeValue, prefix: &AttributeValue) -> bool {
    match (value, prefix) {
        (AttributeValue::S(text), AttributeValue::S(prefix)) => text.starts_with(prefix.as_str()),
        (AttributeValue::B(bytes), AttributeValue::B(prefix)) => bytes.starts_with(prefix),
        _ => false,
    }
}

/// A substring, a member of a set, or an element of a list.
fn contains(container: &AttributeValue, element: &AttributeValue) -> bool {
    match (container, element) {
        (AttributeValue::L(list), element) => list.contains(element),
        (AttributeValue::S(text), AttributeValue::S(part)) => text.contains(part.as_str()),
        (AttributeValue::B(bytes), AttributeValue::B(part)) => memmem::find(bytes, part).is_some(),
        (AttributeValue::Ss(set), AttributeValue::S(member)) => set.binary_search(member).is_ok(),
        (AttributeValue::Ns(set), AttributeValue::N(member)) => set.binary_search(member).is_ok(),
        (AttributeValue::Bs(set), AttributeValue::B(member)) => set.binary_search(member).is_ok(),
        _ => false,
    }
}
