//! Durable `PutItem` of 1 KB on `kv-node dev`, beside DynamoDB Local with its data on the same disk.

use std::net::SocketAddr;
use std::sync::Arc;

use super::dev;
use crate::Setup;
use crate::clients::http::{Http, Requests, TABLE, create_table};
use crate::load::{Measured, drive, median};
use crate::process::{Server, free_port};
use crate::report::Report;

const KEYS: u64 = 10_000;
const BYTES: usize = 1000;
/// At least so many times DynamoDB Local's throughput.
const FLOOR: f64 = 5.0;

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (node, address) = dev(setup).await?;
    create_table(address, TABLE).await?;
    let rival = dynamodb_local(setup).await?;
    let puts = Requests::puts(KEYS, BYTES);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..setup.runs {
        ours.push(measure(setup, address, node.pid(), &puts).await?);
        if let Some((server, address)) = &rival {
            theirs.push(measure(setup, *address, server.pid(), &puts).await?);
        }
    }
    let ours = median(ours);
    report.heading("Durable PutItem 1 KB, one node");
    report.side("kv-node dev", &ours);
    if theirs.is_empty() {
        report.note("DynamoDB Local was not given: --dynamodb-local");
        return Ok(());
    }
    let theirs = median(theirs);
    report.side("DynamoDB Local on disk", &theirs);
    let ratio = ours.per_second / theirs.per_second;
    report.floor(
        "PutItem 1 KB: throughput, times DynamoDB Local's (at least 5)",
        format!("{ratio:.1} ({:.0} a second)", ours.per_second),
        ratio >= FLOOR,
    );
    Ok(())
}

async fn measure(
    setup: &Setup,
    address: SocketAddr,
    pid: u32,
    puts: &Arc<Requests>,
) -> anyhow::Result<Measured> {
    let connections = Http::connect(&[address], setup.connections, puts).await?;
    drive(connections, KEYS, &[pid], setup.time()).await
}

async fn dynamodb_local(setup: &Setup) -> anyhow::Result<Option<(Server, SocketAddr)>> {
    let Some(jars) = &setup.dynamodb_local else {
        return Ok(None);
    };
    let dir = setup.dir("dynamodb-local")?;
    let address = free_port()?;
    let (classes, port) = (format!("{}/*", jars.display()), address.port().to_string());
    let libraries = format!("-Djava.library.path={}", jars.display());
    let data = dir.display().to_string();
    let arguments = [
        libraries.as_str(),
        "-cp",
        &classes,
        "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
        "-port",
        &port,
        "-dbPath",
        &data,
        "-disableTelemetry",
    ];
    let mut server = Server::start("java", arguments, &dir.join("log"))?;
    server.listens(address).await?;
    create_table(address, TABLE).await?;
    Ok(Some((server, address)))
}
