//! What is measured, a part a file.

pub mod cluster;
pub mod get;
pub mod idle;
pub mod kill;
pub mod local;
pub mod put;
pub mod start;

use std::net::SocketAddr;

use anyhow::Context;

use crate::Setup;
use crate::process::Server;

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
