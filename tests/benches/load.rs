//! A closed loop: each connection sends its next request when the last answer is there and checked. And an open one: requests are
//! sent at a rate, whatever their answers take.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use crate::process::cpu_seconds;

/// Before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Between two states of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// One connection of a loader.
pub trait Connection: Send + 'static {
    /// Sends the request of key `n` and checks the answer.
    fn call(&mut self, n: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What a run has shown; µs are of one operation.
#[derive(Clone, Debug)]
pub struct Measured {
    pub per_second: f64,
    pub p50_us: u32,
    pub p99_us: u32,
    /// CPU time of all servers together.
    pub server_us: f64,
    pub client_us: f64,
}

/// Drives all connections for `time` over `keys` keys; `servers` are the processes whose CPU time counts.
pub async fn drive<C: Connection>(
    connections: Vec<C>,
    keys: u64,
    servers: &[u32],
    time: Duration,
) -> anyhow::Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut tasks = JoinSet::new();
    for (number, connection) in connections.into_iter().enumerate() {
        tasks.spawn(work(connection, number as u64, keys, phase.clone()));
    }
    let own = std::process::id();
    let cpu = || -> anyhow::Result<(f64, f64)> {
        let servers = servers.iter().map(|pid| cpu_seconds(*pid));
        Ok((servers.sum::<anyhow::Result<f64>>()?, cpu_seconds(own)?))
    };
    tokio::time::sleep(WARM_UP).await;
    let (before, began) = (cpu()?, Instant::now());
    phase.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    phase.store(OVER, Ordering::Relaxed);
    let (after, took) = (cpu()?, began.elapsed().as_secs_f64());
    let mut all = Vec::new();
    while let Some(worker) = tasks.join_next().await {
        all.extend(worker.context("a connection's task ended")??);
    }
    if all.is_empty() {
        bail!("nothing was answered");
    }
    all.sort_unstable();
    let count = all.len() as f64;
    Ok(Measured {
        per_second: count / took,
        p50_us: percentile(&all, 500),
        p99_us: percentile(&all, 990),
        server_us: (after.0 - before.0) / count * 1e6,
        client_us: (after.1 - before.1) / count * 1e6,
    })
}

/// One connection's latencies, µs.
async fn work<C: Connection>(
    mut connection: C,
    seed: u64,
    keys: u64,
    phase: Arc<AtomicU8>,
) -> anyhow::Result<Vec<u32>> {
    let mut state = seed;
    let mut latencies = Vec::with_capacity(1 << 16);
    loop {
        let now = phase.load(Ordering::Relaxed);
        if now == OVER {
            return Ok(latencies);
        }
        state = state.wrapping_add(GOLDEN);
        let begin = Instant::now();
        connection.call(scatter(state) % keys).await?;
        if now == MEASURING {
            latencies.push(begin.elapsed().as_micros() as u32);
        }
    }
}

/// SplitMix64: any key, the same ones in every run.
fn scatter(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Of what is sorted and not empty.
pub fn percentile<T: Copy>(sorted: &[T], permille: usize) -> T {
    sorted[(sorted.len() * permille / 1000).min(sorted.len() - 1)]
}

/// The longest time without an answer, from the last one before `from` on; what comes after `to` does not count. In order of time.
pub fn longest_gap(answers: &[Instant], from: Instant, to: Instant) -> Duration {
    let first = answers.partition_point(|at| *at <= from);
    let mut last = first.checked_sub(1).map_or(from, |n| answers[n]);
    let mut longest = Duration::ZERO;
    for at in answers[first..].iter().chain([&to]) {
        let at = *at.min(&to);
        longest = longest.max(at.saturating_duration_since(last));
        last = at;
    }
    longest
}

/// A request of an open loop that was answered as it should.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub at: Instant,
    /// From when it was due to be sent.
    pub us: u32,
}

/// What came of an open loop.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// In order of time.
    pub answered: Vec<Answer>,
    pub failed: usize,
    /// What was wrong with one that failed.
    pub error: Option<String>,
}

impl Answers {
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let times: Vec<Instant> = self.answered.iter().map(|answer| answer.at).collect();
        longest_gap(&times, from, to)
    }

    /// 99 of 100 requests of this time took no longer, µs.
    pub fn p99_us(&self, from: Instant, to: Instant) -> anyhow::Result<u32> {
        let within = |answer: &&Answer| (from..to).contains(&answer.at);
        let within = self.answered.iter().filter(within);
        let mut all: Vec<u32> = within.map(|answer| answer.us).collect();
        if all.is_empty() {
            bail!("nothing was answered: {:?}", self.error);
        }
        all.sort_unstable();
        Ok(percentile(&all, 990))
    }

    pub fn per_second(&self, from: Instant, to: Instant) -> f64 {
        let within = |answer: &&Answer| (from..to).contains(&answer.at);
        let count = self.answered.iter().filter(within).count();
        count as f64 / (to - from).as_secs_f64()
    }

    pub fn add(&mut self, other: Answers) {
        self.answered.extend(other.answered);
        self.answered.sort_by_key(|answer| answer.at);
        self.failed += other.failed;
        self.error = self.error.take().or(other.error);
    }
}

/// Requests at a rate. A request that finds no free connection is late, and that counts; how late a timer is does not.
#[derive(Debug)]
pub struct OpenLoop {
    tasks: JoinSet<Answers>,
    over: Arc<AtomicBool>,
}

impl OpenLoop {
    /// Sends a request of any of `keys` keys each `every`; ends when it is dropped.
    pub fn start<C: Connection>(connections: Vec<C>, keys: u64, every: Duration) -> OpenLoop {
        let (over, numbers) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in connections {
            let (over, numbers) = (over.clone(), Arc::clone(&numbers));
            tasks.spawn(pace(connection, keys, began, every, numbers, over));
        }
        OpenLoop { tasks, over }
    }

    /// Waits for what is under way.
    pub async fn stop(mut self) -> anyhow::Result<Answers> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        while let Some(answers) = self.tasks.join_next().await {
            all.add(answers.context("a connection's task ended")?);
        }
        Ok(all)
    }
}

async fn pace<C: Connection>(
    mut connection: C,
    keys: u64,
    began: Instant,
    every: Duration,
    numbers: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> Answers {
    let mut answers = Answers::default();
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let mut due = began + Duration::from_nanos(every.as_nanos() as u64 * number);
        if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
            due = Instant::now();
        }
        if over.load(Ordering::Relaxed) {
            return answers;
        }
        let answer = connection
            .call(scatter(number.wrapping_mul(GOLDEN)) % keys)
            .await;
        let at = Instant::now();
        match answer {
            Ok(()) => answers.answered.push(Answer {
                at,
                us: (at - due).as_micros() as u32,
            }),
            Err(error) => {
                answers.failed += 1;
                answers.error.get_or_insert(format!("{error:#}"));
            }
        }
    }
}

/// The run with the median throughput.
pub fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs.swap_remove(runs.len() / 2)
}

/// Writes keys `0..keys` once, over all connections.
pub async fn fill<C: Connection>(connections: Vec<C>, keys: u64) -> anyhow::Result<()> {
    let count = connections.len() as u64;
    let mut tasks = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        tasks.spawn(async move {
            for key in (number as u64..keys).step_by(count as usize) {
                connection.call(key).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = tasks.join_next().await {
        worker??;
    }
    Ok(())
}
