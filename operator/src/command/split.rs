//! `split`: splits a partition by hand.

use kv_proto::admin::SplitRequest;

use super::{Error, Seen};

/// Which partition, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Where {
    /// The table's name.
    pub table: String,
    /// The account that it belongs to.
    pub account: String,
    /// The partition's id; none: the one that holds the key, or the largest.
    pub group: Option<u64>,
    /// The first key of the right part, in DynamoDB's JSON; none: from a sample of the load.
    pub at: Option<String>,
}

/// Asks for a split; answers what comes of it.
///
/// # Errors
/// Nobody answers, or the cluster refuses.
pub async fn split(cluster: &mut Seen, place: Where) -> Result<String, Error> {
    let addresses = cluster.addresses()?;
    let Where {
        table,
        account,
        group,
        at,
    } = place;
    let request = SplitRequest {
        account,
        table: table.clone(),
        group: group.unwrap_or(0),
        key_json: at.unwrap_or_default(),
    };
    let reply = cluster.clients.split(&addresses, request).await?;
    Ok(format!(
        "partition {} of {table} splits; its right part becomes partition {}",
        reply.group, reply.child
    ))
}
