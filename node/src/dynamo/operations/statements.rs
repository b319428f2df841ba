//! `ExecuteStatement` and `BatchExecuteStatement`: PartiQL, done by the operations that it is planned into.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kv_core::api::Consistency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::target::Target;
use super::{Context, delete_item, get_item, put_item, query, read, scan, update_item};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{BATCH_EXECUTE_STATEMENT, Bool, EXECUTE_STATEMENT, Int, Text};
use crate::dynamo::output;
use crate::dynamo::partiql::plan::{self, Keys, Reading, Wish};
use crate::dynamo::partiql::{self, Path, Select, Statement, Step};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    statement: Text<'a>,
    #[serde(borrow)]
    parameters: Option<Vec<&'a RawValue>>,
    consistent_read: Option<Bool>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
    limit: Option<Int>,
    #[serde(borrow)]
    return_values_on_condition_check_failure: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchRequest<'a> {
    #[serde(borrow)]
    statements: Vec<Request<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
}

/// What the operations answer with, as far as it is passed on.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    last_evaluated_key: Option<&'a RawValue>,
    #[serde(borrow)]
    consumed_capacity: Option<&'a RawValue>,
}

/// Where a `SELECT` goes on.
#[derive(Default, Deserialize, Serialize)]
struct Token {
    /// Of the statement and its parameters.
    hash: String,
    /// Which of the queries.
    query: usize,
    /// JSON of the last key there.
    key: Option<Box<RawValue>>,
}

impl Request<'_> {
    fn parse(&self) -> Result<Statement, Error> {
        let parameters = self.parameters.iter().flatten();
        let parameters: Vec<&str> = parameters.map(|value| value.get()).collect();
        partiql::parse(&self.statement, &parameters)
    }

    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.statement.as_bytes());
        for parameter in self.parameters.iter().flatten() {
            hash.update([0]);
            hash.update(parameter.get().as_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    }

    fn token(&self) -> Result<Token, Error> {
        let Some(text) = self.next_token.as_deref() else {
            return Ok(Token::default());
        };
        let token: Option<Token> = STANDARD
            .decode(text)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        token
            .filter(|token| token.hash == self.hash())
            .ok_or_else(|| Error::validation("Given NextToken is invalid for this statement"))
    }

    fn wish(&self) -> Wish<'_> {
        Wish {
            consistent: matches!(self.consistent_read, Some(Bool(true))),
            limit: self.limit.map(|limit| limit.0),
            start: None,
            capacity: self.return_consumed_capacity.as_deref(),
            on_failure: self.return_values_on_condition_check_failure.as_deref(),
        }
    }
}

pub async fn execute<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&EXECUTE_STATEMENT, body)?;
    let statement = request.parse()?;
    if let Statement::Select(select) = &statement {
        return execute_select(context, &request, select, out).await;
    }
    if request.next_token.is_some() || request.limit.is_some() {
        return Err(Error::validation(
            "NextToken and Limit can only be given with a SELECT statement",
        ));
    }
    let mut inner = Vec::new();
    write(context, &statement, &request.wish(), &mut inner).await?;
    let answer = answer(&inner)?;
    output::object(out, |o| {
        o.array("Items", answer.attributes, |attributes, out| {
            raw(attributes, out);
        });
        if let Some(capacity) = answer.consumed_capacity {
            o.value("ConsumedCapacity", |out| raw(capacity, out));
        }
    });
    Ok(())
}

pub(super) async fn keys<D: Database>(
    context: &Context<'_, D>,
    table: &str,
    index: Option<&str>,
) -> Result<Keys, Error> {
    let table = context.active_table(table).await?;
    let target = Target::of(&table, index, Consistency::Eventual)?;
    let (hash, range) = target.keys();
    Ok(Keys { hash, range })
}

async fn execute_select<D: Database>(
    context: &Context<'_, D>,
    request: &Request<'_>,
    select: &Select,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let keys = keys(context, &select.table, select.index.as_deref()).await?;
    let mut token = request.token()?;
    let mut limit = request.wish().limit;
    let mut items = Vec::new();
    let mut capacity = Capacity::default();
    let values = match plan::reading(select, &keys)? {
        Reading::Scan => None,
        Reading::Queries(values) => Some(values),
    };
    let count = values.as_ref().map_or(1, Vec::len);
    let mut last_key = None;
    while token.query < count {
        let key = token.key.take();
        let wish = Wish {
            start: key.as_deref().map(RawValue::get),
            limit,
            ..request.wish()
        };
        let mut inner = Vec::new();
        match &values {
            None => {
                let body = plan::scan(select, &wish);
                scan::run(context, body.as_bytes(), &mut inner).await?;
            }
            Some(values) => {
                let body = plan::query(select, &keys, values[token.query].as_deref(), &wish);
                query::run_filtering_keys(context, body.as_bytes(), &mut inner).await?;
            }
        }
        let page = answer(&inner)?;
        for item in &page.items {
            items.push(projected(select.paths.as_deref(), item)?);
        }
        capacity.add(page.consumed_capacity)?;
        if let Some(key) = page.last_evaluated_key {
            token.key = Some(key.to_owned());
            last_key = Some(key.to_owned());
            break;
        }
        token.query += 1;
        if let Some(whole) = request.wish().limit {
            let left = whole - i64::try_from(items.len()).unwrap_or(i64::MAX);
            if left <= 0 {
                break;
            }
            limit = Some(left);
        }
    }
    output::object(out, |o| {
        o.array("Items", &items, |item, out| {
            out.extend_from_slice(item.as_bytes());
        });
        if token.query < count {
            token.hash = request.hash();
            if let Ok(json) = serde_json::to_vec(&token) {
                o.string("NextToken", &STANDARD.encode(json));
            }
        }
        if let Some(key) = &last_key {
            o.value("LastEvaluatedKey", |out| raw(key, out));
        }
        if let Some(capacity) = &capacity.0 {
            o.value("ConsumedCapacity", |out| {
                out.extend_from_slice(capacity.to_string().as_bytes());
            });
        }
    });
    Ok(())
}

/// The sum of what several queries of a statement took.
#[derive(Default)]
struct Capacity(Option<serde_json::Value>);

impl Capacity {
    fn add(&mut self, more: Option<&RawValue>) -> Result<(), Error> {
        let Some(more) = more else { return Ok(()) };
        let more: serde_json::Value = serde_json::from_str(more.get()).map_err(internal)?;
        match &mut self.0 {
            None => self.0 = Some(more),
            Some(sum) => add_numbers(sum, &more),
        }
        Ok(())
    }
}

fn add_numbers(sum: &mut serde_json::Value, more: &serde_json::Value) {
    use serde_json::Value;
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match sum.get_mut(name) {
                    Some(there) => add_numbers(there, value),
                    None => drop(sum.insert(name.clone(), value.clone())),
                }
            }
        }
        (sum @ Value::Number(_), Value::Number(more)) => {
            let total = sum.as_f64().unwrap_or(0.0) + more.as_f64().unwrap_or(0.0);
            *sum = Value::from(total);
        }
        _ => {}
    }
}

/// Runs a statement that writes.
async fn write<D: Database>(
    context: &Context<'_, D>,
    statement: &Statement,
    wish: &Wish<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let keys = keys(context, statement.table(), None).await?;
    match statement {
        Statement::Select(_) => Err(Error::Internal("a read among writes".into())),
        Statement::Insert { table, item } => {
            let body = plan::insert(table, item, &keys, wish)?;
            let done = put_item::run(context, body.as_bytes(), out).await;
            done.map_err(|error| match error {
                Error::ConditionalCheckFailed { .. } => Error::Named(
                    "DuplicateItemException",
                    "Duplicate primary key exists in table".into(),
                ),
                other => other,
            })
        }
        Statement::Update {
            table,
            changes,
            condition,
            returning,
        } => {
            let body = plan::update(table, changes, condition, *returning, &keys, wish)?;
            update_item::run(context, body.as_bytes(), out).await
        }
        Statement::Delete {
            table,
            condition,
            returning,
        } => {
            // What is not there fails no condition: it is as it should be.
            let asking = Wish {
                on_failure: Some("ALL_OLD"),
                ..*wish
            };
            let body = plan::delete(table, condition, *returning, &keys, &asking)?;
            match delete_item::run(context, body.as_bytes(), out).await {
                Err(Error::ConditionalCheckFailed { item: None }) => Ok(()),
                Err(Error::ConditionalCheckFailed { .. }) if wish.on_failure != Some("ALL_OLD") => {
                    Err(Error::ConditionalCheckFailed { item: None })
                }
                done => done,
            }
        }
    }
}

fn raw(json: &RawValue, out: &mut Vec<u8>) {
    out.extend_from_slice(json.get().as_bytes());
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}

fn answer(inner: &[u8]) -> Result<Answer<'_>, Error> {
    if inner.is_empty() {
        return Ok(Answer::default());
    }
    serde_json::from_slice(inner).map_err(internal)
}

/// What a `SELECT` shows of an item. What lies inside of an attribute is shown under its own name.
fn projected(paths: Option<&[Path]>, item: &RawValue) -> Result<String, Error> {
    let is_whole = |path: &Path| path.0.len() == 1;
    let paths = match paths {
        Some(paths) if !paths.iter().all(is_whole) => paths,
        _ => return Ok(item.get().to_owned()),
    };
    let item: serde_json::Value = serde_json::from_str(item.get()).map_err(internal)?;
    let mut shown = serde_json::Map::new();
    for path in paths {
        if let Some((name, value)) = pick(&item, path) {
            shown.insert(name, value.clone());
        }
    }
    Ok(serde_json::Value::Object(shown).to_string())
}

fn pick<'i>(item: &'i serde_json::Value, path: &Path) -> Option<(String, &'i serde_json::Value)> {
    let mut name = String::new();
    let mut at = item;
    for (depth, step) in path.0.iter().enumerate() {
        match step {
            Step::Name(next) => {
                let members = if depth == 0 { at } else { at.get("M")? };
                at = members.get(next)?;
                name.clone_from(next);
            }
            Step::Index(index) => {
                at = at.get("L")?.get(usize::try_from(*index).ok()?)?;
                name.push_str(&format!("[{index}]"));
            }
        }
    }
    Some((name, at))
}

pub async fn batch<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: BatchRequest<'_> = read(&BATCH_EXECUTE_STATEMENT, body)?;
    let statements: Vec<Result<Statement, Error>> =
        request.statements.iter().map(Request::parse).collect();
    let reads = statements.iter().flatten().filter(|s| s.is_read()).count();
    let parsed = statements.iter().flatten().count();
    if reads > 0 && reads < parsed {
        return Err(Error::validation(
            "Batch statements must be either all reads or all writes",
        ));
    }
    let capacity = request.return_consumed_capacity.as_deref();
    let mut tables = Vec::new();
    let mut tasks = JoinSet::new();
    for (index, (one, statement)) in request.statements.iter().zip(statements).enumerate() {
        tables.push(
            statement
                .as_ref()
                .map(|statement| statement.table().to_owned())
                .unwrap_or_default(),
        );
        let (consistent, on_failure) = (one.wish().consistent, one.wish().on_failure);
        let (on_failure, capacity) = (on_failure.map(str::to_owned), capacity.map(str::to_owned));
        let (database, caller) = (Arc::clone(context.database), context.caller.clone());
        let deadline = context.deadline;
        tasks.spawn(async move {
            let context = Context {
                database: &database,
                caller,
                // Only descriptions of tables show them.
                region: "",
                endpoint: None,
                deadline,
            };
            let wish = Wish {
                consistent,
                capacity: capacity.as_deref(),
                on_failure: on_failure.as_deref(),
                ..Wish::default()
            };
            let done = match statement {
                Ok(statement) => batch_one(&context, statement, &wish).await,
                Err(error) => Err(error),
            };
            (index, done)
        });
    }
    let mut outcomes: Vec<Option<Result<Done, Error>>> = tables.iter().map(|_| None).collect();
    while let Some(joined) = tasks.join_next().await {
        let (index, done) = joined.map_err(|error| Error::Internal(error.to_string()))?;
        outcomes[index] = Some(done);
    }
    let mut capacities: Vec<(&str, Capacity)> = Vec::new();
    for (table, outcome) in tables.iter().zip(&outcomes) {
        let Some(Ok(Done {
            capacity: Some(used),
            ..
        })) = outcome
        else {
            continue;
        };
        let at = capacities.iter().position(|(name, _)| name == table);
        let at = at.unwrap_or_else(|| {
            capacities.push((table, Capacity::default()));
            capacities.len() - 1
        });
        capacities[at].1.add(Some(used))?;
    }
    output::object(out, |o| {
        let all = tables.iter().zip(outcomes.iter().flatten());
        o.array("Responses", all, |(table, outcome), out| {
            write_response(table, outcome, out);
        });
        if !capacities.is_empty() {
            let all = capacities.iter().filter_map(|(_, sum)| sum.0.as_ref());
            o.array("ConsumedCapacity", all, |sum, out| {
                out.extend_from_slice(sum.to_string().as_bytes());
            });
        }
    });
    Ok(())
}

/// What a statement of a batch brought.
struct Done {
    /// JSON.
    item: Option<String>,
    capacity: Option<Box<RawValue>>,
}

async fn batch_one<D: Database>(
    context: &Context<'_, D>,
    statement: Statement,
    wish: &Wish<'_>,
) -> Result<Done, Error> {
    let mut inner = Vec::new();
    let paths = match statement {
        Statement::Select(select) => {
            batch_select(context, &select, wish, &mut inner).await?;
            select.paths
        }
        statement => {
            write(context, &statement, wish, &mut inner).await?;
            None
        }
    };
    let answer = answer(&inner)?;
    let item = match (answer.item, answer.attributes) {
        (Some(item), _) => Some(projected(paths.as_deref(), item)?),
        (None, attributes) => attributes.map(|item| item.get().to_owned()),
    };
    Ok(Done {
        item,
        capacity: answer.consumed_capacity.map(ToOwned::to_owned),
    })
}

fn write_response(table: &str, outcome: &Result<Done, Error>, out: &mut Vec<u8>) {
    output::object(out, |o| {
        match outcome {
            Ok(done) => {
                if let Some(item) = &done.item {
                    o.value("Item", |out| out.extend_from_slice(item.as_bytes()));
                }
            }
            Err(error) => o.object("Error", |o| {
                o.string("Code", code(error));
                o.string("Message", &error.to_string());
                if let Error::ConditionalCheckFailed { item: Some(item) } = error {
                    o.value("Item", |out| output::item(item, out));
                }
            }),
        }
        // A statement that can't be read names none.
        if !table.is_empty() {
            o.string("TableName", table);
        }
    });
}

async fn batch_select<D: Database>(
    context: &Context<'_, D>,
    select: &Select,
    wish: &Wish<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let keys = keys(context, &select.table, None).await?;
    let body = plan::get(select, &keys, wish).ok_or_else(|| {
        Error::validation(
            "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
        )
    })?;
    get_item::run(context, body.as_bytes(), out).await
}

/// The code of an error within a batch.
fn code(error: &Error) -> &'static str {
    match error {
        Error::ConditionalCheckFailed { .. } => "ConditionalCheckFailed",
        Error::ResourceNotFound(_) => "ResourceNotFound",
        Error::Throttling(_) => "ThrottlingError",
        Error::Named("DuplicateItemException", _) => "DuplicateItem",
        Error::Named("ItemCollectionSizeLimitExceededException", _) => {
            "ItemCollectionSizeLimitExceeded"
        }
        Error::Named("ProvisionedThroughputExceededException", _) => {
            "ProvisionedThroughputExceeded"
        }
        Error::Named("TransactionConflictException", _) => "TransactionConflict",
        Error::Unavailable(_) | Error::Internal(_) => "InternalServerError",
        _ => "ValidationError",
    }
}
