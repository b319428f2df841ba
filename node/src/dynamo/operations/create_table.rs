//! `CreateTable`.

use kv_core::tables::{self as tables, Billing, ClassChange, ExtrasChange, NewTable, StreamView};
use kv_model::schema::{KeyAttribute, KeyKind, TableSchema};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Context, indexes, read, tags};
use crate::database::Database;
use crate::dynamo::error::Error;
use crate::dynamo::input::{Bool, CREATE_TABLE, Int, Text, table_name_of};
use crate::dynamo::{describe, output};

/// What the service allows at most, units a second.
const UNITS_MAX: i64 = 1_000_000_000_000;
/// What one partition of the service serves, units a second.
const PARTITION_READ_UNITS: u64 = 3000;
const PARTITION_WRITE_UNITS: u64 = 1000;
/// Most partitions that a new table asks for.
const PARTITIONS_MAX: u64 = 128;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    attribute_definitions: Vec<Definition<'a>>,
    #[serde(borrow)]
    key_schema: Vec<KeyElement<'a>>,
    #[serde(borrow)]
    billing_mode: Option<Text<'a>>,
    provisioned_throughput: Option<Throughput>,
    warm_throughput: Option<Warm>,
    deletion_protection_enabled: Option<Bool>,
    #[serde(borrow)]
    local_secondary_indexes: Option<Vec<indexes::Description<'a>>>,
    #[serde(borrow)]
    global_secondary_indexes: Option<Vec<indexes::Description<'a>>>,
    #[serde(borrow)]
    stream_specification: Option<Stream<'a>>,
    #[serde(rename = "SSESpecification")]
    sse_specification: Option<Encryption>,
    #[serde(borrow)]
    tags: Option<Vec<tags::Tag<'a>>>,
    #[serde(borrow)]
    table_class: Option<Text<'a>>,
    on_demand_throughput: Option<OnDemand>,
    resource_policy: Option<IgnoredAny>,
    global_table_source_arn: Option<IgnoredAny>,
    global_table_settings_replication_mode: Option<IgnoredAny>,
    vector_indexes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Definition<'a> {
    #[serde(borrow)]
    pub attribute_name: Text<'a>,
    #[serde(borrow)]
    pub attribute_type: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyElement<'a> {
    #[serde(borrow)]
    pub attribute_name: Text<'a>,
    #[serde(borrow)]
    pub key_type: Text<'a>,
}

/// Units a second.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Throughput {
    pub read_capacity_units: Int,
    pub write_capacity_units: Int,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Warm {
    read_units_per_second: Option<Int>,
    write_units_per_second: Option<Int>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnDemand {
    max_read_request_units: Option<Int>,
    max_write_request_units: Option<Int>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stream<'a> {
    pub stream_enabled: Bool,
    #[serde(borrow)]
    pub stream_view_type: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encryption {
    pub enabled: Option<Bool>,
}

pub async fn run<D: Database>(
    context: &Context<'_, D>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let request: Request<'_> = read(&CREATE_TABLE, body)?;
    let billing = billing(
        request.billing_mode.as_deref(),
        request.provisioned_throughput,
    )?;
    let schema = schema(&request)?;
    let indexes = indexes::of_new_table(
        request.local_secondary_indexes.as_deref(),
        request.global_secondary_indexes.as_deref(),
        &indexes::Keys {
            hash: &schema.hash.name,
            range: schema.range.as_ref().map(|range| range.name.as_str()),
        },
        &indexes::Definitions(&request.attribute_definitions),
        billing,
    )?;
    let stream = request
        .stream_specification
        .as_ref()
        .map(Stream::view)
        .transpose()?
        .flatten();
    let tags = tags::kept(request.tags.as_deref().unwrap_or_default())?;
    let extras = ExtrasChange {
        tag: tags,
        ..extras(
            request.table_class.as_deref(),
            request.on_demand_throughput,
            request.warm_throughput.as_ref(),
        )
    };
    refuse_later(&request)?;
    let new = NewTable {
        account: context.caller.account.clone(),
        name: table_name_of(&request.table_name).to_owned(),
        schema,
        billing,
        deletion_protection: request.deletion_protection_enabled.unwrap_or_default().0,
        partitions: partitions(request.warm_throughput.as_ref()),
        indexes,
        stream,
        extras,
    };
    let table = context
        .database
        .create_table(&context.caller, new, context.deadline)
        .await?;
    output::object(out, |o| {
        o.object("TableDescription", |o| {
            describe::table(o, &table, context.region)
        });
    });
    Ok(())
}

/// How the table is paid for.
fn billing(mode: Option<&str>, throughput: Option<Throughput>) -> Result<Billing, Error> {
    match (mode, throughput) {
        (Some("PAY_PER_REQUEST"), None) => Ok(Billing::PayPerRequest),
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(Error::invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (_, Some(throughput)) => throughput.billing(),
        // Without a mode the service means PROVISIONED, and has other words for what is missing.
        (Some(_), None) => Err(Error::invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (None, None) => Err(Error::invalid(
            "Missing required parameter in input: \"ProvisionedThroughput\"",
        )),
    }
}

impl Throughput {
    /// The checked units.
    pub(super) fn billing(self) -> Result<Billing, Error> {
        let units = |name: &str, units: Int| {
            u64::try_from(units.0)
                .ok()
                .filter(|_| units.0 <= UNITS_MAX)
                .ok_or_else(|| {
                    Error::validation(format!(
                        "Given value {} for {name} is out of bounds",
                        units.0
                    ))
                })
        };
        Ok(Billing::Provisioned {
            read: units("ReadCapacityUnits", self.read_capacity_units)?,
            write: units("WriteCapacityUnits", self.write_capacity_units)?,
        })
    }
}

/// The key, in the order of the service's checks.
fn schema(request: &Request<'_>) -> Result<TableSchema, Error> {
    let definitions = &request.attribute_definitions;
    let keys = &request.key_schema;
    let kind = |name: &str| {
        definitions
            .iter()
            .find(|definition| *definition.attribute_name == *name)
            .map(|definition| match &*definition.attribute_type {
                "S" => KeyKind::S,
                "N" => KeyKind::N,
                _ => KeyKind::B,
            })
    };
    let same = keys.len() == 2 && *keys[0].attribute_name == *keys[1].attribute_name;
    let undefined = keys.iter().any(|key| kind(&key.attribute_name).is_none());
    if keys.len() == 2 && (undefined || same && definitions.len() == 1) {
        return Err(Error::validation(
            "Invalid KeySchema: Some index key attribute have no definition",
        ));
    }
    let joined = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
    if undefined {
        return Err(Error::invalid(format_args!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
            joined(&mut keys.iter().map(|key| &*key.attribute_name)),
            joined(
                &mut definitions
                    .iter()
                    .map(|definition| &*definition.attribute_name)
            ),
        )));
    }
    if same {
        return Err(Error::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ));
    }
    for (key, (role, place)) in keys.iter().zip([("HASH", "first"), ("RANGE", "second")]) {
        if *key.key_type != *role {
            return Err(Error::validation(format!(
                "Invalid KeySchema: The {place} KeySchemaElement is not a {role} key type"
            )));
        }
    }
    let indexed =
        request.local_secondary_indexes.is_some() || request.global_secondary_indexes.is_some();
    if !indexed && keys.len() != definitions.len() {
        return Err(Error::invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ));
    }
    let mut attributes = keys.iter().filter_map(|key| {
        Some(KeyAttribute {
            name: key.attribute_name.to_string(),
            kind: kind(&key.attribute_name)?,
        })
    });
    // The constraints have seen to it that there is one.
    let hash = attributes
        .next()
        .ok_or_else(|| Error::validation("Invalid KeySchema"))?;
    Ok(TableSchema {
        hash,
        range: attributes.next(),
    })
}

/// Refuses what a later version brings, after the checks that the service makes of it.
fn refuse_later(request: &Request<'_>) -> Result<(), Error> {
    let given = [
        (
            "SSESpecification",
            request
                .sse_specification
                .as_ref()
                .is_some_and(|s| s.enabled.unwrap_or_default().0),
        ),
        ("ResourcePolicy", request.resource_policy.is_some()),
        (
            "GlobalTableSourceArn",
            request.global_table_source_arn.is_some(),
        ),
        (
            "GlobalTableSettingsReplicationMode",
            request.global_table_settings_replication_mode.is_some(),
        ),
        ("VectorIndexes", request.vector_indexes.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::later(name)),
        None => Ok(()),
    }
}

impl Stream<'_> {
    /// The view of a stream that is to run; none if there shall be none.
    pub(super) fn view(&self) -> Result<Option<StreamView>, Error> {
        match (self.stream_enabled.0, self.stream_view_type.as_deref()) {
            (true, Some("KEYS_ONLY")) => Ok(Some(StreamView::KeysOnly)),
            (true, Some("NEW_IMAGE")) => Ok(Some(StreamView::NewImage)),
            (true, Some("OLD_IMAGE")) => Ok(Some(StreamView::OldImage)),
            (true, Some(_)) => Ok(Some(StreamView::NewAndOldImages)),
            (true, None) => Err(Error::validation(
                "Invalid StreamViewType: Stream ViewType must not be null or empty when enabling streams.",
            )),
            (false, Some(_)) => Err(Error::invalid(
                "StreamViewType cannot be specified when StreamEnabled is false",
            )),
            (false, None) => Ok(None),
        }
    }
}

/// What is kept with the table and shown; the class gets its time where the change is made.
pub(super) fn extras(
    class: Option<&str>,
    on_demand: Option<OnDemand>,
    warm: Option<&Warm>,
) -> ExtrasChange {
    let units = |units: Option<Int>| units.and_then(|units| u64::try_from(units.0).ok());
    ExtrasChange {
        class: class.map(|class| ClassChange {
            infrequent: class == "STANDARD_INFREQUENT_ACCESS",
            at_ms: 0,
        }),
        on_demand: on_demand.map(|most| tables::OnDemand {
            read_max: most.max_read_request_units.map_or(-1, |units| units.0),
            write_max: most.max_write_request_units.map_or(-1, |units| units.0),
        }),
        warm: warm.map(|warm| tables::Warm {
            read_units: units(warm.read_units_per_second).unwrap_or(0),
            write_units: units(warm.write_units_per_second).unwrap_or(0),
        }),
        ..Default::default()
    }
}

/// As many partitions as the throughput asked for needs; 0 leaves it to the cluster.
fn partitions(warm: Option<&Warm>) -> u32 {
    let Some(warm) = warm else { return 0 };
    let units = |units: Option<Int>| {
        units
            .and_then(|units| u64::try_from(units.0).ok())
            .unwrap_or(0)
    };
    let read = units(warm.read_units_per_second).div_ceil(PARTITION_READ_UNITS);
    let write = units(warm.write_units_per_second).div_ceil(PARTITION_WRITE_UNITS);
    u32::try_from(read.max(write).min(PARTITIONS_MAX)).unwrap_or(0)
}
