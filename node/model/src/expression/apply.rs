//! Applying updates to items.
//!
//! An update reads the item as it was before: the right sides of all assignments are computed first.
//! List indexes are those of the old item too, whatever else the update does to the list, so elements
//! are written in place, then appended in the order of their indexes, and removed last.

use std::cmp::Reverse;

use super::error::ApplyError;
use super::path::{Path, Step};
use super::update::{Action, UpdateOperand, UpdateValue};
use crate::value::{AttributeValue, Item};

/// The new item: `old` with the changes, or a new item with `key` where there was none.
pub(super) fn apply(
    actions: &[Action],
    old: Option<&Item>,
    key: &Item,
) -> Result<Item, ApplyError> {
    let before = old.unwrap_or(key);
    let assigned = |action: &Action| match action {
        Action::Set { path: _, value } => value.evaluate(before).map(Some),
        Action::Remove { .. } | Action::Add { .. } | Action::Delete { .. } => Ok(None),
    };
    let values: Vec<_> = actions.iter().map(assigned).collect::<Result<_, _>>()?;
    let mut draft = Draft {
        item: before.clone(),
        is_new: old.is_none(),
        appended: Vec::new(),
        removed: Vec::new(),
    };
    for (action, value) in actions.iter().zip(values) {
        draft.perform(action, value)?;
    }
    draft.finish()
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
        let Some((last, parents)) = path.inner().split_last() else {
            return Some(Slot::Member(item, path.head()));
        };
        let mut value = item.get_mut(path.head())?;
        for step in parents {
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
        self.appended.sort_by_key(|(path, _)| *path);
        for (path, value) in self.appended {
            match Slot::find(&mut self.item, path) {
                Some(Slot::Element(list, _)) => list.push(value),
                _ => return Err(ApplyError::InvalidPath),
            }
        }
        // Innermost lists first: what is removed from a list moves only what follows in it.
        self.removed
            .sort_by_key(|path| (Reverse(path.inner().len()), *path));
        for siblings in self.removed.chunk_by(|one, two| parent(one) == parent(two)) {
            let Some(Slot::Element(list, _)) = Slot::find(&mut self.item, siblings[0]) else {
                return Err(ApplyError::InvalidPath);
            };
            let mut removed = siblings
                .iter()
                .filter_map(|path| match path.inner().last() {
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

/// Where the list is of which `path` is an element.
fn parent(path: &Path) -> (&str, &[Step]) {
    let parents = path
        .inner()
        .split_last()
        .map_or(&[][..], |(_, parents)| parents);
    (path.head(), parents)
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
