//! Which operation does what a statement says, and the body of its request.

use super::expression::ExpressionWriter;
use super::parser::{json_object, json_string};
use super::{Change, Condition, Operand, Path, Select};
use crate::dynamo::error::Error;

/// Names of the key attributes of a table or an index.
#[derive(Clone, Debug)]
pub struct Keys {
    pub hash: Vec<String>,
    pub range: Vec<String>,
}

impl Keys {
    fn has(&self, name: &str) -> bool {
        self.hash.iter().chain(&self.range).any(|key| key == name)
    }
}

/// What surrounds a statement in its request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'w> {
    pub consistent: bool,
    pub limit: Option<i64>,
    /// JSON of the key to go on behind.
    pub start: Option<&'w str>,
    pub capacity: Option<&'w str>,
    /// `ReturnValuesOnConditionCheckFailure`.
    pub on_failure: Option<&'w str>,
}

/// How a `SELECT` reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A query for each value of the partition key, in their order.
    Queries(Vec<Option<String>>),
    Scan,
}

fn conjuncts(condition: Option<&Condition>) -> Vec<&Condition> {
    match condition {
        None => Vec::new(),
        Some(Condition::And(all)) => all.iter().collect(),
        Some(one) => vec![one],
    }
}

/// The value that a condition fixes an attribute to.
fn fixed<'c>(condition: &'c Condition, name: &str) -> Option<&'c str> {
    match condition {
        Condition::Compare(Operand::Path(path), "=", Operand::Value(value))
            if path.as_attribute() == Some(name) =>
        {
            Some(value)
        }
        _ => None,
    }
}

/// Takes the first condition that fixes the attribute.
fn take_fixed<'c>(conditions: &mut Vec<&'c Condition>, name: &str) -> Option<&'c str> {
    let at = conditions
        .iter()
        .position(|condition| fixed(condition, name).is_some())?;
    fixed(conditions.remove(at), name)
}

/// Whether a query can test a sort key by it.
fn tests_range(condition: &Condition, name: &str) -> bool {
    let is_it = |path: &Path| path.as_attribute() == Some(name);
    match condition {
        Condition::Compare(Operand::Path(path), sign, Operand::Value(_)) => {
            is_it(path) && *sign != "<>"
        }
        Condition::Between(Operand::Path(path), Operand::Value(_), Operand::Value(_))
        | Condition::Call("begins_with", path, Operand::Value(_)) => is_it(path),
        _ => false,
    }
}

/// How a `SELECT` reads: by queries where the partition key is fixed, else by a scan.
///
/// # Errors
/// [`Error::Validation`]: an order that only a query of one partition key has.
pub fn reading(select: &Select, keys: &Keys) -> Result<Reading, Error> {
    let mut rest = conjuncts(select.condition.as_ref());
    let is_fixed = keys
        .hash
        .iter()
        .all(|name| take_fixed(&mut rest, name).is_some());
    if let Some((name, _)) = select.order.iter().find(|(name, _)| !keys.has(name)) {
        return Err(Error::validation(format!(
            "Variable reference {name} in ORDER BY clause must be part of the primary key"
        )));
    }
    if is_fixed {
        return Ok(Reading::Queries(vec![None]));
    }
    if !select.order.is_empty() && select.condition.is_none() {
        return Err(Error::validation(
            "Must have WHERE clause in the statement when using ORDER BY clause.",
        ));
    }
    if !select.order.is_empty() {
        return Err(Error::validation(
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ));
    }
    let [hash] = &keys.hash[..] else {
        return Ok(Reading::Scan);
    };
    let listed = conjuncts(select.condition.as_ref())
        .into_iter()
        .find_map(|condition| listed(condition, hash));
    Ok(listed.map_or(Reading::Scan, |values| {
        Reading::Queries(values.into_iter().map(Some).collect())
    }))
}

/// The values of `name IN […]`, each once.
fn listed(condition: &Condition, name: &str) -> Option<Vec<String>> {
    let Condition::In(Operand::Path(path), operands) = condition else {
        return None;
    };
    if path.as_attribute() != Some(name) {
        return None;
    }
    let mut values: Vec<String> = Vec::new();
    for operand in operands {
        let Operand::Value(value) = operand else {
            return None;
        };
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    Some(values)
}

type Members = Vec<(&'static str, String)>;

fn body(members: Members) -> String {
    let members: Vec<(String, String)> = members
        .into_iter()
        .map(|(name, json)| (name.to_owned(), json))
        .collect();
    json_object(&members)
}

fn page_members(select: &Select, wish: &Wish<'_>, expressions: &mut ExpressionWriter) -> Members {
    let mut members: Members = vec![("TableName", json_string(&select.table))];
    if let Some(index) = &select.index {
        members.push(("IndexName", json_string(index)));
    }
    if wish.consistent {
        members.push(("ConsistentRead", "true".into()));
    }
    if let Some(limit) = wish.limit {
        members.push(("Limit", limit.to_string()));
    }
    if let Some(start) = wish.start {
        members.push(("ExclusiveStartKey", start.to_owned()));
    }
    if let Some(capacity) = wish.capacity {
        members.push(("ReturnConsumedCapacity", json_string(capacity)));
    }
    if let Some(paths) = &select.paths {
        // Whole attributes: what is in them is taken out later, since its place there is not kept.
        let mut heads: Vec<&str> = paths.iter().map(Path::head).collect();
        heads.sort_unstable();
        heads.dedup();
        let names: Vec<String> = heads.iter().map(|name| expressions.name(name)).collect();
        members.push(("ProjectionExpression", json_string(&names.join(", "))));
    }
    members
}

fn filter(rest: &[&Condition], expressions: &mut ExpressionWriter) -> Option<String> {
    if rest.is_empty() {
        return None;
    }
    let all = Condition::And(rest.iter().map(|condition| (*condition).clone()).collect());
    Some(json_string(&expressions.condition(&all)))
}

/// The body of a `Query`; `hash` stands for the partition key where a list has its value.
pub fn query(select: &Select, keys: &Keys, hash: Option<&str>, wish: &Wish<'_>) -> String {
    let mut expressions = ExpressionWriter::default();
    let mut members = page_members(select, wish, &mut expressions);
    let mut rest = conjuncts(select.condition.as_ref());
    let mut clauses = Vec::new();
    for name in &keys.hash {
        let value = match hash {
            Some(value) => {
                // The list is done with: each query has one of its values.
                if let Some(at) = rest.iter().position(|c| listed(c, name).is_some()) {
                    rest.remove(at);
                }
                Some(value)
            }
            None => take_fixed(&mut rest, name),
        };
        if let Some(value) = value {
            clauses.push(format!(
                "{} = {}",
                expressions.name(name),
                expressions.value(value)
            ));
        }
    }
    for name in &keys.range {
        if let Some(value) = take_fixed(&mut rest, name) {
            clauses.push(format!(
                "{} = {}",
                expressions.name(name),
                expressions.value(value)
            ));
            continue;
        }
        if let Some(at) = rest.iter().position(|c| tests_range(c, name)) {
            let test = rest.remove(at);
            clauses.push(expressions.condition(test));
        }
        break;
    }
    members.push((
        "KeyConditionExpression",
        json_string(&clauses.join(" AND ")),
    ));
    if let Some(filter) = filter(&rest, &mut expressions) {
        members.push(("FilterExpression", filter));
    }
    let descends = |name: &String| select.order.iter().any(|(by, down)| by == name && *down);
    if keys.range.iter().any(descends) {
        members.push(("ScanIndexForward", "false".into()));
    }
    members.extend(expressions.members());
    body(members)
}

/// The body of a `Scan`.
pub fn scan(select: &Select, wish: &Wish<'_>) -> String {
    let mut expressions = ExpressionWriter::default();
    let mut members = page_members(select, wish, &mut expressions);
    let rest = conjuncts(select.condition.as_ref());
    if let Some(filter) = filter(&rest, &mut expressions) {
        members.push(("FilterExpression", filter));
    }
    members.extend(expressions.members());
    body(members)
}

/// A condition's primary key as JSON, and what else it says; `None` unless it fixes the whole key.
fn primary_key<'c>(
    condition: Option<&'c Condition>,
    keys: &Keys,
) -> Option<(String, Vec<&'c Condition>)> {
    let mut rest = conjuncts(condition);
    let mut key = Vec::new();
    for name in keys.hash.iter().chain(&keys.range) {
        let value = take_fixed(&mut rest, name)?;
        key.push((name.clone(), value.to_owned()));
    }
    Some((json_object(&key), rest))
}

/// The body of a `GetItem`, if the statement names one item by its key and nothing else.
pub fn get(select: &Select, keys: &Keys, wish: &Wish<'_>) -> Option<String> {
    let (key, rest) = primary_key(select.condition.as_ref(), keys)?;
    if !rest.is_empty() || select.index.is_some() {
        return None;
    }
    let mut expressions = ExpressionWriter::default();
    let mut members = page_members(select, wish, &mut expressions);
    members.push(("Key", key));
    members.extend(expressions.members());
    Some(body(members))
}

/// What a write without a whole key is told.
pub fn key_missing() -> Error {
    Error::validation("Where clause does not contain a mandatory equality on all key attributes")
}

fn write_members(table: &str, wish: &Wish<'_>) -> Members {
    let mut members: Members = vec![("TableName", json_string(table))];
    if let Some(capacity) = wish.capacity {
        members.push(("ReturnConsumedCapacity", json_string(capacity)));
    }
    if let Some(on_failure) = wish.on_failure {
        members.push((
            "ReturnValuesOnConditionCheckFailure",
            json_string(on_failure),
        ));
    }
    members
}

/// A function of the partition key, which every item of a table has.
fn tests_key(function: &str, keys: &Keys, expressions: &mut ExpressionWriter) -> String {
    let name = keys.hash.first().map_or("", String::as_str);
    format!("{function}({})", expressions.name(name))
}

/// A test of whether there is an item, joined with what else a statement says of it.
fn guarded(
    function: &str,
    joint: &str,
    rest: Vec<&Condition>,
    keys: &Keys,
    expressions: &mut ExpressionWriter,
) -> String {
    let test = tests_key(function, keys, expressions);
    if rest.is_empty() {
        return test;
    }
    let all = Condition::And(rest.into_iter().cloned().collect());
    format!("{test} {joint} ({})", expressions.condition(&all))
}

/// The body of a write.
fn written(
    mut members: Members,
    returning: Option<&str>,
    expressions: &ExpressionWriter,
) -> String {
    if let Some(returning) = returning {
        members.push(("ReturnValues", json_string(returning)));
    }
    members.extend(expressions.members());
    body(members)
}

/// The body of a `PutItem` of an item that must be new.
///
/// # Errors
/// [`Error::Validation`]: the item lacks a key attribute.
pub fn insert(
    table: &str,
    item: &[(String, String)],
    keys: &Keys,
    wish: &Wish<'_>,
) -> Result<String, Error> {
    let mut names = keys.hash.iter().chain(&keys.range);
    if let Some(name) = names.find(|name| item.iter().all(|(member, _)| member != *name)) {
        return Err(Error::validation(format!(
            "Key attribute should be present in the item: Key {name}"
        )));
    }
    let mut expressions = ExpressionWriter::default();
    let mut members = write_members(table, wish);
    members.push(("Item", json_object(item)));
    let condition = tests_key("attribute_not_exists", keys, &mut expressions);
    members.push(("ConditionExpression", json_string(&condition)));
    Ok(written(members, None, &expressions))
}

/// The body of an `UpdateItem` of an item that must be there.
///
/// # Errors
/// [`Error::Validation`]: the condition does not fix the whole key.
pub fn update(
    table: &str,
    changes: &[Change],
    condition: &Condition,
    returning: Option<&str>,
    keys: &Keys,
    wish: &Wish<'_>,
) -> Result<String, Error> {
    let (key, rest) = primary_key(Some(condition), keys).ok_or_else(key_missing)?;
    let mut expressions = ExpressionWriter::default();
    let mut members = write_members(table, wish);
    members.push(("Key", key));
    members.push((
        "UpdateExpression",
        json_string(&expressions.update(changes)),
    ));
    let text = guarded("attribute_exists", "AND", rest, keys, &mut expressions);
    members.push(("ConditionExpression", json_string(&text)));
    Ok(written(members, returning, &expressions))
}

/// The body of a `DeleteItem`.
///
/// # Errors
/// [`Error::Validation`]: the condition does not fix the whole key.
pub fn delete(
    table: &str,
    condition: &Condition,
    returning: Option<&str>,
    keys: &Keys,
    wish: &Wish<'_>,
) -> Result<String, Error> {
    let (key, rest) = primary_key(Some(condition), keys).ok_or_else(key_missing)?;
    let mut expressions = ExpressionWriter::default();
    let mut members = write_members(table, wish);
    members.push(("Key", key));
    if let Some(condition) = filter(&rest, &mut expressions) {
        members.push(("ConditionExpression", condition));
    }
    Ok(written(members, returning, &expressions))
}

/// The body of a `Delete` of a transaction: what is not there fails no condition.
///
/// # Errors
/// [`Error::Validation`]: the condition does not fix the whole key.
pub fn delete_if_there(
    table: &str,
    condition: &Condition,
    keys: &Keys,
    wish: &Wish<'_>,
) -> Result<String, Error> {
    let (key, rest) = primary_key(Some(condition), keys).ok_or_else(key_missing)?;
    let mut expressions = ExpressionWriter::default();
    let mut members = write_members(table, wish);
    members.push(("Key", key));
    if !rest.is_empty() {
        let text = guarded("attribute_not_exists", "OR", rest, keys, &mut expressions);
        members.push(("ConditionExpression", json_string(&text)));
    }
    Ok(written(members, None, &expressions))
}

/// The body of a `ConditionCheck`: there is an item of this key, and it is as the condition says. `None` unless it fixes the whole key.
pub fn check(table: &str, condition: &Condition, keys: &Keys, wish: &Wish<'_>) -> Option<String> {
    let (key, rest) = primary_key(Some(condition), keys)?;
    let mut expressions = ExpressionWriter::default();
    let mut members = write_members(table, wish);
    members.push(("Key", key));
    let text = guarded("attribute_exists", "AND", rest, keys, &mut expressions);
    members.push(("ConditionExpression", json_string(&text)));
    Some(written(members, None, &expressions))
}
