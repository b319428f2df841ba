//! `TagResource`, `UntagResource` and `ListTagsOfResource`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kv_core::tables::{self, ExtrasChange, Table, TableChange};
use serde::Deserialize;

use super::{Context, named, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{RESOURCE_ARN, Text, of_generated, table_name_of};
use crate::dynamo::output;

/// Tags of a table.
const TAGS_MAX: usize = 50;
const TOO_MANY: &str = "Number of Tags exceed the current limit for the provided ResourceArn";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_arn: Text<'a>,
    #[serde(borrow, default)]
    tags: Vec<Tag<'a>>,
    #[serde(borrow, default)]
    tag_keys: Vec<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
}

/// Tags of a request as they are kept.
///
/// # Errors
/// [`Error::Validation`]: too many, a key twice, or one that the service keeps for itself.
pub(super) fn kept(sent: &[Tag<'_>]) -> Result<Vec<tables::Tag>, Error> {
    if sent.len() > TAGS_MAX {
        return Err(Error::validation(TOO_MANY));
    }
    let mut seen = BTreeSet::new();
    for tag in sent {
        if tag.key.starts_with("aws:") {
            return Err(Error::invalid(format_args!(
                "Tag keys must not begin with aws:, which is reserved: {}",
                &*tag.key
            )));
        }
        if !seen.insert(&*tag.key) {
            return Err(Error::invalid(format_args!(
                "Found more than one tag with the key: {}",
                &*tag.key
            )));
        }
    }
    let each = sent.iter().map(|tag| tables::Tag {
        key: tag.key.to_string(),
        value: tag.value.to_string(),
    });
    Ok(each.collect())
}

pub async fn tag<D: Database>(context: &Context<'_, D>, body: &[u8]) -> Result<(), Error> {
    let request: Request<'_> = read(of_generated("TagResource")?, body)?;
    check_arn(&request.resource_arn)?;
    if request.tags.is_empty() {
        return Err(Error::validation(
            "Atleast one Tag needs to be provided as Input.",
        ));
    }
    let tag = kept(&request.tags)?;
    let table = table(context, &request.resource_arn).await?;
    let mut after: BTreeSet<&str> = table.extras.tags.iter().map(|tag| &*tag.key).collect();
    after.extend(tag.iter().map(|tag| &*tag.key));
    if after.len() > TAGS_MAX {
        return Err(Error::validation(TOO_MANY));
    }
    let change = ExtrasChange {
        tag,
        ..Default::default()
    };
    apply(context, &table, change).await
}

pub async fn untag<D: Database>(context: &Context<'_, D>, body: &[u8]) -> Result<(), Error> {
    let request: Request<'_> = read(of_generated("UntagResource")?, body)?;
    check_arn(&request.resource_arn)?;
    if request.tag_keys.is_empty() {
        return Err(Error::validation(
            "Atleast one Tag Key needs to be provided as Input.",
        ));
    }
    let table = table(context, &request.resource_arn).await?;
    let change = ExtrasChange {
        untag: request.tag_keys.iter().map(|key| key.to_string()).collect(),
        ..Default::default()
    };
    apply(context, &table, change).await
}

pub async fn list<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&RESOURCE_ARN, body)?;
    check_arn(&request.resource_arn)?;
    let table = table(context, &request.resource_arn).await?;
    output::object(out, |o| {
        o.array("Tags", &table.extras.tags, |tag, out| {
            output::object(out, |o| {
                o.string("Key", &tag.key);
                o.string("Value", &tag.value);
            });
        });
    });
    Ok(())
}

fn check_arn(arn: &str) -> Result<(), Error> {
    match table_name_of(arn) == arn {
        true => Err(Error::invalid(format_args!(
            "Invalid TableArn: Invalid ResourceArn provided as input {arn}"
        ))),
        false => Ok(()),
    }
}

async fn table<D: Database>(context: &Context<'_, D>, arn: &str) -> Result<Arc<Table>, Error> {
    context
        .active_table(arn)
        .await
        .map_err(|error| match error {
            Error::ResourceNotFound(_) => Error::ResourceNotFound(format!(
                "Requested resource not found: ResourcArn: {arn} not found"
            )),
            other => other,
        })
}

async fn apply<D: Database>(
    context: &Context<'_, D>,
    table: &Table,
    extras: ExtrasChange,
) -> Result<(), Error> {
    let change = TableChange {
        extras: Some(extras),
        ..Default::default()
    };
    let database = context.database;
    let done = database
        .update_table(&context.caller, &table.name, change, context.deadline)
        .await;
    done.map(drop).map_err(|error| named(error, &table.name))
}
