//! A collector of OpenTelemetry in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span, as far as the tests look.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub service: String,
    pub trace: String,
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
}

pub struct Collector {
    address: SocketAddr,
    spans: Arc<watch::Sender<Vec<Seen>>>,
}

struct Service(Arc<watch::Sender<Vec<Seen>>>);

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some((pair.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let of = texts(&resource.resource.unwrap_or_default().attributes);
            let service = of.get("service.name").cloned().unwrap_or_default();
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            let seen = spans.map(|span| Seen {
                name: span.name,
                service: service.clone(),
                trace: hex::encode(span.trace_id),
                parent: hex::encode(span.parent_span_id),
                attributes: texts(&span.attributes),
            });
            self.0.send_modify(|all| all.extend(seen));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let spans = Arc::new(watch::channel(Vec::new()).0);
        let service = TraceServiceServer::new(Service(spans.clone()));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Collector { address, spans }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The span of this name, once it is there.
    pub async fn span(&self, name: &str) -> Seen {
        let mut spans = self.spans.subscribe();
        let found = spans.wait_for(|all| all.iter().any(|span| span.name == name));
        let all = tokio::time::timeout(Duration::from_secs(30), found)
            .await
            .expect("in time")
            .expect("a collector");
        all.iter()
            .find(|span| span.name == name)
            .expect("it is there")
            .clone()
    }
}
