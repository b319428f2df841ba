//! A hundred splits by hand while all partitions are written to: how long writes of the range that splits stand still.
//!
//! A writer for each of the four ranges that a table begins with writes one key, every few milliseconds. A range is cut again and again, below that
//! key and above it by turns, closer each time, so that it is always the writer's partition that splits and the key is in the right part as
//! often as in the left. Each window with a split follows one of the same length in which as large a command asks for something harmless.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::local::Local;
use super::{PARTITIONS, keys};
use crate::Setup;
use crate::clients::http::{Requests, TABLE, create_table};
use crate::clients::roam::Roamer;
use crate::load::{Answers, OpenLoop, percentile};
use crate::report::Report;

const SPLITS: usize = 100;
/// Cuts of a range, and the key that is written.
const KEYS_EACH: usize = SPLITS / PARTITIONS + 1;
const BYTES: usize = 100;
const EVERY: Duration = Duration::from_millis(5);
/// Keys all over the table, written meanwhile.
const OTHERS: u64 = 1000;
const OTHERS_EVERY: Duration = Duration::from_millis(5);
/// A split is over long before.
const WINDOW: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
const P50_MS_FLOOR: f64 = 20.0;
const P95_MS_FLOOR: f64 = 100.0;

/// What was done to which range from when on.
struct Window {
    range: usize,
    begin: Instant,
    is_split: bool,
}

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    let servers: Vec<_> = cluster.nodes()?.iter().map(|node| node.address).collect();
    create_table(servers[0], TABLE).await?;
    sleep(Duration::from_secs(3)).await;
    let before = replicas(&cluster)?;
    let ranges = keys("split", KEYS_EACH)?;
    let others = Roamer::several(&servers, 8, &Requests::puts(OTHERS, BYTES));
    let others = OpenLoop::start(others, OTHERS, OTHERS_EVERY);
    let mut writers = Vec::new();
    for keys in &ranges {
        let item = (TABLE.to_owned(), keys[KEYS_EACH / 2].clone());
        let clients = Roamer::several(&servers, 3, &Requests::puts_of(&[item], BYTES));
        writers.push(OpenLoop::start(clients, 1, EVERY));
    }
    sleep(WINDOW).await;
    let mut windows = Vec::new();
    for n in 0..SPLITS {
        let (range, cut) = (n % PARTITIONS, n / PARTITIONS);
        for at in [None, Some(&*ranges[range][place(cut)])] {
            windows.push(window(&cluster, range, at).await?);
        }
    }
    let mut answers = Vec::new();
    for writer in writers {
        answers.push(writer.stop().await?);
    }
    let others = others.stop().await?;
    let made = (replicas(&cluster)? - before) / servers.len() as u64;
    judge(report, &windows, &answers, &others, made);
    Ok(())
}

/// The outermost key that was not cut at yet: from below, then from above.
fn place(cut: usize) -> usize {
    match cut.is_multiple_of(2) {
        true => cut / 2,
        false => KEYS_EACH - 1 - cut / 2,
    }
}

/// A window in which a range is split at a key, or is left as it is.
async fn window(cluster: &Local, range: usize, at: Option<&str>) -> anyhow::Result<Window> {
    let since = Instant::now();
    loop {
        let begin = Instant::now();
        let done = match at {
            Some(key) => {
                let key = format!(r#"{{"id":{{"S":"{key}"}}}}"#);
                cluster.command(&["split", TABLE, "--at", &key])
            }
            None => cluster.command(&["top", "partitions"]),
        };
        match done {
            Ok(_) => {
                sleep(WINDOW.saturating_sub(begin.elapsed())).await;
                return Ok(Window {
                    range,
                    begin,
                    is_split: at.is_some(),
                });
            }
            // The partition may be at it still.
            Err(error) if since.elapsed() > PATIENCE => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn replicas(cluster: &Local) -> anyhow::Result<u64> {
    let nodes = cluster.top("nodes")?;
    let counts = nodes.iter().map(|node| node["replicas"].as_u64());
    Ok(counts.flatten().sum())
}

fn judge(
    report: &mut Report,
    windows: &[Window],
    answers: &[Answers],
    others: &Answers,
    made: u64,
) {
    let stalls = |is_split: bool| {
        let of = windows.iter().filter(|window| window.is_split == is_split);
        let mut stalls: Vec<f64> = of
            .map(|window| {
                let end = window.begin + WINDOW;
                answers[window.range].longest_gap(window.begin, end)
            })
            .map(|stall| stall.as_secs_f64() * 1e3)
            .collect();
        stalls.sort_by(f64::total_cmp);
        stalls
    };
    let (with, without) = (stalls(true), stalls(false));
    println!("\n## {SPLITS} splits under writes: longest stall of the range, ms");
    for (name, stalls) in [("with a split", &with), ("without", &without)] {
        let [p50, p95, max] = [500, 950, 1000].map(|permille| percentile(stalls, permille));
        println!("{name:<34} p50 {p50:.1}  p95 {p95:.1}  max {max:.1}");
    }
    let failed: usize = answers.iter().chain([others]).map(|all| all.failed).sum();
    let error = answers
        .iter()
        .chain([others])
        .find_map(|all| all.error.as_ref());
    println!("{made} new partitions; {failed} failed requests {error:?}");
    for (name, permille, floor) in [("p50", 500, P50_MS_FLOOR), ("p95", 950, P95_MS_FLOOR)] {
        let stall = percentile(&with, permille) - percentile(&without, permille);
        report.floor(
            &format!("split: stall of writes {name}, less that without (under {floor} ms)"),
            format!("{stall:.1} ms"),
            stall < floor,
        );
    }
    report.floor(
        "splits: each was made, no request failed",
        format!("{made} of {SPLITS}, {failed} failed"),
        made >= SPLITS as u64 && failed == 0,
    );
}
