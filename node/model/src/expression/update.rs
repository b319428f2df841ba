//! Update expressions: parsing and checking.

use std::fmt;
use std::sync::Arc;

use super::apply::apply;
use super::ast::AttributeType;
use super::condition::check_size;
use super::error::{ApplyError, Error, Reason};
use super::function::Function;
use super::lexer::{Token, TokenKind};
use super::path::{Path, check_clashes};
use super::placeholders::Placeholders;
use super::projection::project;
use super::resolve::{Argument, check_count, resolve_operand, resolve_path};
use super::syntax::{ActionSyntax, Section, ValueSyntax};
use super::{Kind, Source, grammar, lexer, print};
use crate::value::{AttributeValue, Item};

/// A parsed `UpdateExpression`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    actions: Vec<Action>,
}

/// One change. The paths of an update's actions neither overlap nor conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Set {
        path: Path,
        value: UpdateValue,
    },
    Remove {
        path: Path,
    },
    /// Adds a number, or the members of a set.
    Add {
        path: Path,
        operand: Arc<AttributeValue>,
    },
    /// Takes members out of a set.
    Delete {
        path: Path,
        operand: Arc<AttributeValue>,
    },
}

/// The right side of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateValue {
    Operand(UpdateOperand),
    Sum(UpdateOperand, UpdateOperand),
    Difference(UpdateOperand, UpdateOperand),
}

/// A value that an update computes from the old item.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateOperand {
    Path(Path),
    Value(Arc<AttributeValue>),
    IfNotExists(Path, Box<UpdateOperand>),
    ListAppend(Box<UpdateOperand>, Box<UpdateOperand>),
}

/// Parses an update.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_update(text: &str, placeholders: &mut Placeholders) -> Result<Update, Error> {
    let kind = Kind::Update;
    let actions = check_size(kind, text).and_then(|()| {
        let tokens = lexer::tokenize(text, kind);
        let sections = grammar::parse_update(text, &tokens)?;
        resolve(&tokens, sections, placeholders)
    });
    actions
        .map(|actions| Update { actions })
        .map_err(|reason| Error::Invalid { kind, reason })
}

/// An action whose functions are still unchecked.
enum Pending {
    Set(Argument),
    SetSum(Argument, Argument),
    SetDifference(Argument, Argument),
    Remove,
    Add(Arc<AttributeValue>),
    Delete(Arc<AttributeValue>),
}

fn resolve(
    tokens: &[Token<'_>],
    sections: Vec<Section<'_>>,
    placeholders: &mut Placeholders,
) -> Result<Vec<Action>, Reason> {
    for (i, section) in sections.iter().enumerate() {
        if sections[..i]
            .iter()
            .any(|earlier| earlier.keyword == section.keyword)
        {
            return Err(Reason::RepeatedSection {
                section: section.keyword,
            });
        }
    }
    let mut pending = Vec::with_capacity(sections.iter().map(|s| s.actions.len()).sum());
    for action in sections.into_iter().flat_map(|section| section.actions) {
        match resolve_action(action, placeholders) {
            Ok(action) => pending.push(action),
            Err(reason) => return Err(first_undefined(tokens, placeholders).unwrap_or(reason)),
        }
    }
    check_clashes(&pending, |(path, _)| path)?;
    for (_, action) in &pending {
        check_action_operand(action)?;
    }
    pending.into_iter().map(finish).collect()
}

/// The placeholder that the service complains of: all names of an update come before its values.
fn first_undefined(tokens: &[Token<'_>], placeholders: &mut Placeholders) -> Option<Reason> {
    let of_kind = |kind| tokens.iter().filter(move |token| token.kind == kind);
    let name =
        of_kind(TokenKind::NamePlaceholder).find_map(|token| placeholders.name(token.text).err());
    name.or_else(|| {
        of_kind(TokenKind::ValuePlaceholder).find_map(|token| placeholders.value(token.text).err())
    })
}

fn resolve_action(
    action: ActionSyntax<'_>,
    placeholders: &mut Placeholders,
) -> Result<(Path, Pending), Reason> {
    let (path, pending) = match action {
        ActionSyntax::Set(path, ValueSyntax::Operand(operand)) => {
            (path, Pending::Set(resolve_operand(&operand, placeholders)?))
        }
        ActionSyntax::Set(path, ValueSyntax::Add(left, right)) => {
            let left = resolve_operand(&left, placeholders)?;
            (
                path,
                Pending::SetSum(left, resolve_operand(&right, placeholders)?),
            )
        }
        ActionSyntax::Set(path, ValueSyntax::Subtract(left, right)) => {
            let left = resolve_operand(&left, placeholders)?;
            (
                path,
                Pending::SetDifference(left, resolve_operand(&right, placeholders)?),
            )
        }
        ActionSyntax::Remove(path) => (path, Pending::Remove),
        ActionSyntax::Add(path, value) => {
            (path, Pending::Add(Arc::clone(placeholders.value(value)?)))
        }
        ActionSyntax::Delete(path, value) => (
            path,
            Pending::Delete(Arc::clone(placeholders.value(value)?)),
        ),
    };
    Ok((resolve_path(&path, placeholders)?, pending))
}

/// `ADD` takes numbers and sets, `DELETE` sets.
fn check_action_operand(action: &Pending) -> Result<(), Reason> {
    let (operator, operand) = match action {
        Pending::Add(operand) => ("ADD", operand),
        Pending::Delete(operand) => ("DELETE", operand),
        Pending::Set(_) | Pending::SetSum(..) | Pending::SetDifference(..) | Pending::Remove => {
            return Ok(());
        }
    };
    match &**operand {
        AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => Ok(()),
        AttributeValue::N(_) if operator == "ADD" => Ok(()),
        value => Err(Reason::ActionOperandType {
            operator,
            found: AttributeType::of(value).word(),
        }),
    }
}

fn finish((path, pending): (Path, Pending)) -> Result<Action, Reason> {
    Ok(match pending {
        Pending::Set(value) => Action::Set {
            path,
            value: UpdateValue::Operand(update_operand(value)?),
        },
        Pending::SetSum(left, right) => {
            let (left, right) = numeric_operands("+", left, right)?;
            Action::Set {
                path,
                value: UpdateValue::Sum(left, right),
            }
        }
        Pending::SetDifference(left, right) => {
            let (left, right) = numeric_operands("-", left, right)?;
            Action::Set {
                path,
                value: UpdateValue::Difference(left, right),
            }
        }
        Pending::Remove => Action::Remove { path },
        Pending::Add(operand) => Action::Add { path, operand },
        Pending::Delete(operand) => Action::Delete { path, operand },
    })
}

fn numeric_operands(
    operator: &'static str,
    left: Argument,
    right: Argument,
) -> Result<(UpdateOperand, UpdateOperand), Reason> {
    let types = [constant_type(&left), constant_type(&right)];
    let operands = (update_operand(left)?, update_operand(right)?);
    check_types(operator, types, AttributeType::N)?;
    Ok(operands)
}

fn constant_type(argument: &Argument) -> Option<AttributeType> {
    argument.constant().map(AttributeType::of)
}

fn check_types(
    operator: &'static str,
    types: [Option<AttributeType>; 2],
    expected: AttributeType,
) -> Result<(), Reason> {
    match types.into_iter().flatten().find(|found| *found != expected) {
        Some(found) => Err(Reason::OperandType {
            operator,
            found: found.name(),
        }),
        None => Ok(()),
    }
}

fn update_operand(argument: Argument) -> Result<UpdateOperand, Reason> {
    let (function, arguments) = match argument {
        Argument::Path(path) => return Ok(UpdateOperand::Path(path)),
        Argument::Value(value) => return Ok(UpdateOperand::Value(value)),
        Argument::Call(function, arguments) => (function, arguments),
    };
    let operator = function.name();
    let types = [arguments.first(), arguments.get(1)].map(|a| a.and_then(constant_type));
    check_count(function, &arguments)?;
    let mut arguments = arguments.into_iter();
    match (function, arguments.next(), arguments.next()) {
        (Function::IfNotExists, Some(path), Some(default)) => {
            let path = match path {
                Argument::Path(path) => path,
                other => {
                    // What is wrong with an inner function is told first.
                    update_operand(other)?;
                    return Err(Reason::PathRequired { operator });
                }
            };
            Ok(UpdateOperand::IfNotExists(
                path,
                Box::new(update_operand(default)?),
            ))
        }
        (Function::ListAppend, Some(front), Some(back)) => {
            let (front, back) = (update_operand(front)?, update_operand(back)?);
            check_types(operator, types, AttributeType::L)?;
            Ok(UpdateOperand::ListAppend(Box::new(front), Box::new(back)))
        }
        // Functions of conditions were refused before anything was resolved.
        _ => Err(Reason::FunctionMisused { name: operator }),
    }
}

impl Update {
    /// An update made from its actions instead of a text. Their paths must neither overlap nor conflict.
    pub fn new(actions: Vec<Action>) -> Self {
        Update { actions }
    }

    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Whether it only removes attributes and members of sets: then it makes no item where there is none (recorded from
    /// the service by Alternator's `test_update_item_non_existent`).
    pub fn only_takes_away(&self) -> bool {
        self.actions.iter().all(|action| {
            matches!(action, Action::Remove { path } | Action::Delete { path, .. } if !path.is_nested())
        })
    }

    /// The paths that the update writes, in the order of the text.
    pub fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        self.actions.iter().map(Action::path)
    }

    /// Refuses an update of the key, whose attributes are `keys`.
    ///
    /// # Errors
    /// [`Error::UpdateOfKey`] for the first of `keys` that the update writes, or into which it writes.
    pub fn check_spares_keys(&self, keys: &[&str]) -> Result<(), Error> {
        match keys
            .iter()
            .find(|key| self.paths().any(|path| path.head() == **key))
        {
            Some(key) => Err(Error::UpdateOfKey {
                attribute: (*key).to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The part of `item` that the update writes: for `UPDATED_OLD` that of the old item, for
    /// `UPDATED_NEW` that of the new one.
    pub fn project(&self, item: &Item) -> Item {
        let mut paths: Vec<&Path> = self.paths().collect();
        paths.sort_unstable();
        project(item, &paths)
    }

    /// The new item: `old` with the changes, or a new item with `key` where there was none. Its size and
    /// nesting are for the caller to check.
    ///
    /// # Errors
    /// The update does not fit what the item holds.
    pub fn apply(&self, old: Option<&Item>, key: &Item) -> Result<Item, ApplyError> {
        apply(&self.actions, old, key)
    }

    /// The update as a text with placeholders of its own: parsed, it gives an equal update.
    pub fn to_source(&self) -> Source {
        print::update(&self.actions)
    }
}

/// The text of [`Update::to_source`].
impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_source().text)
    }
}

impl Action {
    pub fn path(&self) -> &Path {
        match self {
            Action::Set { path, .. }
            | Action::Remove { path }
            | Action::Add { path, .. }
            | Action::Delete { path, .. } => path,
        }
    }
}
