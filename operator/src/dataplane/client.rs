//! The admin service of each node, over mutual TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kv_proto::admin::admin_client::AdminClient;
use kv_proto::admin::{
    AskPermitReply, AskPermitRequest, BootstrapRequest, ControlTableReply, ControlTableRequest,
    GetClusterReply, GetClusterRequest, GetIdentityRequest, GetNodeStatusRequest, GetProgressReply,
    GetProgressRequest, GetTopReply, GetTopRequest, SplitReply, SplitRequest,
};
use kv_proto::client::{self, ClientTls};
use kv_ring::NodeId;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use super::dial::{Way, connect};
use super::{Call, ClusterView, DataPlane, NodeView, Targets};

/// How long one look at a node may take: a node that hangs must not hold up the others.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The same for who looks only once.
const OBSERVE_ONCE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same through the API server, which is far away and dials a worker first.
const OBSERVE_FORWARDED_TIMEOUT: Duration = Duration::from_secs(15);
/// For so long a node's last answer stands for one that does not come in time: on a busy machine a late answer is no news.
const ANSWER_KEPT: Duration = Duration::from_secs(5);
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call to the metadata leader may take, its election included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many nodes are tried for one call.
const TRIES_MAX: usize = 3;
/// How many nodes are asked at a time.
const IN_FLIGHT_MAX: usize = 64;

/// The operator's PEM files.
#[derive(Clone, Debug)]
pub struct TlsPaths {
    /// The cluster's CA.
    pub ca: PathBuf,
    /// The operator's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Where the operator's certificates come from.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// Files, read when a connection is made.
    Files(TlsPaths),
    /// They are here.
    Texts(ClientTls),
    /// There are none yet.
    Nothing,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no node to ask.
    #[error("no node answers")]
    Nobody,
    /// The cluster's CA is not made yet.
    #[error("the cluster has no certificates yet")]
    NoCertificates,
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] client::Error),
    /// The node refused or did not answer.
    #[error("the node at {address} refused or did not answer: {}", source.message())]
    Call {
        /// The address.
        address: String,
        /// What it said.
        source: Box<tonic::Status>,
    },
}

impl Error {
    /// Whether the metadata leader understood and refuses for now.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.code() == tonic::Code::FailedPrecondition)
    }

    /// What the node said.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Call { source, .. } => source.message().to_owned(),
            other => other.to_string(),
        }
    }
}

/// Clients of all nodes; each keeps its connection and dials again by itself.
#[derive(Debug)]
pub struct AdminClients {
    tls: TlsSource,
    way: Way,
    timeout: Duration,
    /// What connections are made with.
    in_use: Option<ClientTls>,
    clients: BTreeMap<String, AdminClient<Channel>>,
    answers: BTreeMap<NodeId, (Instant, Answer)>,
}

/// What a node said of itself and of its cluster.
#[derive(Clone, Debug)]
struct Answer {
    node: NodeView,
    cluster: Option<GetClusterReply>,
}

impl AdminClients {
    /// Certificates are read when the first connection is made: they need not exist yet.
    #[must_use]
    pub const fn new(tls: TlsPaths) -> Self {
        Self::with(TlsSource::Files(tls))
    }

    /// Clients of whatever source.
    #[must_use]
    pub const fn with(tls: TlsSource) -> Self {
        Self {
            tls,
            way: Way::Direct,
            timeout: OBSERVE_TIMEOUT,
            in_use: None,
            clients: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    /// For who looks only once, and had rather wait than be wrong.
    #[must_use]
    pub fn patient(tls: TlsPaths) -> Self {
        Self {
            timeout: OBSERVE_ONCE_TIMEOUT,
            ..Self::new(tls)
        }
    }

    /// For who looks only once, over connections that somebody else makes.
    #[must_use]
    pub fn forwarded(tls: ClientTls, way: Way) -> Self {
        Self {
            timeout: OBSERVE_FORWARDED_TIMEOUT,
            way,
            ..Self::with(TlsSource::Texts(tls))
        }
    }

    /// Takes other certificates; connections are made anew if they differ.
    pub fn set_certificates(&mut self, tls: ClientTls) {
        self.tls = TlsSource::Texts(tls);
    }

    /// Drops connections that were made with other certificates: they would be dialled again with those.
    fn use_certificates(&mut self, tls: &ClientTls) {
        let is_same = |old: &ClientTls| {
            (&old.ca, &old.certificate, &old.key) == (&tls.ca, &tls.certificate, &tls.key)
        };
        if !self.in_use.as_ref().is_some_and(is_same) {
            self.clients.clear();
            self.in_use = Some(tls.clone());
        }
    }

    fn tls(&self) -> Result<ClientTls, Error> {
        match &self.tls {
            TlsSource::Files(TlsPaths { ca, cert, key }) => {
                Ok(ClientTls::from_files(ca, cert, key)?)
            }
            TlsSource::Texts(tls) => Ok(tls.clone()),
            TlsSource::Nothing => Err(Error::NoCertificates),
        }
    }

    async fn client(&mut self, address: &str) -> Result<AdminClient<Channel>, Error> {
        if let Some(client) = self.clients.get(address) {
            return Ok(client.clone());
        }
        let client = connect(address, &self.tls()?, &self.way).await?;
        self.clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// Calls nodes in turn until one has an answer of its own: that it can't be reached is none.
    async fn any<T, F>(
        &mut self,
        addresses: &[String],
        call: impl Fn(AdminClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let mut last = Error::Nobody;
        for address in addresses.iter().take(TRIES_MAX) {
            let client = match self.client(address).await {
                Ok(client) => client,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let status = match timeout(CALL_TIMEOUT, call(client)).await {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => tonic::Status::deadline_exceeded("no answer in 5 s"),
            };
            let is_answer = !matches!(
                status.code(),
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::Unknown
            );
            last = Error::Call {
                address: address.clone(),
                source: Box::new(status),
            };
            if is_answer {
                break;
            }
        }
        Err(last)
    }

    /// The busiest partitions, keys or nodes.
    ///
    /// # Errors
    /// No node answers, or the one that does refuses.
    pub async fn top(
        &mut self,
        addresses: &[String],
        request: GetTopRequest,
    ) -> Result<GetTopReply, Error> {
        self.any(addresses, |mut client| {
            let request = request.clone();
            async move { client.get_top(request).await }
        })
        .await
    }

    /// Runs an operation on a table as a whole.
    ///
    /// # Errors
    /// As [`Self::top`]; what the DynamoDB API refuses is an answer.
    pub async fn control_table(
        &mut self,
        addresses: &[String],
        request: ControlTableRequest,
    ) -> Result<ControlTableReply, Error> {
        self.any(addresses, |mut client| {
            let request = request.clone();
            async move { client.control_table(request).await }
        })
        .await
    }

    /// Forgets nodes but these.
    pub fn keep_only(&mut self, addresses: &[String]) {
        self.clients
            .retain(|address, _| addresses.contains(address));
    }

    /// Splits a partition.
    ///
    /// # Errors
    /// As [`Self::top`].
    pub async fn split(
        &mut self,
        addresses: &[String],
        request: SplitRequest,
    ) -> Result<SplitReply, Error> {
        self.any(addresses, |mut client| {
            let request = request.clone();
            async move { client.split(request).await }
        })
        .await
    }

    /// What is known of moves under way: their records are everywhere, their bytes with the leader of the metadata.
    async fn progress(
        &mut self,
        targets: &Targets,
        view: &ClusterView,
    ) -> Option<GetProgressReply> {
        let leader = view.cluster.as_ref().map(|known| NodeId(known.meta_leader));
        let mut on_time = view.nodes.iter().filter(|(_, node)| !node.is_late);
        let first = on_time.clone().next();
        let on_time = on_time.find(|(id, _)| Some(**id) == leader).or(first)?.0;
        let mut client = self.clients.get(targets.addresses.get(on_time)?)?.clone();
        let call = timeout(self.timeout, client.get_progress(GetProgressRequest {}));
        Some(call.await.ok()?.ok()?.into_inner())
    }

    /// Forgets nodes that are not asked any more: one that was away is another process when it is back.
    fn forget(&mut self, targets: &Targets) {
        let known: BTreeSet<&String> = targets.addresses.values().collect();
        self.clients.retain(|address, _| known.contains(address));
        self.answers
            .retain(|id, _| targets.addresses.contains_key(id));
    }

    /// Notes what came of a look. A refusal counts at once, silence only after a while.
    fn note(&mut self, look: Look, cluster_id: &str) {
        let Look {
            id,
            address,
            result,
        } = look;
        match result {
            Ok(Ok((client, answer))) => {
                self.clients.insert(address, client);
                let identity = &answer.node.identity;
                if identity.node_id == id.0 && identity.cluster_id == cluster_id {
                    self.answers.insert(id, (Instant::now(), answer));
                } else {
                    self.answers.remove(&id);
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(
                    node = id.0,
                    error = &error as &dyn std::error::Error,
                    "no answer"
                );
                self.answers.remove(&id);
            }
            Err(_) => {
                tracing::debug!(node = id.0, "no answer in time");
                match self.answers.get_mut(&id) {
                    Some((at, answer)) if at.elapsed() <= ANSWER_KEPT => answer.node.is_late = true,
                    _ => {
                        self.answers.remove(&id);
                    }
                }
            }
        }
    }
}

impl DataPlane for AdminClients {
    async fn observe(&mut self, targets: &Targets) -> ClusterView {
        self.forget(targets);
        // Certificates are made with the nodes: before that there is nobody to ask.
        let Ok(tls) = self.tls() else {
            return ClusterView::default();
        };
        self.use_certificates(&tls);
        let mut calls = JoinSet::new();
        let mut rest = targets.addresses.iter();
        loop {
            while calls.len() < IN_FLIGHT_MAX {
                let Some((&id, address)) = rest.next() else {
                    break;
                };
                let known = self.clients.get(address).cloned();
                let means = (tls.clone(), self.way.clone());
                calls.spawn(look(id, address.clone(), known, means, self.timeout));
            }
            let Some(done) = calls.join_next().await else {
                break;
            };
            if let Ok(look) = done {
                self.note(look, &targets.cluster_id);
            }
        }
        let mut view = ClusterView::default();
        for (&id, (_, answer)) in &self.answers {
            view.nodes.insert(id, answer.node.clone());
            view.cluster = newer(view.cluster.take(), answer.cluster.clone());
        }
        view.progress = self.progress(targets, &view).await;
        view
    }

    async fn call(&mut self, addresses: &[String], call: Call) -> Result<(), Error> {
        self.any(addresses, |client| dispatch(client, call.clone()))
            .await
    }

    async fn ask_permit(
        &mut self,
        addresses: &[String],
        request: AskPermitRequest,
    ) -> Result<AskPermitReply, Error> {
        self.any(addresses, |mut client| {
            let request = request.clone();
            async move { client.ask_permit(request).await }
        })
        .await
    }

    async fn bootstrap(&mut self, address: &str, request: BootstrapRequest) -> Result<(), Error> {
        let mut client = match self.clients.get(address) {
            Some(client) => client.clone(),
            None => connect(address, &self.tls()?, &self.way).await?,
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(BOOTSTRAP_TIMEOUT);
        let call = timeout(BOOTSTRAP_TIMEOUT, client.bootstrap(request));
        let status = match call.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(status)) => status,
            Err(_) => tonic::Status::deadline_exceeded("no answer in 10 s"),
        };
        Err(Error::Call {
            address: address.to_owned(),
            source: Box::new(status),
        })
    }
}

async fn dispatch(
    mut client: AdminClient<Channel>,
    call: Call,
) -> Result<tonic::Response<()>, tonic::Status> {
    match call {
        Call::Reserve(request) => client
            .reserve_node(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::Describe(request) => client
            .describe_node(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::ChangeRing(request) => client
            .change_ring(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::Drain(request) => client
            .drain_node(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::Remove(request) => client
            .remove_node(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::Configure(request) => client
            .configure(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::ReturnPermit(request) => client
            .return_permit(request)
            .await
            .map(|reply| reply.map(|_| ())),
        Call::RaiseVersion(request) => client
            .raise_version(request)
            .await
            .map(|reply| reply.map(|_| ())),
    }
}

struct Look {
    id: NodeId,
    address: String,
    result: Result<Result<(AdminClient<Channel>, Answer), Error>, Elapsed>,
}

async fn look(
    id: NodeId,
    address: String,
    known: Option<AdminClient<Channel>>,
    means: (ClientTls, Way),
    patience: Duration,
) -> Look {
    let result = timeout(patience, ask(&address, known, means)).await;
    Look {
        id,
        address,
        result,
    }
}

async fn ask(
    address: &str,
    known: Option<AdminClient<Channel>>,
    (tls, way): (ClientTls, Way),
) -> Result<(AdminClient<Channel>, Answer), Error> {
    let mut client = match known {
        Some(client) => client,
        None => connect(address, &tls, &way).await?,
    };
    let failed = |status| Error::Call {
        address: address.to_owned(),
        source: Box::new(status),
    };
    let identity = client
        .get_identity(GetIdentityRequest {})
        .await
        .map_err(failed)?
        .into_inner();
    let (mut status, mut cluster) = (None, None);
    if identity.joined {
        // A node that can say who it is but no more is there all the same.
        status = client
            .get_node_status(GetNodeStatusRequest {})
            .await
            .ok()
            .map(tonic::Response::into_inner);
        cluster = client
            .get_cluster(GetClusterRequest {})
            .await
            .ok()
            .map(tonic::Response::into_inner);
    }
    Ok((
        client,
        Answer {
            node: NodeView {
                identity,
                status,
                is_late: false,
            },
            cluster,
        },
    ))
}

fn newer(one: Option<GetClusterReply>, other: Option<GetClusterReply>) -> Option<GetClusterReply> {
    match (one, other) {
        // Only the metadata's leader knows how the groups are; a follower may not even have heard who leads.
        (Some(one), Some(other)) => Some(if rank(&other) > rank(&one) {
            other
        } else {
            one
        }),
        (one, other) => one.or(other),
    }
}

fn rank(reply: &GetClusterReply) -> (bool, u64, bool) {
    (reply.is_informed, reply.revision, reply.meta_leader != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answer_counts_and_of_equals_the_one_that_knows_the_leader() {
        let reply = |revision, meta_leader| {
            Some(GetClusterReply {
                revision,
                meta_leader,
                ..Default::default()
            })
        };
        assert_eq!(newer(reply(1, 0), reply(1, 2)), reply(1, 2));
        assert_eq!(newer(reply(1, 2), reply(1, 0)), reply(1, 2));
        assert_eq!(newer(reply(2, 0), reply(1, 2)), reply(2, 0));
        assert_eq!(newer(None, reply(1, 2)), reply(1, 2));
    }
}
