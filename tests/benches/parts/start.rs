//! From `kv-operator local` on an empty directory to Ready: what `make run` takes when everything is built.

use std::time::Duration;

use super::local::Local;
use crate::Setup;
use crate::report::Report;

const FLOOR: Duration = Duration::from_secs(5);

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for _ in 0..setup.runs {
        times.push(Local::start(setup).await?.took);
    }
    times.sort();
    let median = times[times.len() / 2];
    println!("\n## From the start to Ready: {times:.1?}");
    report.floor(
        "start to Ready when built (under 5 s)",
        format!("{:.1} s", median.as_secs_f64()),
        median < FLOOR,
    );
    Ok(())
}
