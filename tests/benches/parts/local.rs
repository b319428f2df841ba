//! A cluster by `kv-operator local`, as users start it, change it and look at it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::Setup;
use crate::process::Server;

const PATIENCE: Duration = Duration::from_secs(90);
/// What a change of the cluster may take, and a move of its data.
const CHANGE_PATIENCE: Duration = Duration::from_secs(600);
const METRICS_PATIENCE: Duration = Duration::from_secs(2);
const HEAD: &str =
    "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: bench\nspec:\n";

/// The operator and its nodes; all end when it is dropped.
#[derive(Debug)]
pub struct Local {
    operator: Option<Server>,
    program: PathBuf,
    file: PathBuf,
    dir: PathBuf,
    /// From the start to Ready.
    pub took: Duration,
}

/// A node as the status shows it.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub pid: u32,
    pub address: SocketAddr,
    pub leaders: u64,
    /// Of the ring.
    pub share: f64,
}

impl Local {
    /// Three nodes.
    pub async fn start(setup: &Setup) -> anyhow::Result<Local> {
        Local::start_with(setup, "  nodes: 3\n").await
    }

    /// With the lines below `spec:`.
    pub async fn start_with(setup: &Setup, spec: &str) -> anyhow::Result<Local> {
        let dir = setup.dir("cluster")?;
        let (file, state, log) = (
            dir.join("cluster.yaml"),
            dir.join("dir"),
            dir.join("operator.log"),
        );
        save(&file, spec)?;
        let began = Instant::now();
        let node = setup.kv_node();
        let arguments = [
            "local".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
            "--dir".as_ref(),
            state.as_os_str(),
            "--any-ports".as_ref(),
            "--node-binary".as_ref(),
            node.as_os_str(),
        ];
        let operator = Server::start(setup.kv_operator(), arguments, &log)?;
        let mut local = Local {
            operator: Some(operator),
            program: setup.kv_operator(),
            file,
            dir: state,
            took: Duration::ZERO,
        };
        while !local.is_ready() {
            if began.elapsed() > PATIENCE {
                bail!("not Ready in time: {}", std::fs::read_to_string(&log)?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        local.took = began.elapsed();
        Ok(local)
    }

    /// `kv-operator local …` on this cluster; answers what it prints.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Vec<u8>> {
        let (command, rest) = words.split_first().context("a command")?;
        let output = Command::new(&self.program)
            .args(["local", command, "--dir"])
            .arg(&self.dir)
            .args(rest)
            .output()?;
        ensure!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    pub fn status(&self) -> anyhow::Result<Value> {
        let said = self.command(&["status", "-o", "json"])?;
        Ok(serde_json::from_slice::<Value>(&said)?["status"].take())
    }

    /// What `top` says of partitions or nodes, at most a thousand rows.
    pub fn top(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let said = self.command(&["top", kind, "--limit", "1000", "-o", "json"])?;
        Ok(serde_json::from_slice(&said)?)
    }

    /// Saves the file with other lines below `spec:`.
    pub fn change(&self, spec: &str) -> anyhow::Result<()> {
        save(&self.file, spec)
    }

    /// A counter of each node that answers, by the node's name, as its metrics show it.
    pub fn counters(&self, counter: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(self.dir.join("nodes"))? {
            let entry = entry?;
            let said = std::fs::read(entry.path().join("node.json"));
            let config: Value =
                serde_json::from_slice(&said.unwrap_or_default()).unwrap_or_default();
            let address = config["listen"]["metrics"].as_str().unwrap_or_default();
            // A node that comes or goes has none.
            if let Ok(text) = metrics(address)
                && let Some(value) = text.lines().find_map(|line| line.strip_prefix(counter))
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                found.insert(name, value.trim().parse().context("a counter")?);
            }
        }
        Ok(found)
    }

    fn is_ready(&self) -> bool {
        self.status()
            .is_ok_and(|status| condition(&status, "Ready") == "True")
    }

    /// Whether so many nodes are up and nothing is left to do. A cluster that can't be asked has not settled.
    pub fn has_settled(&self, nodes: usize) -> bool {
        let Ok(status) = self.status() else {
            return false;
        };
        let listed = status["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        listed.len() == nodes
            && listed.iter().all(|node| node["state"] == "Up")
            && condition(&status, "Ready") == "True"
            && condition(&status, "Progressing") == "False"
    }

    /// Waits until it has settled; looks every so often, and calls `meanwhile` then.
    pub async fn settles(
        &self,
        nodes: usize,
        every: Duration,
        mut meanwhile: impl FnMut(&Local),
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        // What was asked for a moment ago is not under way yet.
        tokio::time::sleep(every).await;
        while !self.has_settled(nodes) {
            ensure!(began.elapsed() < CHANGE_PATIENCE, "{}", self.status()?);
            meanwhile(self);
            tokio::time::sleep(every).await;
        }
        Ok(())
    }

    pub fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        let status = self.status()?;
        let nodes = status["nodes"].as_array().context("no nodes")?;
        nodes
            .iter()
            .map(|node| {
                let text = |name: &str| node[name].as_str().context("text");
                Ok(Node {
                    name: text("name")?.to_owned(),
                    pid: u32::try_from(node["pid"].as_u64().context("pid")?)?,
                    address: text("endpoint")?.trim_start_matches("http://").parse()?,
                    leaders: node["leaders"].as_u64().unwrap_or(0),
                    share: node["share"].as_f64().unwrap_or(0.0),
                })
            })
            .collect()
    }
}

fn metrics(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(METRICS_PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// At once, as editors do.
fn save(file: &Path, spec: &str) -> anyhow::Result<()> {
    let aside = file.with_extension("new");
    std::fs::write(&aside, format!("{HEAD}{spec}"))?;
    Ok(std::fs::rename(aside, file)?)
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = status["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let found = conditions.iter().find(|found| found["type"] == kind);
    found
        .and_then(|found| found["status"].as_str())
        .unwrap_or("Unknown")
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = self.command(&["stop"]) {
            eprintln!("the cluster in {} goes on: {error}", self.dir.display());
        }
        if let Some(operator) = self.operator.take() {
            operator.stop();
        }
    }
}
