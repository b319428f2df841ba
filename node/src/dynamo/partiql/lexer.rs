//! Words, names, literals and signs of a statement.

use super::malformed;
use crate::dynamo::error::Error;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Unquoted: a keyword or a name.
    Word(String),
    /// In double quotes: a name.
    Quoted(String),
    /// In single quotes.
    Text(String),
    Number(String),
    Parameter,
    Sign(&'static str),
}

/// The longer ones first.
const SIGNS: &[&str] = &[
    "<<", ">>", "<>", "!=", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".",
    "*", "+", "-", ";",
];

/// # Errors
/// [`Error::Validation`]: an unknown character, or a quote without an end.
pub fn lex(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let (inner, length) = quoted(rest, first)?;
                tokens.push(if first == '"' {
                    Token::Quoted(inner)
                } else {
                    Token::Text(inner)
                });
                length
            }
            '?' => {
                tokens.push(Token::Parameter);
                1
            }
            c if c.is_ascii_digit() => {
                let length = number_len(rest);
                tokens.push(Token::Number(rest[..length].to_owned()));
                length
            }
            c if c.is_alphabetic() || c == '_' || c == '$' || c == '#' => {
                let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '#';
                let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            other => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => {
                    tokens.push(Token::Sign(sign));
                    sign.len()
                }
                None => return Err(malformed(format_args!("Unexpected character '{other}'"))),
            },
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The text between quotes, a doubled quote being one of the text, and how many bytes all of it takes.
fn quoted(text: &str, quote: char) -> Result<(String, usize), Error> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            inner.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            inner.push(quote);
        } else {
            return Ok((inner, at + 1));
        }
    }
    Err(malformed("A quote has no end"))
}

fn number_len(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())
    };
    let mut length = digits(0);
    if text[length..].starts_with('.') {
        length = digits(length + 1);
    }
    if text[length..].starts_with(['e', 'E']) {
        let sign = usize::from(text[length + 1..].starts_with(['+', '-']));
        let end = digits(length + 1 + sign);
        if end > length + 1 + sign {
            length = end;
        }
    }
    length
}
