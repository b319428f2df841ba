//! Reads of applied state: one item, or a page of a range. Pure over a [`Reader`].
//!
//! Rows are records (`kv_model::encoding::record`) with an encoded item as payload. A page looks at items in order until
//! a bound of its own, and says where it stopped: nothing is skipped, nothing is looked at twice.

use bytes::Bytes;
use kv_model::encoding::item;
use kv_model::encoding::key::{ITEM_INDEX, RowKey};
use kv_model::encoding::record::Record;
use kv_model::expression::{Condition, Kind, Projection, parse_condition, parse_projection};
use kv_model::index::IndexSchema;
use kv_model::value::AttributeValue;

use crate::api::{self, Expired, Get, Got, Page, Paged, Row, Rows, RowsOf, RowsRead};
use crate::partition::evaluate::placeholders;
use crate::store::{self, KeyRange, Keyspace, Reader};

/// A fetched item costs a step for each started 4 KiB.
const FETCH_STEP_BYTES: u64 = 4096;

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client learns this.
    #[error(transparent)]
    Request(#[from] api::Error),
    /// The replica can't be trusted, or not now.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Reads one item.
///
/// # Errors
/// The store's, corrupt rows included.
pub fn get(reader: &(impl Reader + ?Sized), get: &Get) -> Result<Got, store::Error> {
    let Some(row) = reader.get(Keyspace::Data, &get.row)? else {
        return Ok(Got::default());
    };
    let record = Record::parse(&row).map_err(|error| corrupt(&get.row, &error))?;
    let version = record.clock;
    match payload(&record, &get.row)? {
        Some(item) => Ok(Got {
            item: Some(row.slice_ref(item)),
            version,
        }),
        None => Ok(Got {
            item: None,
            version,
        }),
    }
}

/// The encoded item of a row; none if it was deleted.
fn payload<'r>(record: &Record<'r>, row: &[u8]) -> Result<Option<&'r [u8]>, store::Error> {
    if record.intent || record.siblings {
        return Err(corrupt(row, &"a record of a kind that this table has not"));
    }
    Ok((!record.tombstone).then_some(record.payload))
}

/// Reads a page.
///
/// # Errors
/// [`api::Error::Validation`] for expressions that don't parse, and the store's.
pub fn page(reader: &(impl Reader + ?Sized), page: &Page) -> Result<Paged, Error> {
    let mut pager = Pager::of(page)?;
    let range = KeyRange {
        keyspace: Keyspace::Data,
        start: page.start.clone(),
        end: page.end.clone(),
    };
    let mut failed = None;
    reader.scan(
        &range,
        page.reverse,
        &mut |key, value| match pager.visit(reader, key, value) {
            Ok(go_on) => go_on,
            Err(error) => {
                failed = Some(error);
                false
            }
        },
    )?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(pager.paged),
    }
}

/// A page as it fills.
struct Pager<'p> {
    page: &'p Page,
    filter: Option<Condition>,
    projection: Option<Projection>,
    paged: Paged,
}

impl<'p> Pager<'p> {
    fn of(page: &'p Page) -> Result<Self, api::Error> {
        let invalid =
            |error: kv_model::expression::Error| api::Error::Validation(error.to_string());
        let filter = match &page.filter {
            Some(text) => Some(
                parse_condition(Kind::Filter, &text.text, &mut placeholders(text)?)
                    .map_err(invalid)?,
            ),
            None => None,
        };
        let projection = match &page.projection {
            Some(text) => {
                Some(parse_projection(&text.text, &mut placeholders(text)?).map_err(invalid)?)
            }
            None => None,
        };
        Ok(Pager {
            page,
            filter,
            projection,
            paged: Paged::default(),
        })
    }

    /// Looks at one row; returns whether the page goes on.
    fn visit(
        &mut self,
        reader: &(impl Reader + ?Sized),
        key: &[u8],
        value: &[u8],
    ) -> Result<bool, store::Error> {
        let row = RowKey::parse(key).map_err(|error| corrupt(key, &error))?;
        if u32::from(row.index) != self.page.index {
            return Ok(true);
        }
        let record = Record::parse(value).map_err(|error| corrupt(key, &error))?;
        let Some(encoded) = payload(&record, key)? else {
            return Ok(true);
        };
        self.paged.scanned += 1;
        self.paged.bytes += item::size(encoded).map_err(|error| corrupt(key, &error))? as u64;
        if self.page.fetch {
            // The item is at most a moment newer than its entry.
            if let Some(item) = base_item(reader, key)? {
                let size = item::size(&item).map_err(|error| corrupt(key, &error))? as u64;
                self.paged.fetched += size.div_ceil(FETCH_STEP_BYTES).max(1);
                self.take(key, &item)?;
            }
        } else {
            self.take(key, encoded)?;
        }
        let limited = self.page.limit > 0 && self.paged.scanned >= u64::from(self.page.limit);
        if limited || self.paged.bytes >= self.page.max_bytes {
            self.paged.last = Some(Bytes::copy_from_slice(key));
            return Ok(false);
        }
        Ok(true)
    }

    /// Filters, projects and keeps an item.
    fn take(&mut self, key: &[u8], encoded: &[u8]) -> Result<(), store::Error> {
        let projects = self.projection.is_some() && !self.page.count_only;
        if self.filter.is_none() && !projects {
            self.paged.count += 1;
            if !self.page.count_only {
                self.paged.items.push(Bytes::copy_from_slice(encoded));
            }
            return Ok(());
        }
        let whole = item::decode(encoded).map_err(|error| corrupt(key, &error))?;
        if let Some(filter) = &self.filter
            && !filter.matches(Some(&whole))
        {
            return Ok(());
        }
        self.paged.count += 1;
        if !self.page.count_only {
            self.paged.items.push(match &self.projection {
                Some(projection) => item::encode(&projection.apply(&whole)),
                None => Bytes::copy_from_slice(encoded),
            });
        }
        Ok(())
    }
}

/// The item that an entry of a local index was made of.
fn base_item(reader: &(impl Reader + ?Sized), entry: &[u8]) -> Result<Option<Bytes>, store::Error> {
    let row = IndexSchema::base_row(entry).map_err(|error| corrupt(entry, &error))?;
    let of_row = Get {
        row: row.into(),
        ..Default::default()
    };
    Ok(get(reader, &of_row)?.item)
}

/// Reads raw rows.
///
/// # Errors
/// The store's.
pub fn rows(reader: &(impl Reader + ?Sized), rows: &Rows) -> Result<RowsRead, store::Error> {
    let range = KeyRange {
        keyspace: match rows.of() {
            RowsOf::Data => Keyspace::Data,
            RowsOf::ChangeLog => Keyspace::ChangeLog,
        },
        start: rows.start.clone(),
        end: rows.end.clone(),
    };
    let mut read = RowsRead::default();
    let mut bytes = 0;
    reader.scan(&range, false, &mut |key, value| {
        bytes += (key.len() + value.len()) as u64;
        let wanted = rows.expired.as_ref();
        if wanted.is_none_or(|expired| has_expired(key, value, expired)) {
            read.rows.push(Row {
                key: Bytes::copy_from_slice(key),
                value: Bytes::copy_from_slice(value),
            });
        }
        let full = bytes >= rows.max_bytes
            || rows.max_rows > 0 && read.rows.len() >= rows.max_rows as usize;
        if full {
            read.last = Some(Bytes::copy_from_slice(key));
        }
        !full
    })?;
    Ok(read)
}

/// Whether a row is an item whose time has come.
fn has_expired(key: &[u8], value: &[u8], expired: &Expired) -> bool {
    let is_item = RowKey::parse(key).is_ok_and(|row| row.index == ITEM_INDEX);
    let record = Record::parse(value).ok().filter(|record| !record.tombstone);
    let Some(record) = record.filter(|record| is_item && !record.intent) else {
        return false;
    };
    match item::get(record.payload, &expired.attribute) {
        Ok(Some(AttributeValue::N(number))) => number
            .to_string()
            .split('.')
            .next()
            .and_then(|whole| whole.parse::<u64>().ok())
            .is_some_and(|at| at < expired.before_s && at > expired.after_s),
        _ => false,
    }
}

fn corrupt(row: &[u8], detail: &dyn std::fmt::Display) -> store::Error {
    let place = row.iter().map(|byte| format!("{byte:02x}")).collect();
    store::Error::Corrupt {
        place,
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kv_model::encoding::key::{Part, partition_key, row_key, token, tuple};
    use kv_model::value::{AttributeValue, Item};

    use super::*;
    use crate::store::Visitor;

    /// Ordered pairs.
    struct Rows(BTreeMap<Vec<u8>, Bytes>);

    impl Reader for Rows {
        fn get(&self, _: Keyspace, key: &[u8]) -> store::Result<Option<Bytes>> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(
            &self,
            range: &KeyRange,
            reverse: bool,
            visit: &mut Visitor<'_>,
        ) -> store::Result<()> {
            let inside = |key: &[u8]| {
                key >= &range.start[..] && (range.end.is_empty() || key < &range.end[..])
            };
            let mut rows = self.0.iter().filter(|(key, _)| inside(key));
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

    fn row(index: u8, sort: &str) -> Vec<u8> {
        let partition = partition_key(&[Part::S("k")]);
        row_key(
            1,
            token(&partition),
            &partition,
            index,
            &tuple(&[Part::S(sort)]),
        )
    }

    fn record(tombstone: bool, sort: &str) -> Bytes {
        let item: Item = [("b".to_owned(), AttributeValue::S(sort.into()))].into();
        let mut out = Vec::new();
        let record = Record {
            clock: 7,
            origin: 0,
            tombstone,
            intent: false,
            siblings: false,
            expiry_s: None,
            payload: &if tombstone {
                Bytes::new()
            } else {
                item::encode(&item)
            },
        };
        record.encode_into(&mut out);
        out.into()
    }

    /// Items a, c, d; b is deleted; an index entry lies behind them.
    fn rows() -> Rows {
        let mut rows = BTreeMap::new();
        for (sort, tombstone) in [("a", false), ("b", true), ("c", false), ("d", false)] {
            rows.insert(row(ITEM_INDEX, sort), record(tombstone, sort));
        }
        rows.insert(row(1, "a"), record(false, "a"));
        Rows(rows)
    }

    fn all() -> Page {
        Page {
            table: 1,
            max_bytes: 1 << 20,
            ..Page::default()
        }
    }

    #[test]
    fn a_deleted_item_is_none_with_a_version() {
        let get_of = |sort| Get {
            table: 1,
            row: row(ITEM_INDEX, sort).into(),
            ..Default::default()
        };
        let found = get(&rows(), &get_of("a")).unwrap();
        assert!(found.item.is_some() && found.version == 7);
        let deleted = get(&rows(), &get_of("b")).unwrap();
        assert_eq!(
            deleted,
            Got {
                item: None,
                version: 7
            }
        );
        assert_eq!(get(&rows(), &get_of("z")).unwrap(), Got::default());
    }

    #[test]
    fn pages_cover_a_range_without_gaps_or_repeats() {
        for reverse in [false, true] {
            for (limit, max_bytes) in [(1, 1 << 20), (2, 1 << 20), (0, 1), (0, 1 << 20)] {
                let mut page_of = Page {
                    reverse,
                    limit,
                    max_bytes,
                    ..all()
                };
                let mut found = Vec::new();
                loop {
                    let paged = page(&rows(), &page_of).unwrap();
                    assert!(limit == 0 || paged.scanned <= u64::from(limit));
                    assert_eq!(paged.bytes, 2 * paged.scanned);
                    found.extend(paged.items);
                    let Some(last) = paged.last else { break };
                    if reverse {
                        page_of.end = last;
                    } else {
                        page_of.start = [&last[..], &[0]].concat().into();
                    }
                }
                if reverse {
                    found.reverse();
                }
                let expected = page(&rows(), &all()).unwrap().items;
                assert_eq!(expected.len(), 3);
                assert_eq!(
                    found, expected,
                    "limit {limit}, {max_bytes} bytes, reverse {reverse}"
                );
            }
        }
    }

    #[test]
    fn filters_see_all_and_keep_some() {
        let values: Item = [(":c".to_owned(), AttributeValue::S("c".into()))].into();
        let filter = api::Expression {
            text: "b >= :c".into(),
            names: Default::default(),
            values: item::encode(&values),
        };
        let filtered = Page {
            filter: Some(filter),
            ..all()
        };
        let paged = page(&rows(), &filtered).unwrap();
        assert_eq!((paged.count, paged.scanned, paged.items.len()), (2, 3, 2));
        let counted = page(
            &rows(),
            &Page {
                count_only: true,
                ..filtered
            },
        )
        .unwrap();
        assert_eq!((counted.count, counted.items.len()), (2, 0));
        let bad = api::Expression {
            text: "b >".into(),
            ..Default::default()
        };
        assert!(matches!(
            page(
                &rows(),
                &Page {
                    filter: Some(bad),
                    ..all()
                }
            ),
            Err(Error::Request(_))
        ));
    }

    #[test]
    fn bytes_that_are_no_record_are_corruption() {
        let mut rows = rows();
        rows.0
            .insert(row(ITEM_INDEX, "a"), Bytes::from_static(b"\xff"));
        let corrupt = page(&rows, &all());
        assert!(matches!(
            corrupt,
            Err(Error::Store(store::Error::Corrupt { .. }))
        ));
    }
}
