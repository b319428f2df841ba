//! Secondary indexes: which entry an item has in an index, and where.
//!
//! ```text
//!   local   table | token | partition key | id | index range, table range       in the item's own partition
//!   global  index | token | index hash    | 0  | index range, table hash, table range       a keyspace of its own
//! ```
//! An entry's payload is the encoded item of the projected attributes, so that an entry reads like an item. An item that lacks a
//! key attribute of the index, or has it with another type, has no entry: indexes are sparse.

use bytes::Bytes;

use crate::encoding::Error as EncodingError;
use crate::encoding::item;
use crate::encoding::key::{self, ITEM_INDEX, Part, RowKey, row_key};
use crate::schema::{self, HASH_KEY_LEN_MAX, KeyAttribute, RANGE_KEY_LEN_MAX, TableSchema};
use crate::value::{AttributeValue, Item};

/// Local indexes of a table.
pub const LOCAL_MAX: usize = 5;
/// Global indexes of a table.
pub const GLOBAL_MAX: usize = 20;
/// Non-key attributes that the indexes of a table project, all together.
pub const PROJECTED_MAX: usize = 100;

/// What an entry holds besides the keys of index and table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    KeysOnly,
    Include(Vec<String>),
    All,
}

/// Where the entries of an index are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside the items, under this index number.
    Local(u8),
    /// In a keyspace of this id.
    Global(u64),
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSchema {
    pub name: String,
    pub place: Place,
    /// One attribute, of a global index up to four.
    pub hash: Vec<KeyAttribute>,
    /// None or one attribute, of a global index up to four.
    pub range: Vec<KeyAttribute>,
    pub projection: Projection,
}

/// An item's entry in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub row: Vec<u8>,
    /// Encoded item of the projected attributes.
    pub item: Bytes,
}

/// Why an item can't be stored in a table with this index: the service's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "One or more parameter values were invalid: Type mismatch for Index Key {attribute} Expected: {} Actual: {actual} IndexName: {index}",
        .expected.name()
    )]
    Type {
        attribute: String,
        expected: schema::KeyKind,
        actual: &'static str,
        index: String,
    },
    #[error(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty {kind} value. IndexName: {index}, IndexKey: {attribute}"
    )]
    Empty {
        kind: &'static str,
        index: String,
        attribute: String,
    },
    // The missing space is the service's.
    #[error(
        "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
    )]
    HashTooLong,
    #[error(
        "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    )]
    RangeTooLong,
    #[error("an encoded item can't be read: {0}")]
    Encoding(#[from] EncodingError),
}

impl IndexSchema {
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }

    /// The index's key attributes, hash before range.
    pub fn keys(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.hash.iter().chain(&self.range)
    }

    /// Names of the key attributes of index and table, each once: what an entry is named by.
    pub fn key_names<'a>(&'a self, table: &'a TableSchema) -> Vec<&'a str> {
        let table = std::iter::once(&table.hash).chain(&table.range);
        let mut names: Vec<&str> = Vec::new();
        for key in self.keys().chain(table) {
            if !names.contains(&key.name.as_str()) {
                names.push(&key.name);
            }
        }
        names
    }

    /// Whether entries hold this top-level attribute.
    pub fn projects(&self, table: &TableSchema, attribute: &str) -> bool {
        match &self.projection {
            Projection::All => true,
            Projection::KeysOnly => self.key_names(table).contains(&attribute),
            Projection::Include(more) => {
                more.iter().any(|name| name == attribute)
                    || self.key_names(table).contains(&attribute)
            }
        }
    }

    /// Refuses an item whose key attributes of this index have another type, no or too much content.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(&self, encoded: &[u8]) -> Result<(), Error> {
        for (keys, max, too_long) in [
            (&self.hash, HASH_KEY_LEN_MAX, Error::HashTooLong),
            (&self.range, RANGE_KEY_LEN_MAX, Error::RangeTooLong),
        ] {
            let mut len = 0;
            for key in keys {
                if let Some(value) = item::get(encoded, &key.name)? {
                    let part_len = self.check_value(key, &value)?;
                    // Each hash attribute has the whole length to itself.
                    len = if std::ptr::eq(keys, &self.range) {
                        len + part_len
                    } else {
                        part_len
                    };
                    if len > max {
                        return Err(too_long);
                    }
                }
            }
        }
        Ok(())
    }

    fn check_value(&self, key: &KeyAttribute, value: &AttributeValue) -> Result<usize, Error> {
        let empty = |kind| Error::Empty {
            kind,
            index: self.name.clone(),
            attribute: key.name.clone(),
        };
        match key.check_kind(value) {
            None => Err(Error::Type {
                attribute: key.name.clone(),
                expected: key.kind,
                actual: value.type_name(),
                index: self.name.clone(),
            }),
            Some(Part::S("")) => Err(empty("string")),
            Some(Part::B([])) => Err(empty("binary")),
            Some(Part::S(text)) => Ok(text.len()),
            Some(Part::B(bytes)) => Ok(bytes.len()),
            Some(Part::N(_)) => Ok(0),
        }
    }

    /// The entry of the encoded item of the row `base`; none if the index leaves it out.
    ///
    /// # Errors
    /// Bytes that are no item.
    pub fn entry(
        &self,
        table: &TableSchema,
        base: &RowKey<'_>,
        encoded: &Bytes,
    ) -> Result<Option<Entry>, EncodingError> {
        let (Some(hash), Some(range)) =
            (values(&self.hash, encoded)?, values(&self.range, encoded)?)
        else {
            return Ok(None);
        };
        let Some(row) = self.row(base, &hash, &range) else {
            return Ok(None);
        };
        let item = self.project(table, encoded)?;
        Ok(Some(Entry { row, item }))
    }

    fn row(
        &self,
        base: &RowKey<'_>,
        hash: &[AttributeValue],
        range: &[AttributeValue],
    ) -> Option<Vec<u8>> {
        let parts = |values: &'_ [AttributeValue]| -> Option<Vec<u8>> {
            let parts: Option<Vec<Part<'_>>> = values.iter().map(Part::new).collect();
            Some(key::tuple(&parts?))
        };
        let mut sort = parts(range)?;
        Some(match self.place {
            Place::Local(id) => {
                sort.extend_from_slice(base.sort_key);
                row_key(base.table, base.token, base.partition_key, id, &sort)
            }
            Place::Global(keyspace) => {
                sort.extend_from_slice(key::without_end(base.partition_key));
                sort.extend_from_slice(base.sort_key);
                let hash: Option<Vec<Part<'_>>> = hash.iter().map(Part::new).collect();
                let partition = key::partition_key(&hash?);
                row_key(
                    keyspace,
                    key::token(&partition),
                    &partition,
                    ITEM_INDEX,
                    &sort,
                )
            }
        })
    }

    fn project(&self, table: &TableSchema, encoded: &Bytes) -> Result<Bytes, EncodingError> {
        let more: &[String] = match &self.projection {
            Projection::All => return Ok(encoded.clone()),
            Projection::KeysOnly => &[],
            Projection::Include(names) => names,
        };
        let names = self.key_names(table).into_iter();
        let mut part = Item::new();
        for name in names.chain(more.iter().map(String::as_str)) {
            if let Some(value) = item::get(encoded, name)? {
                part.insert(name.to_owned(), value);
            }
        }
        Ok(item::encode(&part))
    }

    /// The row that an `ExclusiveStartKey` of this index names: the key attributes of index and table and no others.
    ///
    /// # Errors
    /// [`schema::Error`] as for a table's key.
    pub fn row_of_key(
        &self,
        table_id: u64,
        table: &TableSchema,
        key: &Item,
    ) -> Result<Vec<u8>, schema::Error> {
        let names = self.key_names(table);
        if key.len() != names.len() || names.iter().any(|name| !key.contains_key(*name)) {
            return Err(schema::Error::Mismatch);
        }
        let own: Item = std::iter::once(&table.hash)
            .chain(&table.range)
            .filter_map(|k| Some((k.name.clone(), key.get(&k.name)?.clone())))
            .collect();
        let base = table.validate_key(&own)?.row(table_id);
        let base = RowKey::parse(&base).map_err(|_| schema::Error::Mismatch)?;
        let values = |keys: &[KeyAttribute]| -> Result<Vec<AttributeValue>, schema::Error> {
            let mut values = Vec::with_capacity(keys.len());
            for attribute in keys {
                let value = key.get(&attribute.name).ok_or(schema::Error::Mismatch)?;
                attribute.check_kind(value).ok_or(schema::Error::Mismatch)?;
                values.push(value.clone());
            }
            Ok(values)
        };
        self.row(&base, &values(&self.hash)?, &values(&self.range)?)
            .ok_or(schema::Error::Mismatch)
    }

    /// The key attributes of index and table that an entry's row holds, for `LastEvaluatedKey`.
    ///
    /// # Errors
    /// Bytes that are no row of this index.
    pub fn key_of_row(&self, table: &TableSchema, row: &[u8]) -> Result<Item, EncodingError> {
        let row = RowKey::parse(row)?;
        let hash = key::decode_tuple(row.partition_key)?;
        let mut sort = key::decode_tuple(row.sort_key)?.into_iter();
        let range: Vec<AttributeValue> = sort.by_ref().take(self.range.len()).collect();
        let mut key = Item::new();
        let table_hash = match self.place {
            Place::Local(_) => hash.first().cloned(),
            Place::Global(_) => sort.next(),
        };
        let names = |keys: &[KeyAttribute]| keys.iter().map(|k| k.name.clone()).collect::<Vec<_>>();
        key.extend(names(&self.hash).into_iter().zip(hash));
        key.extend(names(&self.range).into_iter().zip(range));
        if let Some(value) = table_hash {
            key.insert(table.hash.name.clone(), value);
        }
        if let (Some(range), Some(value)) = (&table.range, sort.next()) {
            key.insert(range.name.clone(), value);
        }
        Ok(key)
    }

    /// The row of the item that an entry of a local index was made of.
    ///
    /// # Errors
    /// Bytes that are no row of this index.
    pub fn base_row(entry: &[u8]) -> Result<Vec<u8>, EncodingError> {
        let row = RowKey::parse(entry)?;
        let rest = key::skip_part(row.sort_key)?;
        Ok(row_key(
            row.table,
            row.token,
            row.partition_key,
            ITEM_INDEX,
            rest,
        ))
    }
}

/// The values of key attributes in an encoded item; none if one is missing or of another type, or empty.
fn values(
    keys: &[KeyAttribute],
    encoded: &[u8],
) -> Result<Option<Vec<AttributeValue>>, EncodingError> {
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        match item::get(encoded, &key.name)? {
            Some(value)
                if key
                    .check_kind(&value)
                    .is_some_and(|part| !matches!(part, Part::S("") | Part::B([]))) =>
            {
                values.push(value)
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::KeyKind;

    fn key(name: &str, kind: KeyKind) -> KeyAttribute {
        KeyAttribute {
            name: name.into(),
            kind,
        }
    }

    fn table() -> TableSchema {
        TableSchema {
            hash: key("a", KeyKind::S),
            range: Some(key("b", KeyKind::N)),
        }
    }

    fn index(place: Place, projection: Projection) -> IndexSchema {
        IndexSchema {
            name: "by_c".into(),
            place,
            hash: vec![key(
                if matches!(place, Place::Local(_)) {
                    "a"
                } else {
                    "d"
                },
                KeyKind::S,
            )],
            range: vec![key("c", KeyKind::S)],
            projection,
        }
    }

    fn item_of(pairs: &[(&str, AttributeValue)]) -> Item {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.into())
    }

    fn full() -> Item {
        item_of(&[
            ("a", s("k")),
            ("b", AttributeValue::N("7".parse().unwrap())),
            ("c", s("x")),
            ("d", s("y")),
            ("e", s("z")),
        ])
    }

    #[test]
    fn entries_lead_back_to_their_item_and_key() {
        let schema = table();
        let row = schema.extract_key(&full()).unwrap().row(9);
        let base = RowKey::parse(&row).unwrap();
        for place in [Place::Local(2), Place::Global(40)] {
            let index = index(place, Projection::KeysOnly);
            let entry = index
                .entry(&schema, &base, &item::encode(&full()))
                .unwrap()
                .unwrap();
            let key = index.key_of_row(&schema, &entry.row).unwrap();
            assert_eq!(index.row_of_key(9, &schema, &key).unwrap(), entry.row);
            let projected = item::decode(&entry.item).unwrap();
            assert!(!projected.contains_key("e") && projected.contains_key("c"));
            if place == Place::Local(2) {
                assert_eq!(IndexSchema::base_row(&entry.row).unwrap(), row);
                assert_eq!(key.len(), 3);
            } else {
                assert_eq!(key.len(), 4);
            }
        }
    }

    #[test]
    fn items_without_the_key_have_no_entry_and_wrong_ones_are_refused() {
        let schema = table();
        let row = schema.extract_key(&full()).unwrap().row(9);
        let base = RowKey::parse(&row).unwrap();
        let index = index(Place::Global(3), Projection::All);
        let mut sparse = full();
        sparse.remove("c");
        let sparse = item::encode(&sparse);
        assert_eq!(index.entry(&schema, &base, &sparse).unwrap(), None);
        assert_eq!(index.check(&sparse), Ok(()));
        for (value, words) in [
            (
                AttributeValue::Bool(true),
                "One or more parameter values were invalid: Type mismatch for Index Key c Expected: S Actual: BOOL IndexName: by_c",
            ),
            (
                s(""),
                "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by_c, IndexKey: c",
            ),
            (
                s(&"x".repeat(1025)),
                "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
            ),
        ] {
            let mut wrong = full();
            wrong.insert("c".into(), value);
            assert_eq!(
                index.check(&item::encode(&wrong)).unwrap_err().to_string(),
                words
            );
        }
    }

    #[test]
    fn projections_hold_what_they_name() {
        let schema = table();
        let index = index(Place::Global(3), Projection::Include(vec!["e".into()]));
        for (name, held) in [
            ("a", true),
            ("b", true),
            ("c", true),
            ("d", true),
            ("e", true),
            ("f", false),
        ] {
            assert_eq!(index.projects(&schema, name), held, "{name}");
        }
    }
}
