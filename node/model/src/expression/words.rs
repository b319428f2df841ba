//! Checks on the names in a text that parsed: functions, reserved words, list indexes.

use super::Kind;
use super::error::Reason;
use super::function::Function;
use super::lexer::{Token, TokenKind};
use super::reserved::is_reserved;

/// The largest list index that the service takes.
const MAX_INDEX: u32 = i32::MAX as u32;

/// Refuses unknown functions and, after these, functions of another kind of expression.
pub(super) fn check_functions(tokens: &[Token<'_>], kind: Kind) -> Result<(), Reason> {
    let mut misplaced = None;
    for name in calls(tokens) {
        match Function::from_name(name) {
            None => {
                return Err(Reason::UnknownFunction {
                    name: name.to_owned(),
                });
            }
            Some(function) if !function.allowed_in(kind) => {
                misplaced = misplaced.or(Some(function));
            }
            Some(_) => {}
        }
    }
    let place = if kind == Kind::Update {
        "an update"
    } else {
        "a condition"
    };
    misplaced.map_or(Ok(()), |function| {
        Err(Reason::FunctionNotAllowed {
            place,
            name: function.name(),
        })
    })
}

/// The names that stand before an opening parenthesis.
fn calls<'s>(tokens: &[Token<'s>]) -> impl Iterator<Item = &'s str> {
    tokens.windows(2).filter_map(|pair| match pair {
        [name, next] if name.kind == TokenKind::Name && next.kind == TokenKind::Open => {
            Some(name.text)
        }
        _ => None,
    })
}

/// Refuses attribute names that need a placeholder, and list indexes that no list has.
pub(super) fn check_names(tokens: &[Token<'_>]) -> Result<(), Reason> {
    for (i, token) in tokens.iter().enumerate() {
        let is_call = || {
            tokens
                .get(i + 1)
                .is_some_and(|next| next.kind == TokenKind::Open)
        };
        match token.kind {
            TokenKind::Name if is_reserved(token.text) && !is_call() => {
                return Err(Reason::Reserved {
                    word: token.text.to_owned(),
                });
            }
            TokenKind::Number => {
                list_index(token.text)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The number that `digits` say, if it can be a list's index.
pub(super) fn list_index(digits: &str) -> Result<u32, Reason> {
    match digits.parse::<u32>() {
        Ok(index) if index <= MAX_INDEX => Ok(index),
        _ => Err(Reason::IndexOutOfRange {
            index: digits.to_owned(),
        }),
    }
}
