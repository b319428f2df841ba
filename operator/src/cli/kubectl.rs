//! `kubectl ringkv`, and `kv-operator kubectl`, which is the same.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::command::order::Order;
use crate::command::show::Format;
use crate::command::split::Where;
use crate::command::top::Kind;
use crate::exit::Exit;
use crate::kubectl::{Error, Reach, ask};
use crate::reconcile::apply::chain;

/// The name under which kubectl finds the program.
const PLUGIN: &str = "kubectl-ringkv";

/// Looks at ringkv clusters of a Kubernetes, and orders what a spec can't say.
#[derive(Debug, Parser)]
#[command(name = PLUGIN, bin_name = "kubectl ringkv", version, about, disable_help_subcommand = true)]
pub struct Plugin {
    #[command(flatten)]
    pub kubectl: Kubectl,
}

#[derive(Debug, Args)]
pub struct Kubectl {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: KubectlCommand,
}

#[derive(Debug, Args)]
struct Place {
    /// The namespace of the cluster [default: that of the context].
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// The context of the kubeconfig [default: the current one].
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, or ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The KvCluster [default: the only one of the namespace].
    #[arg(short, long, global = true, value_name = "NAME")]
    cluster: Option<String>,
}

#[derive(Debug, Subcommand)]
enum KubectlCommand {
    /// Print a KvCluster with its status.
    Status {
        /// The KvCluster.
        name: Option<String>,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Print what a changed KvCluster would do; changes nothing.
    Plan {
        /// The KvCluster as it would be.
        #[arg(short, long, visible_alias = "filename", value_name = "YAML")]
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
        /// The KvCluster.
        name: Option<String>,
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
    },
    /// Move all data off a node and keep it empty.
    Drain {
        /// The node's name or id.
        node: String,
        /// Let it bear data again.
        #[arg(long)]
        undo: bool,
    },
    /// Let a new node take a node's place, now.
    Replace {
        /// The node's name or id.
        node: String,
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
    },
    /// Confirm that all data of a cluster are lost: a new one is made in its place, under a new id.
    GiveUp {
        /// The id of the cluster that is lost, as the condition DataLost names it.
        #[arg(long, value_name = "ID")]
        cluster_id: String,
    },
}

/// Whether kubectl has started this program.
pub fn is_plugin(program: Option<&OsStr>) -> bool {
    program.is_some_and(|path| Path::new(path).file_name() == Some(OsStr::new(PLUGIN)))
}

/// Runs a command.
pub fn run(arguments: Kubectl) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Error::Runtime)
        .and_then(|runtime| runtime.block_on(command(arguments)));
    match done {
        Ok(()) => Exit::Ok,
        Err(error) => {
            // As kubectl begins what it says.
            eprintln!("error: {}", chain(&error));
            error.exit()
        }
    }
}

async fn command(arguments: Kubectl) -> Result<(), Error> {
    let Kubectl { place, command } = arguments;
    let reach = reach(place);
    let order = async |wanted| ask::order(&reach, wanted).await.map(line);
    let text = match command {
        KubectlCommand::Status { name, output } => {
            ask::status(&reach, name.as_deref(), output).await?
        }
        KubectlCommand::Plan { file, output } => ask::plan(&reach, &file, output).await?,
        KubectlCommand::Top {
            kind,
            name,
            limit,
            output,
        } => return ask::top(&reach, name.as_deref(), kind, limit, output).await,
        KubectlCommand::Restart { node } => order(Order::Restart(node)).await?,
        KubectlCommand::Drain { node, undo: false } => order(Order::Drain(node)).await?,
        KubectlCommand::Drain { node, undo: true } => order(Order::Undrain(node)).await?,
        KubectlCommand::Replace { node } => order(Order::Replace(node)).await?,
        KubectlCommand::GiveUp { cluster_id } => order(Order::GiveUp(cluster_id)).await?,
        KubectlCommand::Split {
            table,
            at,
            partition,
            account,
        } => {
            let place = Where {
                table,
                account,
                group: partition,
                at,
            };
            line(ask::split(&reach, place).await?)
        }
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    Ok(written.map_err(crate::command::Error::Output)?)
}

fn reach(place: Place) -> Reach {
    let Place {
        namespace,
        context,
        kubeconfig,
        cluster,
    } = place;
    Reach {
        namespace,
        context,
        kubeconfig,
        cluster,
    }
}

fn line(text: String) -> String {
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Reach, KubectlCommand), clap::Error> {
        let words = std::iter::once(PLUGIN).chain(line.split_whitespace());
        let Kubectl { place, command } = Plugin::try_parse_from(words)?.kubectl;
        Ok((reach(place), command))
    }

    #[test]
    fn the_name_of_the_program_makes_it_a_plugin() {
        let is = |path: &str| is_plugin(Some(OsStr::new(path)));
        assert!(is("/usr/local/bin/kubectl-ringkv") && is("kubectl-ringkv"));
        assert!(!is("kv-operator") && !is("/kubectl-ringkv/kv-operator") && !is_plugin(None));
    }

    #[test]
    fn options_of_kubectl_stand_before_and_after_the_command() {
        let expected = Reach {
            namespace: Some("there".into()),
            context: Some("other".into()),
            kubeconfig: Some("/tmp/config".into()),
            cluster: Some("rides".into()),
        };
        for line in [
            "-n there --context other --kubeconfig /tmp/config -c rides restart rides-2",
            "restart rides-2 --namespace there --context=other --kubeconfig=/tmp/config --cluster rides",
        ] {
            let (reach, command) = parse(line).expect("a command");
            assert_eq!(reach, expected, "{line}");
            assert!(
                matches!(&command, KubectlCommand::Restart { node: Some(node) } if node == "rides-2"),
                "{command:?}"
            );
        }
    }

    #[test]
    fn commands_are_as_those_of_local() {
        let command = |line: &str| parse(line).expect("a command").1;
        assert!(matches!(
            command("top nodes rides -o json"),
            KubectlCommand::Top { kind: Kind::Nodes, name: Some(name), output: Format::Json, .. } if name == "rides"
        ));
        assert!(matches!(
            command("status"),
            KubectlCommand::Status {
                name: None,
                output: Format::Table
            }
        ));
        assert!(matches!(
            command("plan --filename new.yaml"),
            KubectlCommand::Plan { .. }
        ));
        assert!(matches!(
            command("drain 2 --undo"),
            KubectlCommand::Drain { undo: true, .. }
        ));
        assert!(matches!(
            command("split rides --at {\"id\":{\"S\":\"m\"}}"),
            KubectlCommand::Split { at: Some(_), .. }
        ));
        for wrong in ["", "drain", "plan", "give-up", "top rides", "stop"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
