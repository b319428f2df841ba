//! `kv-operator local -f FILE`: the loop in the foreground.
//!
//! ```text
//! every 100 ms ──► did the file change? ──► admission ──► spec in force (status.json)
//!       │
//! SIGCHLD ───────► a round of reconcile ──► status.json, terminal
//! SIGINT, SIGTERM, SIGHUP ► stop all nodes in order ──► exit 0          (a second one: leave)
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::object::{Store, seconds};
use super::shutdown::{self, GRACE};
use super::terminal::Terminal;
use super::watch::{Change, Watch};
use super::{Error, orders, status};
use crate::command::{self, manifest_file};
use crate::crd::condition::{self, ConditionType, Reason};
use crate::crd::manifest::Mistake;
use crate::crd::{AuthMode, KvCluster, KvClusterStatus};
use crate::dataplane::AdminClients;
use crate::platform::Platform;
use crate::platform::authorities::Policy;
use crate::platform::local::dir::{Dir, Lock};
use crate::platform::local::launch::Programs;
use crate::platform::local::ports::Preference;
use crate::platform::local::{self, LocalPlatform, Options, identity, tls};
use crate::reconcile::apply::{Look, chain};
use crate::reconcile::status::Refused;
use crate::reconcile::{self, Outcome};

/// How often the file is looked at; and the cluster, while it comes up.
const TICK: Duration = Duration::from_millis(100);
/// How often a cluster is looked at that is ready.
const CALM: Duration = Duration::from_secs(1);
/// And one that has not been ready for longer than [`EAGER_FOR`].
const PATIENT: Duration = Duration::from_millis(500);
const EAGER_FOR: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The `KvCluster`.
    pub file: PathBuf,
    /// Where the cluster lives, if not beside the file.
    pub dir: Option<PathBuf>,
    /// The program that runs nodes, if not found by itself.
    pub node_binary: Option<PathBuf>,
    /// Which ports are tried first.
    pub ports: Preference,
}

/// Runs until told to stop.
///
/// # Errors
/// The file is wrong from the start, the directory can't be used, or it was left by a second signal.
pub async fn run(arguments: Arguments) -> Result<(), Error> {
    let mut operator = Operator::open(arguments)?;
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let mut children = signal(SignalKind::child()).map_err(Error::Signals)?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A round that is dropped half-way is a crash between two steps: the next one goes on from what is there.
        let is_stop = tokio::select! {
            biased;
            () = signals.stop() => true,
            _ = children.recv() => {
                operator.last_round = None;
                false
            }
            _ = ticks.tick() => false,
        };
        if is_stop {
            break;
        }
        let watched = operator.watch_file();
        operator.judge(watched)?;
        if !operator.is_due() {
            continue;
        }
        tokio::select! {
            biased;
            () = signals.stop() => break,
            result = operator.round() => operator.judge(result)?,
        }
    }
    operator.stop(&mut signals).await
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// All that the loop owns.
struct Operator {
    file: PathBuf,
    dir: Dir,
    _lock: Lock,
    watch: Watch,
    store: Store,
    platform: LocalPlatform,
    dataplane: AdminClients,
    terminal: Terminal,
    refused: Option<Refused>,
    last_round: Option<Instant>,
    not_ready_since: Option<Instant>,
    told: KvClusterStatus,
    failure: Option<String>,
}

impl Operator {
    fn open(arguments: Arguments) -> Result<Self, Error> {
        let Arguments {
            file,
            dir,
            node_binary,
            ports,
        } = arguments;
        let text = manifest_file::read(&file)?;
        let object = parse(&file, &text, None)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let programs = Programs::find(node_binary.as_deref())?;
        let dir = Dir::create(&dir.unwrap_or_else(|| default_dir(&file, &name)))?;
        let lock = dir.lock()?;
        check_owner(&dir, &name)?;
        let mut store = Store::open(dir.clone())?;
        // What may not change is checked against what is in force.
        let object = parse(&file, &text, store.get())?;
        store.apply(object, Timestamp::now())?;
        let options = Options {
            cluster_name: name.clone(),
            programs,
            ports,
        };
        let terminal = Terminal::new();
        terminal.say(&format!("cluster {name} in {}", dir.root().display()));
        Ok(Self {
            watch: Watch::new(&file, text),
            platform: LocalPlatform::new(dir.clone(), options),
            dataplane: AdminClients::new(tls::operator_paths(&dir)),
            file,
            dir,
            _lock: lock,
            store,
            terminal,
            refused: None,
            last_round: None,
            not_ready_since: None,
            told: KvClusterStatus::default(),
            failure: None,
        })
    }

    /// A file that was saved is applied, or refused while the spec before it stays in force.
    fn watch_file(&mut self) -> Result<(), Error> {
        let file = self.file.display().to_string();
        let (reason, message) = match self.watch.look() {
            Change::None => return Ok(()),
            Change::Gone => (
                Reason::InvalidSpec,
                format!("{file} is gone; the cluster stays as it is"),
            ),
            Change::Unreadable(error) => (
                Reason::InvalidSpec,
                format!("{file} can't be read: {error}"),
            ),
            Change::Text(text) => match parse(&self.file, &text, self.store.get()) {
                Ok(object) => {
                    let was_refused = self.refused.take().is_some();
                    if self.store.apply(object, Timestamp::now())? {
                        self.terminal.say(&format!("{file} applied"));
                    } else if was_refused {
                        self.terminal.say(&format!("{file} is right again"));
                    }
                    self.last_round = None;
                    return Ok(());
                }
                Err(error) => (reason_of(&error), error.to_string()),
            },
        };
        self.terminal
            .say(&format!("{message}\nthe cluster stays as it is"));
        self.refused = Some(Refused { reason, message });
        self.last_round = None;
        Ok(())
    }

    /// Whether it is time for a round.
    fn is_due(&self) -> bool {
        let pace = match self.not_ready_since {
            None => CALM,
            Some(since) if since.elapsed() > EAGER_FOR => PATIENT,
            Some(_) => TICK,
        };
        self.last_round
            .is_none_or(|last| last.elapsed() + TICK / 2 >= pace)
    }

    /// What goes wrong before the first status ends the program; later on it is told once and tried again, since an operator
    /// that leaves its nodes alone for a full disk helps nobody.
    fn judge(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Ok(()) => {}
            Err(error) if self.told.observed_generation.is_none() => return Err(error),
            Err(error) => {
                let advice = error
                    .advice()
                    .map(|advice| format!("; {advice}"))
                    .unwrap_or_default();
                let failure = format!("{}{advice}", chain(&error));
                if self.failure.as_ref() != Some(&failure) {
                    self.terminal.say(&format!("{failure}; tried again"));
                    self.failure = Some(failure);
                }
            }
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<(), Error> {
        self.last_round = Some(Instant::now());
        let Some(object) = self.store.get().cloned() else {
            return Ok(());
        };
        self.platform.set_policy(Policy::of(&object.spec));
        let request = reconcile::Request {
            object: &object,
            orders: &orders::read(&self.dir)?,
            refused: self.refused.as_ref(),
            now: seconds(Timestamp::now()),
        };
        let result = reconcile::round(&mut self.platform, &mut self.dataplane, &request).await;
        for event in self.platform.take_events() {
            self.terminal.event(&event);
        }
        let Outcome {
            status,
            moves,
            is_busy,
            observed: _,
            cluster: _,
        } = result?;
        self.terminal.status(&self.told, &status, self.dir.root());
        self.terminal.moves(&moves, status.plan.as_ref());
        let is_ready = condition::holds(&status.conditions, ConditionType::Ready);
        self.not_ready_since = if is_ready && !is_busy {
            None
        } else {
            self.not_ready_since.or_else(|| Some(Instant::now()))
        };
        self.told = status.clone();
        self.store.set_status(status)?;
        self.platform.trim_logs();
        self.failure = None;
        Ok(())
    }

    async fn stop(mut self, signals: &mut Signals) -> Result<(), Error> {
        self.terminal
            .say("stopping all nodes; once more to leave at once");
        let terminal = &self.terminal;
        let left = tokio::select! {
            biased;
            () = signals.stop() => true,
            result = shutdown::stop_all(&mut self.platform, GRACE, |progress| terminal.shutdown(&progress)) => {
                result?;
                false
            }
        };
        self.terminal.close();
        if left {
            let inventory = self.platform.observe().await?;
            let nodes = shutdown::running(&inventory)
                .iter()
                .map(|node| node.name.clone())
                .collect();
            return Err(Error::Interrupted {
                nodes,
                dir: self.dir.root().to_owned(),
            });
        }
        if let Some(object) = self.store.get().cloned() {
            let after = status::look(&self.dir, &object, Look::Untended).await?;
            self.store.set_status(after)?;
        }
        self.terminal.say(&format!(
            "stopped; the data stay in {}",
            self.dir.root().display()
        ));
        Ok(())
    }
}

/// Reads the file, with what the local platform has no means for on top of the rules of the CRD.
pub(super) fn parse(file: &Path, text: &str, old: Option<&KvCluster>) -> Result<KvCluster, Error> {
    let object = manifest_file::parse(file, text, old)?;
    let spec = &object.spec;
    let wants_keys = spec
        .auth
        .as_ref()
        .is_some_and(|auth| auth.mode == AuthMode::Secret);
    let wants_ca = spec
        .tls
        .as_ref()
        .is_some_and(|tls| tls.secret_name.is_some());
    let (place, message) = if wants_keys {
        (
            "spec.auth.mode",
            "must be None on the local platform, which has no Secrets; it listens on this machine only, got Secret",
        )
    } else if wants_ca {
        (
            "spec.tls.secretName",
            "must be left out on the local platform, which has no Secrets; it makes a CA of its own",
        )
    } else {
        return Ok(object);
    };
    Err(command::Error::Mistakes {
        file: file.to_owned(),
        mistakes: vec![Mistake::at(text, place, message, Reason::InvalidSpec)],
    }
    .into())
}

fn reason_of(error: &Error) -> Reason {
    match error {
        Error::Command(command::Error::Mistakes { mistakes, .. }) => mistakes
            .first()
            .map_or(Reason::InvalidSpec, |mistake| mistake.reason),
        _ => Reason::InvalidSpec,
    }
}

fn default_dir(file: &Path, name: &str) -> PathBuf {
    file.parent()
        .unwrap_or(Path::new(""))
        .join(".ringkv")
        .join(name)
}

fn check_owner(dir: &Dir, name: &str) -> Result<(), Error> {
    match identity::read(&dir.identity())? {
        Some(identity) if identity.name != name => {
            let dir = dir.root().to_owned();
            Err(local::Error::OtherCluster {
                dir,
                found: identity.name,
                wanted: name.to_owned(),
            }
            .into())
        }
        _ => Ok(()),
    }
}
