//! What tools ask of every table, of features that are not there yet: backups, tags.

use serde::Deserialize;

use super::describe_table::Request;
use super::{Context, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{RESOURCE_ARN, TABLE_NAME_ONLY, Text, table_name_of};
use crate::dynamo::output;

/// `DescribeContinuousBackups`
pub async fn continuous_backups<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&TABLE_NAME_ONLY, body)?;
    context.table(&request.table_name).await?;
    output::object(out, |o| {
        o.object("ContinuousBackupsDescription", |o| {
            o.string("ContinuousBackupsStatus", "DISABLED");
            o.object("PointInTimeRecoveryDescription", |o| {
                o.string("PointInTimeRecoveryStatus", "DISABLED");
            });
        });
    });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagsRequest<'a> {
    #[serde(borrow)]
    resource_arn: Text<'a>,
}

/// `ListTagsOfResource`: no table has any.
pub async fn tags<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: TagsRequest<'_> = read(&RESOURCE_ARN, body)?;
    let arn = &*request.resource_arn;
    let name = table_name_of(arn);
    if name == arn {
        return Err(Error::invalid(format_args!(
            "Invalid TableArn: Invalid ResourceArn provided as input {arn}"
        )));
    }
    context
        .active_table(name)
        .await
        .map_err(|error| match error {
            Error::ResourceNotFound(_) => Error::ResourceNotFound(format!(
                "Requested resource not found: ResourcArn: {arn} not found"
            )),
            other => other,
        })?;
    output::object(out, |o| o.array("Tags", [(); 0], |(), _| {}));
    Ok(())
}
