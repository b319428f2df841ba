//! A client of a whole cluster: it stays with a node until that fails or says that it goes, and then goes on with the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::http::{Http, Requests};
use crate::load::Connection;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// One connection at a time. No request is sent twice.
#[derive(Debug)]
pub struct Roamer {
    servers: Arc<[SocketAddr]>,
    at: usize,
    http: Option<Http>,
    requests: Arc<Requests>,
}

impl Roamer {
    /// So many clients, which begin in turns with each of the servers.
    pub fn several(servers: &[SocketAddr], count: usize, requests: &Arc<Requests>) -> Vec<Roamer> {
        let servers: Arc<[SocketAddr]> = servers.into();
        let client = |at| Roamer {
            servers: servers.clone(),
            at,
            http: None,
            requests: requests.clone(),
        };
        (0..count).map(client).collect()
    }

    /// A server that takes no connection has not failed a request: the next one is tried.
    async fn connect(&mut self) -> anyhow::Result<Http> {
        let mut last = None;
        for _ in 0..self.servers.len() {
            let server = self.servers[self.at % self.servers.len()];
            match timeout(PATIENCE, Http::to(server, &self.requests)).await {
                Ok(Ok(http)) => return Ok(http),
                Ok(Err(error)) => last = Some(error),
                Err(late) => last = Some(late.into()),
            }
            self.at += 1;
        }
        Err(last.context("no servers")?)
    }
}

impl Connection for Roamer {
    async fn call(&mut self, n: u64) -> anyhow::Result<()> {
        let mut http = match self.http.take() {
            Some(http) => http,
            None => self.connect().await?,
        };
        let answer = timeout(PATIENCE, http.call(n)).await;
        let answer = answer.context("no answer in time").flatten();
        if answer.is_ok() && !http.was_told_to_go() {
            self.http = Some(http);
        } else {
            self.at += 1;
        }
        answer
    }
}
