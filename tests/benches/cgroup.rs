//! Processes with a limit on their CPU time each, by control groups (version 1 or 2), where this process may make some.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// So short that a request seldom waits for the next one.
const PERIOD_US: u64 = 20_000;
/// A group goes once its processes have ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// One group a process. Drop it after they have ended.
#[derive(Debug, Default)]
pub struct Limits {
    groups: Vec<PathBuf>,
}

impl Limits {
    /// Gives a process so many cores from now on.
    pub fn limit(&mut self, pid: u32, cores: f64) -> anyhow::Result<()> {
        let name = format!("ringkv-bench-{pid}");
        let quota = (PERIOD_US as f64 * cores) as u64;
        let (v1, v2) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        let (group, settings) = if v1.join("cgroup.procs").exists() {
            let settings = [
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ];
            (v1.join(name), settings.to_vec())
        } else if v2.join("cgroup.subtree_control").exists() {
            let settings = [("cpu.max", format!("{quota} {PERIOD_US}"))];
            (v2.join(name), settings.to_vec())
        } else {
            bail!("no control groups for CPU time");
        };
        std::fs::create_dir(&group).with_context(|| group.display().to_string())?;
        self.groups.push(group.clone());
        for (file, value) in settings
            .into_iter()
            .chain([("cgroup.procs", pid.to_string())])
        {
            std::fs::write(group.join(file), value).with_context(|| file.to_owned())?;
        }
        Ok(())
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for group in &self.groups {
            let deadline = Instant::now() + PATIENCE;
            while let Err(error) = std::fs::remove_dir(group) {
                if Instant::now() > deadline {
                    eprintln!("{} stays: {error}", group.display());
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
