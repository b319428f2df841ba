//! A cluster in a temporary directory and the operator as a child process. Dropping it ends every process that it started.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use kv_operator::crd::condition::{self, ConditionType};
use kv_operator::crd::{KvCluster, KvClusterStatus};
use kv_operator::platform::local::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const OPERATOR: &str = env!("CARGO_BIN_EXE_kv-operator");
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    root: TempDir,
    operator: Option<Child>,
    lines: usize,
}

/// Examples lie beside the folder of test programs; `cargo test -p kv-operator` builds both.
pub fn fake_node() -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let profile = test.ancestors().nth(2).expect("target directory");
    let fake = profile.join("examples/fake-node");
    assert!(
        fake.exists(),
        "{} is missing: run `cargo build -p kv-operator --examples`",
        fake.display()
    );
    fake
}

/// Waits for a condition, with a deadline.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(25));
    }
}

impl Cluster {
    pub fn new(nodes: usize) -> Self {
        let cluster = Self {
            root: tempfile::tempdir().expect("directory"),
            operator: None,
            lines: 0,
        };
        cluster.write_spec(&format!("spec:\n  nodes: {nodes}\n"));
        cluster
    }

    pub fn file(&self) -> PathBuf {
        self.root.path().join("cluster.yaml")
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("dir")
    }

    pub fn node_file(&self, id: u64, file: &str) -> PathBuf {
        self.dir()
            .join("nodes")
            .join(format!("rides-{id}"))
            .join(file)
    }

    pub fn write_spec(&self, spec: &str) {
        let head = "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: rides\n";
        fs::write(self.file(), format!("{head}{spec}")).expect("written");
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(OPERATOR);
        command
            .args(["local", "--any-ports", "--file"])
            .arg(self.file())
            .arg("--dir")
            .arg(self.dir());
        command.arg("--node-binary").arg(fake_node());
        command
    }

    /// Starts the operator; what it says is in [`Cluster::said`].
    pub fn start(&mut self) {
        assert!(self.operator.is_none(), "one operator at a time");
        self.lines = self.all_lines().len();
        let path = self.root.path().join("said");
        let said = File::options()
            .append(true)
            .create(true)
            .open(path)
            .expect("opened");
        let child = self.command().stderr(said).spawn().expect("started");
        self.operator = Some(child);
    }

    pub fn operator_pid(&self) -> u32 {
        self.operator.as_ref().expect("an operator").id()
    }

    fn all_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.path().join("said")).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    /// What the operator that runs now, or ran last, said.
    pub fn said(&self) -> Vec<String> {
        self.all_lines().split_off(self.lines)
    }

    pub fn hears(&self, part: &str) -> String {
        eventually(
            &format!("a line with {part:?} in {:?}", self.said()),
            || self.said().into_iter().find(|line| line.contains(part)),
        )
    }

    pub fn object(&self) -> Option<KvCluster> {
        serde_json::from_str(&fs::read_to_string(self.dir().join("status.json")).ok()?).ok()
    }

    pub fn status(&self) -> Option<KvClusterStatus> {
        self.object()?.status
    }

    /// The status that `kv-operator local status` prints: it looks for itself.
    pub fn looked(&self) -> KvClusterStatus {
        let output = operator(&["status", "-o", "json"], &self.dir());
        // Shown only if the test fails.
        println!("{}", stderr(&output));
        let object: KvCluster = serde_json::from_slice(&output.stdout).expect("JSON");
        object.status.expect("a status")
    }

    /// Waits for a condition with this status and reason; answers its message.
    pub fn waits_for(&self, type_: ConditionType, status: &str, reason: &str) -> String {
        eventually(&format!("{type_} {status} {reason}"), || {
            let status_now = self.status()?;
            let condition = condition::find(&status_now.conditions, type_)?;
            (condition.status == status && condition.reason == reason)
                .then(|| condition.message.clone())
        })
    }

    pub fn is_ready(&self) {
        self.waits_for(ConditionType::Ready, "True", "Serving");
    }

    /// The processes of the nodes by their pid files, dead or alive.
    pub fn process(&self, id: u64) -> Option<Process> {
        Process::read(&self.node_file(id, "pid")).ok().flatten()
    }

    pub fn pid(&self, id: u64) -> u32 {
        self.process(id).expect("a pid file").pid
    }

    pub fn is_alive(&self, id: u64) -> bool {
        self.process(id)
            .is_some_and(|process| process.is_node(&self.node_file(id, "node.json")))
    }

    pub fn signal_operator(&self, signal: Signal) {
        send(self.operator_pid(), signal);
    }

    /// Waits for the operator to end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut operator = self.operator.take().expect("an operator");
        eventually("the operator ends", || operator.try_wait().expect("waited"))
    }

    pub fn kill_operator(&mut self) {
        self.signal_operator(Signal::KILL);
        self.ended();
    }

    pub fn stops(&mut self) {
        self.signal_operator(Signal::TERM);
        assert_eq!(self.ended().code(), Some(0), "{:?}", self.said());
    }

    pub fn lines_of(&self, file: &str) -> Vec<String> {
        fs::read_to_string(self.dir().join(file))
            .unwrap_or_default()
            .lines()
            .map(String::from)
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            // It may have ended already.
            let _ = operator.kill();
            let _ = operator.wait();
        }
        for id in 1..=9 {
            let config = self.node_file(id, "node.json");
            if let Some(process) = self.process(id).filter(|process| process.is_node(&config)) {
                let _ = process.signal(Signal::KILL);
            }
        }
    }
}

pub fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    kill_process(pid, signal).expect("signalled");
}

/// Runs `kv-operator` to its end.
pub fn operator(arguments: &[&str], dir: &std::path::Path) -> Output {
    let [first, rest @ ..] = arguments else {
        panic!("no command")
    };
    Command::new(OPERATOR)
        .args(["local", first, "--dir"])
        .arg(dir)
        .env("RUST_LOG", "kv_operator=debug")
        .args(rest)
        .output()
        .expect("ran")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
