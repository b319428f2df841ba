//! `DescribeLimits` and `DescribeEndpoints`: what clients ask about the service itself.

use super::{Context, read};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::NOTHING;
use crate::dynamo::output;

/// Units that the service grants an account, and a table, at first.
const ACCOUNT_UNITS: u64 = 80_000;
const TABLE_UNITS: u64 = 40_000;
/// How long a client may remember its endpoint.
const ENDPOINT_MINUTES: u64 = 1440;

pub fn limits(body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    read::<serde::de::IgnoredAny>(&NOTHING, body)?;
    output::object(out, |o| {
        o.number("AccountMaxReadCapacityUnits", ACCOUNT_UNITS);
        o.number("AccountMaxWriteCapacityUnits", ACCOUNT_UNITS);
        o.number("TableMaxReadCapacityUnits", TABLE_UNITS);
        o.number("TableMaxWriteCapacityUnits", TABLE_UNITS);
    });
    Ok(())
}

/// The endpoint is the one the client has found already.
pub fn endpoints<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    read::<serde::de::IgnoredAny>(&NOTHING, body)?;
    let regional = format!("dynamodb.{}.amazonaws.com", context.region);
    let address = context.endpoint.unwrap_or(&regional);
    output::object(out, |o| {
        o.array("Endpoints", [address], |address, out| {
            output::object(out, |o| {
                o.string("Address", address);
                o.number("CachePeriodInMinutes", ENDPOINT_MINUTES);
            });
        });
    });
    Ok(())
}
