//! The floors of the project, measured (`make bench`): each side with its shipped defaults, every answer checked, medians of
//! three runs, and the server's CPU time a request beside the throughput, since here the loader shares the cores.
//!
//! ```text
//!   parts (get, put, cluster, …) ─► process: starts servers ─► load: 64 connections, closed loop ─► report: table, floors
//!                                   rivals: DynamoDB Local, etcd     (http: DynamoDB API, etcd: gRPC)
//! ```

mod cgroup;
mod clients;
mod load;
mod parts;
mod process;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};

use report::Report;

// The allocator of kv-node, so that the constant handler differs in nothing but what it does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(name = "bench", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure.
    Run(Setup),
    /// A server of the same HTTP stack that answers a constant.
    Constant {
        #[arg(long)]
        bytes: usize,
    },
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Strong GetItem of 1 KB on one node, against the constant handler.
    Get,
    /// Durable PutItem of 1 KB on one node, against DynamoDB Local on disk.
    Put,
    /// Three nodes: durable puts and linearizable reads of 100 B and 1 KB, against etcd.
    Cluster,
    /// kill -9 of a node that leads.
    Kill,
    /// A thousand idle partitions.
    Idle,
    /// From the start to Ready.
    Start,
    /// A hundred splits under writes.
    Splits,
    /// Three nodes become five and three again.
    Moves,
    /// How evenly five nodes bear what there is.
    Balance,
    /// Planned restarts of all nodes.
    Restart,
    /// Load that is too much for one node.
    Heat,
}

/// What is measured, how, and where everything is.
#[derive(Clone, Debug, clap::Args)]
pub struct Setup {
    /// This part alone; may be given again.
    #[arg(long)]
    only: Vec<Part>,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds that a run measures.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Runs of each side, in turns; medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where kv-node and kv-operator are.
    #[arg(long)]
    bin: PathBuf,
    /// DynamoDB Local's jars.
    #[arg(long)]
    dynamodb_local: Option<PathBuf>,
    /// The etcd binary.
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// An empty directory on a real disk.
    #[arg(long)]
    data: PathBuf,
}

impl Setup {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn kv_node(&self) -> PathBuf {
        self.bin.join("kv-node")
    }

    fn kv_operator(&self) -> PathBuf {
        self.bin.join("kv-operator")
    }

    /// A directory that did not exist before.
    fn dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        for n in 0.. {
            let dir = self.data.join(format!("{name}-{n}"));
            if !dir.exists() {
                std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
                return Ok(dir);
            }
        }
        unreachable!("numbers don't end")
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Command::Constant { bytes } => runtime.block_on(clients::constant::serve(bytes)),
        Command::Run(setup) => runtime.block_on(run(&setup)),
    }
}

async fn run(setup: &Setup) -> anyhow::Result<()> {
    let mut report = Report::new();
    report.environment();
    if setup.wants(Part::Get) {
        parts::get::run(setup, &mut report).await.context("get")?;
    }
    if setup.wants(Part::Put) {
        parts::put::run(setup, &mut report).await.context("put")?;
    }
    if setup.wants(Part::Cluster) {
        parts::cluster::run(setup, &mut report)
            .await
            .context("cluster")?;
    }
    if setup.wants(Part::Kill) {
        parts::kill::run(setup, &mut report).await.context("kill")?;
    }
    if setup.wants(Part::Idle) {
        parts::idle::run(setup, &mut report).await.context("idle")?;
    }
    if setup.wants(Part::Start) {
        parts::start::run(setup, &mut report)
            .await
            .context("start")?;
    }
    if setup.wants(Part::Splits) {
        parts::splits::run(setup, &mut report)
            .await
            .context("splits")?;
    }
    if setup.wants(Part::Moves) {
        parts::moves::run(setup, &mut report)
            .await
            .context("moves")?;
    }
    if setup.wants(Part::Balance) {
        parts::balance::run(setup, &mut report)
            .await
            .context("balance")?;
    }
    if setup.wants(Part::Restart) {
        parts::restart::run(setup, &mut report)
            .await
            .context("restart")?;
    }
    if setup.wants(Part::Heat) {
        parts::heat::run(setup, &mut report).await.context("heat")?;
    }
    report.end();
    Ok(())
}
