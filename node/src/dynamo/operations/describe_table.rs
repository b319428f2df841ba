//! `DescribeTable`.

use serde::Deserialize;

use super::{Context, counts, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{TABLE_NAME_ONLY, Text};
use crate::dynamo::{describe, output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub table_name: Text<'a>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&TABLE_NAME_ONLY, body)?;
    let table = context.table(&request.table_name).await?;
    let table = counts::counted(context, &table).await;
    output::object(out, |o| {
        o.object("Table", |o| describe::table(o, &table, context.region));
    });
    Ok(())
}
