//! The calls: who asks, by when, within the bound; then the operation.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use kv_core::api::{Caller, RequestClass};
use kv_proto::kv::kv_server::Kv;
use kv_proto::kv::{
    BatchReply, BatchRequest, DeleteRequest, GetReply, GetRequest, Page, PutRequest, QueryRequest,
    ScanRequest, UpdateRequest, WriteReply,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

use super::auth::{Authority, Principal};
use super::status::{REQUEST_ID, Refusal};
use super::{Config, reply, request};
use crate::database::Database;
use crate::dynamo::{Error, Ids, Metrics, Operation, RequestId, run};
use crate::telemetry::trace;

/// Pages of a scan that are ready before they are taken.
const PAGES_AHEAD: usize = 1;

#[derive(Debug)]
pub(super) struct Service<D> {
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D> {
    database: Arc<D>,
    authority: Authority,
    deadline: Duration,
    metrics: Arc<Metrics>,
    in_flight: Arc<Semaphore>,
    ids: Ids,
}

/// A call that was let in.
struct Call<D> {
    shared: Arc<Shared<D>>,
    id: RequestId,
    operation: Operation,
    caller: Caller,
    started: Instant,
    /// What the client gave it.
    timeout: Option<Duration>,
    /// Name of the exception.
    refused: OnceLock<&'static str>,
    _permit: OwnedSemaphorePermit,
}

impl<D: Database> Service<D> {
    pub(super) fn new(database: Arc<D>, config: Config, metrics: Arc<Metrics>) -> Self {
        Service {
            shared: Arc::new(Shared {
                database,
                authority: Authority::new(config.keys, config.default_account, config.apart),
                deadline: config.deadline,
                metrics,
                in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
                ids: Ids::new(),
            }),
        }
    }

    fn begin(
        &self,
        method: &'static str,
        operation: Operation,
        metadata: &MetadataMap,
    ) -> Result<Call<D>, Status> {
        let id = self.shared.ids.next();
        self.admit(method, metadata)
            .map(|(principal, permit)| {
                self.shared.metrics.in_flight.inc();
                Call {
                    shared: self.shared.clone(),
                    id,
                    operation,
                    caller: Caller {
                        principal: principal.access_key,
                        account: principal.account,
                        class: RequestClass::Foreground.into(),
                        trace: trace::trace_of(id.as_str(), traceparent(metadata)),
                    },
                    started: Instant::now(),
                    timeout: timeout(metadata),
                    refused: OnceLock::new(),
                    _permit: permit,
                }
            })
            .map_err(|refusal| {
                self.shared.metrics.failed(Some(operation), refusal.name());
                refusal.status(id.as_str(), false)
            })
    }

    fn admit(
        &self,
        method: &'static str,
        metadata: &MetadataMap,
    ) -> Result<(Principal, OwnedSemaphorePermit), Refusal> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let principal = self
            .shared
            .authority
            .verify(metadata, method, now.as_secs())?;
        let Ok(permit) = self.shared.in_flight.clone().try_acquire_owned() else {
            return Err(Refusal::Api(Error::Throttling(
                "Rate of requests exceeds the allowed throughput.".into(),
            )));
        };
        Ok((principal, permit))
    }
}

impl<D> Drop for Call<D> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.shared.metrics.in_flight.dec();
        self.shared.metrics.served(self.operation, took);
        if trace::is_exported() {
            let error = self.refused.get().copied();
            trace::request(
                &self.caller.trace,
                "grpc",
                self.operation.name(),
                took,
                error,
            );
        }
    }
}

impl<D: Database> Call<D> {
    /// Runs the operation on a body.
    async fn run(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let deadline = match self.timeout {
            Some(timeout) => self.started + timeout,
            None => Instant::now() + self.shared.deadline,
        };
        let (database, operation) = (&self.shared.database, self.operation);
        Ok(run(database, operation, self.caller.clone(), deadline, body).await?)
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        self.shared
            .metrics
            .failed(Some(self.operation), refusal.name());
        let _ = self.refused.set(refusal.name());
        let id = self.id.as_str();
        tracing::debug!(request = id, error = refusal.name(), "call refused");
        let late = self
            .timeout
            .is_some_and(|timeout| self.started.elapsed() >= timeout);
        refusal.status(id, late)
    }

    fn respond<A>(&self, answer: A) -> Response<A> {
        let mut response = Response::new(answer);
        if let Ok(id) = MetadataValue::try_from(self.id.as_str()) {
            response.metadata_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// A call with one answer.
    async fn unary<A>(
        &self,
        body: Result<Vec<u8>, Refusal>,
        reply: impl FnOnce(&[u8]) -> Result<A, Refusal>,
    ) -> Result<Response<A>, Status> {
        let answer = async { reply(&self.run(&body?).await?) }.await;
        match answer {
            Ok(answer) => Ok(self.respond(answer)),
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    /// Sends pages until the end, a refusal, or until nobody listens.
    async fn scan(self, request: ScanRequest, pages: mpsc::Sender<Result<Page, Status>>) {
        let mut start_key = request.start_key.clone();
        let mut left = request.limit;
        loop {
            let page = async {
                let body = request::scan(&request, start_key.as_ref(), left)?;
                reply::page(&self.run(&body).await?)
            };
            let page = match page.await {
                Ok(page) => page,
                Err(refusal) => {
                    // A client that is gone needs no answer.
                    let _ = pages.send(Err(self.refuse(refusal))).await;
                    return;
                }
            };
            let scanned = u32::try_from(page.scanned).unwrap_or(u32::MAX);
            start_key.clone_from(&page.last_key);
            let enough = request.limit > 0 && scanned >= left;
            left = left.saturating_sub(scanned);
            if pages.send(Ok(page)).await.is_err() || enough || start_key.is_none() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl<D: Database> Kv for Service<D> {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        let call = self.begin("Get", Operation::GetItem, request.metadata())?;
        let body = request::get(request.get_ref());
        call.unary(body, reply::get).await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<WriteReply>, Status> {
        let call = self.begin("Put", Operation::PutItem, request.metadata())?;
        let body = request::put(request.get_ref());
        call.unary(body, reply::write).await
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<WriteReply>, Status> {
        let call = self.begin("Update", Operation::UpdateItem, request.metadata())?;
        let body = request::update(request.get_ref());
        call.unary(body, reply::write).await
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<WriteReply>, Status> {
        let call = self.begin("Delete", Operation::DeleteItem, request.metadata())?;
        let body = request::delete(request.get_ref());
        call.unary(body, reply::write).await
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Result<Response<BatchReply>, Status> {
        let sent = request.get_ref();
        let writes = !sent.writes.is_empty();
        let operation = match writes {
            true => Operation::BatchWriteItem,
            false => Operation::BatchGetItem,
        };
        let call = self.begin("Batch", operation, request.metadata())?;
        let body = match (sent.reads.is_empty(), writes) {
            (false, true) => Err(Refusal::invalid("A batch reads or writes, not both")),
            (_, true) => request::batch_writes(sent),
            (_, false) => request::batch_reads(sent),
        };
        call.unary(body, |text| reply::batch(text, sent)).await
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Page>, Status> {
        let call = self.begin("Query", Operation::Query, request.metadata())?;
        let body = request::query(request.get_ref());
        call.unary(body, reply::page).await
    }

    type ScanStream = ReceiverStream<Result<Page, Status>>;

    async fn scan(
        &self,
        request: Request<ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let call = self.begin("Scan", Operation::Scan, request.metadata())?;
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let response = call.respond(ReceiverStream::new(pages));
        tokio::spawn(call.scan(request.into_inner(), sender));
        Ok(response)
    }
}

/// The client's own trace (W3C Trace Context).
fn traceparent(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("traceparent")?.to_str().ok()
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2).
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().expect("ASCII"));
            timeout(&metadata)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "-1S", "999999999S", "1 S", "1x"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
