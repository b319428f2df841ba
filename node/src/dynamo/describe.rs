//! A table as clients see it.

use kv_core::tables::{Billing, Table, TableStatus};

use super::output::{self, Object};

/// ARN of a table.
pub fn arn(table: &Table, region: &str) -> String {
    format!(
        "arn:aws:dynamodb:{region}:{}:table/{}",
        table.account, table.name
    )
}

/// Writes the members of a `TableDescription`.
pub fn table(o: &mut Object<'_>, table: &Table, region: &str) {
    let keys = || std::iter::once(&table.schema.hash).chain(&table.schema.range);
    o.array("AttributeDefinitions", keys(), |key, out| {
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
    o.string(
        "TableStatus",
        match table.status {
            TableStatus::Creating => "CREATING",
            TableStatus::Active => "ACTIVE",
            TableStatus::Updating => "UPDATING",
            TableStatus::Deleting => "DELETING",
        },
    );
    o.float("CreationDateTime", seconds(table.created_ms));
    billing(o, table);
    o.number("TableSizeBytes", table.size_bytes);
    o.number("ItemCount", table.item_count);
    o.string("TableArn", &arn(table, region));
    o.string("TableId", &table.uuid);
    o.bool("DeletionProtectionEnabled", table.deletion_protection);
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
