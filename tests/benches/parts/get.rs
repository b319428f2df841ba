//! Strong `GetItem` of 1 KB on `kv-node dev`: the server's CPU time a request beside that of a handler of the same HTTP stack
//! which answers a constant of that size.

use std::net::SocketAddr;

use anyhow::Context;

use super::dev;
use crate::Setup;
use crate::clients::http::{Http, Requests, create_table};
use crate::load::{Measured, drive, fill, median};
use crate::process::Server;
use crate::report::Report;

const KEYS: u64 = 10_000;
const BYTES: usize = 1000;
/// At most so many times the constant handler's CPU time.
const FLOOR: f64 = 3.0;

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (node, address) = dev(setup).await?;
    create_table(address, crate::clients::http::TABLE).await?;
    let puts = Requests::puts(KEYS, BYTES);
    fill(
        Http::connect(&[address], setup.connections, &puts).await?,
        KEYS,
    )
    .await?;
    let (constant, constant_at) = constant(setup).await?;
    let gets = Requests::strong_gets(KEYS, BYTES);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..setup.runs {
        ours.push(measure(setup, address, node.pid(), &gets, KEYS).await?);
        // It has one value, that of key 0.
        theirs.push(measure(setup, constant_at, constant.pid(), &gets, 1).await?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    report.heading("Strong GetItem 1 KB, one node");
    report.side("kv-node dev", &ours);
    report.side("constant handler", &theirs);
    let ratio = ours.server_us / theirs.server_us;
    report.floor(
        "GetItem 1 KB: server CPU, times the constant handler's (at most 3)",
        format!("{ratio:.2} ({:.1} µs)", ours.server_us),
        ratio <= FLOOR,
    );
    Ok(())
}

async fn measure(
    setup: &Setup,
    address: SocketAddr,
    pid: u32,
    requests: &std::sync::Arc<Requests>,
    keys: u64,
) -> anyhow::Result<Measured> {
    let connections = Http::connect(&[address], setup.connections, requests).await?;
    drive(connections, keys, &[pid], setup.time()).await
}

async fn constant(setup: &Setup) -> anyhow::Result<(Server, SocketAddr)> {
    let own = std::env::current_exe()?;
    let log = setup.dir("constant")?.join("log");
    let bytes = BYTES.to_string();
    let mut server = Server::start(own, ["constant", "--bytes", &bytes], &log)?;
    let address = server.says("listening on http://").await?;
    Ok((server, address.parse().context(address)?))
}
