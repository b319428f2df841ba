//! `ExecuteTransaction`: PartiQL statements, planned into the items of a transaction.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::items::{ReadItem, WriteItem};
use super::{get_all, write_all};
use crate::database::Database;
use crate::dynamo::capacity::Report;
use crate::dynamo::error::{Error, Reason};
use crate::dynamo::input::{EXECUTE_TRANSACTION, Text};
use crate::dynamo::operations::statements::keys;
use crate::dynamo::operations::{Context, read};
use crate::dynamo::output::Object;
use crate::dynamo::partiql::plan::{self, Wish};
use crate::dynamo::partiql::{self, Statement};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    transact_statements: Vec<One<'a>>,
    #[serde(borrow)]
    client_request_token: Option<Text<'a>>,
    #[serde(borrow)]
    return_consumed_capacity: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One<'a> {
    #[serde(borrow)]
    statement: Text<'a>,
    #[serde(borrow)]
    parameters: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    return_values_on_condition_check_failure: Option<Text<'a>>,
}

/// A statement, or a condition in the shape of one.
enum Parsed {
    Statement(Statement),
    /// `EXISTS(SELECT …)`.
    Exists(Statement),
}

impl Parsed {
    fn is_read(&self) -> bool {
        matches!(self, Parsed::Statement(statement) if statement.is_read())
    }

    fn statement(&self) -> &Statement {
        match self {
            Parsed::Statement(statement) | Parsed::Exists(statement) => statement,
        }
    }
}

impl One<'_> {
    fn parse(&self) -> Result<Parsed, Error> {
        let parameters = self.parameters.iter().flatten();
        let parameters: Vec<&str> = parameters.map(|value| value.get()).collect();
        match inside_exists(&self.statement) {
            Some(inner) => Ok(Parsed::Exists(partiql::parse(inner, &parameters)?)),
            None => Ok(Parsed::Statement(partiql::parse(
                &self.statement,
                &parameters,
            )?)),
        }
    }
}

/// The statement in `EXISTS(…)`.
fn inside_exists(text: &str) -> Option<&str> {
    let text = text.trim();
    let word = text.get(..6)?;
    if !word.eq_ignore_ascii_case("exists") {
        return None;
    }
    text[6..].trim_start().strip_prefix('(')?.strip_suffix(')')
}

fn failed(index: usize, words: &str) -> Error {
    Error::validation(format!(
        "Validation failed in TransactStatements[{index}]: {words}"
    ))
}

pub async fn execute<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&EXECUTE_TRANSACTION, body)?;
    let mut parsed = Vec::with_capacity(request.transact_statements.len());
    for one in &request.transact_statements {
        parsed.push(one.parse()?);
    }
    let reads = parsed.iter().filter(|one| one.is_read()).count();
    if reads > 0 && reads < parsed.len() {
        return Err(Error::validation(
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ));
    }
    let report = Report::parse(request.return_consumed_capacity.as_deref());
    let mut bodies = Vec::with_capacity(parsed.len());
    for (index, (one, statement)) in request.transact_statements.iter().zip(&parsed).enumerate() {
        let wish = Wish {
            on_failure: one.return_values_on_condition_check_failure.as_deref(),
            ..Wish::default()
        };
        bodies.push(item_of(context, index, statement, &wish).await?);
    }
    if reads > 0 {
        let items = bodies.iter().map(|body| serde_json::from_str(body));
        let items: Result<Vec<ReadItem<'_>>, _> = items.collect();
        return get_all(context, items.map_err(internal)?, report, out).await;
    }
    let items = bodies.iter().map(|body| serde_json::from_str(body));
    let items: Result<Vec<WriteItem<'_>>, _> = items.collect();
    let token = request.client_request_token.as_deref().map(str::to_owned);
    let items = items.map_err(internal)?;
    // Writes have no responses.
    let lead = |o: &mut Object<'_>| o.array("Responses", std::iter::empty::<()>(), |(), _| {});
    let done = write_all(context, items, token, report, None, lead, out).await;
    done.map_err(|error| reworded(error, &parsed))
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}

/// What is inserted must be new, and the service has words of its own for that.
fn reworded(error: Error, parsed: &[Parsed]) -> Error {
    let Error::TransactionCanceled(mut reasons) = error else {
        return error;
    };
    for (reason, one) in reasons.iter_mut().zip(parsed) {
        let inserts = matches!(one, Parsed::Statement(Statement::Insert { .. }));
        if inserts && reason.code == "ConditionalCheckFailed" {
            *reason = Reason {
                item: reason.item.take(),
                ..Reason::new("DuplicateItem", "Duplicate primary key exists in table")
            };
        }
    }
    Error::TransactionCanceled(reasons)
}

/// The JSON of an item of a transaction that does what a statement says.
async fn item_of<D: Database>(
    context: &Context<'_, D>,
    index: usize,
    parsed: &Parsed,
    wish: &Wish<'_>,
) -> Result<String, Error> {
    let keys = keys(context, parsed.statement().table(), None).await?;
    let (kind, body) = match parsed {
        Parsed::Exists(Statement::Select(select)) => {
            let condition = select.condition.as_ref();
            let body =
                condition.and_then(|condition| plan::check(&select.table, condition, &keys, wish));
            let words = "Select statements within ExecuteTransaction must specify the primary key in the where clause.";
            ("ConditionCheck", body.ok_or_else(|| failed(index, words))?)
        }
        Parsed::Exists(_) => {
            return Err(failed(index, "EXISTS must contain a SELECT statement."));
        }
        Parsed::Statement(Statement::Select(select)) => {
            let body = plan::get(select, &keys, &Wish::default());
            let words = "Select statements within ExecuteTransaction must specify the primary key in the where clause.";
            ("Get", body.ok_or_else(|| failed(index, words))?)
        }
        Parsed::Statement(Statement::Insert { table, item }) => {
            ("Put", plan::insert(table, item, &keys, wish)?)
        }
        Parsed::Statement(Statement::Update {
            table,
            changes,
            condition,
            returning,
        }) => {
            refuse_returning(index, returning.is_some())?;
            let body = plan::update(table, changes, condition, None, &keys, wish)?;
            ("Update", body)
        }
        Parsed::Statement(Statement::Delete {
            table,
            condition,
            returning,
        }) => {
            refuse_returning(index, returning.is_some())?;
            (
                "Delete",
                plan::delete_if_there(table, condition, &keys, wish)?,
            )
        }
    };
    Ok(format!("{{\"{kind}\":{body}}}"))
}

fn refuse_returning(index: usize, returning: bool) -> Result<(), Error> {
    match returning {
        true => Err(failed(
            index,
            "RETURNING clause is not supported in ExecuteTransaction.",
        )),
        false => Ok(()),
    }
}
