//! What an append costs over the bare device: raft-engine behind [`EngineLog`] against `write` and `fdatasync` on a preallocated file.
//! `cargo run --release -p kv-node --example log_bench -- DIR`

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use kv_core::ids::ReplicaId;
use kv_core::store::{LogStore, LogWrite};
use kv_node::storage::{EngineLog, LogConfig};
use raft::eraftpb::Entry;

const RUN: Duration = Duration::from_secs(3);

/// Calls a second, their median and 99th percentile in microseconds.
fn measure(name: &str, mut call: impl FnMut(u64)) {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < RUN {
        let start = Instant::now();
        call(times.len() as u64);
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    let rate = times.len() as f64 / RUN.as_secs_f64();
    println!(
        "{name:42} {rate:8.0}/s  p50 {:6} us  p99 {:6} us",
        at(50),
        at(99)
    );
}

fn bare(dir: &Path, bytes: usize, written_before: bool) {
    let path = dir.join("bare");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .expect("a file");
    let size = 64_u64 << 20;
    if written_before {
        file.write_all_at(&vec![0; size as usize], 0)
            .expect("zeros");
    } else {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)
            .expect("fallocate");
    }
    file.sync_all().expect("sync");
    let record = vec![7; bytes];
    let slots = size / bytes as u64;
    let kind = if written_before {
        "written"
    } else {
        "reserved"
    };
    measure(&format!("{bytes} B, fdatasync over {kind} blocks"), |n| {
        file.write_all_at(&record, n % slots * bytes as u64)
            .expect("write");
        file.sync_data().expect("sync");
    });
    std::fs::remove_file(path).expect("remove");
}

fn engine(dir: &Path, bytes: usize, replicas: u64) {
    let dir = dir.join("log");
    let log = EngineLog::open(&dir, &LogConfig::default()).expect("open");
    measure(
        &format!("{bytes} B x {replicas}, EngineLog append + sync"),
        |n| {
            let index = n + 1;
            let write = |replica| LogWrite {
                replica: ReplicaId(replica),
                entries: vec![Entry {
                    index,
                    term: 1,
                    data: vec![7; bytes].into(),
                    ..Entry::default()
                }],
                truncate: (index % 1000 == 0).then_some((index - 1, 1)),
                ..LogWrite::default()
            };
            let writes: Vec<LogWrite> = (1..=replicas).map(write).collect();
            log.append(&writes, true).expect("append");
            if index % 1000 == 0 {
                log.purge().expect("purge");
            }
        },
    );
    println!("{:42} {:8} KiB on disk", "", log.bytes() >> 10);
    drop(log);
    std::fs::remove_dir_all(dir).expect("remove");
}

fn main() {
    let dir = std::env::args()
        .nth(1)
        .expect("a directory on the device to measure");
    let dir = Path::new(&dir);
    for bytes in [100, 1000] {
        bare(dir, bytes, true);
        bare(dir, bytes, false);
        engine(dir, bytes, 1);
        engine(dir, bytes, 16);
    }
}
