//! Splits by hand: which partition, and at which row.

use bytes::Bytes;
use kv_core::meta::View;
use kv_core::meta::records::{Group, Table};
use kv_core::meta::wire::BeginSplit;
use kv_core::store::{self, KeyRange, Keyspace, Store};
use kv_model::encoding::key::{ITEM_INDEX, Part, partition_key, row_key, token};
use kv_model::json::Checked;
use kv_model::value::Item;
use kv_proto::admin::SplitRequest;

use crate::admin::ControlError;

/// A key is no longer than the service allows, in any writing.
const KEY_JSON_LEN_MAX: usize = 64 << 10;

/// The split that a person asks for.
///
/// # Errors
/// The table, the partition or the key make no sense; or the sample that was asked for has to be taken on another node.
pub fn plan(
    view: &View,
    store: &dyn Store,
    me: u64,
    request: &SplitRequest,
) -> Result<BeginSplit, ControlError> {
    let table = view.state.table_named(&request.account, &request.table);
    let table = table.ok_or(ControlError::Invalid {
        field: "table",
        problem: "there is no table of that name in that account",
    })?;
    if request.key_json.len() > KEY_JSON_LEN_MAX {
        return Err(ControlError::Invalid {
            field: "key_json",
            problem: "is too long",
        });
    }
    let at = match request.key_json.is_empty() {
        true => None,
        false => Some(first_row(table, &request.key_json)?),
    };
    let group = match (request.group, &at) {
        (0, Some(at)) => view.route(at).map(|route| &route.group),
        (0, None) => largest(view, store, table, me)?,
        (group, _) => view.group(kv_core::ids::GroupId(group)),
    };
    let group = group
        .filter(|group| group.table == table.id)
        .ok_or(ControlError::Invalid {
            field: "group",
            problem: "the table has no such partition",
        })?;
    let at = match at {
        Some(at) => at,
        None => sampled(view, store, group, me)?,
    };
    Ok(BeginSplit {
        group: group.id,
        at,
        range_version: group.range_version,
        member_version: group.member_version,
        ..Default::default()
    })
}

/// The first row of a key, which may be a partition key alone.
fn first_row(table: &Table, json: &str) -> Result<Bytes, ControlError> {
    let invalid = |problem| ControlError::Invalid {
        field: "key_json",
        problem,
    };
    let parsed: Checked<Item> = serde_json::from_str(json)
        .map_err(|_| invalid("is no key in DynamoDB's JSON, such as {\"pk\":{\"S\":\"a\"}}"))?;
    let key = parsed
        .into_result()
        .map_err(|_| invalid("is no key in DynamoDB's JSON, such as {\"pk\":{\"S\":\"a\"}}"))?;
    let schema = table.schema();
    if schema.range.is_some() && key.len() == 1 {
        let value = key.get(&schema.hash.name).and_then(Part::new);
        let part = value.ok_or(invalid("has not the table's partition key"))?;
        let hash = partition_key(&[part]);
        let row = row_key(table.id, token(&hash), &hash, ITEM_INDEX, &[]);
        // Before the index, so that entries of local indexes are behind it too.
        return Ok(Bytes::from(row).slice(..24 + hash.len()));
    }
    match schema.validate_key(&key) {
        Ok(key) => Ok(key.row(table.id).into()),
        Err(_) => Err(invalid("has not the table's key attributes")),
    }
}

fn data_of(group: &Group) -> KeyRange {
    KeyRange {
        keyspace: Keyspace::Data,
        start: group.start.clone(),
        end: group.end.clone(),
    }
}

fn is_here(group: &Group, me: u64) -> bool {
    group.members.iter().any(|member| member.node == me)
}

fn unreadable(error: store::Error) -> ControlError {
    ControlError::Refused(format!("the partition can't be sampled: {error}"))
}

/// The largest partition of a table, if this node has all of them; else one that does has to be asked.
fn largest<'a>(
    view: &'a View,
    store: &dyn Store,
    table: &Table,
    me: u64,
) -> Result<Option<&'a Group>, ControlError> {
    let mut largest = None;
    for group in view.state.groups_of(table.id) {
        let bytes = match is_here(group, me) {
            true => store
                .approximate_bytes(&data_of(group))
                .map_err(unreadable)?,
            false => 0,
        };
        if largest.is_none_or(|(most, _)| bytes > most) {
            largest = Some((bytes, group));
        }
    }
    Ok(largest.map(|(_, group)| group))
}

/// A row that cuts a partition into halves.
fn sampled(view: &View, store: &dyn Store, group: &Group, me: u64) -> Result<Bytes, ControlError> {
    if !is_here(group, me) {
        let leader = view
            .ticket(group.group())
            .and_then(|ticket| ticket.leader());
        return Err(ControlError::Elsewhere { node: leader });
    }
    let rows = store
        .split_sample(&data_of(group), 15)
        .map_err(unreadable)?;
    // The middle one first; then whichever leaves rows on both sides.
    let mut rows: Vec<(usize, &Bytes)> = rows.iter().enumerate().collect();
    let middle = rows.len() / 2;
    rows.sort_by_key(|(i, _)| i.abs_diff(middle));
    rows.into_iter()
        .find_map(|(_, row)| view.state.split_point(group, row))
        .ok_or_else(|| {
            ControlError::Refused(format!(
                "partition {} has too few keys to be cut by a sample: say where, by a key",
                group.id
            ))
        })
}

#[cfg(test)]
mod tests {
    use kv_core::meta::MetaState;
    use kv_core::meta::records::{KeyAttribute, Member, TableState};
    use kv_core::meta::state::{table_end, table_start};
    use kv_core::store::Batch;
    use kv_core::store::memory::MemoryStore;

    use super::*;

    fn attribute(name: &str) -> KeyAttribute {
        KeyAttribute {
            name: name.into(),
            kind: "S".into(),
        }
    }

    /// A table of one partition on node 1, and its table's id.
    fn view() -> View {
        let table = Table {
            id: 3,
            account: "a".into(),
            name: "t".into(),
            hash: attribute("pk"),
            range: Some(attribute("sk")),
            state: TableState::Active as i32,
            ..Default::default()
        };
        let group = Group {
            id: 7,
            table: 3,
            start: table_start(3),
            end: table_end(3),
            range_version: 1,
            member_version: 1,
            members: vec![Member {
                node: 1,
                replica: 1,
                role: 0,
            }],
            ..Default::default()
        };
        let mut state = MetaState::default();
        for record in [
            kv_core::meta::records::Record::Table(table),
            kv_core::meta::records::Record::Group(group),
        ] {
            state
                .put_row(&record.key().encode(), Some(record.encode()))
                .unwrap();
        }
        View::default().next(state, None)
    }

    fn request(key: &str) -> SplitRequest {
        SplitRequest {
            account: "a".into(),
            table: "t".into(),
            key_json: key.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_key_says_where() {
        let (view, store) = (view(), MemoryStore::default());
        let whole = plan(
            &view,
            &store,
            1,
            &request(r#"{"pk":{"S":"x"},"sk":{"S":"m"}}"#),
        );
        let whole = whole.unwrap();
        let collection = plan(&view, &store, 1, &request(r#"{"pk":{"S":"x"}}"#)).unwrap();
        assert!(collection.at < whole.at && whole.at.starts_with(&collection.at));
        assert_eq!((whole.group, whole.range_version), (7, 1));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let (view, store) = (view(), MemoryStore::default());
        for bad in [
            "x",
            "{}",
            r#"{"pk":{"N":"1"},"sk":{"S":"m"}}"#,
            r#"{"k":{"S":"1"}}"#,
        ] {
            let refused = plan(&view, &store, 1, &request(bad)).unwrap_err();
            assert!(
                matches!(
                    refused,
                    ControlError::Invalid {
                        field: "key_json",
                        ..
                    }
                ),
                "{bad}: {refused}"
            );
        }
        let nobody = SplitRequest {
            table: "other".into(),
            ..request("")
        };
        let refused = plan(&view, &store, 1, &nobody).unwrap_err();
        assert!(matches!(
            refused,
            ControlError::Invalid { field: "table", .. }
        ));
    }

    #[test]
    fn a_sample_halves_what_is_here() {
        let (view, store) = (view(), MemoryStore::default());
        let empty = plan(&view, &store, 1, &request("")).unwrap_err();
        assert!(matches!(empty, ControlError::Refused(_)));
        let mut batch = Batch::default();
        for n in 0..100 {
            let hash = partition_key(&[Part::S(&format!("k{n}"))]);
            let row = row_key(3, token(&hash), &hash, ITEM_INDEX, &[]);
            batch.put(Keyspace::Data, row, "v".repeat(100));
        }
        store.write(&batch).unwrap();
        let split = plan(&view, &store, 1, &request("")).unwrap();
        let left = KeyRange {
            keyspace: Keyspace::Data,
            start: table_start(3),
            end: split.at,
        };
        let (left, all) = (
            store.approximate_bytes(&left).unwrap(),
            store
                .approximate_bytes(&data_of(view.group(kv_core::ids::GroupId(7)).unwrap()))
                .unwrap(),
        );
        assert!(left * 3 > all && left * 3 < all * 2, "{left} of {all}");
        let elsewhere = plan(&view, &store, 2, &request("")).unwrap_err();
        assert!(matches!(elsewhere, ControlError::Elsewhere { .. }));
    }
}
