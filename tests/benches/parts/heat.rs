//! Load that is too much for one node: how soon its leaders go apart and its partitions split, and what that gives.
//!
//! Of four partitions on three nodes some node leads two: both are hammered until one is led elsewhere and one was cut. Then each node gets a limit
//! of CPU time, and one partition of a new table is hammered, long enough for it to be cut and its parts to be led apart: what is answered
//! before the first split against what is answered at the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::time::{sleep, sleep_until};

use super::local::Local;
use super::{PARTITIONS, keys};
use crate::Setup;
use crate::cgroup::Limits;
use crate::clients::http::{Http, Requests, create_table};
use crate::clients::roam::Roamer;
use crate::load::{Answers, OpenLoop, fill};
use crate::process::cpu_seconds;
use crate::report::Report;

const KEYS_EACH: usize = 500;
const BYTES: usize = 100;
/// All nodes together leave the rest of two cores to the loader.
const CORES: f64 = 0.3;
/// What writes of items have warmed cools down.
const SETTLE: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(60);
/// From the begin of the load: a partition is hot for two seconds before it is split.
const BEFORE: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1800)];
/// From the begin of the load: parts of parts are split too.
const AFTER: Duration = Duration::from_secs(40);
const RELIEF_FLOOR: Duration = Duration::from_secs(1);
const SPLIT_FLOOR: Duration = Duration::from_secs(5);
const READS_FLOOR: f64 = 2.2;
const WRITES_FLOOR: f64 = 1.3;
const CPU_FLOOR: f64 = 1.2;

/// A partition of a table, as `top` shows it.
struct Part {
    id: u64,
    leader: u64,
    /// Which of the quarters it begins with; none where a key was cut at.
    quarter: Option<usize>,
}

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    // Ends after the cluster.
    let mut limits = Limits::default();
    let cluster = Local::start(setup).await?;
    let nodes = cluster.nodes()?;
    let servers: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    println!("\n## Load on one node of three");
    times(setup, report, &cluster, &servers).await?;
    for node in &nodes {
        if let Err(error) = limits.limit(node.pid, CORES) {
            report.note(&format!(
                "no limits of CPU time here, so no throughput: {error:#}"
            ));
            return Ok(());
        }
    }
    let pids: Vec<u32> = nodes.iter().map(|node| node.pid).collect();
    let sides = [("reads", READS_FLOOR), ("writes", WRITES_FLOOR)];
    for (what, floor) in sides {
        let mut gains = Vec::new();
        for n in 0..setup.runs {
            let table = format!("heat-{what}-{n}");
            gains.push(gain(setup, &cluster, &servers, &pids, &table, what == "reads").await?);
        }
        gains.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, cpu) = gains[gains.len() / 2];
        report.floor(
            &format!(
                "one hot range, limited nodes: {what} after splits, times before (at least {floor})"
            ),
            format!("{ratio:.2}"),
            ratio >= floor,
        );
        report.floor(
            &format!("one hot range, limited nodes: {what}, CPU of nodes max/mean (at most 1.2)"),
            format!("{cpu:.2}"),
            cpu <= CPU_FLOOR,
        );
    }
    Ok(())
}

/// From the begin of load until a leader has moved, and until a partition was split.
async fn times(
    setup: &Setup,
    report: &mut Report,
    cluster: &Local,
    servers: &[SocketAddr],
) -> anyhow::Result<()> {
    let table = "heat-times";
    let keys = filled(setup, servers, table).await?;
    let before = parts(cluster, table)?;
    ensure!(before.len() == PARTITIONS, "{} partitions", before.len());
    let led_with = |part: &&Part| before.iter().filter(|p| p.leader == part.leader).count();
    let most = before.iter().max_by_key(led_with).context("a partition")?;
    let hot: Vec<&Part> = before
        .iter()
        .filter(|p| p.leader == most.leader)
        .take(2)
        .collect();
    let quarters = hot.iter().filter_map(|part| part.quarter);
    let begin = Instant::now();
    let loads: Vec<OpenLoop> = quarters
        .map(|quarter| hammer(setup, servers, table, &keys[quarter], true))
        .collect();
    let (mut relief, mut split) = (None, None);
    while (relief.is_none() || split.is_none()) && begin.elapsed() < PATIENCE {
        // A look that fails is made again.
        let now = parts(cluster, table).unwrap_or_default();
        let is_elsewhere = |part: &&Part| {
            hot.iter()
                .any(|was| was.id == part.id && was.leader != part.leader && part.leader > 0)
        };
        if now.iter().any(|part| is_elsewhere(&part)) {
            relief.get_or_insert(begin.elapsed());
        }
        if now.len() > PARTITIONS {
            split.get_or_insert(begin.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut answers = Answers::default();
    for load in loads {
        answers.add(load.stop().await?);
    }
    println!(
        "{} answers, {} failed {:?}",
        answers.answered.len(),
        answers.failed,
        answers.error
    );
    for (what, found, floor) in [
        ("a leader moved", relief, RELIEF_FLOOR),
        ("a partition was split", split, SPLIT_FLOOR),
    ] {
        report.floor(
            &format!("heat: until {what} (under {} s)", floor.as_secs()),
            found.map_or("never".into(), |time| {
                format!("{:.2} s", time.as_secs_f64())
            }),
            found.is_some_and(|time| time < floor),
        );
    }
    Ok(())
}

/// What is answered after splits, times what is before; and how unevenly the nodes work then.
async fn gain(
    setup: &Setup,
    cluster: &Local,
    servers: &[SocketAddr],
    pids: &[u32],
    table: &str,
    reads: bool,
) -> anyhow::Result<(f64, f64)> {
    let keys = filled(setup, servers, table).await?;
    let begin = Instant::now();
    let load = hammer(setup, servers, table, &keys[0], reads);
    sleep_until((begin + BEFORE[1]).into()).await;
    let parts_before = parts(cluster, table)?.len();
    sleep_until((begin + AFTER).into()).await;
    let cpu = || pids.iter().map(|pid| cpu_seconds(*pid)).collect();
    let (from, cpu_from): (_, anyhow::Result<Vec<f64>>) = (Instant::now(), cpu());
    sleep(setup.time()).await;
    let (to, cpu_to): (_, anyhow::Result<Vec<f64>>) = (Instant::now(), cpu());
    let parts_after = parts(cluster, table)?;
    let answers: Answers = load.stop().await?;
    let before = answers.per_second(begin + BEFORE[0], begin + BEFORE[1]);
    let after = answers.per_second(from, to);
    let used: Vec<f64> = cpu_to?
        .iter()
        .zip(cpu_from?)
        .map(|(to, from)| to - from)
        .collect();
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    let uneven = used.iter().copied().fold(0.0, f64::max) / mean.max(f64::MIN_POSITIVE);
    println!(
        "{table:<34} {before:.0} a second in {parts_before} partitions, {after:.0} in {}; CPU max/mean {uneven:.2}; {} failed {:?}",
        parts_after.len(),
        answers.failed,
        answers.error
    );
    Ok((after / before.max(1.0), uneven))
}

/// A new table with items in all of its partitions; answers their keys, partition by partition.
async fn filled(
    setup: &Setup,
    servers: &[SocketAddr],
    table: &str,
) -> anyhow::Result<Vec<Vec<String>>> {
    create_table(servers[0], table).await?;
    let keys = keys("heat", KEYS_EACH)?;
    for keys in &keys {
        let puts = Requests::puts_of(&named(table, keys), BYTES);
        let connections = Http::connect(servers, setup.connections, &puts).await?;
        fill(connections, keys.len() as u64).await?;
    }
    sleep(SETTLE).await;
    Ok(keys)
}

/// A closed loop that goes on after a failure: all that is sent is due at once.
fn hammer(
    setup: &Setup,
    servers: &[SocketAddr],
    table: &str,
    keys: &[String],
    reads: bool,
) -> OpenLoop {
    let items = named(table, keys);
    // Each partition was filled by itself, so its values are those of the places in its own list.
    let requests = match reads {
        true => Requests::strong_gets_of(&items, BYTES),
        false => Requests::puts_of(&items, BYTES),
    };
    let clients = Roamer::several(servers, setup.connections, &requests);
    OpenLoop::start(clients, keys.len() as u64, Duration::ZERO)
}

fn named(table: &str, keys: &[String]) -> Vec<(String, String)> {
    let item = |key: &String| (table.to_owned(), key.clone());
    keys.iter().map(item).collect()
}

fn parts(cluster: &Local, table: &str) -> anyhow::Result<Vec<Part>> {
    let rows = cluster.top("partitions")?;
    let rows = rows.iter().filter(|row| row["table"] == table);
    let part = |row: &serde_json::Value| {
        let start = row["start"].as_str().context("a border")?;
        let token = match start {
            "" => Some(0),
            start => u128::from_str_radix(start, 16).ok(),
        };
        Ok(Part {
            id: row["partition"].as_u64().context("an id")?,
            leader: row["leader"].as_u64().context("a leader")?,
            quarter: token.map(|token| (token / (u128::MAX / PARTITIONS as u128 + 1)) as usize),
        })
    };
    rows.map(part).collect()
}
