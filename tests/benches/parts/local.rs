//! A cluster of three by `kv-operator local`, as users start it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::Setup;
use crate::process::Server;

const PATIENCE: Duration = Duration::from_secs(90);
const SPEC: &str = "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: bench\nspec:\n  nodes: 3\n";

/// The operator and its nodes; all end when it is dropped.
#[derive(Debug)]
pub struct Local {
    operator: Option<Server>,
    program: PathBuf,
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
}

impl Local {
    pub async fn start(setup: &Setup) -> anyhow::Result<Local> {
        let dir = setup.dir("cluster")?;
        let (file, state, log) = (
            dir.join("cluster.yaml"),
            dir.join("dir"),
            dir.join("operator.log"),
        );
        std::fs::write(&file, SPEC)?;
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

    fn status(&self) -> anyhow::Result<Value> {
        let output = Command::new(&self.program)
            .args(["local", "status", "-o", "json", "--dir"])
            .arg(&self.dir)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice::<Value>(&output.stdout)?["status"].take())
    }

    fn is_ready(&self) -> bool {
        let Ok(status) = self.status() else {
            return false;
        };
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
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
                })
            })
            .collect()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let stopped = Command::new(&self.program)
            .args(["local", "stop", "--dir"])
            .arg(&self.dir)
            .output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            eprintln!("the cluster in {} could not be stopped", self.dir.display());
        }
        if let Some(operator) = self.operator.take() {
            operator.stop();
        }
    }
}
