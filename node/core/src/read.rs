//! Reads of applied state: one item, or a page of a range. Pure over a [`Reader`].
//!
//! Rows are records (`kv_model::encoding::record`) with an encoded item as payload. A page looks at items in order until
//! a bound of its own, and says where it stopped: nothing is skipped, nothing is looked at twice.

use bytes::Bytes;
use kv_model::encoding::item;
use kv_model::encoding::key::{ITEM_INDEX, RowKey};
use kv_model::encoding::record::Record;
use kv_model::expression::{Condition, Kind, Projection, parse_condition, parse_projection};

use crate::api::{self, Get, Got, Page, Paged};
use crate::partition::evaluate::placeholders;
use crate::store::{self, KeyRange, Keyspace, Reader};

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
        &mut |key, value| match pager.visit(key, value) {
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
    fn visit(&mut self, key: &[u8], value: &[u8]) -> Result<bool, store::Error> {
        let row = RowKey::parse(key).map_err(|error| corrupt(key, &error))?;
        if row.index != ITEM_INDEX {
            return Ok(true);
        }
        let record = Record::parse(value).map_err(|error| corrupt(key, &error))?;
        let Some(encoded) = payload(&record, key)? else {
            return Ok(true);
        };
        self.paged.scanned += 1;
        self.paged.bytes += item::size(encoded).map_err(|error| corrupt(key, &error))? as u64;
        self.take(key, encoded)?;
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

fn corrupt(row: &[u8], detail: &dyn std::fmt::Display) -> store::Error {
    let place = row.iter().map(|byte| format!("{byte:02x}")).collect();
    store::Error::Corrupt {
        place,
        detail: detail.to_string(),
    }
}
