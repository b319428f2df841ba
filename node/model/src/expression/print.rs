//! Trees back to texts, every name and value behind a placeholder.
//!
//! Names get `#0`, `#1`, … in the order of their first use, values `:0`, `:1`, …. Parentheses stand only
//! where the tree needs them, so that none are redundant.

use std::collections::HashMap;

use super::Source;
use super::ast::{Expr, Operand};
use super::path::{Path, Step};
use super::update::{Action, UpdateOperand, UpdateValue};
use crate::value::AttributeValue;

pub(super) fn condition(expr: &Expr) -> Source {
    let mut printer = Printer::default();
    printer.expr(expr);
    printer.source
}

/// Sections come in the order in which their first actions do.
pub(super) fn update(actions: &[Action]) -> Source {
    let mut printer = Printer::default();
    let mut done: Vec<&str> = Vec::new();
    for keyword in actions.iter().map(keyword) {
        if done.contains(&keyword) {
            continue;
        }
        printer.text(if done.is_empty() { "" } else { " " });
        printer.text(keyword);
        let section = actions
            .iter()
            .filter(|action| self::keyword(action) == keyword);
        for (i, action) in section.enumerate() {
            printer.text(if i == 0 { " " } else { ", " });
            printer.action(action);
        }
        done.push(keyword);
    }
    printer.source
}

pub(super) fn projection(paths: &[Path]) -> Source {
    let mut printer = Printer::default();
    printer.list(paths, Printer::path);
    printer.source
}

fn keyword(action: &Action) -> &'static str {
    match action {
        Action::Set { .. } => "SET",
        Action::Remove { .. } => "REMOVE",
        Action::Add { .. } => "ADD",
        Action::Delete { .. } => "DELETE",
    }
}

#[derive(Default)]
struct Printer<'a> {
    source: Source,
    /// Numbers of the placeholders of the names so far.
    names: HashMap<&'a str, usize>,
}

impl<'a> Printer<'a> {
    fn text(&mut self, text: &str) {
        self.source.text.push_str(text);
    }

    fn name(&mut self, name: &'a str) {
        let next = self.names.len();
        let number = *self.names.entry(name).or_insert(next);
        let placeholder = format!("#{number}");
        self.text(&placeholder);
        self.source
            .names
            .entry(placeholder)
            .or_insert_with(|| name.to_owned());
    }

    fn value(&mut self, value: &AttributeValue) {
        let placeholder = format!(":{}", self.source.values.len());
        self.text(&placeholder);
        self.source.values.insert(placeholder, value.clone());
    }

    fn list<T>(&mut self, items: &'a [T], print: fn(&mut Self, &'a T)) {
        for (i, item) in items.iter().enumerate() {
            self.text(if i == 0 { "" } else { ", " });
            print(self, item);
        }
    }

    fn path(&mut self, path: &'a Path) {
        self.name(path.head());
        for step in path.inner() {
            match step {
                Step::Field(name) => {
                    self.text(".");
                    self.name(name);
                }
                Step::Index(index) => self.text(&format!("[{index}]")),
            }
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::And(terms) => {
                let in_parentheses = |term: &Expr| matches!(term, Expr::And(_) | Expr::Or(_));
                self.terms(terms, " AND ", in_parentheses);
            }
            Expr::Or(terms) => self.terms(terms, " OR ", |term| matches!(term, Expr::Or(_))),
            Expr::Not(inner) => {
                self.text("NOT ");
                self.term(inner, matches!(**inner, Expr::And(_) | Expr::Or(_)));
            }
            Expr::Compare {
                comparator,
                left,
                right,
            } => {
                self.operand(left);
                self.text(" ");
                self.text(comparator.symbol());
                self.text(" ");
                self.operand(right);
            }
            Expr::Between {
                operand,
                lower,
                upper,
            } => {
                self.operand(operand);
                self.text(" BETWEEN ");
                self.operand(lower);
                self.text(" AND ");
                self.operand(upper);
            }
            Expr::In { operand, list } => {
                self.operand(operand);
                self.text(" IN (");
                self.list(list, Self::operand);
                self.text(")");
            }
            Expr::AttributeExists(path) => self.call("attribute_exists", |p| p.path(path)),
            Expr::AttributeNotExists(path) => self.call("attribute_not_exists", |p| p.path(path)),
            Expr::AttributeType { operand, expected } => self.call("attribute_type", |p| {
                p.operand(operand);
                p.text(", ");
                p.value(&AttributeValue::S(expected.name().to_owned()));
            }),
            Expr::BeginsWith { operand, prefix } => self.call("begins_with", |p| {
                p.operand(operand);
                p.text(", ");
                p.operand(prefix);
            }),
            Expr::Contains { container, element } => self.call("contains", |p| {
                p.operand(container);
                p.text(", ");
                p.operand(element);
            }),
        }
    }

    fn terms(&mut self, terms: &'a [Expr], operator: &str, in_parentheses: impl Fn(&Expr) -> bool) {
        for (i, term) in terms.iter().enumerate() {
            self.text(if i == 0 { "" } else { operator });
            self.term(term, in_parentheses(term));
        }
    }

    fn term(&mut self, term: &'a Expr, in_parentheses: bool) {
        self.text(if in_parentheses { "(" } else { "" });
        self.expr(term);
        self.text(if in_parentheses { ")" } else { "" });
    }

    fn operand(&mut self, operand: &'a Operand) {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Value(value) => self.value(value),
            Operand::Size(inner) => self.call("size", |p| p.operand(inner)),
        }
    }

    fn call(&mut self, function: &str, operands: impl FnOnce(&mut Self)) {
        self.text(function);
        self.text("(");
        operands(self);
        self.text(")");
    }

    fn action(&mut self, action: &'a Action) {
        self.path(action.path());
        match action {
            Action::Set { path: _, value } => {
                self.text(" = ");
                self.update_value(value);
            }
            Action::Remove { path: _ } => {}
            Action::Add { path: _, operand } | Action::Delete { path: _, operand } => {
                self.text(" ");
                self.value(operand);
            }
        }
    }

    fn update_value(&mut self, value: &'a UpdateValue) {
        let (left, operator, right) = match value {
            UpdateValue::Operand(operand) => return self.update_operand(operand),
            UpdateValue::Sum(left, right) => (left, " + ", right),
            UpdateValue::Difference(left, right) => (left, " - ", right),
        };
        self.update_operand(left);
        self.text(operator);
        self.update_operand(right);
    }

    fn update_operand(&mut self, operand: &'a UpdateOperand) {
        match operand {
            UpdateOperand::Path(path) => self.path(path),
            UpdateOperand::Value(value) => self.value(value),
            UpdateOperand::IfNotExists(path, default) => self.call("if_not_exists", |p| {
                p.path(path);
                p.text(", ");
                p.update_operand(default);
            }),
            UpdateOperand::ListAppend(front, back) => self.call("list_append", |p| {
                p.update_operand(front);
                p.text(", ");
                p.update_operand(back);
            }),
        }
    }
}
