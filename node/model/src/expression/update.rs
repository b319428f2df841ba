//! Update expressions: parsing and application.
//!
//! An update reads the item as it was before: the right sides of all assignments are computed first.
//! List indexes are those of the old item too, whatever else the update does to the list, so elements
//! are written in place, then appended in the order of their indexes, and removed last.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::ast::AttributeType;
use super::condition::check_size;
use super::error::{ApplyError, Error, Reason};
use super::function::Function;
use super::lexer::{Token, TokenKind};
use super::path::{Path, Step, check_clashes};
use super::placeholders::Placeholders;
use super::projection::project;
use super::resolve::{Argument, check_count, required_path, resolve_operand, resolve_path};
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
    check_defined(tokens, placeholders)?;
    let actions = sections.into_iter().flat_map(|section| section.actions);
    let pending = actions.map(|action| resolve_action(action, placeholders));
    let pending: Vec<(Path, Pending)> = pending.collect::<Result<_, _>>()?;
    check_clashes(&pending.iter().map(|(path, _)| path).collect::<Vec<_>>())?;
    for (_, action) in &pending {
        check_action_operand(action)?;
    }
    pending.into_iter().map(finish).collect()
}

/// All names of the update must be defined, then all values.
fn check_defined(tokens: &[Token<'_>], placeholders: &mut Placeholders) -> Result<(), Reason> {
    for token in tokens
        .iter()
        .filter(|token| token.kind == TokenKind::NamePlaceholder)
    {
        placeholders.name(token.text)?;
    }
    for token in tokens
        .iter()
        .filter(|token| token.kind == TokenKind::ValuePlaceholder)
    {
        placeholders.value(token.text)?;
    }
    Ok(())
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
    let found = match &**operand {
        AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => return Ok(()),
        AttributeValue::N(_) if operator == "ADD" => return Ok(()),
        AttributeValue::N(_) => "NUMBER",
        AttributeValue::S(_) => "STRING",
        AttributeValue::B(_) => "BINARY",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::Null => "NULL",
        AttributeValue::M(_) => "MAP",
        AttributeValue::L(_) => "LIST",
    };
    Err(Reason::ActionOperandType { operator, found })
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
            let default = update_operand(default)?;
            Ok(UpdateOperand::IfNotExists(
                required_path(operator, path)?,
                Box::new(default),
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
        let before = old.unwrap_or(key);
        let assigned = |action: &Action| match action {
            Action::Set { path: _, value } => value.evaluate(before).map(Some),
            Action::Remove { .. } | Action::Add { .. } | Action::Delete { .. } => Ok(None),
        };
        let values: Vec<_> = self
            .actions
            .iter()
            .map(assigned)
            .collect::<Result<_, _>>()?;
        let mut draft = Draft {
            item: before.clone(),
            is_new: old.is_none(),
            appended: Vec::new(),
            removed: Vec::new(),
        };
        for (action, value) in self.actions.iter().zip(values) {
            draft.perform(action, value)?;
        }
        draft.finish()
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

impl UpdateValue {
    fn evaluate(&self, item: &Item) -> Result<AttributeValue, ApplyError> {
        let number = |operand: &UpdateOperand| match operand.evaluate(item)? {
            AttributeValue::N(number) => Ok(number),
            _ => Err(ApplyError::OperandType),
        };
        match self {
            UpdateValue::Operand(operand) => operand.evaluate(item),
            UpdateValue::Sum(left, right) => Ok(AttributeValue::N(
                number(left)?.checked_add(number(right)?)?,
            )),
            UpdateValue::Difference(left, right) => Ok(AttributeValue::N(
                number(left)?.checked_sub(number(right)?)?,
            )),
        }
    }
}

impl UpdateOperand {
    fn evaluate(&self, item: &Item) -> Result<AttributeValue, ApplyError> {
        match self {
            UpdateOperand::Path(path) => {
                path.get(item).cloned().ok_or(ApplyError::MissingAttribute)
            }
            UpdateOperand::Value(value) => Ok(AttributeValue::clone(value)),
            UpdateOperand::IfNotExists(path, default) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => default.evaluate(item),
            },
            UpdateOperand::ListAppend(front, back) => {
                let AttributeValue::L(mut list) = front.evaluate(item)? else {
                    return Err(ApplyError::OperandType);
                };
                let AttributeValue::L(back) = back.evaluate(item)? else {
                    return Err(ApplyError::OperandType);
                };
                list.extend(back);
                Ok(AttributeValue::L(list))
            }
        }
    }
}

/// The item while it is updated.
struct Draft<'u> {
    item: Item,
    is_new: bool,
    /// Elements past the end of their lists.
    appended: Vec<(&'u Path, AttributeValue)>,
    /// Elements that are there.
    removed: Vec<&'u Path>,
}

/// A place in a document.
enum Slot<'i> {
    Member(&'i mut Item, &'i str),
    Element(&'i mut Vec<AttributeValue>, usize),
}

impl<'i> Slot<'i> {
    /// The place at `path`, if what should hold it is there and of the right type.
    fn find(item: &'i mut Item, path: &'i Path) -> Option<Self> {
        let (last, parents) = path.steps().split_last()?;
        let Some((_, inner)) = parents.split_first() else {
            return Some(Slot::Member(item, path.head()));
        };
        let mut value = item.get_mut(path.head())?;
        for step in inner {
            value = match (value, step) {
                (AttributeValue::M(members), Step::Field(name)) => members.get_mut(name)?,
                (AttributeValue::L(list), Step::Index(index)) => list.get_mut(*index as usize)?,
                _ => return None,
            };
        }
        match (value, last) {
            (AttributeValue::M(members), Step::Field(name)) => Some(Slot::Member(members, name)),
            (AttributeValue::L(list), Step::Index(index)) => {
                Some(Slot::Element(list, *index as usize))
            }
            _ => None,
        }
    }

    fn value(&mut self) -> Option<&mut AttributeValue> {
        match self {
            Slot::Member(members, name) => members.get_mut(*name),
            Slot::Element(list, index) => list.get_mut(*index),
        }
    }
}

impl<'u> Draft<'u> {
    fn perform(
        &mut self,
        action: &'u Action,
        assigned: Option<AttributeValue>,
    ) -> Result<(), ApplyError> {
        let path = action.path();
        let Some(mut slot) = Slot::find(&mut self.item, path) else {
            // The service lets a new item pass, where there is nothing to remove.
            let harmless = self.is_new && matches!(action, Action::Remove { .. });
            return if harmless {
                Ok(())
            } else {
                Err(ApplyError::InvalidPath)
            };
        };
        match action {
            Action::Set { .. } => {
                let value = assigned.ok_or(ApplyError::MissingAttribute)?;
                self.appended
                    .extend(write(slot, value).map(|value| (path, value)));
            }
            Action::Remove { .. } => self.removed.extend(clear(slot, path)),
            Action::Add { path: _, operand } => match slot.value() {
                Some(value) => add(value, operand)?,
                None => {
                    let left_over = write(slot, AttributeValue::clone(operand));
                    self.appended.extend(left_over.map(|value| (path, value)));
                }
            },
            Action::Delete { path: _, operand } => {
                if let Some(value) = slot.value()
                    && subtract(value, operand)?
                {
                    self.removed.extend(clear(slot, path));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Item, ApplyError> {
        self.appended.sort_by(|(one, _), (two, _)| one.cmp(two));
        for (path, value) in self.appended {
            match Slot::find(&mut self.item, path) {
                Some(Slot::Element(list, _)) => list.push(value),
                _ => return Err(ApplyError::InvalidPath),
            }
        }
        // Innermost lists first: what is removed from a list moves only what follows in it.
        self.removed
            .sort_by_key(|path| (Reverse(path.steps().len()), *path));
        for siblings in self.removed.chunk_by(|one, two| parent(one) == parent(two)) {
            let Some(Slot::Element(list, _)) = Slot::find(&mut self.item, siblings[0]) else {
                return Err(ApplyError::InvalidPath);
            };
            let mut removed = siblings
                .iter()
                .filter_map(|path| match path.steps().last() {
                    Some(Step::Index(index)) => Some(*index as usize),
                    _ => None,
                });
            let mut next = removed.next();
            let mut index = 0;
            list.retain(|_| {
                let keep = next != Some(index);
                if !keep {
                    next = removed.next();
                }
                index += 1;
                keep
            });
        }
        Ok(self.item)
    }
}

fn parent(path: &Path) -> &[Step] {
    path.steps()
        .split_last()
        .map_or(&[], |(_, parents)| parents)
}

/// Writes `value`, or gives it back if it is to be appended to a list.
fn write(slot: Slot<'_>, value: AttributeValue) -> Option<AttributeValue> {
    match slot {
        Slot::Member(members, name) => {
            members.insert(name.to_owned(), value);
            None
        }
        Slot::Element(list, index) => match list.get_mut(index) {
            Some(element) => {
                *element = value;
                None
            }
            None => Some(value),
        },
    }
}

/// Removes a member at once; gives `path` back if it is that of a list's element.
fn clear<'u>(slot: Slot<'_>, path: &'u Path) -> Option<&'u Path> {
    match slot {
        Slot::Member(members, name) => {
            members.remove(name);
            None
        }
        Slot::Element(list, index) => (index < list.len()).then_some(path),
    }
}

/// Adds a number to a number, or members to a set.
fn add(value: &mut AttributeValue, operand: &AttributeValue) -> Result<(), ApplyError> {
    match (value, operand) {
        (AttributeValue::N(number), AttributeValue::N(other)) => {
            *number = number.checked_add(*other)?;
        }
        (AttributeValue::Ss(set), AttributeValue::Ss(other)) => union(set, other),
        (AttributeValue::Ns(set), AttributeValue::Ns(other)) => union(set, other),
        (AttributeValue::Bs(set), AttributeValue::Bs(other)) => union(set, other),
        _ => return Err(ApplyError::OperandType),
    }
    Ok(())
}

fn union<T: Clone + Ord>(set: &mut Vec<T>, other: &[T]) {
    set.extend_from_slice(other);
    set.sort_unstable();
    set.dedup();
}

/// Takes members out of a set, and says whether none is left.
fn subtract(value: &mut AttributeValue, operand: &AttributeValue) -> Result<bool, ApplyError> {
    match (value, operand) {
        (AttributeValue::Ss(set), AttributeValue::Ss(other)) => Ok(difference(set, other)),
        (AttributeValue::Ns(set), AttributeValue::Ns(other)) => Ok(difference(set, other)),
        (AttributeValue::Bs(set), AttributeValue::Bs(other)) => Ok(difference(set, other)),
        _ => Err(ApplyError::OperandType),
    }
}

fn difference<T: Ord>(set: &mut Vec<T>, other: &[T]) -> bool {
    set.retain(|member| other.binary_search(member).is_err());
    set.is_empty()
}
