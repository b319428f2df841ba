//! `ListTables`.

use serde::Deserialize;

use super::{Context, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{Int, LIST_TABLES, Text};
use crate::dynamo::output;

const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    exclusive_start_table_name: Option<Text<'a>>,
    limit: Option<Int>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&LIST_TABLES, body)?;
    let limit = request
        .limit
        .and_then(|limit| usize::try_from(limit.0).ok())
        .unwrap_or(PAGE);
    let after = request.exclusive_start_table_name.as_deref();
    let account = &context.caller.account;
    // One more than asked for tells whether there are more.
    let mut names = context
        .database
        .tables(account, after, limit + 1, context.deadline)
        .await?;
    let more = names.len() > limit;
    names.truncate(limit);
    output::object(out, |o| {
        o.array("TableNames", &names, |name, out| output::string(name, out));
        if let Some(last) = names.last().filter(|_| more) {
            o.string("LastEvaluatedTableName", last);
        }
    });
    Ok(())
}
