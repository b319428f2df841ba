//! What the grammar yields: expressions as they are written, placeholders and all.

use super::ast::Comparator;
use super::function::Function;

/// An attribute's or member's name.
#[derive(Clone, Copy, Debug)]
pub(super) enum NameSyntax<'s> {
    Plain(&'s str),
    /// With its `#`.
    Placeholder(&'s str),
}

/// A step into a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum StepSyntax<'s> {
    Field(NameSyntax<'s>),
    /// Digits.
    Index(&'s str),
}

#[derive(Debug)]
pub(super) struct PathSyntax<'s> {
    pub head: NameSyntax<'s>,
    pub inner: Vec<StepSyntax<'s>>,
}

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

/// Kept small, since the parser's stack holds several for each level of nesting.
#[derive(Debug)]
pub(super) enum ConditionSyntax<'s> {
    And(Vec<ConditionSyntax<'s>>),
    Or(Vec<ConditionSyntax<'s>>),
    Not(Box<ConditionSyntax<'s>>),
    Compare(Comparator, Box<[OperandSyntax<'s>; 2]>),
    /// The operand, its lower and its upper bound.
    Between(Box<[OperandSyntax<'s>; 3]>),
    /// The operand and the list.
    In(Box<OperandSyntax<'s>>, Vec<OperandSyntax<'s>>),
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
