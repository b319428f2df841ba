//! `DeleteTable`.

use kv_core::tables::TableStatus;

use super::describe_table::Request;
use super::{Context, named, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::TABLE_NAME_ONLY;
use crate::dynamo::{describe, output};

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&TABLE_NAME_ONLY, body)?;
    let table = context.table(&request.table_name).await?;
    let in_use = |what: &str| {
        Error::ResourceInUse(format!(
            "Attempt to change a resource which is still in use: Table is being {what}: {}",
            table.name
        ))
    };
    match table.status {
        TableStatus::Creating => return Err(in_use("created")),
        TableStatus::Updating => return Err(in_use("updated")),
        TableStatus::Deleting => return Err(in_use("deleted")),
        TableStatus::Active => {}
    }
    if table.deletion_protection {
        return Err(Error::validation(
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
        ));
    }
    let deleting = context
        .database
        .delete_table(&context.caller, &table.name, context.deadline)
        .await
        .map_err(|error| named(error, &table.name))?;
    output::object(out, |o| {
        o.object("TableDescription", |o| {
            describe::table(o, &deleting, context.region)
        });
    });
    Ok(())
}
