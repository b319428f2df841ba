//! What is printed: a line for each side of each comparison, and whether the floor holds.

use crate::load::Measured;

/// Collects the floors and shows them at the end.
#[derive(Debug, Default)]
pub struct Report {
    floors: Vec<(String, String, bool)>,
}

impl Report {
    pub fn new() -> Report {
        Report::default()
    }

    /// Where this was measured.
    pub fn environment(&self) {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "{cores} cores, load before: {}",
            load.split(' ').next().unwrap_or("?")
        );
    }

    pub fn heading(&self, text: &str) {
        println!("\n## {text}");
        println!(
            "{:<34} {:>9} {:>9} {:>9} {:>13} {:>13}",
            "", "ops/s", "p50 µs", "p99 µs", "server µs/op", "client µs/op"
        );
    }

    /// One side's median.
    pub fn side(&self, name: &str, measured: &Measured) {
        println!(
            "{name:<34} {:>9.0} {:>9} {:>9} {:>13.1} {:>13.1}",
            measured.per_second,
            measured.p50_us,
            measured.p99_us,
            measured.server_us,
            measured.client_us
        );
    }

    pub fn note(&self, text: &str) {
        println!("{text}");
    }

    pub fn floor(&mut self, what: &str, found: String, holds: bool) {
        self.floors.push((what.to_owned(), found, holds));
    }

    pub fn end(&self) {
        println!("\n## Floors");
        for (what, found, holds) in &self.floors {
            println!("{} {what}: {found}", if *holds { "ok  " } else { "MISS" });
        }
    }
}
