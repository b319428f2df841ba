//! Planned restarts of all nodes, one by one, with a writer for each partition: how long a partition takes no write.
//!
//! A partition's figure is its longest time between two writes in a whole roll, in which each of its leaders' nodes ends once; beside it that of a
//! time as long in which nothing happens. Writers leave a node when it says so.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::time::sleep;

use super::local::Local;
use super::{keys, tables};
use crate::Setup;
use crate::clients::http::Requests;
use crate::clients::roam::Roamer;
use crate::load::{OpenLoop, percentile};
use crate::report::Report;

const TABLES: usize = 3;
const BYTES: usize = 100;
const EVERY: Duration = Duration::from_millis(10);
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(180);
const P95_MS_FLOOR: f64 = 50.0;
const MAX_MS_FLOOR: f64 = 300.0;

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    let servers: Vec<_> = cluster.nodes()?.iter().map(|node| node.address).collect();
    let keys = keys("restart", 1)?.concat();
    let mut writers = Vec::new();
    for table in tables(&servers, "restart", TABLES).await? {
        for key in &keys {
            let requests = Requests::puts_of(&[(table.clone(), key.clone())], BYTES);
            let clients = Roamer::several(&servers, servers.len(), &requests);
            writers.push(OpenLoop::start(clients, 1, EVERY));
        }
    }
    sleep(SETTLE).await;
    let mut windows = Vec::new();
    for _ in 0..setup.runs {
        let (begin, end) = roll(&cluster).await?;
        sleep(end - begin).await;
        windows.push((begin, end));
    }
    let (mut rolled, mut calm, mut failed, mut error) = (Vec::new(), Vec::new(), 0, None);
    for writer in writers {
        let answers = writer.stop().await?;
        for &(begin, end) in &windows {
            let ms = |from, to| answers.longest_gap(from, to).as_secs_f64() * 1e3;
            rolled.push(ms(begin, end));
            calm.push(ms(end, end + (end - begin)));
        }
        failed += answers.failed;
        error = error.or(answers.error);
    }
    println!(
        "\n## {} planned rolls of three nodes: longest time without a write of each partition, ms",
        setup.runs
    );
    println!("{failed} failed requests {error:?}");
    judge(report, rolled, calm, failed);
    Ok(())
}

/// When a roll of all nodes began and was over.
async fn roll(cluster: &Local) -> anyhow::Result<(Instant, Instant)> {
    let before: Vec<u32> = cluster.nodes()?.iter().map(|node| node.pid).collect();
    let begin = Instant::now();
    cluster.command(&["restart"])?;
    loop {
        sleep(LOOK).await;
        // A node that has no process at this moment is not shown whole.
        let is_new = cluster
            .nodes()
            .is_ok_and(|nodes| nodes.iter().all(|node| !before.contains(&node.pid)));
        if is_new && cluster.has_settled(before.len()) {
            return Ok((begin, Instant::now()));
        }
        ensure!(begin.elapsed() < PATIENCE, "{}", cluster.status()?);
    }
}

fn judge(report: &mut Report, mut rolled: Vec<f64>, mut calm: Vec<f64>, failed: usize) {
    for (name, times) in [("rolling", &mut rolled), ("nothing happens", &mut calm)] {
        times.sort_by(f64::total_cmp);
        let [p50, p95, max] = [500, 950, 1000].map(|permille| percentile(times, permille));
        println!("{name:<34} p50 {p50:.1}  p95 {p95:.1}  max {max:.1}");
    }
    for (name, permille, floor) in [("p95", 950, P95_MS_FLOOR), ("max", 1000, MAX_MS_FLOOR)] {
        let time = percentile(&rolled, permille);
        report.floor(
            &format!("planned restart: unavailability of a partition, {name} (under {floor} ms)"),
            format!("{time:.1} ms"),
            time < floor,
        );
    }
    report.floor(
        "planned restart: no request failed",
        failed.to_string(),
        failed == 0,
    );
}
