//! The same HTTP stack as kv-node's front end, set up alike, with a handler that reads the request and answers a constant: what
//! is left of a request's CPU time when nothing is done for it.

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::value_of;

/// Serves until it is killed; says where as kv-node does.
pub async fn serve(bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let answer = Bytes::from(format!(
        r#"{{"Item":{{"v":{{"S":"{}"}}}}}}"#,
        value_of(0, bytes)
    ));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (builder, answer) = (builder.clone(), answer.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    // A body that breaks off breaks its connection too.
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(Response::new(Full::new(answer)))
                }
            });
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // A loader that is done closes it.
            let _ = connection.await;
        });
    }
}
