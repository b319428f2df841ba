//! The grammar: tokens to syntax trees.
//!
//! ```text
//! condition  = conjunction { OR conjunction }
//! conjunction = predicate { AND predicate }
//! predicate  = { NOT } primary [ comparator operand | BETWEEN operand AND operand
//!                              | IN "(" operand { "," operand } ")" ]
//! primary    = "(" condition ")" | operand
//! operand    = "(" operand ")" | "(" path ")" suffix | value | call | path
//! update     = section { section }
//! section    = SET path "=" sum {","…} | REMOVE path {","…} | (ADD | DELETE) path value {","…}
//! sum        = "(" sum ")" | operand [ ("+" | "-") operand ]
//! projection = path { "," path }
//! path       = (name | #name) { "." (name | #name) | "[" number "]" }
//! ```
//!
//! One token decides what comes next: whether a parenthesis holds a condition or an operand shows at
//! its content, so `primary` yields either and `predicate` sorts it out. Nothing is read twice, and the
//! token at which parsing stops is the one that the service names.

use winnow::Parser;
use winnow::combinator::{cut_err, delimited};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{Stateful, Stream, TokenSlice};
use winnow::token::any;

use super::ast::Comparator;
use super::error::Reason;
use super::function::Function;
use super::lexer::{Token, TokenKind, syntax_error};
use super::syntax::{
    ActionSyntax, Call, ConditionSyntax, NameSyntax, OperandSyntax, PathSyntax, Section,
    StepSyntax, ValueSyntax,
};
use super::words::{check_functions, check_names};
use super::{Kind, MAX_DEPTH, MAX_OPERATORS};

type Input<'t, 's> = Stateful<TokenSlice<'t, Token<'s>>, State>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// What the parser notes on its way. These mistakes are told only if the syntax is right.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    operators: usize,
    depth: usize,
    /// `(a).b` is a path in conditions, but not in updates.
    groups_are_paths: bool,
    redundant_parentheses: bool,
    misused: Option<Function>,
    /// Tokens left before the opening and after the closing parenthesis of the last group.
    last_group: Option<(usize, usize)>,
}

/// Where and why parsing stopped.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// So many tokens were left.
    Left(usize),
    TooDeep,
}

impl<'t, 's> ParserError<Input<'t, 's>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'t, 's>) -> Self {
        Fault::Left(input.eof_offset())
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Parses a condition, a filter or a key condition.
pub(super) fn parse_condition<'s>(
    text: &str,
    tokens: &[Token<'s>],
    kind: Kind,
) -> Result<ConditionSyntax<'s>, Reason> {
    run(text, tokens, kind, condition)
}

pub(super) fn parse_update<'s>(
    text: &str,
    tokens: &[Token<'s>],
) -> Result<Vec<Section<'s>>, Reason> {
    run(text, tokens, Kind::Update, |input| {
        let mut sections = vec![section(input)?];
        while peek(input).is_some() {
            sections.push(section(input)?);
        }
        Ok(sections)
    })
}

pub(super) fn parse_projection<'s>(
    text: &str,
    tokens: &[Token<'s>],
) -> Result<Vec<PathSyntax<'s>>, Reason> {
    run(text, tokens, Kind::Projection, |input| list(input, path))
}

/// Runs `parser` over all tokens, then makes the checks that need no placeholders.
fn run<'t, 's, T>(
    text: &str,
    tokens: &'t [Token<'s>],
    kind: Kind,
    parser: impl FnOnce(&mut Input<'t, 's>) -> Parsed<T>,
) -> Result<T, Reason> {
    let state = State {
        groups_are_paths: kind != Kind::Update,
        ..State::default()
    };
    let mut input = Stateful {
        input: TokenSlice::new(tokens),
        state,
    };
    let parsed = parser(&mut input).and_then(|tree| match peek(&input) {
        None => Ok(tree),
        Some(_) => unexpected(&input),
    });
    let tree = parsed.map_err(|error| match error {
        ErrMode::Backtrack(Fault::Left(left)) | ErrMode::Cut(Fault::Left(left)) => {
            syntax_error(text, tokens, tokens.len().saturating_sub(left))
        }
        ErrMode::Backtrack(Fault::TooDeep) | ErrMode::Cut(Fault::TooDeep) => {
            Reason::TooDeep { max: MAX_DEPTH }
        }
        ErrMode::Incomplete(_) => syntax_error(text, tokens, tokens.len()),
    })?;
    let State {
        operators,
        redundant_parentheses,
        misused,
        ..
    } = input.state;
    if operators > MAX_OPERATORS {
        // The service stops counting at the first one too many.
        return Err(Reason::TooManyOperators {
            count: MAX_OPERATORS + 1,
        });
    }
    if redundant_parentheses {
        return Err(Reason::RedundantParentheses);
    }
    if kind == Kind::Update {
        check_names(tokens)?;
    }
    check_functions(tokens, kind)?;
    if let Some(function) = misused {
        return Err(Reason::FunctionMisused {
            name: function.name(),
        });
    }
    if kind != Kind::Update {
        check_names(tokens)?;
    }
    Ok(tree)
}

fn peek(input: &Input<'_, '_>) -> Option<TokenKind> {
    input.input.first().map(|token| token.kind)
}

/// The next token is wrong here.
fn unexpected<T>(input: &Input<'_, '_>) -> Parsed<T> {
    Err(ErrMode::Cut(Fault::from_input(input)))
}

fn token<'t, 's: 't>(kind: TokenKind) -> impl Parser<Input<'t, 's>, &'t Token<'s>, ErrMode<Fault>> {
    any.verify(move |token: &&'t Token<'s>| token.kind == kind)
}

fn expect<'t, 's>(input: &mut Input<'t, 's>, kind: TokenKind) -> Parsed<&'s str> {
    cut_err(token(kind))
        .map(|token| token.text)
        .parse_next(input)
}

/// Takes the next token if it is a `kind`.
fn take(input: &mut Input<'_, '_>, kind: TokenKind) -> bool {
    let found = peek(input) == Some(kind);
    if found {
        input.next_token();
    }
    found
}

/// One or more of `item`, separated by commas.
fn list<'t, 's, T>(
    input: &mut Input<'t, 's>,
    item: fn(&mut Input<'t, 's>) -> Parsed<T>,
) -> Parsed<Vec<T>> {
    let mut items = Vec::with_capacity(4);
    items.push(item(input)?);
    while take(input, TokenKind::Comma) {
        items.push(item(input)?);
    }
    Ok(items)
}

/// `( inner )`. Parentheses around nothing but parentheses are redundant.
fn group<'t, 's, T>(
    input: &mut Input<'t, 's>,
    inner: fn(&mut Input<'t, 's>) -> Parsed<T>,
) -> Parsed<T> {
    let opening = input.eof_offset();
    expect(input, TokenKind::Open)?;
    input.state.depth += 1;
    if input.state.depth > MAX_DEPTH {
        return Err(ErrMode::Cut(Fault::TooDeep));
    }
    let content = inner(input)?;
    input.state.depth -= 1;
    if input.state.last_group == Some((opening - 1, input.eof_offset())) {
        input.state.redundant_parentheses = true;
    }
    expect(input, TokenKind::Close)?;
    input.state.last_group = Some((opening, input.eof_offset()));
    Ok(content)
}

/// What stands where both conditions and operands may.
enum Node<'s> {
    Condition(ConditionSyntax<'s>),
    Operand(OperandSyntax<'s>),
}

fn condition<'s>(input: &mut Input<'_, 's>) -> Parsed<ConditionSyntax<'s>> {
    let node = disjunction(input)?;
    as_condition(input, node)
}

/// An operand is a condition only if it is a function's call.
fn as_condition<'s>(input: &mut Input<'_, 's>, node: Node<'s>) -> Parsed<ConditionSyntax<'s>> {
    match node {
        Node::Condition(condition) => Ok(condition),
        Node::Operand(OperandSyntax::Call(call)) => {
            if call.function == Some(Function::Size) {
                input.state.misused.get_or_insert(Function::Size);
            }
            Ok(ConditionSyntax::Call(call))
        }
        Node::Operand(_) => unexpected(input),
    }
}

/// Both levels of precedence in one function: its frames are what deep nesting costs.
fn disjunction<'s>(input: &mut Input<'_, 's>) -> Parsed<Node<'s>> {
    let mut any = Vec::new();
    loop {
        let mut node = predicate(input)?;
        if peek(input) == Some(TokenKind::And) {
            let mut all = vec![as_condition(input, node)?];
            while take(input, TokenKind::And) {
                input.state.operators += 1;
                let term = predicate(input)?;
                all.push(as_condition(input, term)?);
            }
            node = Node::Condition(ConditionSyntax::And(all));
        }
        let is_last = peek(input) != Some(TokenKind::Or);
        if is_last && any.is_empty() {
            return Ok(node);
        }
        any.push(as_condition(input, node)?);
        if is_last {
            return Ok(Node::Condition(ConditionSyntax::Or(any)));
        }
        input.next_token();
        input.state.operators += 1;
    }
}

fn predicate<'s>(input: &mut Input<'_, 's>) -> Parsed<Node<'s>> {
    let mut negations = 0;
    while take(input, TokenKind::Not) {
        negations += 1;
    }
    input.state.operators += negations;
    let node = match primary(input)? {
        Node::Operand(left) => comparison(input, left)?,
        node @ Node::Condition(_) => node,
    };
    if negations == 0 {
        return Ok(node);
    }
    Ok(Node::Condition(
        match (as_condition(input, node)?, negations % 2) {
            (condition, 0) => condition,
            (ConditionSyntax::Not(inner), _) => *inner,
            (condition, _) => ConditionSyntax::Not(Box::new(condition)),
        },
    ))
}

fn primary<'s>(input: &mut Input<'_, 's>) -> Parsed<Node<'s>> {
    if peek(input) != Some(TokenKind::Open) {
        return Ok(Node::Operand(bare_operand(input)?));
    }
    match group(input, disjunction)? {
        Node::Operand(operand) => Ok(Node::Operand(group_suffix(input, operand)?)),
        node @ Node::Condition(_) => Ok(node),
    }
}

/// The rest of a predicate that begins with an operand; just the operand where nothing follows.
fn comparison<'s>(input: &mut Input<'_, 's>, left: OperandSyntax<'s>) -> Parsed<Node<'s>> {
    let comparator = match peek(input) {
        Some(TokenKind::Between) => return between(input, left),
        Some(TokenKind::In) => return membership(input, left),
        Some(TokenKind::Equal) => Comparator::Equal,
        Some(TokenKind::NotEqual) => Comparator::NotEqual,
        Some(TokenKind::Less) => Comparator::Less,
        Some(TokenKind::LessOrEqual) => Comparator::LessOrEqual,
        Some(TokenKind::Greater) => Comparator::Greater,
        Some(TokenKind::GreaterOrEqual) => Comparator::GreaterOrEqual,
        _ => return Ok(Node::Operand(left)),
    };
    input.next_token();
    input.state.operators += 1;
    let right = operand(input)?;
    note_misuse(input, [&left, &right]);
    Ok(Node::Condition(ConditionSyntax::Compare(
        comparator,
        Box::new([left, right]),
    )))
}

fn between<'s>(input: &mut Input<'_, 's>, left: OperandSyntax<'s>) -> Parsed<Node<'s>> {
    expect(input, TokenKind::Between)?;
    input.state.operators += 1;
    let lower = operand(input)?;
    expect(input, TokenKind::And)?;
    let upper = operand(input)?;
    note_misuse(input, [&left, &lower, &upper]);
    Ok(Node::Condition(ConditionSyntax::Between(Box::new([
        left, lower, upper,
    ]))))
}

fn membership<'s>(input: &mut Input<'_, 's>, left: OperandSyntax<'s>) -> Parsed<Node<'s>> {
    expect(input, TokenKind::In)?;
    input.state.operators += 1;
    expect(input, TokenKind::Open)?;
    let list = list(input, operand)?;
    expect(input, TokenKind::Close)?;
    note_misuse(input, std::iter::once(&left).chain(&list));
    Ok(Node::Condition(ConditionSyntax::In(Box::new(left), list)))
}

/// Notes the first function that gives no value to the operator or function around it.
fn note_misuse<'o, 's: 'o>(
    input: &mut Input<'_, 's>,
    operands: impl IntoIterator<Item = &'o OperandSyntax<'s>>,
) {
    let functions = operands.into_iter().filter_map(|operand| match operand {
        OperandSyntax::Call(call) => call.function,
        OperandSyntax::Path(_) | OperandSyntax::Value(_) => None,
    });
    let misused = functions
        .into_iter()
        .find(|function| !function.is_operand());
    input.state.misused = input.state.misused.or(misused);
}

fn operand<'s>(input: &mut Input<'_, 's>) -> Parsed<OperandSyntax<'s>> {
    if peek(input) != Some(TokenKind::Open) {
        return bare_operand(input);
    }
    let operand = group(input, operand)?;
    group_suffix(input, operand)
}

/// `.b[0]` after `(a)`.
fn group_suffix<'s>(
    input: &mut Input<'_, 's>,
    operand: OperandSyntax<'s>,
) -> Parsed<OperandSyntax<'s>> {
    match operand {
        OperandSyntax::Path(mut path) if input.state.groups_are_paths => {
            path_suffix(input, &mut path)?;
            Ok(OperandSyntax::Path(path))
        }
        other => Ok(other),
    }
}

fn bare_operand<'s>(input: &mut Input<'_, 's>) -> Parsed<OperandSyntax<'s>> {
    match peek(input) {
        Some(TokenKind::ValuePlaceholder) => Ok(OperandSyntax::Value(expect(
            input,
            TokenKind::ValuePlaceholder,
        )?)),
        Some(TokenKind::Name)
            if input
                .input
                .get(1)
                .is_some_and(|next| next.kind == TokenKind::Open) =>
        {
            Ok(OperandSyntax::Call(call(input)?))
        }
        _ => Ok(OperandSyntax::Path(path(input)?)),
    }
}

fn call<'s>(input: &mut Input<'_, 's>) -> Parsed<Call<'s>> {
    let name = expect(input, TokenKind::Name)?;
    input.state.operators += 1;
    input.state.depth += 1;
    if input.state.depth > MAX_DEPTH {
        return Err(ErrMode::Cut(Fault::TooDeep));
    }
    expect(input, TokenKind::Open)?;
    let operands = list(input, operand)?;
    expect(input, TokenKind::Close)?;
    input.state.depth -= 1;
    note_misuse(input, &operands);
    Ok(Call {
        function: Function::from_name(name),
        operands,
    })
}

fn path<'s>(input: &mut Input<'_, 's>) -> Parsed<PathSyntax<'s>> {
    let head = name(input)?;
    let inner = Vec::new();
    let mut path = PathSyntax { head, inner };
    path_suffix(input, &mut path)?;
    Ok(path)
}

fn path_suffix<'s>(input: &mut Input<'_, 's>, path: &mut PathSyntax<'s>) -> Parsed<()> {
    loop {
        let step = match peek(input) {
            Some(TokenKind::Dot) => {
                input.next_token();
                StepSyntax::Field(name(input)?)
            }
            Some(TokenKind::OpenIndex) => delimited(
                token(TokenKind::OpenIndex),
                cut_err(token(TokenKind::Number)),
                cut_err(token(TokenKind::CloseIndex)),
            )
            .map(|number| StepSyntax::Index(number.text))
            .parse_next(input)?,
            _ => return Ok(()),
        };
        path.inner.push(step);
    }
}

fn name<'s>(input: &mut Input<'_, 's>) -> Parsed<NameSyntax<'s>> {
    match peek(input) {
        Some(TokenKind::Name) => Ok(NameSyntax::Plain(expect(input, TokenKind::Name)?)),
        _ => {
            let placeholder = expect(input, TokenKind::NamePlaceholder)?;
            Ok(NameSyntax::Placeholder(placeholder))
        }
    }
}

fn section<'s>(input: &mut Input<'_, 's>) -> Parsed<Section<'s>> {
    let keyword = peek(input);
    let (keyword, action): (_, fn(&mut Input<'_, 's>) -> Parsed<ActionSyntax<'s>>) = match keyword {
        Some(TokenKind::Set) => ("SET", set_action),
        Some(TokenKind::Remove) => ("REMOVE", |input| path(input).map(ActionSyntax::Remove)),
        Some(TokenKind::Add) => ("ADD", |input| {
            path_and_value(input).map(|(path, value)| ActionSyntax::Add(path, value))
        }),
        Some(TokenKind::Delete) => ("DELETE", |input| {
            path_and_value(input).map(|(path, value)| ActionSyntax::Delete(path, value))
        }),
        _ => return unexpected(input),
    };
    input.next_token();
    let actions = list(input, action)?;
    Ok(Section { keyword, actions })
}

fn set_action<'s>(input: &mut Input<'_, 's>) -> Parsed<ActionSyntax<'s>> {
    let path = path(input)?;
    expect(input, TokenKind::Equal)?;
    Ok(ActionSyntax::Set(path, sum(input)?))
}

fn path_and_value<'s>(input: &mut Input<'_, 's>) -> Parsed<(PathSyntax<'s>, &'s str)> {
    Ok((path(input)?, expect(input, TokenKind::ValuePlaceholder)?))
}

fn sum<'s>(input: &mut Input<'_, 's>) -> Parsed<ValueSyntax<'s>> {
    let left = match peek(input) {
        Some(TokenKind::Open) => match group(input, sum)? {
            ValueSyntax::Operand(operand) => operand,
            sum @ (ValueSyntax::Add(..) | ValueSyntax::Subtract(..)) => return Ok(sum),
        },
        _ => bare_operand(input)?,
    };
    let build = match peek(input) {
        Some(TokenKind::Plus) => ValueSyntax::Add,
        Some(TokenKind::Minus) => ValueSyntax::Subtract,
        _ => return Ok(ValueSyntax::Operand(left)),
    };
    input.next_token();
    input.state.operators += 1;
    Ok(build(left, operand(input)?))
}
