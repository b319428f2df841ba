//! How many items a table and its indexes have: the sum of what the leaders of their partitions count.
//!
//! The service's own figures are up to six hours old. So a partition that can't be asked at once is left out rather than waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_core::partition::counts::Count;
use kv_core::tables::{Table, TableStatus};
use kv_model::index::Place;
use tokio::task::JoinSet;

use super::{Context, streams};
use crate::database::Database;

/// Partitions that are asked at a time.
const ASKED_MAX: usize = 32;
/// How long the answers may take in all.
const PATIENCE: Duration = Duration::from_secs(1);

/// The table with its counts as of now.
pub(super) async fn counted<D: Database>(
    context: &Context<'_, D>,
    table: &Arc<Table>,
) -> Arc<Table> {
    if !matches!(table.status, TableStatus::Active | TableStatus::Updating) {
        return Arc::clone(table);
    }
    let globals = table
        .indexes
        .iter()
        .filter_map(|index| match index.schema.place {
            Place::Global(keyspace) => Some(keyspace),
            Place::Local(_) => None,
        });
    let keyspaces: Vec<u64> = std::iter::once(table.id.0).chain(globals).collect();
    let sums = sums(context, &keyspaces).await;
    let of = |keyspace: u64, index: u32| {
        let count = sums.get(&(keyspace, index)).copied().unwrap_or_default();
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        (positive(count.items), positive(count.bytes))
    };
    let mut counted = Table::clone(table);
    (counted.item_count, counted.size_bytes) = of(table.id.0, 0);
    for index in &mut counted.indexes {
        (index.item_count, index.size_bytes) = match index.schema.place {
            Place::Global(keyspace) => of(keyspace, 0),
            Place::Local(number) => of(table.id.0, u32::from(number)),
        };
    }
    Arc::new(counted)
}

/// Sums by keyspace and index within it.
async fn sums<D: Database>(
    context: &Context<'_, D>,
    keyspaces: &[u64],
) -> BTreeMap<(u64, u32), Count> {
    let deadline = context.deadline.min(Instant::now() + PATIENCE);
    let mut left = keyspaces.iter().flat_map(|keyspace| {
        let groups = context.database.partitions(*keyspace);
        groups.into_iter().map(|group| (*keyspace, group))
    });
    let mut sums: BTreeMap<(u64, u32), Count> = BTreeMap::new();
    let mut asked = JoinSet::new();
    loop {
        for (keyspace, group) in left.by_ref().take(ASKED_MAX - asked.len()) {
            let (database, caller) = (Arc::clone(context.database), context.caller.clone());
            asked.spawn(async move {
                let log = streams::log_of(&*database, &caller, group, deadline).await;
                (keyspace, log)
            });
        }
        match asked.join_next().await {
            Some(Ok((keyspace, Ok(log)))) => {
                for count in log.counts {
                    let sum = sums.entry((keyspace, count.index)).or_default();
                    sum.items = sum.items.saturating_add(count.items);
                    sum.bytes = sum.bytes.saturating_add(count.bytes);
                }
            }
            Some(_) => {}
            None => return sums,
        }
    }
}
