//! kill -9 of the node that leads most: how long until every partition takes a write, and whether reads stop meanwhile.
//!
//! One key a partition (a table begins with four, at evenly spaced tokens). A writer, a strong and an eventual reader for each ask
//! the two nodes that stay, every few milliseconds; a partition's gap is the longest time between two answers around the kill.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::keys;
use super::local::Local;
use crate::Setup;
use crate::clients::http::{Link, TABLE, create_table};
use crate::load::longest_gap;
use crate::process::signal;
use crate::report::Report;

const EVERY: Duration = Duration::from_millis(5);
/// A request that takes longer is left and sent again, elsewhere.
const PATIENCE: Duration = Duration::from_millis(500);
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);
const WRITE_FLOOR: Duration = Duration::from_secs(3);
/// A pause that no client would call one.
const READ_FLOOR: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Write,
    Strong,
    Eventual,
}

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    create_table(cluster.nodes()?[0].address, TABLE).await?;
    // Leadership settles a moment after the table is there.
    sleep(Duration::from_secs(3)).await;
    let nodes = cluster.nodes()?;
    let victim = nodes
        .iter()
        .max_by_key(|node| node.leaders)
        .context("a node")?
        .clone();
    let others: Vec<SocketAddr> = nodes
        .iter()
        .filter(|node| node.pid != victim.pid)
        .map(|node| node.address)
        .collect();
    let keys = keys("kill", 1)?.concat();
    let (over, watch) = watch::channel(false);
    let mut tasks = Vec::new();
    for key in &keys {
        for ask in [Ask::Write, Ask::Strong, Ask::Eventual] {
            let answers = ask_on(others.clone(), key.clone(), ask, watch.clone());
            tasks.push((ask, tokio::spawn(answers)));
        }
    }
    sleep(BEFORE).await;
    let killed = Instant::now();
    signal(victim.pid, Signal::KILL);
    sleep(AFTER).await;
    over.send_replace(true);
    let mut gaps: Vec<(Ask, Duration, Option<Duration>)> = Vec::new();
    for (ask, task) in tasks {
        let answers = task.await??;
        gaps.push((
            ask,
            longest_gap(&answers, killed, killed + AFTER),
            first_after(&answers, killed),
        ));
    }
    judge(report, &victim.name, victim.leaders, &gaps);
    Ok(())
}

fn judge(
    report: &mut Report,
    victim: &str,
    leaders: u64,
    gaps: &[(Ask, Duration, Option<Duration>)],
) {
    println!(
        "\n## kill -9 of {victim}, which led {leaders} groups (longest pause of each partition, ms)"
    );
    let of = |ask| gaps.iter().filter(move |(a, ..)| *a == ask);
    for ask in [Ask::Write, Ask::Strong, Ask::Eventual] {
        let pauses: Vec<String> = of(ask)
            .map(|(_, gap, _)| gap.as_millis().to_string())
            .collect();
        println!("{:<34} {}", format!("{ask:?}"), pauses.join("  "));
    }
    let first = of(Ask::Write)
        .map(|(.., first)| *first)
        .collect::<Option<Vec<_>>>();
    let last = first.and_then(|all| all.into_iter().max());
    let writes = of(Ask::Write)
        .map(|(_, gap, _)| *gap)
        .max()
        .unwrap_or(AFTER);
    let shown = last.map_or("never".into(), |d| {
        format!(
            "first write everywhere after {} ms, longest pause {} ms",
            d.as_millis(),
            writes.as_millis()
        )
    });
    report.floor(
        "kill -9: writes of every partition within 3 s",
        shown,
        last.is_some() && writes <= WRITE_FLOOR,
    );
    // Those that lost no leader: their strong reads go on. Eventual reads go on everywhere.
    let kept: Vec<Duration> = of(Ask::Strong)
        .zip(of(Ask::Write))
        .filter(|(_, (_, write, _))| *write <= READ_FLOOR)
        .map(|((_, strong, _), _)| *strong)
        .collect();
    let eventual = of(Ask::Eventual)
        .map(|(_, gap, _)| *gap)
        .max()
        .unwrap_or(AFTER);
    let strong = kept.iter().max().copied().unwrap_or_default();
    report.floor(
        "kill -9: reads of the others never stop",
        format!(
            "longest pause: {} ms eventual, {} ms strong where the leader stayed ({} partitions)",
            eventual.as_millis(),
            strong.as_millis(),
            kept.len()
        ),
        eventual <= READ_FLOOR && strong <= READ_FLOOR,
    );
}

/// When each request that succeeded was answered.
async fn ask_on(
    servers: Vec<SocketAddr>,
    key: String,
    ask: Ask,
    over: watch::Receiver<bool>,
) -> anyhow::Result<Vec<Instant>> {
    let item = format!(r#"{{"id":{{"S":"{key}"}}}}"#);
    let (operation, body) = match ask {
        Ask::Write => (
            "PutItem",
            format!(r#"{{"TableName":"{TABLE}","Item":{item}}}"#),
        ),
        Ask::Strong => (
            "GetItem",
            format!(r#"{{"TableName":"{TABLE}","Key":{item},"ConsistentRead":true}}"#),
        ),
        Ask::Eventual => (
            "GetItem",
            format!(r#"{{"TableName":"{TABLE}","Key":{item}}}"#),
        ),
    };
    let body = Arc::new(body);
    let mut answers = Vec::new();
    for server in servers.iter().cycle() {
        let mut link = Link::to(*server).await?;
        while !*over.borrow() {
            match timeout(PATIENCE, link.call(operation, body.to_string())).await {
                Ok(Ok((200, _))) => answers.push(Instant::now()),
                // Late, lost or refused: through the other node.
                Ok(_) | Err(_) => break,
            }
            sleep(EVERY).await;
        }
        if *over.borrow() {
            break;
        }
    }
    Ok(answers)
}

fn first_after(answers: &[Instant], killed: Instant) -> Option<Duration> {
    answers
        .iter()
        .find(|at| **at > killed)
        .map(|at| *at - killed)
}
