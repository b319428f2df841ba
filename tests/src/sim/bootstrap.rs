//! The metadata that a cluster begins with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use kv_core::meta::MetaState;
use kv_core::meta::records::{
    Expiry, Index, KeyAttribute, Node, NodeState, ProjectionKind, Settings, Stream,
};
use kv_core::meta::wire::{Change, CreateTable, TableName, UpdateTable};
use kv_ring::{NodeId, NodeSpec, Token, plan};

use super::workload::{ACCOUNT, CHURN, EXPIRY, TABLE};

const REPLICAS: usize = 3;
/// What a node may send for moves, bytes a second: so little that transfers wait for each other.
const MOVE_BYTES_PER_SECOND: u64 = 64_000;
/// Now and then the tombstones of an index take more.
const PARTITION_BYTES_MAX: u64 = 6_000;
const ZONES: [&str; 3] = ["a", "b", "c"];

/// The checked table's global index.
pub const GLOBAL: &str = "global";

type Tokens = BTreeMap<NodeId, Vec<Token>>;

/// Planning takes longer than a run: once for each size.
fn tokens(nodes: u64) -> &'static Tokens {
    static THREE: OnceLock<Tokens> = OnceLock::new();
    static FIVE: OnceLock<Tokens> = OnceLock::new();
    let cell = if nodes == 3 { &THREE } else { &FIVE };
    cell.get_or_init(|| {
        let specs: Vec<NodeSpec> = (1..=nodes)
            .map(|id| NodeSpec {
                id: NodeId(id),
                zone: zone(id).into(),
                host: format!("host-{id}").as_str().into(),
                weight: 1,
            })
            .collect();
        plan::initial(&specs, REPLICAS).expect("three or five nodes of weight one can be planned")
    })
}

fn zone(id: u64) -> &'static str {
    ZONES[(id as usize - 1) % ZONES.len()]
}

/// The first state of a cluster of this many nodes.
pub fn metadata(nodes: u64) -> MetaState {
    let planned = tokens(nodes);
    let records = (1..=nodes)
        .map(|id| Node {
            id,
            name: format!("node-{id}"),
            zone: zone(id).to_owned(),
            host: format!("host-{id}"),
            weight: 1,
            state: NodeState::Joining as i32,
            tokens: planned[&NodeId(id)]
                .iter()
                .map(|t| Bytes::copy_from_slice(&t.0.to_be_bytes()))
                .collect(),
            ..Default::default()
        })
        .collect();
    let mut state = MetaState::bootstrap("simulated".to_owned(), records, REPLICAS as u32, 0);
    state.cluster.settings = Some(Settings {
        partition_bytes_max: PARTITION_BYTES_MAX,
        move_bytes_per_second: MOVE_BYTES_PER_SECOND,
        ..Default::default()
    });
    state
}

/// Asks for a table of that many partitions; the checked one has a consumer of its change log.
pub fn create_table(name: &str, uuid: u64, partitions: u32) -> Change {
    Change::CreateTable(CreateTable {
        table: table_name(name),
        uuid: format!("{uuid:032x}"),
        hash: KeyAttribute {
            name: "pk".to_owned(),
            kind: "S".to_owned(),
        },
        partitions,
        consumers: if name == TABLE {
            vec!["stream".to_owned()]
        } else {
            Vec::new()
        },
        stream: (name == CHURN).then(Stream::default),
        indexes: if name == CHURN { Vec::new() } else { indexes() },
        ..Default::default()
    })
}

/// Lets the items of a table expire.
pub fn expire(name: &str) -> Change {
    Change::UpdateTable(UpdateTable {
        table: table_name(name),
        expiry: Some(Expiry {
            attribute: EXPIRY.to_owned(),
            enabled: true,
            changed_ms: 1,
        }),
        ..Default::default()
    })
}

/// A local and a global index by the tag that the last put wrote: every put moves the item's entry in both.
fn indexes() -> Vec<Index> {
    let attribute = |name: &str, kind: &str| KeyAttribute {
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let global = Index {
        name: GLOBAL.to_owned(),
        hash: vec![attribute("tag1", "N")],
        projection: ProjectionKind::All as i32,
        ..Default::default()
    };
    let local = Index {
        name: "local".to_owned(),
        local: true,
        hash: vec![attribute("pk", "S")],
        range: vec![attribute("tag1", "N")],
        projection: ProjectionKind::KeysOnly as i32,
        ..Default::default()
    };
    vec![global, local]
}

pub fn table_name(name: &str) -> TableName {
    TableName {
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
    }
}
