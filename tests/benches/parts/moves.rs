//! Three nodes become five and three again under an open loop at a quarter of saturation: the bytes that replicas' moves take against what two of five
//! nodes hold of all, and what requests take meanwhile.
//!
//! Bytes are the payload of snapshots, as the nodes count what they send on the lane that carries nothing else; log entries that follow are not in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::local::Local;
use super::{items, tables};
use crate::Setup;
use crate::clients::http::{Http, Requests};
use crate::clients::roam::Roamer;
use crate::load::{Answers, Connection, OpenLoop, drive, fill};
use crate::report::Report;

/// About a hundred replicas a node at five nodes.
const TABLES: usize = 42;
const KEYS: u64 = 6000;
/// So large that the ideal can be told by the payload alone; what is stored beside it counts against us.
const BYTES: usize = 8000;
const COPIES: u64 = 3;
const BEFORE: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(1);
const SYNC_EVERY: Duration = Duration::from_millis(50);
const SYNC_BYTES: usize = 4096;
const BULK_BYTES: &str = "ringkv_peer_sent_bytes_total{lane=\"bulk\"}";
const SHARE_OF_SATURATION: f64 = 0.25;
const BYTES_FLOOR: f64 = 1.1;
const P99_FLOOR: f64 = 3.0;

type Times = (Instant, Instant);

/// What a change of the number of nodes was.
struct Change {
    name: &'static str,
    times: Times,
    bytes: u64,
}

/// The disk that all data lie on, as a connection of a loop: each call is a small write and an fdatasync.
struct Disk(Arc<File>);

impl Connection for Disk {
    async fn call(&mut self, _: u64) -> anyhow::Result<()> {
        let file = self.0.clone();
        let sync = move || {
            (&*file).rewind()?;
            (&*file).write_all(&[7; SYNC_BYTES])?;
            file.sync_data()
        };
        Ok(tokio::task::spawn_blocking(sync).await??)
    }
}

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    let nodes = cluster.nodes()?;
    let servers: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let tables = tables(&servers, "moves", TABLES).await?;
    let items = items(&tables, KEYS);
    let puts = Requests::puts_of(&items, BYTES);
    let gets = Requests::strong_gets_of(&items, BYTES);
    fill(
        Http::connect(&servers, setup.connections, &puts).await?,
        KEYS,
    )
    .await?;
    sleep(SETTLE).await;
    let mut connections = Http::connect(&servers, setup.connections / 2, &puts).await?;
    connections.extend(Http::connect(&servers, setup.connections / 2, &gets).await?);
    let pids: Vec<u32> = nodes.iter().map(|node| node.pid).collect();
    let saturation = drive(connections, KEYS, &pids, setup.time()).await?;
    report.heading("3 → 5 → 3 nodes");
    report.side("saturation, puts and gets by half", &saturation);
    // Half of the rate each.
    let every = Duration::from_secs_f64(2.0 / (saturation.per_second * SHARE_OF_SATURATION));
    let start = |requests| {
        let clients = Roamer::several(&servers, setup.connections / 2, requests);
        OpenLoop::start(clients, KEYS, every)
    };
    let (writes, reads) = (start(&puts), start(&gets));
    let disk = Disk(Arc::new(File::create(setup.dir("disk")?.join("file"))?));
    let disk = OpenLoop::start(vec![disk], 1, SYNC_EVERY);
    let before = calm(&cluster).await?;
    let changes = [
        change(&cluster, "3 → 5", 5).await?,
        change(&cluster, "5 → 3", 3).await?,
    ];
    let mut answers = writes.stop().await?;
    answers.add(reads.stop().await?);
    let disk = disk.stop().await?;
    judge_bytes(report, &changes);
    judge_times(report, before, &changes, &answers, &disk)
}

/// A time without a change, looked at as often as one with.
async fn calm(cluster: &Local) -> anyhow::Result<Times> {
    sleep(SETTLE).await;
    let begin = Instant::now();
    while begin.elapsed() < BEFORE {
        cluster.has_settled(3);
        cluster.counters(BULK_BYTES)?;
        sleep(LOOK).await;
    }
    Ok((begin, Instant::now()))
}

async fn change(cluster: &Local, name: &'static str, nodes: usize) -> anyhow::Result<Change> {
    let before: u64 = cluster.counters(BULK_BYTES)?.values().sum();
    // What nodes have sent that are gone by the end counts too.
    let mut sent = BTreeMap::new();
    let begin = Instant::now();
    cluster.change(&format!("  nodes: {nodes}\n"))?;
    let look = |cluster: &Local| sent.extend(cluster.counters(BULK_BYTES).unwrap_or_default());
    cluster.settles(nodes, LOOK, look).await?;
    let end = Instant::now();
    sent.extend(cluster.counters(BULK_BYTES)?);
    sleep(SETTLE).await;
    Ok(Change {
        name,
        times: (begin, end),
        bytes: sent.values().sum::<u64>() - before,
    })
}

fn judge_bytes(report: &mut Report, changes: &[Change]) {
    // All copies are spread over five nodes, of which two come or go.
    let ideal = (KEYS * BYTES as u64 * COPIES) as f64 * 2.0 / 5.0;
    for change in changes {
        let ratio = change.bytes as f64 / ideal;
        report.floor(
            &format!(
                "{}: bytes moved, times the ideal share (at most 1.1)",
                change.name
            ),
            format!("{ratio:.2} ({} of {ideal:.0})", change.bytes),
            ratio <= BYTES_FLOOR,
        );
    }
}

fn judge_times(
    report: &mut Report,
    before: Times,
    changes: &[Change],
    answers: &Answers,
    disk: &Answers,
) -> anyhow::Result<()> {
    let all = [("before", before)].into_iter();
    let all = all.chain(changes.iter().map(|change| (change.name, change.times)));
    let mut p99s = Vec::new();
    for (name, (from, to)) in all {
        let (p99, sync) = (answers.p99_us(from, to)?, disk.p99_us(from, to)?);
        let took = (to - from).as_secs_f64();
        println!("{name:<34} {took:.0} s, p99 {p99} µs, fdatasync's p99 {sync} µs");
        p99s.push((p99, sync));
    }
    println!("{} failed requests {:?}", answers.failed, answers.error);
    for (change, (p99, sync)) in changes.iter().zip(&p99s[1..]) {
        let ratio = f64::from(*p99) / f64::from(p99s[0].0.max(1));
        let sync = f64::from(*sync) / f64::from(p99s[0].1.max(1));
        report.floor(
            &format!(
                "{}: p99 at a quarter of saturation, times before (at most 3)",
                change.name
            ),
            format!("{ratio:.2} (fdatasync's p99: {sync:.2})"),
            ratio <= P99_FLOOR,
        );
    }
    report.floor(
        "3 → 5 → 3: no request failed",
        answers.failed.to_string(),
        answers.failed == 0,
    );
    Ok(())
}
