//! PartiQL: a statement is planned into requests that are JSON and whose expressions parse or are refused.

use serde_json::Value;

use crate::dynamo::partiql::plan::{self, Keys, Reading, Wish};
use crate::dynamo::partiql::{Statement, parse};

/// Longest statement that the check of the request lets through, characters.
const STATEMENT_LEN_MAX: usize = 8192;

pub fn statement(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if text.chars().count() > STATEMENT_LEN_MAX {
        return;
    }
    let all = ["{\"N\":\"7\"}", "{\"S\":\"x\"}", "{\"SS\":[\"a\"]}"];
    for count in 0..=all.len() {
        if let Ok(statement) = parse(text, &all[..count]) {
            planned(&statement);
        }
    }
}

fn planned(statement: &Statement) {
    let keys = Keys {
        hash: vec!["pk".into()],
        range: vec!["sk".into()],
    };
    let wish = Wish {
        limit: Some(3),
        ..Wish::default()
    };
    let body = match statement {
        Statement::Select(select) => {
            if let Some(body) = plan::get(select, &keys, &wish) {
                is_json(&body);
            }
            match plan::reading(select, &keys) {
                Ok(Reading::Queries(values)) => {
                    for value in values {
                        is_json(&plan::query(select, &keys, value.as_deref(), &wish));
                    }
                    return;
                }
                Ok(Reading::Scan) => Ok(plan::scan(select, &wish)),
                Err(_) => return,
            }
        }
        Statement::Insert { table, item } => plan::insert(table, item, &keys, &wish),
        Statement::Update {
            table,
            changes,
            condition,
            returning,
        } => plan::update(table, changes, condition, *returning, &keys, &wish),
        Statement::Delete {
            table,
            condition,
            returning,
        } => plan::delete(table, condition, *returning, &keys, &wish),
    };
    if let Ok(body) = body {
        is_json(&body);
    }
}

fn is_json(body: &str) {
    let parsed: Result<Value, _> = serde_json::from_str(body);
    let parsed = parsed.unwrap_or_else(|error| panic!("{body}: {error}"));
    for (member, run) in [
        (
            "ConditionExpression",
            crate::expressions::condition as fn(&[u8]),
        ),
        ("FilterExpression", crate::expressions::condition),
        ("KeyConditionExpression", crate::expressions::key_condition),
        ("UpdateExpression", crate::expressions::update),
    ] {
        if let Some(text) = parsed.get(member).and_then(Value::as_str) {
            run(text.as_bytes());
        }
    }
}
