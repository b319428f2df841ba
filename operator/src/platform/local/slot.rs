//! What is remembered of one node between two looks: its process, and when to try again.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::backoff::Backoff;
use super::dir::NodeDir;
use super::process::Process;
use super::{Error, log};
use crate::crd::condition::Reason;
use crate::platform::{Presence, Trouble};

/// Something that happened, for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The cluster's CA and certificates.
    CertificatesMade,
    /// A process was started.
    Started {
        /// The node.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// A process of an earlier operator was found alive.
    Adopted {
        /// The node.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// A process ended by itself.
    Ended {
        /// The node.
        name: String,
        /// How, with its last words.
        how: String,
        /// When it is started again.
        again_in: Duration,
    },
    /// What is left of a removed node was put aside.
    PutAside {
        /// The node.
        name: String,
        /// Where it lies now.
        to: std::path::PathBuf,
    },
    /// What was left of a removed node was deleted.
    Deleted {
        /// The node.
        name: String,
    },
    /// A process was told to end, and did.
    Stopped {
        /// The node.
        name: String,
    },
    /// A process could not be started.
    CannotStart {
        /// The node.
        name: String,
        /// Why.
        why: String,
        /// When it is tried again.
        again_in: Duration,
    },
}

/// A process that runs, or ran at the last look.
#[derive(Debug)]
struct Running {
    process: Process,
    /// Set if this very operator started it: it must be waited for, and its exit status can be known.
    child: Option<Child>,
    since: Instant,
}

/// One node.
#[derive(Debug)]
pub(super) struct Slot {
    pub name: String,
    pub dir: NodeDir,
    running: Option<Running>,
    is_terminating: bool,
    told_at: Option<Instant>,
    /// How long it may take to end when it is told to; without an end it is not ended by force here.
    patience: Option<Duration>,
    backoff: Backoff,
    next_start: Option<Instant>,
    trouble: Option<Trouble>,
}

impl Slot {
    pub fn new(name: &str, dir: NodeDir) -> Self {
        Self {
            name: name.to_owned(),
            dir,
            running: None,
            is_terminating: false,
            told_at: None,
            patience: None,
            backoff: Backoff::default(),
            next_start: None,
            trouble: None,
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.pid)
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    pub fn may_start(&self, now: Instant) -> bool {
        self.running.is_none() && self.next_start.is_none_or(|next| next <= now)
    }

    /// Notes a start.
    pub fn started(&mut self, child: Child, now: Instant) -> Event {
        let pid = child.id();
        // If it has ended already the next look finds that.
        let gone = Process {
            pid,
            start_ticks: 0,
            boot_id: String::new(),
        };
        let process = Process::of(pid).unwrap_or(gone);
        self.running = Some(Running {
            process,
            child: Some(child),
            since: now,
        });
        self.is_terminating = false;
        Event::Started {
            name: self.name.clone(),
            pid,
        }
    }

    /// Notes a start that failed.
    pub fn cannot_start(&mut self, now: Instant, why: &str) -> Event {
        let again_in = self.backoff.failed(Duration::ZERO);
        self.next_start = Some(now + again_in);
        self.trouble = Some(Trouble {
            reason: Reason::CannotStart,
            message: why.to_owned(),
        });
        Event::CannotStart {
            name: self.name.clone(),
            why: why.to_owned(),
            again_in,
        }
    }

    /// Looks whether the process is there.
    pub fn look(&mut self, now: Instant, events: &mut Vec<Event>) -> Presence {
        match self.running.take() {
            Some(mut running) => match ended(&mut running, &self.dir) {
                None => self.running = Some(running),
                Some(status) => self.note_end(running.since, status, now, events),
            },
            None => {
                let found = match Process::read(&self.dir.pid()) {
                    Ok(found) => found.filter(|process| process.is_node(&self.dir.config())),
                    Err(_) => return Presence::Unknown,
                };
                if let Some(process) = found {
                    events.push(Event::Adopted {
                        name: self.name.clone(),
                        pid: process.pid,
                    });
                    self.running = Some(Running {
                        process,
                        child: None,
                        since: now,
                    });
                }
            }
        }
        self.force(now);
        match (&self.running, self.is_terminating) {
            (Some(_), true) => Presence::Terminating,
            (Some(running), false) => {
                if now.duration_since(running.since) > Duration::from_secs(1) {
                    self.trouble = None;
                }
                Presence::Running
            }
            (None, _) => Presence::Absent,
        }
    }

    /// Tells the process to end, by force if it has not after `patience`.
    pub fn stop(&mut self, patience: Duration) -> Result<(), Error> {
        self.patience = Some(patience);
        self.signal(Signal::TERM).map(|_| ())
    }

    fn force(&mut self, now: Instant) {
        let deadline = self
            .told_at
            .zip(self.patience)
            .map(|(told, patience)| told + patience);
        if self.is_terminating
            && deadline.is_some_and(|deadline| now >= deadline)
            && let Some(running) = &self.running
        {
            self.patience = None;
            // It may have ended just now; the next look tells.
            let _ = running.process.signal(Signal::KILL);
        }
    }

    fn note_end(
        &mut self,
        since: Instant,
        status: Option<ExitStatus>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        if self.is_terminating {
            self.is_terminating = false;
            self.told_at = None;
            self.trouble = None;
            events.push(Event::Stopped {
                name: self.name.clone(),
            });
            return;
        }
        let delay = self.backoff.failed(now.duration_since(since));
        self.next_start = Some(now + delay);
        let how = describe(status, log::last_line(&self.dir.log()));
        let message = format!(
            "{} ended: {how}; its log is {}",
            self.name,
            self.dir.log().display()
        );
        self.trouble = Some(Trouble {
            reason: Reason::NodesDown,
            message,
        });
        events.push(Event::Ended {
            name: self.name.clone(),
            how,
            again_in: delay,
        });
    }

    /// Sends a signal; whether there was a process to send it to.
    pub fn signal(&mut self, signal: Signal) -> Result<bool, Error> {
        let Some(running) = &self.running else {
            return Ok(false);
        };
        let process = &running.process;
        self.is_terminating = true;
        self.told_at = self.told_at.or_else(|| Some(Instant::now()));
        let refused = |source| Error::Signal {
            node: self.name.clone(),
            pid: process.pid,
            source,
        };
        process.signal(signal).map_err(refused)?;
        Ok(true)
    }
}

/// `None` while it runs; else how it ended, if that can be known.
fn ended(running: &mut Running, dir: &NodeDir) -> Option<Option<ExitStatus>> {
    match &mut running.child {
        Some(child) => match child.try_wait() {
            Ok(None) => None,
            Ok(status) => Some(status),
            Err(_) => Some(None),
        },
        None => (!running.process.is_node(&dir.config())).then_some(None),
    }
}

fn describe(status: Option<ExitStatus>, last_line: Option<String>) -> String {
    // Who is killed had no time for last words: what stands there is about something else.
    let is_killed = status.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
    let how = status.map_or_else(
        || "exit status not known".to_owned(),
        |status| status.to_string(),
    );
    match last_line.filter(|_| !is_killed) {
        Some(line) => format!("{how}, its last words: {line}"),
        None => how,
    }
}
