//! What is measured, a part a file.

pub mod balance;
pub mod cluster;
pub mod get;
pub mod heat;
pub mod idle;
pub mod kill;
pub mod local;
pub mod moves;
pub mod put;
pub mod restart;
pub mod splits;
pub mod start;

use std::net::SocketAddr;

use anyhow::Context;
use kv_model::encoding::key::{Part, partition_key, token};

use crate::Setup;
use crate::clients::http::create_table;
use crate::clients::key_name;
use crate::process::Server;

/// A table begins with so many, at evenly spaced tokens.
pub const PARTITIONS: usize = 4;

/// So many keys of each partition of a new table, in the order of their tokens.
pub fn keys(prefix: &str, each: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let mut found: Vec<Vec<(u128, String)>> = vec![Vec::new(); PARTITIONS];
    for n in 0..10_000 * each {
        let key = format!("{prefix}-{n}");
        let token = token(&partition_key(&[Part::S(&key)]));
        let place = &mut found[(token / (u128::MAX / PARTITIONS as u128 + 1)) as usize];
        if place.len() < each {
            place.push((token, key));
        }
    }
    let sorted = found.into_iter().map(|mut keys| {
        keys.sort_unstable();
        let keys: Vec<String> = keys.into_iter().map(|(_, key)| key).collect();
        (keys.len() == each)
            .then_some(keys)
            .context("no key hashes there")
    });
    sorted.collect()
}

/// Creates so many tables; answers their names.
pub async fn tables(
    servers: &[SocketAddr],
    prefix: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for (n, server) in servers.iter().cycle().take(count).enumerate() {
        let name = format!("{prefix}-{n}");
        create_table(*server, &name).await?;
        names.push(name);
    }
    Ok(names)
}

/// So many items, in turns over the tables.
pub fn items(tables: &[String], count: u64) -> Vec<(String, String)> {
    let names = (0..count).map(key_name);
    tables.iter().cloned().cycle().zip(names).collect()
}

/// `kv-node dev` on a new directory.
pub async fn dev(setup: &Setup) -> anyhow::Result<(Server, SocketAddr)> {
    let dir = setup.dir("dev")?;
    let data = dir.join("data");
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data-dir"];
    let arguments = arguments
        .map(std::ffi::OsStr::new)
        .into_iter()
        .chain([data.as_os_str()]);
    let mut server = Server::start(setup.kv_node(), arguments, &dir.join("log"))?;
    let address = server.says("listening on http://").await?;
    Ok((server, address.parse().context(address)?))
}
