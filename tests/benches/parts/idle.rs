//! A thousand idle partitions over three nodes: what they cost.

use std::time::Duration;

use tokio::time::sleep;

use super::local::Local;
use super::tables;
use crate::Setup;
use crate::process::{cpu_seconds, resident_bytes};
use crate::report::Report;

/// A table begins with four partitions.
const TABLES: usize = 250;
const SETTLE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(20);
const CPU_FLOOR: f64 = 0.03;
const MEMORY_FLOOR: u64 = 150 << 20;

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    let nodes = cluster.nodes()?;
    let servers: Vec<_> = nodes.iter().map(|node| node.address).collect();
    tables(&servers, "idle", TABLES).await?;
    sleep(SETTLE).await;
    let cpu = || {
        nodes
            .iter()
            .map(|node| cpu_seconds(node.pid))
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let before = cpu()?;
    sleep(WATCH).await;
    let after = cpu()?;
    println!("\n## {} idle partitions, three nodes", TABLES * 4);
    let (mut worst_cpu, mut worst_memory) = (0.0f64, 0);
    for (node, (before, after)) in nodes.iter().zip(before.iter().zip(&after)) {
        let share = (after - before) / WATCH.as_secs_f64();
        let memory = resident_bytes(node.pid)?;
        println!(
            "{:<34} {:>6.2} % of a core, {} MiB",
            node.name,
            share * 100.0,
            memory >> 20
        );
        worst_cpu = worst_cpu.max(share);
        worst_memory = worst_memory.max(memory);
    }
    report.floor(
        "1,000 idle partitions: CPU a node (under 3 % of a core)",
        format!("{:.2} %", worst_cpu * 100.0),
        worst_cpu < CPU_FLOOR,
    );
    report.floor(
        "1,000 idle partitions: memory a node (under 150 MiB)",
        format!("{} MiB", worst_memory >> 20),
        worst_memory < MEMORY_FLOOR,
    );
    Ok(())
}
