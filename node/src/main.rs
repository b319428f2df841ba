//! `kv-node`: a node of a cluster (`run`), or a cluster of one for a laptop or a test suite (`dev`).

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kv_node::config::{AccessKey, NodeConfig, default_account};
use kv_node::exit::ExitStatus;
use kv_node::node::{DevConfig, Failure, Node};
use kv_node::telemetry;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A node of a ringkv cluster.
#[derive(Debug, Parser)]
#[command(name = "kv-node", version, about, after_help = EXIT_HELP)]
struct Cli {
    /// Export traces to this OpenTelemetry collector (OTLP over gRPC, for example http://127.0.0.1:4317).
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_HELP: &str = "Exit statuses: 0 stopped as asked; 64 usage; 65 data damaged; 68 address taken; 69 directory in use; 70 a bug; \
71 system limits; 73 no permission; 74 disk error; 75 try again; 76 directory, certificate or id of another cluster, node or version; \
77 disk full; 78 configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// One node, no cluster: for a laptop or a test suite, as people use DynamoDB Local.
    Dev(Dev),
    /// A node of a cluster; the operator starts it so.
    Run(Run),
}

#[derive(Debug, Args)]
struct Dev {
    /// Address of the DynamoDB API; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Address of the gRPC API (ringkv.kv.v1); it is not served without it.
    #[arg(long)]
    grpc_listen: Option<SocketAddr>,
    /// Address of metrics and health; none are served without it.
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// Where data are kept.
    #[arg(long, default_value = "ringkv-data", conflicts_with = "in_memory")]
    data_dir: PathBuf,
    /// Keep data in memory; they go with the process.
    #[arg(long)]
    in_memory: bool,
    /// One set of tables for all; else, without an access key, each key and region that signs has its own, as in DynamoDB Local.
    #[arg(long)]
    shared_db: bool,
    /// The access key that requests must be signed with; without one any signature passes.
    #[arg(long, requires = "secret_key")]
    access_key: Option<String>,
    /// Its secret.
    #[arg(
        long,
        requires = "access_key",
        env = "RINGKV_SECRET_KEY",
        hide_env_values = true
    )]
    secret_key: Option<String>,
    /// Listen beyond this machine although any signature passes.
    #[arg(long)]
    allow_unauthenticated: bool,
    /// Seconds that a request may take inside.
    #[arg(long, default_value_t = 10)]
    request_timeout: u64,
    /// Seconds between two looks for expired items.
    #[arg(long, default_value_t = 30)]
    ttl_interval: u64,
}

#[derive(Debug, Args)]
struct Run {
    /// The node's configuration (JSON), as the operator writes it.
    #[arg(long)]
    config: PathBuf,
    /// Listen beyond this machine although any signature passes.
    #[arg(long)]
    allow_unauthenticated: bool,
    /// Seconds that a request may take inside the cluster.
    #[arg(long, default_value_t = 10)]
    request_timeout: u64,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no mistake. A closed stdout leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(ExitStatus::Usage.code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Err(error) = telemetry::init(telemetry::Format::of_stderr()) {
        eprintln!("kv-node: {error}");
        return ExitCode::from(ExitStatus::Config.code());
    }
    // A thread that panicked may have left a promise half made: nothing of this process may go on (DESIGN §12). In the profile it
    // would be `panic = "abort"`, but then tests, which must unwind, would share no compiled crate with what is shipped.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!(
                "kv-node: the system gives no threads: {error}. {}",
                ExitStatus::System.advice()
            );
            return ExitCode::from(ExitStatus::System.code());
        }
    };
    match runtime.block_on(run(cli.command, cli.otlp_endpoint.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kv-node: {failure}. {}", failure.status.advice());
            ExitCode::from(failure.status.code())
        }
    }
}

async fn run(command: Command, otlp: Option<&str>) -> Result<(), Failure> {
    let system = |error: std::io::Error| Failure {
        status: ExitStatus::System,
        message: format!("signals can't be caught: {error}"),
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut node = match command {
        Command::Dev(dev) => start_dev(dev, otlp).await?,
        Command::Run(run) => start_run(run, otlp).await?,
    };
    // The line that test suites wait for.
    println!("listening on http://{}", node.dynamo);
    if let Some(kv) = node.kv {
        println!("gRPC on {kv}");
    }
    let _ = std::io::stdout().flush();
    tokio::select! {
        // A person at the terminal, or the end of all nodes at once: nobody waits for a drain.
        _ = interrupt.recv() => node.hurry(),
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    node.stop().await;
    // Waits for the collector, so not on a thread that the exporter needs.
    let _ = tokio::task::spawn_blocking(telemetry::flush_traces).await;
    Ok(())
}

/// Without keys anyone may write: then only this machine, unless someone insists.
fn guard(address: SocketAddr, keys: &[AccessKey], allowed: bool) -> Result<(), Failure> {
    if address.ip().is_loopback() || !keys.is_empty() || allowed {
        return Ok(());
    }
    let message = format!(
        "{address} can be reached from other machines, and no access key is configured: give one, or say --allow-unauthenticated"
    );
    Err(Failure {
        status: ExitStatus::Config,
        message,
    })
}

fn export(otlp: Option<&str>, node: &str) -> Result<(), Failure> {
    match otlp.filter(|endpoint| !endpoint.is_empty()) {
        Some(endpoint) => telemetry::export_traces(endpoint, node).map_err(|error| Failure {
            status: ExitStatus::Config,
            message: error.to_string(),
        }),
        None => Ok(()),
    }
}

async fn start_dev(dev: Dev, otlp: Option<&str>) -> Result<Node, Failure> {
    export(otlp, "dev")?;
    let keys = match (dev.access_key, dev.secret_key) {
        (Some(id), Some(secret)) => vec![AccessKey {
            id,
            secret,
            account: default_account(),
        }],
        _ => Vec::new(),
    };
    for address in [Some(dev.listen), dev.grpc_listen].into_iter().flatten() {
        guard(address, &keys, dev.allow_unauthenticated)?;
    }
    Node::dev(DevConfig {
        listen: dev.listen,
        grpc: dev.grpc_listen,
        metrics: dev.metrics_listen,
        data_dir: (!dev.in_memory).then_some(dev.data_dir),
        keys,
        deadline: Duration::from_secs(dev.request_timeout),
        ttl_interval: Duration::from_secs(dev.ttl_interval.max(1)),
        shared: dev.shared_db,
    })
    .await
}

async fn start_run(run: Run, otlp: Option<&str>) -> Result<Node, Failure> {
    let config = NodeConfig::read(&run.config).map_err(|error| Failure {
        status: ExitStatus::Config,
        message: error.to_string(),
    })?;
    export(otlp, &config.name)?;
    for address in [config.listen.dynamo, config.listen.kv] {
        guard(address, &config.auth.access_keys, run.allow_unauthenticated)?;
    }
    Node::cluster(config, Duration::from_secs(run.request_timeout)).await
}
