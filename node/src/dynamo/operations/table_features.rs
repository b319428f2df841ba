//! `DescribeContinuousBackups`: there are none.

use super::describe_table::Request;
use super::{Context, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::TABLE_NAME_ONLY;
use crate::dynamo::output;

/// `DescribeContinuousBackups`
pub async fn continuous_backups<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&TABLE_NAME_ONLY, body)?;
    context.table(&request.table_name).await?;
    describe_off(out);
    Ok(())
}

/// The description of a table without continuous backups.
pub(super) fn describe_off(out: &mut Vec<u8>) {
    output::object(out, |o| {
        o.object("ContinuousBackupsDescription", |o| {
            o.string("ContinuousBackupsStatus", "DISABLED");
            o.object("PointInTimeRecoveryDescription", |o| {
                o.string("PointInTimeRecoveryStatus", "DISABLED");
            });
        });
    });
}
