//! Servers as child processes, and what the kernel says of their CPU time and memory.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Far more than any server here takes to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: std::path::PathBuf,
}

impl Server {
    /// Starts a program; what it says goes to `log`.
    pub fn start<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
        log: &Path,
    ) -> anyhow::Result<Server> {
        let file = std::fs::File::create(log)?;
        let child = Command::new(program.as_ref())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("can't start {}", program.as_ref().display()))?;
        Ok(Server {
            child,
            log: log.to_owned(),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that starts so, and answers its rest.
    pub async fn says(&mut self, start: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = std::fs::read_to_string(&self.log)?;
            let line = said
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(rest) = line.filter_map(|line| line.strip_prefix(start)).next() {
                return Ok(rest.trim().to_owned());
            }
            self.check(deadline)?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until somebody listens there.
    pub async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            self.check(deadline)?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn check(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!(
                "{}: ended or too late ({ended:?}); it said: {said}",
                self.log.display()
            );
        }
        Ok(())
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    signal(child.id(), rustix::process::Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // It was asked; now it is told. A child that has ended meanwhile needs neither.
    let _ = child.kill();
    let _ = child.wait();
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // One that is gone needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A port that is free at this moment.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// CPU time of a process with all its threads, user and system, seconds.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    let (_, fields) = text.rsplit_once(')').context("no stat")?;
    let field = |n: usize| {
        fields
            .split_whitespace()
            .nth(n)
            .and_then(|f| f.parse::<f64>().ok())
    };
    // utime and stime are fields 14 and 15 of proc(5), in ticks of 10 ms.
    let (user, system) = (field(11).context("utime")?, field(12).context("stime")?);
    Ok((user + system) / 100.0)
}

/// Memory that a process has in RAM, bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .context("VmRSS")?;
    Ok(kib * 1024)
}
