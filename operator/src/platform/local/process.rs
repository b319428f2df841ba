//! Processes by an identity that can't be mistaken: pid, start time, boot, and the command line that names the node.
//!
//! A pid alone is used again by the system; together with the start time since a boot it is not.

use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::Error;
use super::dir::{read_file, write_file};

/// A process, as it is noted in a node's pid file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
    /// The boot that it belongs to.
    pub boot_id: String,
}

impl Process {
    /// The process of this number, if it is alive. One that ended but was not waited for is not.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_ticks) = parse_stat(&stat)?;
        let is_alive = !matches!(state, 'Z' | 'X' | 'x');
        is_alive.then(|| Self {
            pid,
            start_ticks,
            boot_id: boot_id(),
        })
    }

    /// The process that runs this program.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether this very process is alive and was told of `config` on its command line.
    #[must_use]
    pub fn is_node(&self, config: &Path) -> bool {
        Self::of(self.pid).as_ref() == Some(self) && names(self.pid, config)
    }

    /// Sends a signal, if it is still this process.
    ///
    /// # Errors
    /// The system refuses. That the process has ended is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if Self::of(self.pid).as_ref() != Some(self) {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        match pid.map(|pid| kill_process(pid, signal)) {
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(errno)) => Err(errno.into()),
        }
    }

    /// Reads a pid file. One that is not there or half written names nobody.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        Ok(read_file(path)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Writes a pid file.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|source| Error::Damaged {
            path: path.to_owned(),
            source,
        })?;
        write_file(path, &text)
    }
}

/// Whether an argument of a process is this path.
fn names(pid: u32, path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|&byte| byte == 0).any(|arg| arg == path))
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// State and start time. The second field, the name, may hold blanks and parentheses: what counts stands after the last one.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the start time field 22.
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_names_with_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        assert_eq!(parse_stat(stat), Some(('S', 987_654)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let config = std::env::args_os().next().expect("program");
        let mine = Process::current().expect("alive");
        assert!(
            mine.is_node(Path::new(&config)),
            "its first argument names it"
        );
        assert!(!mine.is_node(Path::new("/other/node.json")));
        let earlier = Process {
            start_ticks: mine.start_ticks - 1,
            ..mine.clone()
        };
        let rebooted = Process {
            boot_id: "another".into(),
            ..mine
        };
        assert!(!earlier.is_node(Path::new(&config)) && !rebooted.is_node(Path::new(&config)));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().expect("spawned");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while Process::of(child.id()).is_some() {
            assert!(std::time::Instant::now() < deadline, "it did not end");
            std::thread::yield_now();
        }
        child.wait().expect("waited");
    }
}
