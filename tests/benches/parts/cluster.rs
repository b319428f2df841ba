//! Three nodes against three of etcd with fsync: durable puts and linearizable reads of 100 B and 1 KB.
//!
//! Both clients keep 64 connections with one request in flight each, in turns over the three nodes. Ours speaks HTTP/1.1,
//! etcd's HTTP/2 with gRPC's frames, both by hyper with requests built beforehand; the client's own CPU time is shown, for it shares the cores.

use std::net::SocketAddr;
use std::sync::Arc;

use super::local::Local;
use crate::Setup;
use crate::clients::etcd::{Ask, Etcd, Pairs};
use crate::clients::http::{Http, Requests, TABLE, create_table};
use crate::load::{Measured, drive, fill, median};
use crate::process::{Server, free_port};
use crate::report::Report;

const KEYS: u64 = 10_000;

/// The servers of one side.
struct Side {
    addresses: Vec<SocketAddr>,
    pids: Vec<u32>,
}

pub async fn run(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Local::start(setup).await?;
    let nodes = cluster.nodes()?;
    let ours = Side {
        addresses: nodes.iter().map(|node| node.address).collect(),
        pids: nodes.iter().map(|node| node.pid).collect(),
    };
    create_table(ours.addresses[0], TABLE).await?;
    let etcd = start_etcd(setup).await?;
    let theirs = Side {
        addresses: etcd.iter().map(|(_, address)| *address).collect(),
        pids: etcd.iter().map(|(server, _)| server.pid()).collect(),
    };
    for bytes in [100, 1000] {
        for read in [false, true] {
            compare(setup, report, &ours, &theirs, bytes, read).await?;
        }
    }
    Ok(())
}

async fn compare(
    setup: &Setup,
    report: &mut Report,
    ours: &Side,
    theirs: &Side,
    bytes: usize,
    read: bool,
) -> anyhow::Result<()> {
    let puts = Requests::puts(KEYS, bytes);
    let pairs = Pairs::new(KEYS, bytes);
    if read {
        fill(http(setup, ours, &puts).await?, KEYS).await?;
        if !theirs.addresses.is_empty() {
            fill(grpc(setup, theirs, Ask::Put, &pairs).await?, KEYS).await?;
        }
    }
    let requests = if read {
        Requests::strong_gets(KEYS, bytes)
    } else {
        puts
    };
    let ask = if read { Ask::Range } else { Ask::Put };
    let (mut mine, mut rival) = (Vec::new(), Vec::new());
    for _ in 0..setup.runs {
        let connections = http(setup, ours, &requests).await?;
        mine.push(drive(connections, KEYS, &ours.pids, setup.time()).await?);
        if !theirs.addresses.is_empty() {
            let connections = grpc(setup, theirs, ask, &pairs).await?;
            rival.push(drive(connections, KEYS, &theirs.pids, setup.time()).await?);
        }
    }
    let what = format!(
        "{} {bytes} B, three nodes",
        if read {
            "Linearizable read"
        } else {
            "Durable put"
        }
    );
    report.heading(&what);
    let mine = median(mine);
    report.side("ringkv", &mine);
    if rival.is_empty() {
        report.note("etcd was not given: --etcd");
    } else {
        judge(report, &what, &mine, &median(rival));
    }
    Ok(())
}

fn judge(report: &mut Report, what: &str, ours: &Measured, theirs: &Measured) {
    report.side("etcd", theirs);
    let throughput = ours.per_second / theirs.per_second;
    let p99 = f64::from(ours.p99_us) / f64::from(theirs.p99_us.max(1));
    let cpu = ours.server_us / theirs.server_us;
    report.floor(
        &format!("{what}: throughput, times etcd's"),
        format!("{throughput:.2}"),
        throughput >= 1.0,
    );
    report.floor(
        &format!("{what}: p99, times etcd's"),
        format!("{p99:.2}"),
        p99 <= 1.0,
    );
    report.floor(
        &format!("{what}: server CPU, times etcd's"),
        format!("{cpu:.2}"),
        cpu <= 1.0,
    );
}

async fn http(setup: &Setup, side: &Side, requests: &Arc<Requests>) -> anyhow::Result<Vec<Http>> {
    Http::connect(&side.addresses, setup.connections, requests).await
}

async fn grpc(
    setup: &Setup,
    side: &Side,
    ask: Ask,
    pairs: &Arc<Pairs>,
) -> anyhow::Result<Vec<Etcd>> {
    Etcd::connect(&side.addresses, setup.connections, ask, pairs).await
}

/// Three members with their defaults.
async fn start_etcd(setup: &Setup) -> anyhow::Result<Vec<(Server, SocketAddr)>> {
    let Some(program) = &setup.etcd else {
        return Ok(Vec::new());
    };
    let ports = (0..3)
        .map(|_| Ok((free_port()?, free_port()?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let members: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(n, (_, peer))| format!("e{n}=http://{peer}"))
        .collect();
    let members = members.join(",");
    let mut servers = Vec::new();
    for (n, (client, peer)) in ports.iter().enumerate() {
        let dir = setup.dir("etcd")?;
        let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        let (name, data) = (format!("e{n}"), dir.join("data").display().to_string());
        let arguments = [
            "--name",
            &name,
            "--data-dir",
            &data,
            "--listen-client-urls",
            &client_url,
            "--advertise-client-urls",
            &client_url,
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
            "--initial-cluster",
            &members,
            "--initial-cluster-state",
            "new",
        ];
        servers.push((
            Server::start(program, arguments, &dir.join("log"))?,
            *client,
        ));
    }
    for (server, address) in &mut servers {
        server.listens(*address).await?;
    }
    Ok(servers)
}
