//! Between tables as clients see them and as the metadata keep them.

use kv_core::api::Caller;
use kv_core::ids::TableId;
use kv_core::meta::records;
use kv_core::meta::wire::{CreateTable, NewBilling, TableName, UpdateTable};
use kv_core::tables::{Billing, NewTable, Table, TableChange, TableStatus};
use kv_model::schema::{KeyAttribute, KeyKind, TableSchema};

pub fn name_of(caller: &Caller, name: &str) -> TableName {
    TableName {
        account: caller.account.clone(),
        name: name.to_owned(),
    }
}

fn units(billing: Billing) -> (u64, u64) {
    match billing {
        Billing::PayPerRequest => (0, 0),
        Billing::Provisioned { read, write } => (read, write),
    }
}

fn attribute(attribute: KeyAttribute) -> records::KeyAttribute {
    let kind = match attribute.kind {
        KeyKind::S => "S",
        KeyKind::N => "N",
        KeyKind::B => "B",
    };
    records::KeyAttribute {
        name: attribute.name,
        kind: kind.to_owned(),
    }
}

fn attribute_of(record: &records::KeyAttribute) -> KeyAttribute {
    let kind = match record.kind.as_str() {
        "N" => KeyKind::N,
        "B" => KeyKind::B,
        _ => KeyKind::S,
    };
    KeyAttribute {
        name: record.name.clone(),
        kind,
    }
}

pub fn create(caller: &Caller, new: NewTable, created_ms: u64) -> CreateTable {
    let NewTable {
        account: _,
        name,
        schema,
        billing,
        deletion_protection,
        partitions,
    } = new;
    let (read_units, write_units) = units(billing);
    CreateTable {
        table: name_of(caller, &name),
        uuid: uuid::Uuid::new_v4().to_string(),
        hash: attribute(schema.hash),
        range: schema.range.map(attribute),
        read_units,
        write_units,
        deletion_protection,
        created_ms,
        partitions,
        consumers: Vec::new(),
    }
}

pub fn update(caller: &Caller, name: &str, change: TableChange, at_ms: u64) -> UpdateTable {
    let TableChange {
        billing,
        deletion_protection,
    } = change;
    let billing = billing.map(|billing| {
        let (read_units, write_units) = units(billing);
        NewBilling {
            read_units,
            write_units,
            at_ms,
        }
    });
    UpdateTable {
        table: name_of(caller, name),
        billing,
        deletion_protection,
    }
}

pub fn table_of(record: &records::Table) -> Table {
    let status = match record.state() {
        records::TableState::Creating => TableStatus::Creating,
        records::TableState::Active => TableStatus::Active,
        records::TableState::Updating => TableStatus::Updating,
        records::TableState::Deleting => TableStatus::Deleting,
    };
    let billing = match (record.read_units, record.write_units) {
        (0, 0) => Billing::PayPerRequest,
        (read, write) => Billing::Provisioned { read, write },
    };
    Table {
        id: TableId(record.id),
        uuid: record.uuid.clone(),
        account: record.account.clone(),
        name: record.name.clone(),
        schema: TableSchema {
            hash: attribute_of(&record.hash),
            range: record.range.as_ref().map(attribute_of),
        },
        status,
        billing,
        deletion_protection: record.deletion_protection,
        created_ms: record.created_ms,
        billing_changed_ms: Some(record.billing_changed_ms).filter(|&at| at > 0),
        item_count: 0,
        size_bytes: 0,
    }
}
