//! The busiest partitions, keys and nodes, as the metadata's leader hears it from the partitions' leaders.

use std::collections::BTreeMap;

use kv_core::ids::GroupId;
use kv_core::meta::View;
use kv_core::meta::records::Table;
use kv_core::meta::wire::Heat;
use kv_core::shard::Governed;
use kv_model::encoding::key::{RowKey, decode_tuple};
use kv_model::json::{write_item, write_value};
use kv_model::value::{AttributeValue, Item};
use kv_proto::admin::{GetTopReply, GetTopRequest, HotKey, TopNode, TopPartition};

use crate::admin::ControlError;

/// Rows in an answer, unless asked for, and at most.
const ROWS: u32 = 20;
const ROWS_MAX: u32 = 1000;
/// Bytes of a row before its partition key: the table, and the token that is told of.
const TABLE_END: usize = 8;
const TOKEN_END: usize = 24;
/// Hot keys in a status.
const HOT_KEYS_MAX: usize = 16;

/// The answer of the metadata's leader.
///
/// # Errors
/// A kind that there is not.
pub fn answer(
    view: &View,
    governed: &Governed,
    request: &GetTopRequest,
) -> Result<GetTopReply, ControlError> {
    let limit = match request.limit {
        0 => ROWS,
        limit => limit.min(ROWS_MAX),
    } as usize;
    let mut reply = GetTopReply::default();
    match &*request.kind {
        "partitions" => reply.partitions = partitions(view, governed, limit),
        "keys" => reply.keys = keys(view, governed, limit),
        "nodes" => reply.nodes = nodes(view, governed),
        _ => {
            return Err(ControlError::Invalid {
                field: "kind",
                problem: "is one of partitions, keys, nodes",
            });
        }
    }
    Ok(reply)
}

fn requests(heat: &Heat) -> f64 {
    heat.reads_per_second + heat.writes_per_second
}

/// By group: its leader's node and what that says of its load, the busiest first.
fn busiest(governed: &Governed) -> Vec<(GroupId, u64, &Heat, u64)> {
    let mut all: Vec<_> = governed
        .heats
        .iter()
        .map(|(group, (node, heat, bytes))| (GroupId(*group), *node, heat, *bytes))
        .collect();
    all.sort_by(|a, b| requests(b.2).total_cmp(&requests(a.2)).then(a.0.cmp(&b.0)));
    all
}

/// Name of the table of a keyspace, with that of the index if it is one's.
fn name_of(view: &View, keyspace: u64) -> String {
    let Some(table) = view.state.table_of_keyspace(keyspace) else {
        return String::new();
    };
    let mut indexes = table.indexes.iter().filter(|index| !index.local);
    match indexes.find(|index| index.id == keyspace) {
        Some(index) => format!("{}/{}", table.name, index.name),
        None => table.name.clone(),
    }
}

fn partitions(view: &View, governed: &Governed, limit: usize) -> Vec<TopPartition> {
    let told = busiest(governed).into_iter().filter_map(|told| {
        let group = view.group(told.0).filter(|group| group.table > 0)?;
        Some((group, told))
    });
    told.take(limit)
        .map(|(group, (_, leader, heat, bytes))| TopPartition {
            group: group.id,
            table: name_of(view, group.table),
            start: border(view, group.table, &group.start),
            end: border(view, group.table, &group.end),
            leader,
            reads_per_second: heat.reads_per_second,
            writes_per_second: heat.writes_per_second,
            bytes_per_second: heat.bytes_per_second,
            cpu: cpu_of(governed, leader, heat),
            bytes,
        })
        .collect()
}

/// Processor time is measured a node; a partition is given its share of the requests that the node's leaders serve. In cores.
fn cpu_of(governed: &Governed, node: u64, heat: &Heat) -> f64 {
    let all = governed
        .heats
        .values()
        .filter(|(leader, ..)| *leader == node);
    let all: f64 = all.map(|(_, heat, _)| requests(heat)).sum();
    let cores = governed.cpu_us.get(&node).copied().unwrap_or(0) as f64 / 1e6;
    match all > 0.0 {
        true => cores * requests(heat) / all,
        false => 0.0,
    }
}

fn keys(view: &View, governed: &Governed, limit: usize) -> Vec<HotKey> {
    let mut keys: Vec<HotKey> = busiest(governed)
        .into_iter()
        .filter(|(_, _, heat, _)| !heat.top.is_empty())
        .filter_map(|(group, _, heat, _)| {
            let table = view.group(group)?.table;
            let rate = requests(heat) * heat.top_share;
            Some(HotKey {
                key: key_text(view, table, &heat.top)?,
                ..hot_key(view, table, &heat.top, rate)
            })
        })
        .collect();
    keys.sort_by(|a, b| b.requests_per_second.total_cmp(&a.requests_per_second));
    keys.truncate(limit);
    keys
}

fn nodes(view: &View, governed: &Governed) -> Vec<TopNode> {
    let mut replicas: BTreeMap<u64, u64> = BTreeMap::new();
    let mut bytes: BTreeMap<u64, u64> = BTreeMap::new();
    for group in view.state.groups.values().filter(|group| group.table > 0) {
        let size = governed.heats.get(&group.id).map_or(0, |told| told.2);
        for member in &group.members {
            *replicas.entry(member.node).or_default() += 1;
            *bytes.entry(member.node).or_default() += size;
        }
    }
    let of = |map: &BTreeMap<u64, u64>, node: u64| map.get(&node).copied().unwrap_or(0);
    view.state
        .nodes
        .values()
        .map(|node| {
            let led = governed.heats.values().filter(|told| told.0 == node.id);
            let (mut reads, mut writes) = (0.0, 0.0);
            for (_, heat, _) in led {
                reads += heat.reads_per_second;
                writes += heat.writes_per_second;
            }
            TopNode {
                node_id: node.id,
                name: node.name.clone(),
                reads_per_second: reads,
                writes_per_second: writes,
                cpu: of(&governed.cpu_us, node.id) as f64 / 1e6,
                leaders: of(&governed.leaders, node.id),
                replicas: of(&replicas, node.id),
                bytes: of(&bytes, node.id),
            }
        })
        .collect()
}

/// Keys that no split relieves, without themselves.
pub fn hot_keys(view: &View, governed: &Governed) -> Vec<HotKey> {
    let keys = governed.hot_keys.iter().filter_map(|(group, row)| {
        let table = view.group(GroupId(*group))?.table;
        let (_, heat, _) = governed.heats.get(group)?;
        Some(hot_key(view, table, row, requests(heat) * heat.top_share))
    });
    keys.take(HOT_KEYS_MAX).collect()
}

fn hot_key(view: &View, table: u64, row: &[u8], rate: f64) -> HotKey {
    HotKey {
        table: name_of(view, table),
        key_hash: row
            .get(TABLE_END..TOKEN_END)
            .map(hex::encode)
            .unwrap_or_default(),
        requests_per_second: rate,
        key: String::new(),
    }
}

/// A partition's border for people to read: a key, or the token if it lies between keys.
fn border(view: &View, table: u64, row: &[u8]) -> String {
    key_text(view, table, row).unwrap_or_else(|| {
        let token = row.get(TABLE_END..row.len().min(TOKEN_END));
        token.map(hex::encode).unwrap_or_default()
    })
}

/// A row's key in DynamoDB's JSON: an item of a table's, an array of an index's parts.
fn key_text(view: &View, keyspace: u64, row: &[u8]) -> Option<String> {
    let key = RowKey::parse(row).ok()?;
    let mut parts = decode_tuple(key.partition_key).ok()?;
    parts.extend(decode_tuple(key.sort_key).ok()?);
    let table = view.state.table_of_keyspace(keyspace)?;
    let mut out = Vec::new();
    match table.id == keyspace {
        true => write_item(&named(table, parts), &mut out),
        false => {
            out.push(b'[');
            for (number, part) in parts.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                write_value(part, &mut out);
            }
            out.push(b']');
        }
    }
    String::from_utf8(out).ok()
}

fn named(table: &Table, parts: Vec<AttributeValue>) -> Item {
    let schema = table.schema();
    let names = std::iter::once(schema.hash.name).chain(schema.range.map(|range| range.name));
    names.zip(parts).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kv_core::meta::MetaState;
    use kv_core::meta::records::{Group, KeyAttribute};
    use kv_model::encoding::key::{ITEM_INDEX, Part, partition_key, row_key, token};

    use super::*;

    fn row(name: &str) -> Bytes {
        let hash = partition_key(&[Part::S(name)]);
        row_key(3, token(&hash), &hash, ITEM_INDEX, &[]).into()
    }

    fn view() -> View {
        let mut state = MetaState::default();
        let table = Table {
            id: 3,
            name: "rides".into(),
            hash: KeyAttribute {
                name: "id".into(),
                ..Default::default()
            },
            ..Default::default()
        };
        state.tables.insert(3, table);
        for id in [7, 8] {
            let group = Group {
                id,
                table: 3,
                end: row("x"),
                ..Default::default()
            };
            state.groups.insert(id, group);
        }
        View::default().next(state, None)
    }

    fn governed() -> Governed {
        let heat = |rate| Heat {
            reads_per_second: rate,
            top: row("x"),
            top_share: 0.5,
            ..Default::default()
        };
        Governed {
            heats: [(7, (1, heat(10.0), 5)), (8, (1, heat(30.0), 6))].into(),
            cpu_us: [(1, 400_000)].into(),
            hot_keys: [(8, row("x"))].into(),
            ..Default::default()
        }
    }

    fn asked(kind: &str, limit: u32) -> Result<GetTopReply, ControlError> {
        let kind = kind.into();
        answer(&view(), &governed(), &GetTopRequest { kind, limit })
    }

    #[test]
    fn the_busiest_come_first_with_their_keys() {
        let reply = asked("partitions", 1).unwrap();
        let [top] = &reply.partitions[..] else {
            panic!("{reply:?}")
        };
        assert_eq!((top.group, &*top.table, top.bytes), (8, "rides", 6));
        assert!((top.cpu - 0.3).abs() < 1e-9);
        assert_eq!(top.end, r#"{"id":{"S":"x"}}"#);
        let keys = asked("keys", 0).unwrap().keys;
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].key, r#"{"id":{"S":"x"}}"#);
        assert!((keys[0].requests_per_second - 15.0).abs() < 1e-9);
        assert!(matches!(
            asked("rows", 0),
            Err(ControlError::Invalid { field: "kind", .. })
        ));
    }

    #[test]
    fn a_status_has_the_hash_and_not_the_key() {
        let keys = hot_keys(&view(), &governed());
        let [key] = &keys[..] else { panic!("{keys:?}") };
        assert_eq!(key.key_hash, hex::encode(&row("x")[8..24]));
        assert_eq!(key.key, "");
    }
}
