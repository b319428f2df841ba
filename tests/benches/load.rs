//! A closed loop: each connection sends its next request when the last answer is there and checked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::cpu_seconds;

/// Before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

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
    let mut tasks = tokio::task::JoinSet::new();
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
    let at = |permille: usize| all[(all.len() * permille / 1000).min(all.len() - 1)];
    let count = all.len() as f64;
    Ok(Measured {
        per_second: count / took,
        p50_us: at(500),
        p99_us: at(990),
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
        // SplitMix64: any key, the same ones in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let begin = Instant::now();
        connection.call((z ^ (z >> 31)) % keys).await?;
        if now == MEASURING {
            latencies.push(begin.elapsed().as_micros() as u32);
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
    let mut tasks = tokio::task::JoinSet::new();
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
