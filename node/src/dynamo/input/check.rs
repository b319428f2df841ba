//! Checks a body against the table of its operation, in one pass over the JSON and without building it.
//!
//! Types come first: the first value of a wrong type ends the pass with the service's `SerializationException`.
//! Violations of constraints are collected with their place, sorted into the table's order, and told together. Only
//! then is the body parsed into a tree, to show the values in the message.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::fields::{Text, parse_bool, truncate};
use super::words::{self, render};
use super::{Member, Rule, Shape, Structure};
use crate::dynamo::error::Error;

/// Violations told in one message.
const VIOLATIONS_MAX: usize = 10;

/// Checks `body` against `input`.
///
/// # Errors
/// [`Error::Serialization`], [`Error::SerializationOf`] or [`Error::Validation`].
pub fn check(input: &'static Structure, body: &[u8]) -> Result<(), Error> {
    let mut report = Report::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let root = Node {
        member: &Member {
            name: "",
            shape: Shape::Structure(input),
            rules: &[],
        },
        element: false,
        report: &mut report,
    };
    let outcome = root
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end());
    if let Some(error) = report.mistake {
        return Err(error);
    }
    if outcome.is_err() {
        return Err(Error::Serialization(None));
    }
    if report.violations.is_empty() {
        return Ok(());
    }
    Err(report.explain(body))
}

/// One step from the root to a value.
#[derive(Clone, Debug)]
struct Step {
    /// Where the service's order has it among its siblings.
    order: usize,
    name: StepName,
}

#[derive(Clone, Debug)]
enum StepName {
    Field(&'static str),
    Element(usize),
    Key(String),
}

#[derive(Debug)]
struct Violation {
    path: Vec<Step>,
    constraint: String,
}

#[derive(Debug, Default)]
struct Report {
    /// The first value of a wrong type, or an early refusal.
    mistake: Option<Error>,
    path: Vec<Step>,
    violations: Vec<Violation>,
    /// A refusal that comes before all violations, but after mistakes of type.
    early: Option<String>,
}

impl Report {
    fn violate(&mut self, constraint: impl Into<String>) {
        // Far more than are told, so that the first of the table's order are among them.
        if self.violations.len() < 32 * VIOLATIONS_MAX {
            self.violations.push(Violation {
                path: self.path.clone(),
                constraint: constraint.into(),
            });
        }
    }

    fn refuse_early(&mut self, message: String) {
        self.early.get_or_insert(message);
        self.violate("");
    }

    fn explain(mut self, body: &[u8]) -> Error {
        if let Some(message) = self.early {
            return Error::Validation(message);
        }
        self.violations.sort_by(|a, b| {
            a.path
                .iter()
                .map(|step| step.order)
                .cmp(b.path.iter().map(|step| step.order))
        });
        self.violations.truncate(VIOLATIONS_MAX);
        let tree: Value = match serde_json::from_slice(body) {
            Ok(tree) => tree,
            Err(_) => return Error::Serialization(None),
        };
        let count = self.violations.len();
        let plural = if count == 1 { "" } else { "s" };
        let told: Vec<String> = self.violations.iter().map(|v| v.explain(&tree)).collect();
        Error::Validation(format!(
            "{count} validation error{plural} detected: {}",
            told.join("; ")
        ))
    }
}

impl Violation {
    fn explain(&self, tree: &Value) -> String {
        let value = self
            .path
            .iter()
            .try_fold(tree, |value, step| match &step.name {
                StepName::Field(name) => value.get(name),
                StepName::Key(name) => value.get(name),
                StepName::Element(index) => value.get(index),
            });
        format!(
            "Value {} at '{}' failed to satisfy constraint: {}",
            render(value),
            Place(&self.path),
            self.constraint
        )
    }
}

/// `requestItems.name.member.keys.1.member`
struct Place<'p>(&'p [Step]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match &step.name {
                StepName::Field(name) => {
                    let (first, rest) = name.split_at(1);
                    write!(f, "{}{rest}", first.to_ascii_lowercase())?;
                }
                StepName::Element(index) => write!(f, "{}.member", index + 1)?,
                StepName::Key(name) => write!(f, "{name}.member")?,
            }
        }
        Ok(())
    }
}

/// A value to be checked; yields its length if it is a list, `None` if it is null.
struct Node<'r> {
    member: &'r Member,
    /// It is an element of a list or a map, not a field of a structure.
    element: bool,
    report: &'r mut Report,
}

/// What was found: nothing (null), or a value with so many elements.
type Found = Option<usize>;

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Node<'_> {
    fn wrong<T, E: serde::de::Error>(self, message: &'static str) -> Result<T, E> {
        self.report
            .mistake
            .get_or_insert(Error::Serialization(Some(message)));
        Err(E::custom(message))
    }

    fn wrong_of<T, E: serde::de::Error>(self, message: String) -> Result<T, E> {
        let error = E::custom(&message);
        self.report
            .mistake
            .get_or_insert(Error::SerializationOf(message));
        Err(error)
    }

    /// A scalar where the shape wants something else.
    fn scalar<E: serde::de::Error>(self, token: &'static str) -> Result<Found, E> {
        match self.member.shape {
            Shape::String => self.wrong_of(format!("{token} cannot be converted to String")),
            Shape::Boolean => self.wrong_of(format!("{token} cannot be converted to Boolean")),
            Shape::Integer => self.wrong_of(format!("{token} cannot be converted to Integer")),
            Shape::Long => self.wrong_of(format!("{token} cannot be converted to Long")),
            Shape::Double => self.wrong_of(format!("{token} cannot be converted to Double")),
            Shape::Blob => self.wrong(words::NOT_BASE64),
            Shape::List(_) | Shape::Map(..) if self.element => self.wrong(words::CAST),
            Shape::Structure(_) if self.element => self.wrong(words::UNEXPECTED_VALUE),
            Shape::List(_) | Shape::Map(..) | Shape::Structure(_) => {
                self.wrong(words::UNEXPECTED_FIELD)
            }
        }
    }

    fn number<E: serde::de::Error>(self, value: i64, token: &'static str) -> Result<Found, E> {
        match self.member.shape {
            Shape::Double => Ok(Some(0)),
            Shape::Integer | Shape::Long => {
                check_number(value, self.member.rules, self.report);
                Ok(Some(0))
            }
            _ => self.scalar(token),
        }
    }

    /// Checks the members of a structure.
    fn structure<'de, A: MapAccess<'de>>(
        self,
        structure: &'static Structure,
        mut map: A,
    ) -> Result<Found, A::Error> {
        let mut seen = 0u32;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let found = structure
                .members
                .iter()
                .position(|member| *member.name == *name);
            let Some(order) = found else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            let member = &structure.members[order];
            self.report.path.push(Step {
                order,
                name: StepName::Field(member.name),
            });
            let present = map.next_value_seed(Node {
                member,
                element: false,
                report: self.report,
            })?;
            self.report.path.pop();
            if present.is_some() {
                seen |= 1 << order;
            }
        }
        if !structure.free {
            for (order, member) in structure.members.iter().enumerate() {
                if seen & (1 << order) == 0 {
                    missing(order, member, self.report);
                }
            }
        }
        Ok(Some(structure.members.len()))
    }

    fn map<'de, A: MapAccess<'de>>(
        self,
        values: &'static Member,
        mut map: A,
    ) -> Result<Found, A::Error> {
        let free = match values.shape {
            Shape::String => values.rules.is_empty(),
            Shape::Structure(structure) => structure.free,
            _ => false,
        };
        let mut count = 0;
        let (mut bad_key, mut bad_length) = (false, false);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            for rule in self.member.rules {
                bad_key |= matches!(rule, Rule::TableNameKeys) && !is_table_name(&key);
            }
            if !free {
                let name = StepName::Key(key.0.into_owned());
                self.report.path.push(Step { order: count, name });
            }
            let found = map.next_value_seed(Node {
                member: values,
                element: true,
                report: self.report,
            })?;
            if !free {
                self.report.path.pop();
            }
            for rule in self.member.rules {
                if let Rule::ValueLengths(min, max) = rule {
                    bad_length |= found.is_some_and(|length| !(*min..=*max).contains(&length));
                }
            }
            count += 1;
        }
        if bad_key {
            self.report.violate(words::KEYS);
        }
        for rule in self.member.rules {
            if let Rule::ValueLengths(min, max) = rule
                && bad_length
            {
                self.report.violate(format!("Map value must satisfy constraint: [Member must have length less than or equal to {max}, Member must have length greater than or equal to {min}]"));
            }
        }
        check_length(count, self.member.rules, self.report);
        Ok(Some(count))
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the operation's shape")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Found, E> {
        match self.member.shape {
            Shape::Boolean => Ok(Some(0)),
            _ => self.scalar(if value { "TRUE_VALUE" } else { "FALSE_VALUE" }),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Found, E> {
        self.number(value, "NUMBER_VALUE")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Found, E> {
        self.number(i64::try_from(value).unwrap_or(i64::MAX), "NUMBER_VALUE")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Found, E> {
        self.number(truncate(value), "DECIMAL_VALUE")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Found, E> {
        match self.member.shape {
            Shape::String => {
                check_string(value, self.member.rules, self.report);
                Ok(Some(0))
            }
            Shape::Boolean if parse_bool(value).is_some() => Ok(Some(0)),
            Shape::Boolean => self.wrong(words::UNEXPECTED_TOKEN),
            Shape::Blob => match check_base64(value) {
                Ok(()) => Ok(Some(0)),
                Err(Cow::Borrowed(message)) => self.wrong(message),
                Err(Cow::Owned(message)) => self.wrong_of(message),
            },
            _ => self.scalar("STRING_VALUE"),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let class = match self.member.shape {
            Shape::List(element) => {
                let mut count = 0;
                loop {
                    self.report.path.push(Step {
                        order: count,
                        name: StepName::Element(count),
                    });
                    let node = Node {
                        member: element,
                        element: true,
                        report: self.report,
                    };
                    let next = seq.next_element_seed(node)?;
                    self.report.path.pop();
                    if next.is_none() {
                        break;
                    }
                    count += 1;
                }
                check_length(count, self.member.rules, self.report);
                return Ok(Some(count));
            }
            Shape::String => "java.lang.String",
            Shape::Boolean => "java.lang.Boolean",
            Shape::Integer => "java.lang.Integer",
            Shape::Long => "java.lang.Long",
            Shape::Double => "java.lang.Double",
            Shape::Blob => "java.nio.ByteBuffer",
            Shape::Map(_, values) => {
                return self.wrong_of(format!(
                    "Unrecognized collection type java.util.Map<java.lang.String, {values}>"
                ));
            }
            Shape::Structure(structure) => {
                return self.wrong_of(format!(
                    "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.{}",
                    structure.name
                ));
            }
        };
        self.wrong_of(format!("Unrecognized collection type class {class}"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        match self.member.shape {
            Shape::Structure(structure) => self.structure(structure, map),
            Shape::Map(values, _) => self.map(values, map),
            _ => self.wrong(words::UNEXPECTED_STRUCTURE),
        }
    }
}

/// Rules that a member which isn't there breaks.
fn missing(order: usize, member: &'static Member, report: &mut Report) {
    for rule in member.rules {
        report.path.push(Step {
            order,
            name: StepName::Field(member.name),
        });
        match rule {
            Rule::NotNull => report.violate("Member must not be null"),
            Rule::Required => report.refuse_early(format!(
                "The parameter '{}' is required but was not present in the request",
                member.name
            )),
            _ => {}
        }
        report.path.pop();
    }
}

fn check_number(value: i64, rules: &[Rule], report: &mut Report) {
    for rule in rules {
        match rule {
            Rule::Min(min) if value < *min => {
                report.violate(format!(
                    "Member must have value greater than or equal to {min}"
                ));
            }
            Rule::Max(max) if value > *max => {
                report.violate(format!(
                    "Member must have value less than or equal to {max}"
                ));
            }
            _ => {}
        }
    }
}

fn check_string(value: &str, rules: &[Rule], report: &mut Report) {
    if rules.is_empty() {
        return;
    }
    let table = table_name_of(value);
    for rule in rules {
        match rule {
            Rule::Pattern if table.is_empty() || !table.bytes().all(is_name_byte) => {
                report.violate(format!(
                    "Member must satisfy regular expression pattern: {}",
                    words::PATTERN
                ));
            }
            Rule::Matches(pattern, matches) if !matches(value) => report.violate(format!(
                "Member must satisfy regular expression pattern: {pattern}"
            )),
            Rule::Enum(allowed) if !allowed.contains(&value) => report.violate(format!(
                "Member must satisfy enum value set: [{}]",
                allowed.join(", ")
            )),
            Rule::TableNameLength if !(3..=255).contains(&table.len()) => report.refuse_early(
                "TableName must be at least 3 characters long and at most 255 characters long"
                    .into(),
            ),
            _ => {}
        }
    }
    // Of an ARN in a table's place the name counts.
    let named = rules.iter().any(|rule| matches!(rule, Rule::Pattern));
    let measured = if named { table } else { value };
    check_length(measured.chars().count(), rules, report);
}

fn check_length(length: usize, rules: &[Rule], report: &mut Report) {
    for rule in rules {
        match rule {
            Rule::MinLength(min) if length < *min => {
                report.violate(format!(
                    "Member must have length greater than or equal to {min}"
                ));
            }
            Rule::MaxLength(max) if length > *max => {
                report.violate(format!(
                    "Member must have length less than or equal to {max}"
                ));
            }
            _ => {}
        }
    }
}

/// A table is named by its name or by its ARN, whose name counts here.
pub fn table_name_of(text: &str) -> &str {
    if !text.starts_with("arn:") {
        return text;
    }
    text.split_once(":table/").map_or(text, |(_, name)| name)
}

fn is_table_name(name: &str) -> bool {
    let name = table_name_of(name);
    (3..=255).contains(&name.len()) && name.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn check_base64(text: &str) -> Result<(), Cow<'static, str>> {
    use base64::Engine as _;
    if !text.len().is_multiple_of(4) {
        return Err(Cow::Owned(format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {}",
            text.len()
        )));
    }
    // Three quarters of the text at most; the decoder needs no room of its own.
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Cow::Borrowed(words::BAD_BASE64)),
    }
}
