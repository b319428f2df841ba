//! Ways to the nodes of clusters: what the rounds of `KvCluster`s know and `KvTable`s need. Certificates come from those rounds, connections
//! are the tables' own.

use std::collections::HashMap;
use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use kv_proto::client::ClientTls;
use tokio::sync::Mutex;

use crate::crd::KvCluster;
use crate::dataplane::{AdminClients, TlsSource};

/// By cluster; as many as there are clusters.
#[derive(Clone, Debug, Default)]
pub struct Ways(Arc<Mutex<HashMap<ObjectRef<KvCluster>, Way>>>);

/// The way to one cluster's nodes.
#[derive(Clone, Debug)]
pub struct Way {
    /// The operator's certificates as of the last round.
    pub certificates: ClientTls,
    /// Connections, one user at a time.
    pub clients: Arc<Mutex<AdminClients>>,
}

impl Ways {
    /// Notes what a round knows; nothing, where the cluster has no certificates.
    pub async fn note(&self, cluster: ObjectRef<KvCluster>, certificates: Option<ClientTls>) {
        let mut ways = self.0.lock().await;
        let Some(certificates) = certificates else {
            ways.remove(&cluster);
            return;
        };
        match ways.get_mut(&cluster) {
            Some(way) => way.certificates = certificates,
            None => {
                let clients = AdminClients::with(TlsSource::Nothing);
                let clients = Arc::new(Mutex::new(clients));
                let way = Way {
                    certificates,
                    clients,
                };
                ways.insert(cluster, way);
            }
        }
    }

    /// Forgets a cluster.
    pub async fn forget(&self, cluster: &ObjectRef<KvCluster>) {
        self.0.lock().await.remove(cluster);
    }

    /// Forgets clusters that are gone.
    pub async fn keep(&self, clusters: &Store<KvCluster>) {
        let mut ways = self.0.lock().await;
        ways.retain(|key, _| clusters.get(key).is_some());
    }

    /// The way to a cluster, once there is one.
    pub async fn to(&self, cluster: &ObjectRef<KvCluster>) -> Option<Way> {
        self.0.lock().await.get(cluster).cloned()
    }
}
