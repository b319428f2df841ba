//! `UpdateTimeToLive` and `DescribeTimeToLive`.

use kv_core::tables::{TableChange, TableStatus};
use serde::Deserialize;

use super::describe_table::Request;
use super::{Context, named, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{Bool, TABLE_NAME_ONLY, Text, UPDATE_TIME_TO_LIVE};
use crate::dynamo::output;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    time_to_live_specification: Specification<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Specification<'a> {
    enabled: Bool,
    #[serde(borrow)]
    attribute_name: Text<'a>,
}

pub async fn update<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Update<'_> = read(&UPDATE_TIME_TO_LIVE, body)?;
    let table = context.table(&request.table_name).await?;
    if table.status != TableStatus::Active {
        return Err(Error::ResourceInUse(format!(
            "Attempt to change a resource which is still in use: Table: {}",
            table.name
        )));
    }
    let Specification {
        enabled,
        attribute_name,
    } = request.time_to_live_specification;
    let current = table.expiry.as_ref().filter(|expiry| expiry.enabled);
    match (enabled.0, current) {
        (true, Some(expiry)) if *expiry.attribute == *attribute_name => {
            return Err(Error::validation("TimeToLive is already enabled"));
        }
        (true, Some(expiry)) => {
            return Err(Error::validation(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {}",
                expiry.attribute
            )));
        }
        (false, None) => return Err(Error::validation("TimeToLive is already disabled")),
        (false, Some(expiry)) if *expiry.attribute != *attribute_name => {
            return Err(Error::validation(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {}",
                expiry.attribute
            )));
        }
        (true, None) | (false, Some(_)) => {}
    }
    let change = TableChange {
        expiry: Some((attribute_name.to_string(), enabled.0)),
        ..Default::default()
    };
    context
        .database
        .update_table(&context.caller, &table.name, change, context.deadline)
        .await
        .map_err(|error| named(error, &table.name))?;
    output::object(out, |o| {
        o.object("TimeToLiveSpecification", |o| {
            o.bool("Enabled", enabled.0);
            o.string("AttributeName", &attribute_name);
        });
    });
    Ok(())
}

pub async fn describe<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&TABLE_NAME_ONLY, body)?;
    let table = context.table(&request.table_name).await?;
    output::object(out, |o| {
        o.object("TimeToLiveDescription", |o| match &table.expiry {
            Some(expiry) if expiry.enabled => {
                o.string("TimeToLiveStatus", "ENABLED");
                o.string("AttributeName", &expiry.attribute);
            }
            _ => o.string("TimeToLiveStatus", "DISABLED"),
        });
    });
    Ok(())
}
