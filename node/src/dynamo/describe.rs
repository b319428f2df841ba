//! A table as clients see it.

use kv_core::tables::{Billing, Extras, Index, StreamView, Table, TableStatus};
use kv_model::index::Projection;
use kv_model::schema::KeyAttribute;

use super::auth::digits_of;
use super::output::{self, Object};

/// ARN of a table.
pub fn arn(table: &Table, region: &str) -> String {
    format!(
        "arn:aws:dynamodb:{region}:{}:table/{}",
        digits_of(&table.account),
        table.name
    )
}

/// Writes the members of a `TableDescription`.
pub fn table(o: &mut Object<'_>, table: &Table, region: &str) {
    let keys = || std::iter::once(&table.schema.hash).chain(&table.schema.range);
    let mut defined: Vec<&KeyAttribute> = keys().collect();
    for key in table.indexes.iter().flat_map(|index| index.schema.keys()) {
        if !defined.iter().any(|known| known.name == key.name) {
            defined.push(key);
        }
    }
    o.array("AttributeDefinitions", defined, |key, out| {
        output::object(out, |o| {
            o.string("AttributeName", &key.name);
            o.string("AttributeType", key.kind.name());
        });
    });
    o.string("TableName", &table.name);
    o.array(
        "KeySchema",
        keys().zip(["HASH", "RANGE"]),
        |(key, role), out| {
            output::object(out, |o| {
                o.string("AttributeName", &key.name);
                o.string("KeyType", role);
            });
        },
    );
    o.string("TableStatus", status(table.status));
    o.float("CreationDateTime", seconds(table.created_ms));
    billing(o, table);
    o.number("TableSizeBytes", table.size_bytes);
    o.number("ItemCount", table.item_count);
    o.string("TableArn", &arn(table, region));
    o.string("TableId", &table.uuid);
    indexes(o, table, region);
    stream(o, table, region);
    o.bool("DeletionProtectionEnabled", table.deletion_protection);
    extras(o, &table.extras);
}

/// A status as the service names it.
pub fn status(status: TableStatus) -> &'static str {
    match status {
        TableStatus::Creating => "CREATING",
        TableStatus::Active => "ACTIVE",
        TableStatus::Updating => "UPDATING",
        TableStatus::Deleting => "DELETING",
    }
}

fn extras(o: &mut Object<'_>, extras: &Extras) {
    if extras.has_class() {
        o.object("TableClassSummary", |o| {
            let class = match extras.infrequent {
                true => "STANDARD_INFREQUENT_ACCESS",
                false => "STANDARD",
            };
            o.string("TableClass", class);
            o.float("LastUpdateDateTime", seconds(extras.class_changed_ms));
        });
    }
    if let Some(most) = extras.on_demand {
        o.object("OnDemandThroughput", |o| {
            o.value("MaxReadRequestUnits", |out| {
                out.extend_from_slice(most.read_max.to_string().as_bytes());
            });
            o.value("MaxWriteRequestUnits", |out| {
                out.extend_from_slice(most.write_max.to_string().as_bytes());
            });
        });
    }
    if let Some(warm) = extras.warm {
        o.object("WarmThroughput", |o| {
            o.number("ReadUnitsPerSecond", warm.read_units);
            o.number("WriteUnitsPerSecond", warm.write_units);
            o.string("Status", "ACTIVE");
        });
    }
}

fn indexes(o: &mut Object<'_>, table: &Table, region: &str) {
    for (member, local) in [
        ("LocalSecondaryIndexes", true),
        ("GlobalSecondaryIndexes", false),
    ] {
        let mut all: Vec<&Index> = table.indexes.iter().collect();
        all.retain(|index| index.schema.is_local() == local);
        if !all.is_empty() {
            o.array(member, all, |one, out| {
                output::object(out, |o| index(o, one, &arn(table, region)));
            });
        }
    }
}

fn index(o: &mut Object<'_>, index: &Index, table: &str) {
    let schema = &index.schema;
    o.string("IndexName", &schema.name);
    let roles = schema.hash.iter().map(|key| (key, "HASH"));
    let roles = roles.chain(schema.range.iter().map(|key| (key, "RANGE")));
    o.array("KeySchema", roles, |(key, role), out| {
        output::object(out, |o| {
            o.string("AttributeName", &key.name);
            o.string("KeyType", role);
        });
    });
    o.object("Projection", |o| {
        o.string(
            "ProjectionType",
            match schema.projection {
                Projection::All => "ALL",
                Projection::KeysOnly => "KEYS_ONLY",
                Projection::Include(_) => "INCLUDE",
            },
        );
        if let Projection::Include(names) = &schema.projection {
            o.array("NonKeyAttributes", names, |name, out| {
                output::string(name, out)
            });
        }
    });
    if !schema.is_local() {
        o.string("IndexStatus", status(index.status));
        if index.backfilling {
            o.bool("Backfilling", true);
        }
        let (read, write) = match index.billing {
            Billing::PayPerRequest => (0, 0),
            Billing::Provisioned { read, write } => (read, write),
        };
        o.object("ProvisionedThroughput", |o| {
            o.number("NumberOfDecreasesToday", 0);
            o.number("ReadCapacityUnits", read);
            o.number("WriteCapacityUnits", write);
        });
    }
    o.number("IndexSizeBytes", index.size_bytes);
    o.number("ItemCount", index.item_count);
    o.string("IndexArn", &format!("{table}/index/{}", schema.name));
}

fn stream(o: &mut Object<'_>, table: &Table, region: &str) {
    let Some(stream) = table.stream() else {
        return;
    };
    if stream.ended_ms.is_none() {
        o.object("StreamSpecification", |o| {
            o.bool("StreamEnabled", true);
            o.string("StreamViewType", view(stream.view));
        });
    }
    let label = label(stream.created_ms);
    o.string("LatestStreamLabel", &label);
    o.string(
        "LatestStreamArn",
        &format!("{}/stream/{label}", arn(table, region)),
    );
}

/// What a stream's records show, as the service names it.
pub fn view(view: StreamView) -> &'static str {
    match view {
        StreamView::KeysOnly => "KEYS_ONLY",
        StreamView::NewImage => "NEW_IMAGE",
        StreamView::OldImage => "OLD_IMAGE",
        StreamView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
    }
}

/// The label of a stream: when it began, as `2026-01-31T23:59:59.999`.
pub fn label(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}",
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1000 % 60,
        in_day % 1000
    )
}

/// Days since 1970 as a date of the Gregorian calendar (Hinnant, chrono-compatible date algorithms).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + u64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

fn billing(o: &mut Object<'_>, table: &Table) {
    let (read, write) = match table.billing {
        Billing::PayPerRequest => (0, 0),
        Billing::Provisioned { read, write } => (read, write),
    };
    o.object("ProvisionedThroughput", |o| {
        o.number("NumberOfDecreasesToday", 0);
        o.number("ReadCapacityUnits", read);
        o.number("WriteCapacityUnits", write);
    });
    if table.billing == Billing::PayPerRequest {
        o.object("BillingModeSummary", |o| {
            o.string("BillingMode", "PAY_PER_REQUEST");
            let since = table.billing_changed_ms.unwrap_or(table.created_ms);
            o.float("LastUpdateToPayPerRequestDateTime", seconds(since));
        });
    }
}

/// Exact for 280,000 years: milliseconds since 1970 fit 53 bits.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
