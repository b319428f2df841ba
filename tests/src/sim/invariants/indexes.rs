//! After all faults have ended and the clients are quiet, every index equals its definition over the table: each item with the key has
//! one entry, made of the item as it is, and there are no others (DESIGN §6, "GSI"; Bronson et al., "TAO", on what asynchronous
//! indexes may not lose).

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::meta::records::Table;
use kv_core::shard::Shard;
use kv_core::store::memory::MemoryStore;
use kv_core::store::{KeyRange, Keyspace, Reader};
use kv_model::encoding::item;
use kv_model::encoding::key::{ITEM_INDEX, RowKey, decode_tuple};
use kv_model::encoding::record::Record;
use kv_model::value::AttributeValue;

use super::Result;

/// Name of an item, and the tag that it is indexed by.
type Key = (String, String);

/// What the leaders of all partitions hold of a table and of its indexes.
#[derive(Debug, Default)]
pub struct Indexes {
    /// Items with a tag, by what their entries must be found under.
    items: BTreeMap<Key, Bytes>,
    global: BTreeMap<Key, Bytes>,
    local: BTreeMap<Key, Bytes>,
}

fn text(value: Option<&AttributeValue>) -> std::result::Result<String, String> {
    match value {
        Some(AttributeValue::S(text)) => Ok(text.clone()),
        Some(AttributeValue::N(number)) => Ok(number.to_string()),
        other => Err(format!("{other:?} where a key was due")),
    }
}

impl Indexes {
    /// Takes in what is led by a shard.
    pub fn add(&mut self, shard: &Shard, store: &MemoryStore, table: &Table) -> Result {
        let global = table.indexes.iter().find(|index| !index.local);
        for (group, state) in shard.inspect() {
            let is_index = global.is_some_and(|index| index.id == state.table);
            if !group.is_leader() || state.table != table.id && !is_index {
                continue;
            }
            let range = KeyRange {
                keyspace: Keyspace::Data,
                start: state.start.clone(),
                end: state.end.clone(),
            };
            let mut rows = Vec::new();
            let read = store.scan(&range, false, &mut |key, value| {
                rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                true
            });
            read.map_err(|error| error.to_string())?;
            for (key, value) in rows {
                self.add_row(&key, &value, is_index)?;
            }
        }
        Ok(())
    }

    fn add_row(&mut self, key: &[u8], value: &Bytes, is_index: bool) -> Result {
        let words = |error: kv_model::encoding::Error| error.to_string();
        let row = RowKey::parse(key).map_err(words)?;
        let record = Record::parse(value).map_err(words)?;
        if record.tombstone {
            return Ok(());
        }
        let payload = value.slice_ref(record.payload);
        let hash = decode_tuple(row.partition_key).map_err(words)?;
        let sort = decode_tuple(row.sort_key).map_err(words)?;
        if is_index {
            let key = (text(sort.first())?, text(hash.first())?);
            self.global.insert(key, payload);
        } else if row.index == ITEM_INDEX {
            let whole = item::decode(&payload).map_err(words)?;
            if let Some(tag) = whole.get("tag1") {
                let key = (text(hash.first())?, text(Some(tag))?);
                self.items.insert(key, payload);
            }
        } else {
            let key = (text(hash.first())?, text(sort.first())?);
            self.local.insert(key, payload);
        }
        Ok(())
    }

    /// Compares.
    pub fn check(&self) -> Result {
        let keys = |of: &BTreeMap<Key, Bytes>| of.keys().cloned().collect::<Vec<_>>();
        if keys(&self.local) != keys(&self.items) {
            return Err(format!(
                "a local index has entries {:?}, its items are {:?}",
                keys(&self.local),
                keys(&self.items)
            ));
        }
        if keys(&self.global) != keys(&self.items) {
            return Err(format!(
                "a global index has entries {:?}, its items are {:?}",
                keys(&self.global),
                keys(&self.items)
            ));
        }
        let old = self
            .global
            .iter()
            .find(|(key, entry)| self.items.get(key) != Some(entry));
        match old {
            Some((key, _)) => Err(format!(
                "the entry {key:?} of a global index is not its item as it is"
            )),
            None => Ok(()),
        }
    }
}
