//! A stand-in for `kv-node` in the operator's tests: it takes the same command line and configuration and answers the admin
//! service over mutual TLS, but keeps no data. Files beside its configuration make it misbehave:
//!
//! - `fail`: "STATUS words" – it says the words and ends with the status;
//! - `ignore-term`: SIGTERM does not end it.
//!
//! Nodes of one cluster share its metadata, the model of `tests/model`, in a file of the cluster's directory; each `Bootstrap` call and
//! each end on a signal adds a line to `bootstraps` and `stopped` there.

#[path = "../tests/model/mod.rs"]
mod model;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kv_operator::dataplane::Call;
use kv_operator::platform::local::node_config::{self, NodeConfig};
use kv_proto::admin::admin_server::{Admin, AdminServer};
use kv_proto::admin::*;
use model::Model;
use rustix::fs::FlockOperation;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

struct Fake {
    config: NodeConfig,
    cluster_dir: PathBuf,
}

/// Reads, changes and writes the metadata, one process at a time.
fn shared<T>(cluster_dir: &Path, change: impl FnOnce(&mut Model) -> T) -> std::io::Result<T> {
    let lock = fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(cluster_dir.join("fake-lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let path = cluster_dir.join("fake-cluster.json");
    let mut model: Model = fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let answer = change(&mut model);
    let temporary = path.with_extension("new");
    fs::write(&temporary, serde_json::to_vec(&model)?)?;
    fs::rename(temporary, path)?;
    Ok(answer)
}

impl Fake {
    fn model<T>(&self, change: impl FnOnce(&mut Model) -> T) -> Result<T, Status> {
        shared(&self.cluster_dir, change).map_err(|error| Status::internal(error.to_string()))
    }

    fn call<T: Default>(&self, call: Call) -> Result<Response<T>, Status> {
        self.model(|model| model.call(call))??;
        Ok(Response::new(T::default()))
    }
}

/// In one write: others append to the same file.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = fs::File::options().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn get_identity(
        &self,
        _: Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityReply>, Status> {
        let incarnation =
            self.model(|model| Some(model.nodes.get(&self.config.node_id)?.incarnation))?;
        let is_joined = incarnation.is_some();
        Ok(Response::new(GetIdentityReply {
            cluster_id: self.config.cluster_id.clone(),
            node_id: self.config.node_id,
            version: "fake".into(),
            joined: is_joined,
            bootstrapped: is_joined,
            incarnation: incarnation.unwrap_or(0),
            cluster_version_max: 1,
        }))
    }

    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapReply>, Status> {
        let request = request.into_inner();
        let is_sound = request.cluster_id == self.config.cluster_id
            && request.nodes.iter().all(|node| !node.tokens.is_empty());
        if !is_sound {
            return Err(Status::invalid_argument(
                "another cluster, or nodes without tokens",
            ));
        }
        append(
            &self.cluster_dir.join("bootstraps"),
            &request.nodes.len().to_string(),
        )?;
        self.model(|model| model.bootstrap(&request))?;
        Ok(Response::new(BootstrapReply {}))
    }

    async fn get_cluster(
        &self,
        _: Request<GetClusterRequest>,
    ) -> Result<Response<GetClusterReply>, Status> {
        let reply = self.model(|model| {
            // Each look moves a replica of each partition.
            if model.reply().moves_left > 0 {
                let all = model.nodes.keys().copied().collect();
                model.tick(&all);
            }
            model.reply()
        })?;
        Ok(Response::new(reply))
    }

    async fn get_node_status(
        &self,
        _: Request<GetNodeStatusRequest>,
    ) -> Result<Response<GetNodeStatusReply>, Status> {
        let node_id = self.config.node_id;
        Ok(Response::new(GetNodeStatusReply {
            node_id,
            ready: true,
            leaders: 1,
            partitions: 3,
            ..Default::default()
        }))
    }

    async fn reserve_node(
        &self,
        request: Request<ReserveNodeRequest>,
    ) -> Result<Response<ReserveNodeReply>, Status> {
        self.call(Call::Reserve(request.into_inner()))
    }

    async fn describe_node(
        &self,
        request: Request<DescribeNodeRequest>,
    ) -> Result<Response<DescribeNodeReply>, Status> {
        self.call(Call::Describe(request.into_inner()))
    }

    async fn change_ring(
        &self,
        request: Request<ChangeRingRequest>,
    ) -> Result<Response<ChangeRingReply>, Status> {
        self.call(Call::ChangeRing(request.into_inner()))
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeReply>, Status> {
        self.call(Call::Drain(request.into_inner()))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeReply>, Status> {
        self.call(Call::Remove(request.into_inner()))
    }

    async fn configure(
        &self,
        request: Request<ConfigureRequest>,
    ) -> Result<Response<ConfigureReply>, Status> {
        self.call(Call::Configure(request.into_inner()))
    }

    async fn ask_permit(
        &self,
        request: Request<AskPermitRequest>,
    ) -> Result<Response<AskPermitReply>, Status> {
        let request = request.into_inner();
        let reply = self.model(|model| {
            let all = model.nodes.keys().copied().collect();
            model.ask_permit(&request, &all, now_ms())
        })?;
        Ok(Response::new(reply))
    }

    async fn return_permit(
        &self,
        request: Request<ReturnPermitRequest>,
    ) -> Result<Response<ReturnPermitReply>, Status> {
        self.call(Call::ReturnPermit(request.into_inner()))
    }

    async fn split(&self, request: Request<SplitRequest>) -> Result<Response<SplitReply>, Status> {
        if request.into_inner().table != "rides" {
            return Err(Status::not_found("there is no such table"));
        }
        Ok(Response::new(SplitReply { group: 7, child: 8 }))
    }

    async fn get_progress(
        &self,
        _: Request<GetProgressRequest>,
    ) -> Result<Response<GetProgressReply>, Status> {
        Ok(Response::new(GetProgressReply::default()))
    }

    async fn get_top(&self, _: Request<GetTopRequest>) -> Result<Response<GetTopReply>, Status> {
        let node = |node_id: u64, cpu: f64| TopNode {
            node_id,
            name: format!("rides-{node_id}"),
            cpu,
            ..TopNode::default()
        };
        Ok(Response::new(GetTopReply {
            nodes: vec![node(1, 0.5), node(2, 1.5)],
            ..GetTopReply::default()
        }))
    }

    async fn raise_version(
        &self,
        request: Request<RaiseVersionRequest>,
    ) -> Result<Response<RaiseVersionReply>, Status> {
        self.call(Call::RaiseVersion(request.into_inner()))
    }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, run, flag, path] = arguments.as_slice() else {
        bail!("usage: fake-node run --config FILE")
    };
    if (run.as_str(), flag.as_str()) != ("run", "--config") {
        bail!("usage: fake-node run --config FILE");
    }
    let config = node_config::read(Path::new(path))?.context("no configuration")?;
    let node_dir = Path::new(path).parent().context("no directory")?.to_owned();
    let cluster_dir = node_dir
        .ancestors()
        .nth(2)
        .context("no cluster directory")?
        .to_owned();
    if let Ok(text) = fs::read_to_string(node_dir.join("fail")) {
        let (status, words) = text.trim().split_once(' ').context("STATUS words")?;
        eprintln!("{words}");
        std::process::exit(status.parse()?);
    }
    fs::write(config.data_dir.join("marker"), "used")?;
    shared(&cluster_dir, |model| model.register(config.node_id))?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(
            fs::read(&config.tls.cert)?,
            fs::read(&config.tls.key)?,
        ))
        .client_ca_root(Certificate::from_pem(fs::read(&config.tls.ca)?));
    let address = config.listen.peer.parse()?;
    let ignores_term = node_dir.join("ignore-term").exists();
    let name = config.name.clone();
    let fake = Fake {
        config,
        cluster_dir: cluster_dir.clone(),
    };
    let server = Server::builder()
        .tls_config(tls)?
        .add_service(AdminServer::new(fake))
        .serve(address);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopped = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !ignores_term {
                return;
            }
        }
    };
    tokio::select! {
        result = server => result?,
        () = stopped => append(&cluster_dir.join("stopped"), &name)?,
    }
    Ok(())
}
