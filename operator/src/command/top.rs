//! `top`: the busiest partitions, keys or nodes; live in a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use kv_proto::admin::{GetTopReply, GetTopRequest, HotKey, TopNode, TopPartition};
use serde_json::json;

use super::show::{Format, columns, size};
use super::{Error, Seen};

const PACE: Duration = Duration::from_secs(1);
/// Clears the screen, so that the last look is what stands there.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Partitions, by requests.
    Partitions,
    /// Keys, by requests.
    Keys,
    /// Nodes, by CPU.
    Nodes,
}

/// Prints it once, or in a terminal again and again until the program is ended; `again` looks anew in between.
///
/// # Errors
/// Nobody answers, or the output can't be written.
pub async fn top<E: From<Error>>(
    mut cluster: Seen,
    kind: Kind,
    limit: u32,
    format: Format,
    again: impl AsyncFn(Seen) -> Result<Seen, E>,
) -> Result<(), E> {
    let is_live = format == Format::Table && std::io::stdout().is_terminal();
    let name = match kind {
        Kind::Partitions => "partitions",
        Kind::Keys => "keys",
        Kind::Nodes => "nodes",
    };
    loop {
        let request = GetTopRequest {
            kind: name.to_owned(),
            limit,
        };
        let addresses = cluster.addresses()?;
        let reply = cluster.clients.top(&addresses, request).await;
        let text = text(&cluster, kind, sorted(reply.map_err(Error::from)?), format)?;
        let head = if is_live { CLEAR } else { "" };
        print(&(head.to_owned() + &text)).map_err(Error::Output)?;
        if !is_live {
            return Ok(());
        }
        tokio::time::sleep(PACE).await;
        cluster = again(cluster).await?;
    }
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn text(cluster: &Seen, kind: Kind, reply: GetTopReply, format: Format) -> Result<String, Error> {
    match format {
        Format::Table => Ok(table(cluster, kind, reply)),
        Format::Json => serde_json::to_string_pretty(&value(kind, reply))
            .map(|text| text + "\n")
            .map_err(Error::Json),
        Format::Yaml => serde_yaml::to_string(&value(kind, reply)).map_err(Error::Yaml),
    }
}

/// The busiest first; equals by id.
fn sorted(mut reply: GetTopReply) -> GetTopReply {
    let load = |row: &TopPartition| row.reads_per_second + row.writes_per_second;
    reply
        .partitions
        .sort_by(|a, b| load(b).total_cmp(&load(a)).then(a.group.cmp(&b.group)));
    reply.keys.sort_by(|a, b| {
        b.requests_per_second
            .total_cmp(&a.requests_per_second)
            .then(a.key_hash.cmp(&b.key_hash))
    });
    reply
        .nodes
        .sort_by(|a, b| b.cpu.total_cmp(&a.cpu).then(a.node_id.cmp(&b.node_id)));
    reply
}

fn rate(number: f64) -> String {
    format!("{number:.1}")
}

fn table(cluster: &Seen, kind: Kind, reply: GetTopReply) -> String {
    match kind {
        Kind::Partitions => {
            let head = [
                "PARTITION",
                "TABLE",
                "FROM",
                "TO",
                "LEADER",
                "READS/S",
                "WRITES/S",
                "CPU",
                "SIZE",
            ]
            .map(String::from);
            let rows = reply.partitions.into_iter().map(|row| {
                [
                    row.group.to_string(),
                    row.table,
                    row.start,
                    row.end,
                    cluster.name(row.leader),
                    rate(row.reads_per_second),
                    rate(row.writes_per_second),
                    format!("{:.2}", row.cpu),
                    size(row.bytes),
                ]
            });
            columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        }
        Kind::Keys => {
            let head = ["TABLE", "REQUESTS/S", "HASH", "KEY"].map(String::from);
            let rows = reply.keys.into_iter().map(|row| {
                [
                    row.table,
                    rate(row.requests_per_second),
                    row.key_hash,
                    row.key,
                ]
            });
            columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        }
        Kind::Nodes => {
            let head = [
                "NODE", "CPU", "READS/S", "WRITES/S", "LEADERS", "REPLICAS", "SIZE",
            ]
            .map(String::from);
            let rows = reply.nodes.into_iter().map(|row| {
                [
                    row.name,
                    format!("{:.2}", row.cpu),
                    rate(row.reads_per_second),
                    rate(row.writes_per_second),
                    row.leaders.to_string(),
                    row.replicas.to_string(),
                    size(row.bytes),
                ]
            });
            columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        }
    }
}

fn value(kind: Kind, reply: GetTopReply) -> serde_json::Value {
    match kind {
        Kind::Partitions => reply.partitions.iter().map(partition).collect(),
        Kind::Keys => reply.keys.iter().map(key).collect(),
        Kind::Nodes => reply.nodes.iter().map(node).collect(),
    }
}

fn partition(row: &TopPartition) -> serde_json::Value {
    json!({
        "partition": row.group, "table": row.table, "start": row.start, "end": row.end, "leader": row.leader,
        "readsPerSecond": row.reads_per_second, "writesPerSecond": row.writes_per_second,
        "bytesPerSecond": row.bytes_per_second, "cpu": row.cpu, "bytes": row.bytes,
    })
}

fn key(row: &HotKey) -> serde_json::Value {
    json!({ "table": row.table, "keyHash": row.key_hash, "key": row.key, "requestsPerSecond": row.requests_per_second })
}

fn node(row: &TopNode) -> serde_json::Value {
    json!({
        "id": row.node_id, "name": row.name, "readsPerSecond": row.reads_per_second,
        "writesPerSecond": row.writes_per_second, "cpu": row.cpu, "leaders": row.leaders, "replicas": row.replicas,
        "bytes": row.bytes,
    })
}
