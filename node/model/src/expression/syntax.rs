//! What the grammar yields: expressions as they are written, placeholders and all.

use super::ast::Comparator;
use super::function::Function;

/// A step of a path. The first one is no index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Segment<'s> {
    Name(&'s str),
    /// With its `#`.
    Placeholder(&'s str),
    /// Digits.
    Index(&'s str),
}

pub(super) type PathSyntax<'s> = Vec<Segment<'s>>;

#[derive(Debug)]
pub(super) struct Call<'s> {
    /// `None` for a name that is no function's. Such a call is refused before it is resolved.
    pub function: Option<Function>,
    /// At least one.
    pub operands: Vec<OperandSyntax<'s>>,
}

#[derive(Debug)]
pub(super) enum OperandSyntax<'s> {
    Path(PathSyntax<'s>),
    /// With its `:`.
    Value(&'s str),
    Call(Call<'s>),
}

#[derive(Debug)]
pub(super) enum ConditionSyntax<'s> {
    And(Vec<ConditionSyntax<'s>>),
    Or(Vec<ConditionSyntax<'s>>),
    Not(Box<ConditionSyntax<'s>>),
    Compare {
        comparator: Comparator,
        left: OperandSyntax<'s>,
        right: OperandSyntax<'s>,
    },
    Between {
        operand: OperandSyntax<'s>,
        lower: OperandSyntax<'s>,
        upper: OperandSyntax<'s>,
    },
    In {
        operand: OperandSyntax<'s>,
        list: Vec<OperandSyntax<'s>>,
    },
    Call(Call<'s>),
}

/// The right side of an assignment.
#[derive(Debug)]
pub(super) enum ValueSyntax<'s> {
    Operand(OperandSyntax<'s>),
    Add(OperandSyntax<'s>, OperandSyntax<'s>),
    Subtract(OperandSyntax<'s>, OperandSyntax<'s>),
}

#[derive(Debug)]
pub(super) enum ActionSyntax<'s> {
    Set(PathSyntax<'s>, ValueSyntax<'s>),
    Remove(PathSyntax<'s>),
    Add(PathSyntax<'s>, &'s str),
    Delete(PathSyntax<'s>, &'s str),
}

/// A keyword of an update and what follows it.
#[derive(Debug)]
pub(super) struct Section<'s> {
    pub keyword: &'static str,
    /// At least one, all of the keyword's kind.
    pub actions: Vec<ActionSyntax<'s>>,
}
