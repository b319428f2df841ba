//! Between tables as clients see them and as the metadata keep them.

use kv_core::api::Caller;
use kv_core::ids::TableId;
use kv_core::meta::records;
use kv_core::meta::wire::{
    self, CreateTable, IndexUnits, NewBilling, StreamChange, TableName, UpdateTable,
};
use kv_core::tables::{
    Billing, Expiry, ExtrasChange, Index, IndexChange, NewIndex, NewTable, Stream, StreamView,
    Table, TableChange, TableStatus,
};
use kv_model::index::Projection;
use kv_model::schema::{KeyAttribute, KeyKind};

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

pub fn create(caller: &Caller, new: NewTable, created_ms: u64) -> CreateTable {
    let NewTable {
        account: _,
        name,
        schema,
        billing,
        deletion_protection,
        partitions,
        indexes,
        stream,
        extras,
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
        indexes: indexes.into_iter().map(index).collect(),
        stream: stream.map(|view| new_stream(view, created_ms)),
        extras: (extras != ExtrasChange::default()).then(|| dated(extras, created_ms)),
        expiry: None,
    }
}

pub fn update(caller: &Caller, name: &str, change: TableChange, at_ms: u64) -> UpdateTable {
    let TableChange {
        billing,
        deletion_protection,
        index: indexes,
        stream,
        expiry,
        extras,
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
        index: indexes.map(index_change),
        stream: stream.map(|view| StreamChange {
            begin: view.map(|view| new_stream(view, at_ms)),
            end_ms: at_ms,
        }),
        expiry: expiry.map(|(attribute, enabled)| records::Expiry {
            attribute,
            enabled,
            changed_ms: at_ms,
        }),
        extras: extras.map(|extras| dated(extras, at_ms)),
    }
}

/// A change of class gets the time at which it is made.
fn dated(mut extras: ExtrasChange, at_ms: u64) -> ExtrasChange {
    if let Some(class) = &mut extras.class {
        class.at_ms = at_ms;
    }
    extras
}

fn new_stream(view: StreamView, created_ms: u64) -> records::Stream {
    records::Stream {
        view: view as i32,
        created_ms,
        ..Default::default()
    }
}

fn index(new: NewIndex) -> records::Index {
    let NewIndex {
        name,
        local,
        hash,
        range,
        projection,
        billing,
    } = new;
    let (read_units, write_units) = units(billing);
    let (projection, include) = match projection {
        Projection::All => (records::ProjectionKind::All, Vec::new()),
        Projection::KeysOnly => (records::ProjectionKind::KeysOnly, Vec::new()),
        Projection::Include(names) => (records::ProjectionKind::Include, names),
    };
    records::Index {
        name,
        local,
        hash: hash.into_iter().map(attribute).collect(),
        range: range.into_iter().map(attribute).collect(),
        projection: projection as i32,
        include,
        read_units,
        write_units,
        ..Default::default()
    }
}

fn index_change(change: IndexChange) -> wire::IndexChange {
    let mut wire = wire::IndexChange::default();
    match change {
        IndexChange::Create(new) => wire.create = Some(index(new)),
        IndexChange::Delete(name) => wire.delete = name,
        IndexChange::Units(all) => {
            let each = all.into_iter().map(|(name, billing)| {
                let (read_units, write_units) = units(billing);
                IndexUnits {
                    name,
                    read_units,
                    write_units,
                }
            });
            wire.units = each.collect();
        }
    }
    wire
}

fn index_of(record: &records::Index) -> Index {
    Index {
        schema: record.schema(),
        status: status_of(record.state()),
        backfilling: record.backfilling,
        billing: billing_of(record.read_units, record.write_units),
        item_count: 0,
        size_bytes: 0,
    }
}

fn status_of(state: records::TableState) -> TableStatus {
    match state {
        records::TableState::Creating => TableStatus::Creating,
        records::TableState::Active => TableStatus::Active,
        records::TableState::Updating => TableStatus::Updating,
        records::TableState::Deleting => TableStatus::Deleting,
    }
}

fn billing_of(read: u64, write: u64) -> Billing {
    match (read, write) {
        (0, 0) => Billing::PayPerRequest,
        (read, write) => Billing::Provisioned { read, write },
    }
}

pub fn table_of(record: &records::Table) -> Table {
    Table {
        id: TableId(record.id),
        uuid: record.uuid.clone(),
        account: record.account.clone(),
        name: record.name.clone(),
        schema: record.schema(),
        status: status_of(record.state()),
        billing: billing_of(record.read_units, record.write_units),
        deletion_protection: record.deletion_protection,
        created_ms: record.created_ms,
        billing_changed_ms: Some(record.billing_changed_ms).filter(|&at| at > 0),
        item_count: 0,
        size_bytes: 0,
        indexes: record.indexes.iter().map(index_of).collect(),
        streams: record.streams.iter().map(stream_of).collect(),
        expiry: record.expiry.as_ref().map(|expiry| Expiry {
            attribute: expiry.attribute.clone(),
            enabled: expiry.enabled,
            changed_ms: expiry.changed_ms,
        }),
        extras: record.extras.clone().unwrap_or_default(),
    }
}

fn stream_of(record: &records::Stream) -> Stream {
    Stream {
        id: record.id,
        view: record.view(),
        created_ms: record.created_ms,
        ended_ms: Some(record.ended_ms).filter(|&at| at > 0),
    }
}
