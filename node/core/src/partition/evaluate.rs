//! What a write does to its item: condition, update, sizes and the reply, as a pure function.
//!
//! ```text
//!   old item + Write ──evaluate──► Mutation{new item, reply}   or   ConditionFailed / Validation, and nothing is written
//! ```
//! The leader calls it under the key's latch, against applied state, and proposes the result: replicas never evaluate.
//! So it needs to agree with itself only within one version of the program.

use bytes::Bytes;
use kv_model::encoding::item;
use kv_model::expression::{Condition, Kind, Placeholders, Update, parse_condition, parse_update};
use kv_model::value::{self, AttributeValue, ITEM_SIZE_MAX, Item};

use crate::api::{Action, Error, Expression, Returns, Write};

/// The expressions of a write, parsed before the latch is taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    condition: Option<Condition>,
    update: Option<Update>,
}

impl Parsed {
    /// Parses the expressions of `write`.
    ///
    /// # Errors
    /// [`Error::Validation`] with the words of the service.
    pub fn of(write: &Write) -> Result<Self, Error> {
        let condition = match &write.condition {
            Some(text) => Some(
                parse_condition(Kind::Condition, &text.text, &mut placeholders(text)?)
                    .map_err(invalid)?,
            ),
            None => None,
        };
        let update = match &write.action {
            // Without an expression the item is made with its key alone.
            Some(Action::Update(text)) if !text.text.is_empty() => {
                Some(parse_update(&text.text, &mut placeholders(text)?).map_err(invalid)?)
            }
            _ => None,
        };
        Ok(Parsed { condition, update })
    }
}

/// The placeholders of an expression as it travels.
///
/// # Errors
/// [`Error::Validation`].
pub fn placeholders(expression: &Expression) -> Result<Placeholders, Error> {
    let names = (!expression.names.is_empty()).then(|| expression.names.clone());
    let values = match expression.values.is_empty() {
        true => None,
        false => Some(decode(&expression.values)?).filter(|values| !values.is_empty()),
    };
    Placeholders::new(names, values).map_err(invalid)
}

/// What is to be stored, and what is to be answered once it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The encoded item; none: there shall be none.
    pub new: Option<Bytes>,
    /// Encoded item as [`Returns`] asked.
    pub attributes: Option<Bytes>,
    /// Sizes by the service's rules, bytes; 0 without an item.
    pub old_size: u64,
    pub new_size: u64,
}

/// Evaluates `write` against the encoded item that is there now.
///
/// # Errors
/// [`Error::ConditionFailed`], or [`Error::Validation`] where the update does not fit the item or the result is too
/// large.
pub fn evaluate(old: Option<&[u8]>, write: &Write, parsed: &Parsed) -> Result<Mutation, Error> {
    // Decoded at most once, and for a plain put or delete not at all.
    let needs_old = parsed.condition.is_some() || matches!(write.action, Some(Action::Update(_)));
    let old_item = match old {
        Some(bytes) if needs_old => Some(decode(bytes)?),
        _ => None,
    };
    if let Some(condition) = &parsed.condition
        && !condition.matches(old_item.as_ref())
    {
        let item = old
            .filter(|_| write.return_on_failure)
            .map(Bytes::copy_from_slice);
        return Err(Error::ConditionFailed { item });
    }
    let old_size = old.map(size).transpose()?.unwrap_or(0);
    match &write.action {
        Some(Action::Put(new)) => {
            let new_size = size(new)?;
            if new_size > ITEM_SIZE_MAX as u64 {
                return Err(Error::Validation(value::Error::ItemTooLarge.to_string()));
            }
            let attributes = old_if_asked(old, write.returns());
            Ok(Mutation {
                new: Some(new.clone()),
                attributes,
                old_size,
                new_size,
            })
        }
        Some(Action::Delete(_)) => {
            let attributes = old_if_asked(old, write.returns());
            Ok(Mutation {
                new: None,
                attributes,
                old_size,
                new_size: 0,
            })
        }
        Some(Action::Check(_)) => Ok(Mutation {
            new: old.map(Bytes::copy_from_slice),
            attributes: None,
            old_size,
            new_size: old_size,
        }),
        Some(Action::Update(_)) => {
            let update = parsed.update.as_ref();
            apply(old, old_item.as_ref(), old_size, write, update)
        }
        None => Err(Error::Validation("a write without an action".into())),
    }
}

fn apply(
    old: Option<&[u8]>,
    old_item: Option<&Item>,
    old_size: u64,
    write: &Write,
    update: Option<&Update>,
) -> Result<Mutation, Error> {
    if old.is_none() && update.is_some_and(Update::only_takes_away) {
        return Ok(Mutation {
            new: None,
            attributes: None,
            old_size,
            new_size: 0,
        });
    }
    let key = decode(&write.key)?;
    let new_item = match update {
        Some(update) => update
            .apply(old_item, &key)
            .map_err(|error| Error::Validation(error.to_string()))?,
        None => old_item.cloned().unwrap_or(key),
    };
    let new_size = value::check_item(&new_item).map_err(|error| {
        Error::Validation(match error {
            value::Error::ItemTooLarge => {
                "Item size to update has exceeded the maximum allowed size".into()
            }
            other => other.to_string(),
        })
    })? as u64;
    let new = item::encode(&new_item);
    let part = |whole: Option<&Item>| {
        let part = update?.project(whole?);
        (!part.is_empty()).then(|| item::encode(&part))
    };
    let attributes = match write.returns() {
        Returns::None => None,
        Returns::AllOld => old.map(Bytes::copy_from_slice),
        Returns::AllNew => Some(new.clone()),
        Returns::UpdatedOld => part(old_item),
        Returns::UpdatedNew => part(Some(&new_item)),
    };
    Ok(Mutation {
        new: Some(new),
        attributes,
        old_size,
        new_size,
    })
}

fn old_if_asked(old: Option<&[u8]>, returns: Returns) -> Option<Bytes> {
    old.filter(|_| returns == Returns::AllOld)
        .map(Bytes::copy_from_slice)
}

fn size(encoded: &[u8]) -> Result<u64, Error> {
    item::size(encoded)
        .map(|size| size as u64)
        .map_err(unreadable)
}

fn decode(encoded: &[u8]) -> Result<std::collections::BTreeMap<String, AttributeValue>, Error> {
    item::decode(encoded).map_err(unreadable)
}

fn invalid(error: kv_model::expression::Error) -> Error {
    Error::Validation(error.to_string())
}

/// The bytes come from a front end or from an item that was stored: a fault of a program, not of a client.
fn unreadable(error: kv_model::encoding::Error) -> Error {
    Error::Validation(format!("an encoded item can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    fn encoded(attributes: &[(&str, &str)]) -> Bytes {
        let item = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)));
        item::encode(&item.collect())
    }

    fn expression(source: &str, value: &str) -> Expression {
        let values = encoded(&[(":v", value)]);
        Expression {
            text: source.into(),
            names: Default::default(),
            values,
        }
    }

    fn write(action: Action, condition: Option<&str>, returns: Returns) -> Write {
        Write {
            table: 1,
            row: Bytes::new(),
            key: encoded(&[("a", "k")]),
            condition: condition.map(|source| expression(source, "1")),
            returns: returns.into(),
            return_on_failure: true,
            action: Some(action),
            ..Default::default()
        }
    }

    fn run(old: Option<&Bytes>, write: &Write) -> Result<Mutation, Error> {
        evaluate(old.map(|old| &**old), write, &Parsed::of(write)?)
    }

    #[test]
    fn answers_with_what_was_asked_for() {
        let old = encoded(&[("a", "k"), ("x", "1"), ("y", "2")]);
        let new = encoded(&[("a", "k"), ("x", "3"), ("y", "2")]);
        for (returns, attributes) in [
            (Returns::None, None),
            (Returns::AllOld, Some(old.clone())),
            (Returns::UpdatedOld, Some(encoded(&[("x", "1")]))),
            (Returns::AllNew, Some(new.clone())),
            (Returns::UpdatedNew, Some(encoded(&[("x", "3")]))),
        ] {
            let update = Action::Update(expression("SET x = :v", "3"));
            let mutation = run(Some(&old), &write(update, None, returns)).unwrap();
            assert_eq!(mutation.new, Some(new.clone()), "{returns:?}");
            assert_eq!(mutation.attributes, attributes, "{returns:?}");
            assert_eq!(
                (mutation.old_size, mutation.new_size),
                (6, 6),
                "{returns:?}"
            );
        }
    }

    #[test]
    fn a_condition_that_fails_writes_nothing_and_shows_the_item() {
        let old = encoded(&[("a", "k"), ("x", "2")]);
        for action in [Action::Put(encoded(&[("a", "k")])), Action::Delete(true)] {
            let guarded = write(action, Some("x = :v"), Returns::None);
            let failed = Error::ConditionFailed {
                item: Some(old.clone()),
            };
            assert_eq!(run(Some(&old), &guarded), Err(failed));
            assert_eq!(
                run(None, &guarded),
                Err(Error::ConditionFailed { item: None })
            );
            let holds = encoded(&[("a", "k"), ("x", "1")]);
            assert!(run(Some(&holds), &guarded).is_ok());
        }
    }

    #[test]
    fn an_update_makes_an_item_of_its_key() {
        let bare = write(Action::Update(Expression::default()), None, Returns::AllNew);
        let mutation = run(None, &bare).unwrap();
        assert_eq!(mutation.new, Some(encoded(&[("a", "k")])));
        assert_eq!(mutation.attributes, mutation.new);
        assert_eq!((mutation.old_size, mutation.new_size), (0, 2));
    }

    #[test]
    fn results_have_a_size_limit() {
        let big = "x".repeat(ITEM_SIZE_MAX);
        let update = Action::Update(expression("SET x = :v", &big));
        let words = "Item size to update has exceeded the maximum allowed size";
        assert_eq!(
            run(None, &write(update, None, Returns::None)),
            Err(Error::Validation(words.into()))
        );
        let put = Action::Put(encoded(&[("a", "k"), ("x", &big)]));
        let words = "Item size has exceeded the maximum allowed size";
        assert_eq!(
            run(None, &write(put, None, Returns::None)),
            Err(Error::Validation(words.into()))
        );
    }
}
