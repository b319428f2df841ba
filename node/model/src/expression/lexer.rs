//! Text to tokens.
//!
//! All expressions share one lexer; only their keywords differ. A name starts with a letter and goes
//! on with letters, digits and underscores; a placeholder is `#` or `:` and at least one of these.
//! What fits nowhere becomes a token of one character, so that lexing never fails: the grammar refuses
//! it and can say what stands around it.

use std::ops::Range;

use super::Kind;
use super::error::Reason;

/// What a token is, as far as the grammar asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name,
    NamePlaceholder,
    ValuePlaceholder,
    Number,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Dot,
    Comma,
    Plus,
    Minus,
    And,
    Or,
    Not,
    Between,
    In,
    Set,
    Remove,
    Add,
    Delete,
    Unknown,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub kind: TokenKind,
    pub text: &'s str,
    /// Byte offset in the expression.
    pub start: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn span(&self) -> Range<usize> {
        self.start..self.end()
    }
}

/// The tokens of `text`, keywords as expressions of `kind` have them.
pub(super) fn tokenize(text: &str, kind: Kind) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len() / 3 + 1);
    let mut start = 0;
    while let Some(&byte) = bytes.get(start) {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            start += 1;
            continue;
        }
        let (token_kind, len) = scan(text, start, byte);
        let word = &text[start..start + len];
        let token_kind = match token_kind {
            TokenKind::Name => keyword(word, kind).unwrap_or(TokenKind::Name),
            other => other,
        };
        tokens.push(Token {
            kind: token_kind,
            text: word,
            start,
        });
        start += len;
    }
    tokens
}

/// Kind and length of the token that starts at `start` with `byte`.
fn scan(text: &str, start: usize, byte: u8) -> (TokenKind, usize) {
    let rest = &text.as_bytes()[start + 1..];
    let next = rest.first().copied();
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' => (TokenKind::Name, 1 + word_len(rest)),
        b'0'..=b'9' => (
            TokenKind::Number,
            1 + rest.iter().take_while(|b| b.is_ascii_digit()).count(),
        ),
        b'#' | b':' => match (word_len(rest), byte) {
            (0, _) => (TokenKind::Unknown, 1),
            (len, b'#') => (TokenKind::NamePlaceholder, 1 + len),
            (len, _) => (TokenKind::ValuePlaceholder, 1 + len),
        },
        b'<' if next == Some(b'>') => (TokenKind::NotEqual, 2),
        b'<' if next == Some(b'=') => (TokenKind::LessOrEqual, 2),
        b'>' if next == Some(b'=') => (TokenKind::GreaterOrEqual, 2),
        b'<' => (TokenKind::Less, 1),
        b'>' => (TokenKind::Greater, 1),
        b'=' => (TokenKind::Equal, 1),
        b'(' => (TokenKind::Open, 1),
        b')' => (TokenKind::Close, 1),
        b'[' => (TokenKind::OpenIndex, 1),
        b']' => (TokenKind::CloseIndex, 1),
        b'.' => (TokenKind::Dot, 1),
        b',' => (TokenKind::Comma, 1),
        b'+' => (TokenKind::Plus, 1),
        b'-' => (TokenKind::Minus, 1),
        _ => {
            let character = text[start..].chars().next();
            (TokenKind::Unknown, character.map_or(1, char::len_utf8))
        }
    }
}

/// How many bytes at the front of `bytes` may go on a name.
fn word_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| is_word_byte(**b)).count()
}

/// Letters, digits and the underscore.
static WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

/// Whether `byte` may stand in a placeholder, after its `#` or `:`.
pub(super) fn is_word_byte(byte: u8) -> bool {
    WORD_BYTES[usize::from(byte)]
}

/// Keywords are case-insensitive, and names elsewhere: `set` is a name in a condition.
fn keyword(word: &str, kind: Kind) -> Option<TokenKind> {
    const CONDITION: [(&str, TokenKind); 5] = [
        ("AND", TokenKind::And),
        ("OR", TokenKind::Or),
        ("NOT", TokenKind::Not),
        ("IN", TokenKind::In),
        ("BETWEEN", TokenKind::Between),
    ];
    const UPDATE: [(&str, TokenKind); 4] = [
        ("SET", TokenKind::Set),
        ("REMOVE", TokenKind::Remove),
        ("ADD", TokenKind::Add),
        ("DELETE", TokenKind::Delete),
    ];
    let keywords: &[(&str, TokenKind)] = match kind {
        Kind::Condition | Kind::Filter | Kind::KeyCondition => &CONDITION,
        Kind::Update => &UPDATE,
        Kind::Projection => &[],
    };
    let found = keywords
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(word));
    found.map(|(_, kind)| *kind)
}

/// The service's syntax error for the token at `index`; past the last token it is the end of the text.
pub(super) fn syntax_error(text: &str, tokens: &[Token<'_>], index: usize) -> Reason {
    let before = index.checked_sub(1).and_then(|i| tokens.get(i));
    let wrong = tokens.get(index);
    let after = tokens.get(index + 1);
    let near_start = before.or(wrong).map_or(text.len(), |t| t.start);
    let near_end = after.or(wrong).or(before).map_or(text.len(), |t| t.end());
    Reason::Syntax {
        token: wrong.map_or("<EOF>", |t| t.text).to_owned(),
        near: text[near_start..near_end].to_owned(),
        span: wrong.map_or(text.len()..text.len(), Token::span),
    }
}
