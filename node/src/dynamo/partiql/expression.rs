//! Conditions and changes as expressions with placeholders.

use std::collections::BTreeMap;

use super::parser::{json_object, json_string};
use super::{Change, Condition, Operand, Path, Source, Step};

/// Writes the expressions of one request: text is made, names and values are gathered.
#[derive(Debug, Default)]
pub struct ExpressionWriter {
    names: BTreeMap<String, String>,
    values: Vec<String>,
}

impl ExpressionWriter {
    pub fn name(&mut self, name: &str) -> String {
        let next = format!("#n{}", self.names.len());
        self.names.entry(name.to_owned()).or_insert(next).clone()
    }

    pub fn value(&mut self, json: &str) -> String {
        self.values.push(json.to_owned());
        format!(":v{}", self.values.len() - 1)
    }

    pub fn path(&mut self, path: &Path) -> String {
        let mut text = String::new();
        for step in &path.0 {
            match step {
                Step::Name(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&self.name(name));
                }
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    pub fn operand(&mut self, operand: &Operand) -> String {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Value(json) => self.value(json),
            Operand::Size(path) => format!("size({})", self.path(path)),
        }
    }

    pub fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::And(all) => self.joined(all, " AND "),
            Condition::Or(all) => self.joined(all, " OR "),
            Condition::Not(inner) => format!("NOT ({})", self.condition(inner)),
            Condition::Compare(left, sign, right) => {
                format!("{} {sign} {}", self.operand(left), self.operand(right))
            }
            Condition::Between(operand, low, high) => format!(
                "{} BETWEEN {} AND {}",
                self.operand(operand),
                self.operand(low),
                self.operand(high)
            ),
            Condition::In(operand, values) => {
                let operand = self.operand(operand);
                let values: Vec<String> = values.iter().map(|v| self.operand(v)).collect();
                format!("{operand} IN ({})", values.join(", "))
            }
            Condition::Call(function, path, operand) => {
                format!("{function}({}, {})", self.path(path), self.operand(operand))
            }
            Condition::Missing(path) => format!("attribute_not_exists({})", self.path(path)),
        }
    }

    fn joined(&mut self, all: &[Condition], by: &str) -> String {
        let texts: Vec<String> = all
            .iter()
            .map(|one| match one {
                Condition::And(_) | Condition::Or(_) => format!("({})", self.condition(one)),
                _ => self.condition(one),
            })
            .collect();
        texts.join(by)
    }

    /// An `UpdateExpression`.
    pub fn update(&mut self, changes: &[Change]) -> String {
        let mut clauses: [(&str, Vec<String>); 4] =
            ["SET", "REMOVE", "ADD", "DELETE"].map(|word| (word, Vec::new()));
        for change in changes {
            let (clause, text) = match change {
                Change::Set(path, source) => {
                    let path = self.path(path);
                    let source = match source {
                        Source::Operand(operand) => self.operand(operand),
                        Source::Sum(left, sign, right) => {
                            format!("{} {sign} {}", self.operand(left), self.operand(right))
                        }
                        Source::Append(first, second) => format!(
                            "list_append({}, {})",
                            self.operand(first),
                            self.operand(second)
                        ),
                    };
                    (0, format!("{path} = {source}"))
                }
                Change::Remove(path) => (1, self.path(path)),
                Change::SetAdd(path, json) => {
                    (2, format!("{} {}", self.path(path), self.value(json)))
                }
                Change::SetDelete(path, json) => {
                    (3, format!("{} {}", self.path(path), self.value(json)))
                }
            };
            clauses[clause].1.push(text);
        }
        let used = clauses.iter().filter(|(_, texts)| !texts.is_empty());
        let texts: Vec<String> = used
            .map(|(word, texts)| format!("{word} {}", texts.join(", ")))
            .collect();
        texts.join(" ")
    }

    /// Members `ExpressionAttributeNames` and `ExpressionAttributeValues` of a request.
    pub fn members(&self) -> Vec<(&'static str, String)> {
        let mut members = Vec::new();
        if !self.names.is_empty() {
            let names: Vec<(String, String)> = self
                .names
                .iter()
                .map(|(name, placeholder)| (placeholder.clone(), json_string(name)))
                .collect();
            members.push(("ExpressionAttributeNames", json_object(&names)));
        }
        if !self.values.is_empty() {
            let values: Vec<(String, String)> = self
                .values
                .iter()
                .enumerate()
                .map(|(number, json)| (format!(":v{number}"), json.clone()))
                .collect();
            members.push(("ExpressionAttributeValues", json_object(&values)));
        }
        members
    }
}
