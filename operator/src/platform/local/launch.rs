//! Starting a node's process so that it outlives the operator.
//!
//! ```text
//! kv-operator local ──spawn──► kv-operator node-launcher ──setsid, pid file, exec──► kv-node run --config …
//! ```
//!
//! The launcher becomes the node: same pid, same start time. It writes the pid file itself, so that an operator killed right
//! after the spawn leaves no process that nobody knows of; and it holds a lock on the node's directory that stays with the
//! process for life, so that a second process for the same node can't come up.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::FlockOperation;
use rustix::io::{FdFlags, fcntl_setfd};

use super::Error;
use super::dir::{NodeDir, make_dir};
use super::log;
use super::process::Process;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "node-launcher";

/// The programs that a start takes.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `kv-node`.
    pub node: PathBuf,
    /// `kv-operator`, for its hidden subcommand.
    pub launcher: PathBuf,
}

impl Programs {
    /// `kv-node` as named, or beside this program, or in `PATH`.
    ///
    /// # Errors
    /// It is not there.
    pub fn find(named: Option<&Path>) -> Result<Self, Error> {
        // Still this very program when its file has been replaced.
        let launcher = PathBuf::from("/proc/self/exe");
        if let Some(path) = named {
            let not_one = || Error::NotAProgram {
                path: path.to_owned(),
            };
            let node = path
                .canonicalize()
                .ok()
                .filter(|path| is_program(path))
                .ok_or_else(not_one)?;
            return Ok(Self { node, launcher });
        }
        let beside = std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.join("kv-node")));
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&paths).map(|dir| dir.join("kv-node"));
        let node = beside
            .into_iter()
            .chain(in_path)
            .find(|path| is_program(path))
            .ok_or(Error::NoNodeBinary)?;
        Ok(Self { node, launcher })
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Starts a node. Returns as soon as its launcher runs.
///
/// # Errors
/// What the system says.
pub fn spawn(programs: &Programs, node: &NodeDir) -> Result<Child, Error> {
    make_dir(&node.data())?;
    log::rotate(node).map_err(Error::io("rotate", &node.log()))?;
    let log = File::options()
        .append(true)
        .create(true)
        .open(node.log())
        .map_err(Error::io("open", &node.log()))?;
    let errors = log.try_clone().map_err(Error::io("open", &node.log()))?;
    Command::new(&programs.launcher)
        .arg(SUBCOMMAND)
        .arg("--config")
        .arg(node.config())
        .arg("--node-binary")
        .arg(&programs.node)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .current_dir(node.root())
        .spawn()
        .map_err(Error::io("start", &programs.node))
}

/// The launcher: returns only if the node can't be started.
///
/// # Errors
/// Another process runs this node, or the system refuses.
pub fn become_node(config: &Path, node_binary: &Path) -> Result<Infallible, Error> {
    let root = config.parent().unwrap_or(Path::new("/"));
    let node = NodeDir::at(root.to_owned());
    // In a session of its own a terminal's signals don't reach it.
    rustix::process::setsid()
        .map_err(|errno| Error::io("leave the session of", root)(errno.into()))?;
    hold(root)?;
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let process = Process::current()
        .ok_or_else(gone)
        .map_err(Error::io("read", Path::new("/proc/self/stat")))?;
    process.write(&node.pid())?;
    let error = Command::new(node_binary)
        .arg("run")
        .arg("--config")
        .arg(config)
        .exec();
    Err(Error::io("run", node_binary)(error))
}

/// Locks a node's directory until this process, whatever it becomes, has ended.
fn hold(root: &Path) -> Result<(), Error> {
    let directory = File::open(root).map_err(Error::io("open", root))?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid =
                Process::read(&NodeDir::at(root.to_owned()).pid())?.map(|process| process.pid);
            return Err(Error::NodeRuns {
                dir: root.to_owned(),
                pid,
            });
        }
        Err(errno) => return Err(Error::io("lock", root)(errno.into())),
    }
    fcntl_setfd(&directory, FdFlags::empty())
        .map_err(|errno| Error::io("keep open", root)(errno.into()))?;
    // Open across exec, on purpose.
    std::mem::forget(directory);
    Ok(())
}
