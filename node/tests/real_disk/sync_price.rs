//! What a synced append costs the file system, counted instead of timed: the journal's commits.

use std::fs;

use crate::mount::Disk;
use kv_core::store::suite::log::{entry, write};
use kv_core::store::{LogStore, LogWrite};
use kv_node::storage::{EngineLog, LogConfig};

/// ext4's own count of the transactions that its journal committed.
fn journal_commits(disk: &Disk) -> u64 {
    let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
    let mount = disk.path();
    let device = mounts
        .lines()
        .find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            rest.starts_with(mount.to_str()?)
                .then(|| device.trim_start_matches("/dev/").to_owned())
        })
        .expect("the disk is mounted");
    let info = fs::read_to_string(format!("/proc/fs/jbd2/{device}-8/info"))
        .expect("the journal's figures");
    info.split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a count")
}

#[test]
fn a_synced_append_commits_no_metadata() {
    let disk = Disk::new(128 << 20);
    let config = LogConfig {
        file_bytes: 1 << 20,
        purge_bytes: 2 << 20,
        spare_files: 4,
    };
    let log = EngineLog::open(disk.path().join("log"), &config).expect("open");
    let append = |index: u64, sync: bool| {
        let entries = vec![entry(index, 1, 1000)];
        let truncate = (index.is_multiple_of(100)).then(|| (index - 1, 1));
        log.append(
            &[LogWrite {
                entries,
                truncate,
                ..write(1)
            }],
            sync,
        )
        .expect("append");
    };
    // Until purged files are written over.
    for index in 1..=6000 {
        append(index, false);
        if index % 100 == 0 {
            log.purge().expect("purge");
        }
    }
    let before = journal_commits(&disk);
    (6001..=6500).for_each(|index| append(index, true));
    let commits = journal_commits(&disk) - before;
    // One rotation, and what the kernel commits by itself every five seconds.
    assert!(commits < 50, "{commits} commits for 500 synced appends");
}
