//! The record of a transaction: an item of the table of records, keyed by account and token.
//!
//! | attribute | what |
//! | --- | --- |
//! | `k` | account and token |
//! | `s` | `c`: committed, `a`: aborted |
//! | `a` | the attempt that it is about; of aborted ones the greatest |
//! | `d` | digest of the request, `p`: its items, `t`: when it committed, ms (committed alone) |
//! | `e` | from when on it may be forgotten, s; of a committed one not before all of its intents are finished |
//!
//! Attempts under one token share the record. What it has once said of an attempt it never takes back:
//! - committed by an attempt: final, until it is forgotten, and that is long after any other attempt's time to commit has passed;
//! - aborted up to an attempt: that one and all before it can never commit, a later one may.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::Number;
use kv_model::encoding::item;
use kv_model::encoding::key::{ITEM_INDEX, Part, partition_key, row_key, token};
use kv_model::value::{AttributeValue, Item};
use prost::Message;

use crate::api::{Action, Attempt, Consistency, Expression, Get, Page, Write};
use crate::time::Hybrid;

pub const KEY: &str = "k";
pub const EXPIRES: &str = "e";
const STATE: &str = "s";
const ATTEMPT: &str = "a";
const DIGEST: &str = "d";
const ITEMS: &str = "p";
const AT: &str = "t";
const COMMITTED: &str = "c";
const ABORTED: &str = "a";

/// A token holds for so long after its transaction, s.
pub const TOKEN_S: u64 = 600;
/// The mark of an aborted attempt stays for so long, s: longer than any attempt can be on its way.
const ABORTED_S: u64 = 3600;
/// A committed record whose coordinator is silent for so long is taken over, ms.
const SILENT_MS: u64 = 10_000;
/// Records looked at in one go, bytes.
const PAGE_BYTES: u64 = 256 << 10;

/// What a record says of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    /// It never will.
    Aborted,
    /// It still may.
    Open,
    /// The record can't be read.
    Unknown,
}

/// An item of a transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Place {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub row: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Places {
    #[prost(message, repeated, tag = "1")]
    places: Vec<Place>,
}

/// A record, as far as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub committed: bool,
    pub attempt: Bytes,
    pub digest: Bytes,
    pub places: Vec<Place>,
    /// Encoded item with its key alone.
    pub key: Bytes,
    /// Its row's last part: the key's bytes.
    name: Bytes,
}

impl Record {
    /// Reads an encoded item.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(encoded: &[u8]) -> Result<Record, String> {
        let mut item = item::decode(encoded).map_err(|error| error.to_string())?;
        let mut bytes = |name: &str| match item.remove(name) {
            Some(AttributeValue::B(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
            Some(_) => Err(format!(
                "the attribute {name} of a record is of another type"
            )),
        };
        let name = bytes(KEY)?.ok_or("a record without a key")?;
        let attempt = bytes(ATTEMPT)?.ok_or("a record without an attempt")?;
        let digest = bytes(DIGEST)?.unwrap_or_default();
        let places = Places::decode(bytes(ITEMS)?.unwrap_or_default());
        let committed = match item.get(STATE) {
            Some(AttributeValue::S(state)) if state == COMMITTED => true,
            Some(AttributeValue::S(state)) if state == ABORTED => false,
            _ => return Err("a record in a state of another version".to_owned()),
        };
        Ok(Record {
            committed,
            attempt,
            digest,
            places: places.map_err(|error| error.to_string())?.places,
            key: key_item(&name),
            name,
        })
    }

    /// What it says of an attempt.
    pub fn verdict(&self, attempt: &[u8]) -> Verdict {
        match self.committed {
            true if self.attempt == attempt => Verdict::Committed,
            // Another attempt has used the token; as long as that is known this one can't commit, but it may be forgotten.
            true => Verdict::Open,
            false if &self.attempt[..] >= attempt => Verdict::Aborted,
            false => Verdict::Open,
        }
    }

    /// The row of the record in the table.
    pub fn row(&self, table: u64) -> Bytes {
        row_of(table, &self.name)
    }
}

fn key_item(name: &[u8]) -> Bytes {
    encode([(KEY, AttributeValue::B(Bytes::copy_from_slice(name)))])
}

fn row_of(table: u64, name: &[u8]) -> Bytes {
    let partition = partition_key(&[Part::B(name)]);
    row_key(table, token(&partition), &partition, ITEM_INDEX, &[]).into()
}

fn encode<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Bytes {
    item::encode(&as_item(attributes))
}

fn as_item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn bytes(value: &Bytes) -> AttributeValue {
    AttributeValue::B(value.clone())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(Number::from(value))
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn expression<const N: usize>(source: &str, values: [(&str, AttributeValue); N]) -> Expression {
    Expression {
        text: source.to_owned(),
        names: BTreeMap::new(),
        values: encode(values),
    }
}

/// Names an attempt: its record is that of `account` and `token`, or one of its own.
pub fn attempt(
    table: u64,
    account: &str,
    token: Option<&str>,
    id: Bytes,
    expires: Hybrid,
) -> Attempt {
    let mut name = account.as_bytes().to_vec();
    match token {
        Some(token) => {
            name.push(0);
            name.extend_from_slice(token.as_bytes());
        }
        None => {
            name.push(1);
            name.extend_from_slice(&id);
        }
    }
    Attempt {
        record: row_of(table, &name),
        key: key_item(&name),
        table,
        id,
        expires: expires.0,
    }
}

/// Reads the record, as new as it is.
pub fn get(attempt: &Attempt) -> Get {
    Get {
        table: attempt.table,
        row: attempt.record.clone(),
        consistency: Consistency::Strong as i32,
        ..Default::default()
    }
}

fn decide(attempt: &Attempt, decided: Item) -> Write {
    let mut whole = item::decode(&attempt.key).unwrap_or_default();
    whole.extend(decided);
    let free = "attribute_not_exists(k) OR (s = :aborted AND a < :me)";
    Write {
        table: attempt.table,
        row: attempt.record.clone(),
        key: attempt.key.clone(),
        condition: Some(expression(
            free,
            [(":aborted", text(ABORTED)), (":me", bytes(&attempt.id))],
        )),
        return_on_failure: true,
        action: Some(Action::Put(item::encode(&whole))),
        ..Default::default()
    }
}

/// Commits the attempt, unless the record says otherwise: then the condition fails with the record.
pub fn commit(attempt: &Attempt, digest: &Bytes, places: Vec<Place>, now_ms: u64) -> Write {
    let places = Places { places }.encode_to_vec();
    decide(
        attempt,
        as_item([
            (STATE, text(COMMITTED)),
            (ATTEMPT, bytes(&attempt.id)),
            (DIGEST, bytes(digest)),
            (ITEMS, AttributeValue::B(places.into())),
            (AT, number(now_ms)),
        ]),
    )
}

/// Aborts the attempt, unless the record says otherwise.
pub fn abort(attempt: &Attempt, now_ms: u64) -> Write {
    decide(
        attempt,
        as_item([
            (STATE, text(ABORTED)),
            (ATTEMPT, bytes(&attempt.id)),
            (EXPIRES, number(now_ms / 1000 + ABORTED_S)),
        ]),
    )
}

/// Changes nothing but the version of a record that another attempt has committed: its hybrid time tells whether this attempt's is over.
pub fn touch(attempt: &Attempt) -> Write {
    update(
        attempt.table,
        attempt.record.clone(),
        attempt.key.clone(),
        ("SET s = s", []),
        ("s = :committed", [(":committed", text(COMMITTED))]),
    )
}

/// Lets the record of a committed attempt go, `TOKEN_S` after the hybrid time at which it was committed.
pub fn expire(table: u64, row: Bytes, key: Bytes, attempt: &Bytes, committed: Hybrid) -> Write {
    let at = committed.wall_ms() / 1000 + TOKEN_S;
    update(
        table,
        row,
        key,
        ("SET e = :at REMOVE p", [(":at", number(at))]),
        (
            "a = :me AND s = :committed",
            [(":me", bytes(attempt)), (":committed", text(COMMITTED))],
        ),
    )
}

fn update<const N: usize, const M: usize>(
    table: u64,
    row: Bytes,
    key: Bytes,
    (change, values): (&str, [(&str, AttributeValue); N]),
    (condition, expected): (&str, [(&str, AttributeValue); M]),
) -> Write {
    Write {
        table,
        row,
        key,
        condition: Some(expression(condition, expected)),
        action: Some(Action::Update(expression(change, values))),
        ..Default::default()
    }
}

/// A page of committed records that nobody seems to look after.
pub fn orphans(table: u64, start: Bytes, end: Bytes, now_ms: u64) -> Page {
    let before = number(now_ms.saturating_sub(SILENT_MS));
    Page {
        table,
        start,
        end,
        max_bytes: PAGE_BYTES,
        filter: Some(expression(
            "s = :committed AND attribute_not_exists(e) AND t < :before",
            [(":committed", text(COMMITTED)), (":before", before)],
        )),
        consistency: Consistency::Strong as i32,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Error;
    use crate::partition::evaluate::{Parsed, evaluate};

    fn named(id: u8) -> Attempt {
        attempt(7, "account", Some("token"), vec![id].into(), Hybrid(9))
    }

    /// Applies a write to the record; gives what it says afterwards, and whether the condition held.
    fn apply(record: &mut Option<Bytes>, write: &Write) -> bool {
        match evaluate(record.as_deref(), write, &Parsed::of(write).unwrap()) {
            Ok(mutation) => {
                *record = mutation.new;
                true
            }
            Err(Error::ConditionFailed { item }) => {
                if write.return_on_failure {
                    assert_eq!(&item, record);
                }
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn verdict(record: &Option<Bytes>, id: u8) -> Verdict {
        match record {
            Some(record) => Record::parse(record).unwrap().verdict(&[id]),
            None => Verdict::Open,
        }
    }

    fn commit_of(id: u8) -> Write {
        let place = Place {
            table: 1,
            row: Bytes::from_static(b"row"),
        };
        commit(
            &named(id),
            &Bytes::from_static(b"digest"),
            vec![place],
            5000,
        )
    }

    #[test]
    fn what_was_decided_stays() {
        // Every order of commits and aborts of three attempts, each decided at most one way.
        for steps in 0..6_u32.pow(4) {
            let mut record = None;
            let mut decided = [None; 3];
            for step in 0..4 {
                let choice = steps / 6_u32.pow(step) % 6;
                let (id, commits) = ((choice / 2) as u8, choice % 2 == 0);
                let write = match commits {
                    true => commit_of(id),
                    false => abort(&named(id), 1000),
                };
                apply(&mut record, &write);
                for id in 0..3 {
                    let now = verdict(&record, id);
                    if let Some(before) = decided[id as usize] {
                        let same =
                            now == before || before == Verdict::Aborted && now == Verdict::Open;
                        assert!(same, "{before:?} became {now:?} after {steps}");
                    }
                    if now == Verdict::Committed || now == Verdict::Aborted {
                        decided[id as usize] = Some(now);
                    }
                }
                assert!(
                    decided
                        .iter()
                        .filter(|d| **d == Some(Verdict::Committed))
                        .count()
                        <= 1
                );
            }
        }
    }

    #[test]
    fn an_aborted_attempt_never_commits_and_a_later_one_may() {
        let mut record = None;
        assert!(apply(&mut record, &abort(&named(2), 1000)));
        assert!(!apply(&mut record, &commit_of(1)) && !apply(&mut record, &commit_of(2)));
        assert!(apply(&mut record, &commit_of(3)));
        assert!(!apply(&mut record, &abort(&named(4), 1000)));
        assert_eq!(verdict(&record, 3), Verdict::Committed);
    }

    #[test]
    fn a_finished_record_says_when_it_may_go() {
        let mut record = None;
        apply(&mut record, &commit_of(3));
        let parsed = Record::parse(record.as_ref().unwrap()).unwrap();
        assert_eq!(
            (parsed.places.len(), &parsed.digest[..]),
            (1, &b"digest"[..])
        );
        assert_eq!(parsed.row(7), named(3).record);
        let done = expire(
            7,
            parsed.row(7),
            parsed.key.clone(),
            &parsed.attempt,
            Hybrid::from_wall(5000),
        );
        assert!(apply(&mut record, &done));
        let expires = item::get(record.as_ref().unwrap(), EXPIRES).unwrap();
        assert_eq!(expires, Some(number(605)));
        assert!(apply(&mut record, &touch(&named(4))));
        assert_eq!(verdict(&record, 3), Verdict::Committed);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        for bad in [&b""[..], b"\xff", &encode([("k", text("x"))])] {
            assert!(Record::parse(bad).is_err());
        }
    }
}
