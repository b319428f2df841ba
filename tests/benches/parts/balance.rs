//! Five nodes with about a hundred partitions each: how evenly replicas, leaders, bytes and shares of the ring lie.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::local::Local;
use super::{items, tables};
use crate::Setup;
use crate::clients::http::{Http, Requests};
use crate::load::fill;
use crate::report::Report;

const NODES: usize = 5;
/// Four partitions of three replicas each: about a hundred replicas a node.
const TABLES: usize = 42;
/// So many that partitions of one table are about as large as each other.
const KEYS: u64 = 33_600;
const BYTES: usize = 1000;
const LOOK: Duration = Duration::from_secs(5);
/// Sizes are of files, which are written within a minute; what they cause follows. It is settled when nothing has moved for so long.
const QUIET: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_secs(600);
const FLOOR: f64 = 1.10;

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start_with(setup, &format!("  nodes: {NODES}\n")).await?;
    let servers: Vec<SocketAddr> = cluster.nodes()?.iter().map(|node| node.address).collect();
    let tables = tables(&servers, "balance", TABLES).await?;
    let puts = Requests::puts_of(&items(&tables, KEYS), BYTES);
    fill(
        Http::connect(&servers, setup.connections, &puts).await?,
        KEYS,
    )
    .await?;
    let rows = quiet(&cluster).await?;
    println!("\n## Five nodes, {} partitions", TABLES * super::PARTITIONS);
    let largest = cluster.top("partitions")?;
    let largest = column(&largest, "bytes")?.into_iter().fold(0.0, f64::max);
    for (what, one) in [("replicas", 1.0), ("leaders", 1.0), ("bytes", largest)] {
        judge(report, what, &column(&rows, what)?, one);
    }
    let shares: Vec<f64> = cluster.nodes()?.iter().map(|node| node.share).collect();
    judge(report, "share", &shares, 0.0);
    Ok(())
}

/// Waits until neither replicas nor leaders move any more; answers what each node has.
async fn quiet(cluster: &Local) -> anyhow::Result<Vec<Value>> {
    let began = Instant::now();
    let (mut last, mut since) = (Vec::new(), began);
    loop {
        let rows = cluster.top("nodes")?;
        let counts = (column(&rows, "replicas")?, column(&rows, "leaders")?);
        if last != [counts.clone()] {
            (last, since) = (vec![counts], Instant::now());
        }
        if since.elapsed() >= QUIET && cluster.has_settled(NODES) {
            return Ok(rows);
        }
        ensure!(began.elapsed() < PATIENCE, "no end of moves: {rows:?}");
        sleep(LOOK).await;
    }
}

fn column(rows: &[Value], name: &str) -> anyhow::Result<Vec<f64>> {
    let numbers = rows
        .iter()
        .map(|row| row[name].as_f64().context("a number"));
    numbers.collect()
}

/// At most a tenth above the mean, or `one` above it.
fn judge(report: &mut Report, what: &str, nodes: &[f64], one: f64) {
    println!("{what:<34} {nodes:?}");
    let mean = nodes.iter().sum::<f64>() / nodes.len() as f64;
    let max = nodes.iter().copied().fold(0.0, f64::max);
    report.floor(
        &format!("{what} at five nodes: max/mean (at most 1.10, or one above)"),
        format!("{:.3}", max / mean),
        mean > 0.0 && max <= (mean * FLOOR).max(mean + one),
    );
}
