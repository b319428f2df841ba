//! The command line.

mod crds;
mod kubectl;

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::order::Order;
use crate::command::show::Format;
use crate::command::split::Where;
use crate::command::top::Kind;
use crate::controller;
use crate::exit::Exit;
use crate::local::ask::order;
use crate::local::{self, run};
use crate::platform::local::launch;
use crate::platform::local::ports::Preference;
use crate::reconcile::apply::chain;

/// Runs ringkv clusters.
#[derive(Debug, Parser)]
#[command(name = "kv-operator", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a cluster on this machine, its nodes as processes; no Kubernetes needed.
    Local(Local),
    /// Look after the KvClusters of a Kubernetes, from within it or by the kubeconfig at hand.
    Run(Run),
    /// What `kubectl ringkv` does, where this program is in PATH as kubectl-ringkv.
    Kubectl(kubectl::Kubectl),
    /// Print the custom resource definitions.
    Crds {
        /// Write them into files of this directory instead.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    #[command(name = launch::SUBCOMMAND, hide = true)]
    NodeLauncher {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        node_binary: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Look after this namespace only; may be given several times [default: all].
    #[arg(
        long = "namespace",
        value_name = "NAME",
        env = "WATCH_NAMESPACES",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
    /// The image of nodes where a KvCluster names none.
    #[arg(long, value_name = "IMAGE", env = "NODE_IMAGE", default_value_t = format!("ringkv/kv-node:{}", env!("CARGO_PKG_VERSION")))]
    node_image: String,
    /// Where metrics and health are served.
    #[arg(long, default_value = "0.0.0.0:9090")]
    listen: SocketAddr,
    /// The namespace of the lease by which one of several operators does the work.
    #[arg(
        long,
        value_name = "NAME",
        env = "POD_NAMESPACE",
        default_value = "default"
    )]
    lease_namespace: String,
    /// The name of this process among them [default: a random one].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Local {
    #[command(subcommand)]
    command: Option<LocalCommand>,
    /// The KvCluster; saving it while this runs applies it.
    #[arg(short, long, value_name = "YAML", required = true)]
    file: Option<PathBuf>,
    /// Where the cluster lives [default: .ringkv/<name> beside the file].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The program that runs a node [default: kv-node beside this program, or in PATH].
    #[arg(long, value_name = "PATH")]
    node_binary: Option<PathBuf>,
    /// Listen on any free ports instead of 8000, 8010, ...
    #[arg(long)]
    any_ports: bool,
}

#[derive(Debug, Subcommand)]
enum LocalCommand {
    /// Print the KvCluster with its status.
    Status {
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Print what a changed KvCluster would do; changes nothing.
    Plan {
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
        /// The KvCluster as it would be.
        #[arg(short, long, value_name = "YAML")]
        file: PathBuf,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Print the busiest partitions, keys or nodes; live in a terminal.
    Top {
        /// Of what.
        #[arg(value_enum, default_value_t = Kind::Partitions)]
        kind: Kind,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Restart all nodes, or one, each when the cluster can spare it.
    Restart {
        /// The node's name or id.
        node: Option<String>,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Move all data off a node and keep it empty.
    Drain {
        /// The node's name or id.
        node: String,
        /// Let it bear data again.
        #[arg(long)]
        undo: bool,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Let a new node take a node's place, now.
    Replace {
        /// The node's name or id.
        node: String,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Split a partition of a table.
    Split {
        /// The table's name.
        table: String,
        /// The first key of the right part, in DynamoDB's JSON [default: from a sample of the load].
        #[arg(long, value_name = "KEY")]
        at: Option<String>,
        /// The partition's id, as `top partitions` prints it [default: the largest].
        #[arg(long)]
        partition: Option<u64>,
        /// The account that the table belongs to.
        #[arg(long, default_value = "000000000000")]
        account: String,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Confirm that all data of a cluster are lost: a new one is made in its place, under a new id.
    GiveUp {
        /// The id of the cluster that is lost, as the condition DataLost names it.
        #[arg(long, value_name = "ID")]
        cluster_id: String,
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Stop a cluster; its data stay.
    Stop {
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Delete a stopped cluster with all its data.
    Delete {
        /// Where the cluster lives.
        #[arg(long)]
        dir: PathBuf,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> Exit {
    let command = match parse(std::env::args_os().collect()) {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no errors. If they can't be printed there is nowhere to say so.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
        }
    };
    match command {
        Command::NodeLauncher {
            config,
            node_binary,
        } => match launch::become_node(&config, &node_binary) {
            Ok(never) => match never {},
            Err(error) => fail(&error, error.advice(), error.exit()),
        },
        Command::Crds { write } => match crds::crds(write.as_deref()) {
            Ok(()) => Exit::Ok,
            Err(error) => fail(&error, None, error.exit()),
        },
        Command::Local(local) => in_runtime(local),
        Command::Run(arguments) => run_controller(arguments),
        Command::Kubectl(arguments) => {
            log_for_people();
            kubectl::run(arguments)
        }
    }
}

/// The command of a command line, whose first word is the program's own name.
fn parse(arguments: Vec<OsString>) -> Result<Command, clap::Error> {
    if kubectl::is_plugin(arguments.first().map(OsString::as_os_str)) {
        let plugin = kubectl::Plugin::try_parse_from(arguments)?;
        return Ok(Command::Kubectl(plugin.kubectl));
    }
    Ok(Cli::try_parse_from(arguments)?.command)
}

fn run_controller(arguments: Run) -> Exit {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .json()
        .init();
    let Run {
        namespaces,
        node_image,
        listen,
        lease_namespace,
        identity,
    } = arguments;
    let options = controller::Options {
        namespaces: namespaces
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect(),
        node_image,
        listen,
        lease_namespace,
        // A pod runs one process at a time: one that is started anew in it goes on with the lease of the one before.
        identity: identity.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime
        .map_err(controller::Error::Signals)
        .and_then(|runtime| runtime.block_on(controller::run(options)))
    {
        Ok(()) => Exit::Ok,
        Err(error) => fail(&error, None, error.exit()),
    }
}

fn log_for_people() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn in_runtime(arguments: Local) -> Exit {
    log_for_people();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(local::Error::Signals)
        .and_then(|runtime| runtime.block_on(local(arguments)))
    {
        Ok(()) => Exit::Ok,
        Err(error) => fail(&error, error.advice(), error.exit()),
    }
}

async fn local(arguments: Local) -> Result<(), local::Error> {
    let Local {
        command,
        file,
        dir,
        node_binary,
        any_ports,
    } = arguments;
    match command {
        Some(command) => subcommand(command).await,
        None => {
            let ports = if any_ports {
                Preference::Any
            } else {
                Preference::WellKnown
            };
            let file = file.unwrap_or_default();
            run::run(run::Arguments {
                file,
                dir,
                node_binary,
                ports,
            })
            .await
        }
    }
}

async fn subcommand(command: LocalCommand) -> Result<(), local::Error> {
    let text = match command {
        LocalCommand::Status { dir, output } => local::status::status(&dir, output).await?,
        LocalCommand::Plan { dir, file, output } => local::ask::plan(&dir, &file, output).await?,
        LocalCommand::Top {
            kind,
            dir,
            limit,
            output,
        } => return local::ask::top(&dir, kind, limit, output).await,
        LocalCommand::Restart { node, dir } => line(order(&dir, Order::Restart(node)).await?),
        LocalCommand::Drain { node, undo, dir } => {
            let wanted = if undo {
                Order::Undrain(node)
            } else {
                Order::Drain(node)
            };
            line(order(&dir, wanted).await?)
        }
        LocalCommand::Replace { node, dir } => line(order(&dir, Order::Replace(node)).await?),
        LocalCommand::GiveUp { cluster_id, dir } => {
            line(order(&dir, Order::GiveUp(cluster_id)).await?)
        }
        LocalCommand::Split {
            table,
            at,
            partition,
            account,
            dir,
        } => {
            let place = Where {
                table,
                account,
                group: partition,
                at,
            };
            line(local::ask::split(&dir, place).await?)
        }
        LocalCommand::Stop { dir } => {
            local::stop::stop(&dir, |progress| eprintln!("{progress}")).await?;
            eprintln!("stopped; the data stay in {}", dir.display());
            return Ok(());
        }
        LocalCommand::Delete { dir, yes } => {
            local::delete::delete(&dir, yes).await?;
            eprintln!("deleted {}", dir.display());
            return Ok(());
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| crate::command::Error::Output(source).into())
}

fn line(text: String) -> String {
    text + "\n"
}

/// One sentence, and the status that goes with it.
fn fail(error: &dyn std::error::Error, advice: Option<&str>, exit: Exit) -> Exit {
    let advice = advice
        .map(|advice| format!("; {advice}"))
        .unwrap_or_default();
    eprintln!("kv-operator: {}{advice}", chain(error));
    exit
}
