//! Connections to pods through the API server, as `kubectl port-forward` makes them; no port of this machine is opened.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::DuplexStream;

use crate::dataplane::dial::Dial;

/// Dials the pods of one namespace.
#[derive(Clone)]
pub struct Forward {
    pods: Api<Pod>,
    failure: Arc<Mutex<Option<Arc<kube::Error>>>>,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

impl Forward {
    pub fn new(pods: Api<Pod>) -> Self {
        Self {
            pods,
            failure: Arc::default(),
        }
    }

    /// What the API server said when it last refused: the connection that was not made can only say that it was not.
    pub fn failure(&self) -> Option<Arc<kube::Error>> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failure: &Arc<kube::Error>) {
        let noted = self.failure.lock();
        *noted.unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(failure));
    }
}

impl Dial for Forward {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<DuplexStream>> {
        let forward = self.clone();
        Box::pin(async move {
            let malformed = || io::Error::other(format!("{address} is no address of a pod"));
            let (pod, port) = pod_and_port(&address).ok_or_else(malformed)?;
            let mut forwarder = match forward.pods.portforward(pod, &[port]).await {
                Ok(forwarder) => forwarder,
                Err(error) => {
                    let error = Arc::new(error);
                    forward.note(&error);
                    return Err(io::Error::other(error));
                }
            };
            if let Some(ended) = forwarder.take_error(port) {
                let pod = pod.to_owned();
                tokio::spawn(async move {
                    if let Some(why) = ended.await {
                        tracing::debug!(pod, port, why, "a forwarded connection ended");
                    }
                });
            }
            // The task that carries the bytes ends with the stream.
            let stream = forwarder.take_stream(port);
            stream.ok_or_else(|| io::Error::other(format!("nothing was forwarded to {address}")))
        })
    }
}

/// The pod that a node's address within the cluster names, and the port there.
fn pod_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let pod = host.split('.').next().filter(|pod| !pod.is_empty())?;
    Some((pod, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use futures::{SinkExt, StreamExt};
    use kube::{Client, Config};
    use kv_proto::admin::GetTopRequest;
    use kv_proto::client::ClientTls;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
    use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

    use super::*;
    use crate::dataplane::dial::Way;
    use crate::dataplane::{AdminClients, Error};
    use crate::platform::kubernetes::names;
    use crate::platform::pki::{Authority, Pair, Subject};

    #[test]
    fn the_address_of_a_node_names_its_pod() {
        let address = names::addresses("there", "rides", "rides-3").peer;
        assert_eq!(pod_and_port(&address), Some(("rides-3-0", 7001)));
        for wrong in ["", "rides-3-0", ".svc:7001", "rides-3-0:many"] {
            assert_eq!(pod_and_port(wrong), None, "{wrong}");
        }
    }

    const LIFE: Duration = Duration::from_secs(3_600);

    /// Serves port-forwards to one pod as an API server does; the other end of each is a connection to the node.
    async fn serve(listener: TcpListener, node: UnboundedSender<io::Result<DuplexStream>>) {
        while let Ok((stream, _)) = listener.accept().await {
            let choose = |request: &Request, mut response: Response| {
                let path = request.uri().path();
                assert_eq!(path, "/api/v1/namespaces/there/pods/rides-1-0/portforward");
                let protocol = "v4.channel.k8s.io".parse().expect("a value");
                let headers = response.headers_mut();
                headers.insert("sec-websocket-protocol", protocol);
                Ok(response)
            };
            let socket = accept_hdr_async(stream, choose).await.expect("a socket");
            let (here, there) = tokio::io::duplex(1 << 16);
            node.unbounded_send(Ok(there)).expect("a node");
            tokio::spawn(carry(socket, here));
        }
    }

    /// The first byte of each message is its channel: 0 has the bytes, 1 is for what goes wrong. Each begins with the port.
    async fn carry(socket: WebSocketStream<TcpStream>, node: DuplexStream) {
        let (mut sink, mut source) = socket.split();
        let [low, high] = 7001_u16.to_le_bytes();
        for channel in [0, 1] {
            let head = Message::binary(vec![channel, low, high]);
            sink.send(head).await.expect("sent");
        }
        let (mut from_node, mut to_node) = tokio::io::split(node);
        let down = async {
            let mut buffer = vec![0; 4096];
            while let Ok(length @ 1..) = from_node.read(&mut buffer[1..]).await {
                let message = Message::binary(buffer[..=length].to_vec());
                sink.send(message).await.expect("sent");
            }
        };
        let up = async {
            while let Some(Ok(Message::Binary(bytes))) = source.next().await {
                to_node.write_all(&bytes[1..]).await.expect("written");
            }
        };
        tokio::select! { () = down => {}, () = up => {} }
    }

    fn certificates(ca: &Pair, operator: Pair) -> ClientTls {
        ClientTls {
            ca: ca.cert.clone().into_bytes(),
            certificate: operator.cert.into_bytes(),
            key: operator.key.into_bytes(),
        }
    }

    #[tokio::test]
    async fn a_node_is_reached_through_the_api_server_and_trusted_for_its_certificate() {
        let (authority, ca) = Authority::generate("c-1", LIFE).expect("a CA");
        let node = authority.issue("c-1", Subject::Node(1, "rides-1"), LIFE);
        let node = node.expect("a certificate");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&node.cert, &node.key))
            .client_ca_root(Certificate::from_pem(&ca.cert));
        let (connections, incoming) = unbounded();
        let mut server = Server::builder().tls_config(tls).expect("certificates");
        let server = server.add_routes(tonic::service::Routes::default());
        tokio::spawn(server.serve_with_incoming(incoming));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, connections));

        let config = Config::new(url.parse().expect("a URL"));
        let client = Client::try_from(config).expect("a client");
        let forward = Forward::new(Api::namespaced(client, "there"));
        let address = [names::addresses("there", "rides", "rides-1").peer];
        let ask = async |tls: ClientTls| {
            let mut clients = AdminClients::forwarded(tls, Way::Over(Arc::new(forward.clone())));
            let said = clients.top(&address, GetTopRequest::default()).await;
            said.expect_err("it serves nothing")
        };
        let operator = authority
            .issue("c-1", Subject::Operator, LIFE)
            .expect("issued");
        let said = ask(certificates(&ca, operator)).await;
        assert!(
            matches!(&said, Error::Call { source, .. } if source.code() == tonic::Code::Unimplemented),
            "{said:?}"
        );
        let (other, other_ca) = Authority::generate("c-1", LIFE).expect("a CA");
        let stranger = other.issue("c-1", Subject::Operator, LIFE).expect("issued");
        let said = ask(certificates(&other_ca, stranger)).await;
        assert!(matches!(said, Error::Connect(_)), "{said:?}");
        assert!(forward.failure().is_none(), "the API server did its part");
    }
}
