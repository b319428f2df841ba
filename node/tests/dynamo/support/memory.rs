//! A database of one node in memory, on the same pure code as the real one. Its tables have two partitions, cut in the
//! middle of the ring, so that pages end at a border.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use kv_core::api::{
    Caller, Error, Get, Got, Page, Paged, Rows as RawRows, RowsRead, Write, Written,
};
use kv_core::ids::TableId;
use kv_core::partition::evaluate::{Parsed, evaluate};
use kv_core::read;
use kv_core::shard::io::{TransactError, Transacted};
use kv_core::store::{self, KeyRange, Keyspace, Reader, Visitor};
use kv_core::tables::{
    Billing, Expiry, Extras, Index, IndexChange, NewIndex, NewTable, Stream, Table, TableChange,
    TableStatus,
};
use kv_model::encoding::key::RowKey;
use kv_model::encoding::record::Record;
use kv_model::index::{IndexSchema, Place};
use kv_node::database::Database;
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub struct Memory {
    rows: Mutex<Rows>,
    tables: Mutex<BTreeMap<(String, String), Arc<Table>>>,
    clock: AtomicU64,
    /// Every second write finds no room.
    pub throttles: AtomicBool,
    /// Transactions done, by token.
    tokens: Mutex<BTreeMap<String, Vec<Write>>>,
}

#[derive(Debug, Default)]
struct Rows(BTreeMap<Bytes, Bytes>);

impl Reader for Rows {
    fn get(&self, _: Keyspace, key: &[u8]) -> store::Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, reverse: bool, visit: &mut Visitor<'_>) -> store::Result<()> {
        let end = match range.end.is_empty() {
            true => Bound::Unbounded,
            false => Bound::Excluded(range.end.clone()),
        };
        let mut rows = self.0.range((Bound::Included(range.start.clone()), end));
        while let Some((key, value)) = if reverse {
            rows.next_back()
        } else {
            rows.next()
        } {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Memory {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn index(&self, new: NewIndex, local: u8) -> Index {
        let place = match new.local {
            true => Place::Local(local),
            false => Place::Global(self.tick()),
        };
        Index {
            schema: IndexSchema {
                name: new.name,
                place,
                hash: new.hash,
                range: new.range,
                projection: new.projection,
            },
            status: TableStatus::Active,
            backfilling: false,
            billing: new.billing,
            item_count: 0,
            size_bytes: 0,
        }
    }

    /// The table of this id.
    fn by_id(&self, id: u64) -> Option<Arc<Table>> {
        let tables = self.tables.lock();
        tables.values().find(|table| table.id.0 == id).cloned()
    }

    fn change(
        &self,
        account: &str,
        name: &str,
        change: impl FnOnce(&mut Table),
    ) -> Result<Arc<Table>, Error> {
        let mut tables = self.tables.lock();
        let key = (account.to_owned(), name.to_owned());
        let table = tables
            .get_mut(&key)
            .ok_or_else(|| Error::TableNotFound(name.into()))?;
        let mut changed = (**table).clone();
        change(&mut changed);
        *table = Arc::new(changed);
        Ok(Arc::clone(table))
    }
}

fn record(version: u64, item: &[u8]) -> Bytes {
    let mut row = Vec::new();
    let record = Record {
        clock: version,
        origin: 0,
        tombstone: false,
        intent: false,
        siblings: false,
        expiry_s: None,
        payload: item,
    };
    record.encode_into(&mut row);
    row.into()
}

fn of_read(error: read::Error) -> Error {
    match error {
        read::Error::Request(error) => error,
        read::Error::Store(error) => Error::Unavailable(error.to_string()),
    }
}

impl Database for Memory {
    async fn table(&self, account: &str, name: &str, _: Instant) -> Result<Arc<Table>, Error> {
        let key = (account.to_owned(), name.to_owned());
        self.tables
            .lock()
            .get(&key)
            .cloned()
            .ok_or_else(|| Error::TableNotFound(name.into()))
    }

    async fn tables(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
        _: Instant,
    ) -> Result<Vec<String>, Error> {
        let tables = self.tables.lock();
        let names = tables
            .keys()
            .filter(|(owner, _)| owner == account)
            .map(|(_, name)| name);
        let later = names.filter(|name| after.is_none_or(|after| name.as_str() > after));
        Ok(later.take(limit).cloned().collect())
    }

    async fn create_table(
        &self,
        _: &Caller,
        new: NewTable,
        _: Instant,
    ) -> Result<Arc<Table>, Error> {
        let mut tables = self.tables.lock();
        let key = (new.account.clone(), new.name.clone());
        if tables.contains_key(&key) {
            return Err(Error::TableInUse(format!(
                "Table already exists: {}",
                new.name
            )));
        }
        let table = Arc::new(Table {
            id: TableId(self.tick()),
            uuid: "00000000-0000-4000-8000-000000000000".into(),
            account: new.account,
            name: new.name,
            schema: new.schema,
            status: TableStatus::Active,
            billing: new.billing,
            deletion_protection: new.deletion_protection,
            created_ms: 1_700_000_000_500,
            billing_changed_ms: None,
            item_count: 0,
            size_bytes: 0,
            indexes: (1u8..)
                .zip(new.indexes)
                .map(|(number, index)| self.index(index, number))
                .collect(),
            streams: new
                .stream
                .map(|view| Stream {
                    id: 1,
                    view,
                    created_ms: 1_700_000_000_500,
                    ended_ms: None,
                })
                .into_iter()
                .collect(),
            expiry: None,
            extras: {
                let (mut extras, mut change) = (Extras::default(), new.extras);
                if let Some(class) = &mut change.class {
                    class.at_ms = 1_700_000_000_500;
                }
                extras.apply(&change);
                extras
            },
        });
        tables.insert(key, Arc::clone(&table));
        Ok(table)
    }

    async fn update_table(
        &self,
        caller: &Caller,
        name: &str,
        change: TableChange,
        _: Instant,
    ) -> Result<Arc<Table>, Error> {
        self.change(&caller.account, name, |table| {
            if let Some(billing) = change.billing {
                table.billing = billing;
                table.billing_changed_ms =
                    (billing == Billing::PayPerRequest).then_some(1_700_000_001_000);
            }
            if let Some(protection) = change.deletion_protection {
                table.deletion_protection = protection;
            }
            match change.index {
                Some(IndexChange::Create(new)) => {
                    let index = self.index(new, 0);
                    table.indexes.push(index);
                }
                Some(IndexChange::Delete(name)) => {
                    table.indexes.retain(|index| index.schema.name != name);
                }
                Some(IndexChange::Units(_)) | None => {}
            }
            if let Some(extras) = &change.extras {
                table.extras.apply(extras);
            }
            if let Some((attribute, enabled)) = change.expiry {
                table.expiry = Some(Expiry {
                    attribute,
                    enabled,
                    changed_ms: 1_700_000_001_000,
                });
            }
        })
    }

    async fn delete_table(
        &self,
        caller: &Caller,
        name: &str,
        _: Instant,
    ) -> Result<Arc<Table>, Error> {
        let deleted = self.change(&caller.account, name, |table| {
            table.status = TableStatus::Deleting
        })?;
        self.tables
            .lock()
            .remove(&(caller.account.clone(), name.to_owned()));
        Ok(deleted)
    }

    async fn transact(
        &self,
        caller: &Caller,
        token: Option<String>,
        writes: Vec<Write>,
        deadline: Instant,
    ) -> Result<Transacted, TransactError> {
        if let Some(token) = token {
            let mut tokens = self.tokens.lock();
            match tokens.get(&token) {
                Some(before) if *before == writes => return Ok(Transacted::Before),
                Some(_) => return Err(TransactError::Mismatch),
                None => drop(tokens.insert(token, writes.clone())),
            }
        }
        let failed = |write: &Write| {
            let rows = self.rows.lock();
            let old = rows.0.get(&write.row).cloned();
            let old = old
                .as_ref()
                .map(|row| row.slice_ref(Record::parse(row).expect("a record").payload));
            let parsed = Parsed::of(write)?;
            evaluate(old.as_deref(), write, &parsed).map(drop)
        };
        let errors: Vec<Option<Error>> = writes.iter().map(|write| failed(write).err()).collect();
        if errors.iter().any(Option::is_some) {
            self.tokens.lock().clear();
            return Err(TransactError::Cancelled(errors));
        }
        let mut written = Vec::new();
        for write in writes {
            written.push(self.write(caller, write, deadline).await?);
        }
        Ok(Transacted::Written(written))
    }

    async fn transact_read(
        &self,
        caller: &Caller,
        gets: Vec<Get>,
        deadline: Instant,
    ) -> Result<Transacted, TransactError> {
        let mut found = Vec::new();
        for get in gets {
            found.push(self.get(caller, get, deadline).await?);
        }
        Ok(Transacted::Read(found))
    }

    async fn write(&self, _: &Caller, write: Write, _: Instant) -> Result<Written, Error> {
        let version = self.tick();
        if self.throttles.load(Ordering::Relaxed) && version.is_multiple_of(2) {
            return Err(Error::Throttled("no room".into()));
        }
        let parsed = Parsed::of(&write)?;
        let mut rows = self.rows.lock();
        let old = rows.0.get(&write.row).cloned();
        let old = old
            .as_ref()
            .map(|row| row.slice_ref(Record::parse(row).expect("a record").payload));
        let mutation = evaluate(old.as_deref(), &write, &parsed)?;
        let table = self.by_id(write.table).expect("a table");
        let base = RowKey::parse(&write.row).expect("a row");
        for index in &table.indexes {
            let entry = |item: Option<&Bytes>| {
                item.and_then(|item| {
                    let entry = index.schema.entry(&table.schema, &base, item);
                    entry.expect("an item")
                })
            };
            if let Some(before) = entry(old.as_ref()) {
                rows.0.remove(&before.row[..]);
            }
            if let Some(after) = entry(mutation.new.as_ref()) {
                rows.0
                    .insert(after.row.into(), record(version, &after.item));
            }
        }
        match &mutation.new {
            Some(item) => {
                rows.0.insert(write.row, record(version, item));
            }
            None => {
                rows.0.remove(&write.row);
            }
        }
        Ok(Written {
            attributes: mutation.attributes,
            old_size: mutation.old_size,
            new_size: mutation.new_size,
            version,
            indexes: Vec::new(),
        })
    }

    async fn get(&self, _: &Caller, get: Get, _: Instant) -> Result<Got, Error> {
        read::get(&*self.rows.lock(), &get).map_err(|error| of_read(error.into()))
    }

    async fn rows(&self, _: &Caller, _: RawRows, _: Instant) -> Result<RowsRead, Error> {
        Err(Error::Unavailable("no change log here".into()))
    }

    fn partitions(&self, _: u64) -> Vec<u64> {
        Vec::new()
    }

    fn now_ms(&self) -> u64 {
        1_700_000_002_000
    }

    async fn page(&self, _: &Caller, mut page: Page, _: Instant) -> Result<Paged, Error> {
        let mut border = page.table.to_be_bytes().to_vec();
        border.push(0x80);
        let border = Bytes::from(border);
        let crosses = page.start < border && (page.end.is_empty() || border < page.end);
        if crosses && page.reverse {
            page.start = border.clone();
        } else if crosses {
            page.end = border.clone();
        }
        let mut paged = read::page(&*self.rows.lock(), &page).map_err(of_read)?;
        if crosses && paged.last.is_none() {
            paged.last = Some(border);
        }
        Ok(paged)
    }
}
