//! `kv-operator local delete`: removes a cluster that is stopped, with all its data.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::shutdown;
use super::{Error, status};
use crate::command;
use crate::platform::Platform;
use crate::platform::local::{self, LocalPlatform};

/// Deletes a directory that holds a cluster. Asks first in a terminal, unless `yes`.
///
/// # Errors
/// There is no cluster, it still runs, or nobody said yes.
pub async fn delete(root: &Path, yes: bool) -> Result<(), Error> {
    let (dir, object) = status::open(root)?;
    let _lock = dir.lock()?;
    let inventory = LocalPlatform::reader(dir.clone()).observe().await?;
    let nodes: Vec<String> = shutdown::running(&inventory)
        .iter()
        .map(|node| node.name.clone())
        .collect();
    if !nodes.is_empty() {
        return Err(local::Error::StillRunning {
            nodes,
            dir: dir.root().to_owned(),
        }
        .into());
    }
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if !yes && !ask(name, dir.root()).map_err(command::Error::Output)? {
        return Err(Error::NotConfirmed {
            dir: dir.root().to_owned(),
        });
    }
    // The nodes first and the object last: a delete that is cut short can be done again.
    let remove = |path: &Path| match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(local::Error::io("delete", path)(error))
        }
        _ => Ok(()),
    };
    remove(&dir.nodes())?;
    remove(&dir.tls())?;
    remove(dir.root())?;
    Ok(())
}

fn ask(name: &str, dir: &Path) -> std::io::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(false);
    }
    eprint!(
        "Delete cluster {name} with all its data in {}? Type its name to go on: ",
        dir.display()
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(answer.trim() == name)
}
