//! `ListStreams`.

use kv_core::tables::{Stream, Table};
use serde::Deserialize;

use super::super::{Context, read};
use super::arn_of;
use crate::database::Database;
use crate::dynamo::describe::label;
use crate::dynamo::error::Error;
use crate::dynamo::input::{Int, LIST_STREAMS, Text, table_name_of};
use crate::dynamo::output;

const LIMIT: usize = 100;
/// Tables looked at for one answer.
const TABLES_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    limit: Option<Int>,
    #[serde(borrow)]
    exclusive_start_stream_arn: Option<Text<'a>>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&LIST_STREAMS, body)?;
    let limit = request
        .limit
        .and_then(|limit| usize::try_from(limit.0).ok());
    let limit = limit.unwrap_or(LIMIT).min(LIMIT);
    let names = match &request.table_name {
        Some(name) => vec![table_name_of(name).to_owned()],
        None => {
            let (database, account) = (context.database, &context.caller.account);
            database
                .tables(account, None, TABLES_MAX, context.deadline)
                .await?
        }
    };
    let mut streams: Vec<(String, Stream, String)> = Vec::new();
    for name in names {
        let table = context
            .database
            .table(&context.caller.account, &name, context.deadline)
            .await;
        let Ok(table) = table else { continue };
        let table: &Table = &table;
        for stream in &table.streams {
            let arn = arn_of(table, stream, context.region);
            streams.push((arn, stream.clone(), table.name.clone()));
        }
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(after) = request.exclusive_start_stream_arn.as_deref() {
        streams.retain(|(arn, _, _)| arn.as_str() > after);
    }
    let more = streams.len() > limit;
    streams.truncate(limit);
    output::object(out, |o| {
        o.array("Streams", &streams, |(arn, stream, table), out| {
            output::object(out, |o| {
                o.string("StreamArn", arn);
                o.string("TableName", table);
                o.string("StreamLabel", &label(stream.created_ms));
            });
        });
        if let Some((arn, _, _)) = streams.last().filter(|_| more) {
            o.string("LastEvaluatedStreamArn", arn);
        }
    });
    Ok(())
}
