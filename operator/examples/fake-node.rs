//! A stand-in for `kv-node` in the operator's tests: it takes the same command line and configuration and answers the admin
//! service over mutual TLS, but keeps no data. Files beside its configuration make it misbehave:
//!
//! - `fail`: "STATUS words" – it says the words and ends with the status;
//! - `ignore-term`: SIGTERM does not end it.
//!
//! Nodes of one cluster learn of it by a file in the cluster's directory; each `Bootstrap` call and each end on SIGTERM adds
//! a line to `bootstraps` and `stopped` there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kv_operator::platform::local::node_config::{self, NodeConfig};
use kv_proto::admin::admin_server::{Admin, AdminServer};
use kv_proto::admin::{
    BootstrapReply, BootstrapRequest, GetClusterReply, GetClusterRequest, GetIdentityReply,
    GetIdentityRequest, GetNodeStatusReply, GetNodeStatusRequest, Node, ReserveNodeReply,
    ReserveNodeRequest,
};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

struct Fake {
    config: NodeConfig,
    cluster_dir: PathBuf,
}

impl Fake {
    fn members(&self) -> Vec<(u64, usize)> {
        let text =
            fs::read_to_string(self.cluster_dir.join("fake-cluster.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    writeln!(
        fs::File::options().append(true).create(true).open(path)?,
        "{line}"
    )
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn get_identity(
        &self,
        _: Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityReply>, Status> {
        let is_joined = !self.members().is_empty();
        Ok(Response::new(GetIdentityReply {
            cluster_id: self.config.cluster_id.clone(),
            node_id: self.config.node_id,
            version: "fake".into(),
            joined: is_joined,
            bootstrapped: is_joined,
            incarnation: 1,
        }))
    }

    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapReply>, Status> {
        let request = request.into_inner();
        let members: Vec<(u64, usize)> = request
            .nodes
            .iter()
            .map(|node| (node.id, node.tokens.len()))
            .collect();
        let is_sound = request.cluster_id == self.config.cluster_id
            && members.iter().all(|&(_, tokens)| tokens > 0);
        if !is_sound {
            return Err(Status::invalid_argument(
                "another cluster, or nodes without tokens",
            ));
        }
        append(
            &self.cluster_dir.join("bootstraps"),
            &format!("{members:?}"),
        )?;
        let text =
            serde_json::to_vec(&members).map_err(|error| Status::internal(error.to_string()))?;
        fs::write(self.cluster_dir.join("fake-cluster.json"), text)?;
        Ok(Response::new(BootstrapReply {}))
    }

    async fn get_cluster(
        &self,
        _: Request<GetClusterRequest>,
    ) -> Result<Response<GetClusterReply>, Status> {
        let members = self.members();
        let all: usize = members.iter().map(|&(_, tokens)| tokens).sum();
        #[expect(clippy::cast_precision_loss, reason = "some hundred tokens")]
        let share = |tokens: usize| tokens as f64 / all.max(1) as f64;
        let nodes = members.iter().map(|&(id, tokens)| Node {
            id,
            share: share(tokens),
            ..Node::default()
        });
        Ok(Response::new(GetClusterReply {
            cluster_id: self.config.cluster_id.clone(),
            cluster_version: 1,
            revision: 1,
            nodes: nodes.collect(),
            meta_leader: 1,
            ..GetClusterReply::default()
        }))
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
        _: Request<ReserveNodeRequest>,
    ) -> Result<Response<ReserveNodeReply>, Status> {
        Err(Status::unimplemented("a fake reserves nothing"))
    }
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
    let stopped = async {
        loop {
            terminate.recv().await;
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
