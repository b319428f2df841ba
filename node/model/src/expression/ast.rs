//! Conditions after parsing: placeholders replaced, operands checked.

use std::sync::Arc;

use super::path::Path;
use crate::value::AttributeValue;

/// `=`, `<>`, `<`, `<=`, `>`, `>=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparator::Equal => "=",
            Comparator::NotEqual => "<>",
            Comparator::Less => "<",
            Comparator::LessOrEqual => "<=",
            Comparator::Greater => ">",
            Comparator::GreaterOrEqual => ">=",
        }
    }

    /// The comparator that says the same with its operands exchanged.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Comparator::Equal | Comparator::NotEqual => self,
            Comparator::Less => Comparator::Greater,
            Comparator::LessOrEqual => Comparator::GreaterOrEqual,
            Comparator::Greater => Comparator::Less,
            Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        }
    }

    /// Whether it needs operands that have an order.
    pub fn is_ordering(self) -> bool {
        !matches!(self, Comparator::Equal | Comparator::NotEqual)
    }
}

/// The ten types of attribute values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    S,
    N,
    B,
    Bool,
    Null,
    M,
    L,
    Ss,
    Ns,
    Bs,
}

impl AttributeType {
    const ALL: [AttributeType; 10] = [
        AttributeType::S,
        AttributeType::N,
        AttributeType::B,
        AttributeType::Bool,
        AttributeType::Null,
        AttributeType::M,
        AttributeType::L,
        AttributeType::Ss,
        AttributeType::Ns,
        AttributeType::Bs,
    ];

    pub fn of(value: &AttributeValue) -> Self {
        match value {
            AttributeValue::S(_) => AttributeType::S,
            AttributeValue::N(_) => AttributeType::N,
            AttributeValue::B(_) => AttributeType::B,
            AttributeValue::Bool(_) => AttributeType::Bool,
            AttributeValue::Null => AttributeType::Null,
            AttributeValue::M(_) => AttributeType::M,
            AttributeValue::L(_) => AttributeType::L,
            AttributeValue::Ss(_) => AttributeType::Ss,
            AttributeValue::Ns(_) => AttributeType::Ns,
            AttributeValue::Bs(_) => AttributeType::Bs,
        }
    }

    /// As in JSON: `S`, `BOOL`, `NS`.
    pub fn name(self) -> &'static str {
        match self {
            AttributeType::S => "S",
            AttributeType::N => "N",
            AttributeType::B => "B",
            AttributeType::Bool => "BOOL",
            AttributeType::Null => "NULL",
            AttributeType::M => "M",
            AttributeType::L => "L",
            AttributeType::Ss => "SS",
            AttributeType::Ns => "NS",
            AttributeType::Bs => "BS",
        }
    }

    /// As the service spells it out in some messages.
    pub fn word(self) -> &'static str {
        match self {
            AttributeType::S => "STRING",
            AttributeType::N => "NUMBER",
            AttributeType::B => "BINARY",
            AttributeType::Bool => "BOOLEAN",
            AttributeType::Null => "NULL",
            AttributeType::M => "MAP",
            AttributeType::L => "LIST",
            AttributeType::Ss => "STRING_SET",
            AttributeType::Ns => "NUMBER_SET",
            AttributeType::Bs => "BINARY_SET",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether `<` and its kin are defined; these are also the types that a key may have.
    pub fn is_ordered(self) -> bool {
        matches!(self, AttributeType::S | AttributeType::N | AttributeType::B)
    }

    /// Whether `size` is defined.
    pub fn has_size(self) -> bool {
        !matches!(
            self,
            AttributeType::N | AttributeType::Bool | AttributeType::Null
        )
    }
}

/// Something with a value, if the item has what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Path(Path),
    Value(Arc<AttributeValue>),
    /// `size(…)` of a path or a value.
    Size(Box<Operand>),
}

/// A condition on an item. `And` and `Or` hold at least two conditions, none of them of the same kind
/// as written without parentheses; double negations are gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        comparator: Comparator,
        left: Operand,
        right: Operand,
    },
    Between {
        operand: Operand,
        lower: Operand,
        upper: Operand,
    },
    In {
        operand: Operand,
        list: Vec<Operand>,
    },
    AttributeExists(Path),
    AttributeNotExists(Path),
    AttributeType {
        operand: Operand,
        expected: AttributeType,
    },
    BeginsWith {
        operand: Operand,
        prefix: Operand,
    },
    Contains {
        container: Operand,
        element: Operand,
    },
}

impl Expr {
    /// Calls `visit` with every path of the condition, in the order of the text.
    pub(super) fn visit_paths<'e>(&'e self, visit: &mut impl FnMut(&'e Path)) {
        match self {
            Expr::And(terms) | Expr::Or(terms) => {
                for term in terms {
                    term.visit_paths(visit);
                }
            }
            Expr::Not(inner) => inner.visit_paths(visit),
            Expr::Compare {
                comparator: _,
                left,
                right,
            } => {
                left.visit_paths(visit);
                right.visit_paths(visit);
            }
            Expr::Between {
                operand,
                lower,
                upper,
            } => {
                operand.visit_paths(visit);
                lower.visit_paths(visit);
                upper.visit_paths(visit);
            }
            Expr::In { operand, list } => {
                operand.visit_paths(visit);
                for element in list {
                    element.visit_paths(visit);
                }
            }
            Expr::AttributeExists(path) | Expr::AttributeNotExists(path) => visit(path),
            Expr::AttributeType {
                operand,
                expected: _,
            } => operand.visit_paths(visit),
            Expr::BeginsWith {
                operand: one,
                prefix: two,
            }
            | Expr::Contains {
                container: one,
                element: two,
            } => {
                one.visit_paths(visit);
                two.visit_paths(visit);
            }
        }
    }
}

impl Operand {
    fn visit_paths<'e>(&'e self, visit: &mut impl FnMut(&'e Path)) {
        match self {
            Operand::Path(path) => visit(path),
            Operand::Value(_) => {}
            Operand::Size(inner) => inner.visit_paths(visit),
        }
    }
}
