//! The API server, as kubectl finds it, and what it refuses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};

use super::Error;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the command line says of where the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The namespace; none: the context's.
    pub namespace: Option<String>,
    /// The context of the kubeconfig; none: the current one.
    pub context: Option<String>,
    /// The kubeconfig; none: `KUBECONFIG`, `~/.kube/config`, or the pod's account.
    pub kubeconfig: Option<PathBuf>,
    /// The cluster; none: the only one there.
    pub cluster: Option<String>,
}

/// One namespace of the API server.
#[derive(Clone)]
pub struct Server {
    pub client: Client,
    pub namespace: String,
}

impl Server {
    /// Finds the API server; nothing is asked of it yet.
    pub async fn find(reach: &Reach) -> Result<Self, Error> {
        let config = config(reach).await?;
        let namespace = reach.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|source| Error::Client(Box::new(source)))?;
        Ok(Self { client, namespace })
    }

    /// Objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits for a request; `resource` is what a rule of a Role would name.
    pub async fn call<T>(
        &self,
        verb: &'static str,
        resource: impl Into<String>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(TIMEOUT, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(self.refused(verb, resource, Arc::new(source))),
            Err(_) => Err(Error::Slow {
                verb,
                resource: resource.into(),
                seconds: TIMEOUT.as_secs(),
            }),
        }
    }

    /// What an answer of the API server means.
    pub fn refused(
        &self,
        verb: &'static str,
        resource: impl Into<String>,
        source: Arc<kube::Error>,
    ) -> Error {
        let (resource, namespace) = (resource.into(), self.namespace.clone());
        match &*source {
            kube::Error::Api(status) if status.code == 403 => Error::Forbidden {
                verb,
                resource,
                namespace,
                said: status.message.clone(),
            },
            _ => Error::Api {
                verb,
                resource,
                namespace,
                source,
            },
        }
    }
}

async fn config(reach: &Reach) -> Result<Config, Error> {
    if reach.kubeconfig.is_none() && reach.context.is_none() {
        return Config::infer()
            .await
            .map_err(|source| Error::NoServer(Box::new(source)));
    }
    let wrong = |source| Error::Kubeconfig(Box::new(source));
    let kubeconfig = match &reach.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions {
        context: reach.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig.map_err(wrong)?, &options)
        .await
        .map_err(wrong)
}
