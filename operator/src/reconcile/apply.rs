//! Fifth stage, the only one that changes anything.

use super::build::{Built, Task};
use crate::dataplane::{Call, DataPlane};
use crate::platform::{Action, Platform};

/// What was done, and what went wrong, in words for a condition.
#[derive(Debug, Default)]
pub struct Applied {
    failures: Vec<String>,
    waiting: Vec<String>,
    look: Option<Look>,
}

/// Who only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// An operator is at work besides.
    Tended,
    /// Nobody starts what is down.
    Untended,
}

impl Applied {
    /// For a look that changes nothing.
    #[must_use]
    pub const fn nothing(look: Look) -> Self {
        Self {
            failures: Vec::new(),
            waiting: Vec::new(),
            look: Some(look),
        }
    }

    /// Set if nothing was to be done, whatever was planned.
    #[must_use]
    pub const fn look(&self) -> Option<Look> {
        self.look
    }

    /// Why steps could not be taken yet, by the data plane's word.
    #[must_use]
    pub fn waiting(&self) -> &[String] {
        &self.waiting
    }

    /// What went wrong, each with its causes.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

/// How a task ended.
enum End {
    Done,
    /// Not yet, for this reason; the rest goes on.
    Wait(String),
    /// It failed, and the rest may go on or not.
    Failed {
        why: String,
        is_alone: bool,
    },
}

/// Does the tasks in order. A node that does not start keeps no other from starting; any other failure ends the round, since
/// what follows relies on it. What the metadata leader refuses for now, with a reason, is no failure: it is waited for.
pub async fn apply<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    built: Built,
) -> Applied {
    let Built {
        tasks,
        addresses,
        error,
    } = built;
    let mut applied = Applied::default();
    for task in tasks {
        match run(platform, dataplane, &addresses, &task).await {
            End::Done => {}
            End::Wait(why) => applied.waiting.push(why),
            End::Failed { why, is_alone } => {
                tracing::debug!(?task, why, "a step failed; it is tried again");
                applied.failures.push(why);
                if !is_alone {
                    return applied;
                }
            }
        }
    }
    applied.failures.extend(error.map(|error| chain(&error)));
    applied
}

async fn run<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    addresses: &[String],
    task: &Task,
) -> End {
    match task {
        Task::Platform(action) => {
            let is_alone = matches!(
                action,
                Action::Start { .. } | Action::Stop(_) | Action::Forget { .. } | Action::Certify(_)
            );
            end(platform.apply(action).await, is_alone)
        }
        Task::Bootstrap { address, request } => {
            end(dataplane.bootstrap(address, request.clone()).await, false)
        }
        Task::Call(call) => match dataplane.call(addresses, call.clone()).await {
            // A plan that came too late is made anew in the next round.
            Err(error) if error.is_refusal() && matches!(call, Call::ChangeRing(_)) => End::Done,
            Err(error) if error.is_refusal() => End::Wait(error.reason()),
            result => end(result, false),
        },
        Task::Restart {
            id,
            request,
            revision,
            drain_seconds,
        } => {
            let action = Action::Restart {
                id: *id,
                revision: revision.clone(),
                drain_seconds: *drain_seconds,
            };
            match dataplane.ask_permit(addresses, request.clone()).await {
                Ok(reply) if reply.given => end(platform.apply(&action).await, true),
                Ok(reply) => End::Wait(format!(
                    "node {id} can't be restarted yet: {}",
                    reply.why_not
                )),
                Err(error) => end::<(), _>(Err(error), true),
            }
        }
    }
}

fn end<T, E: std::error::Error>(result: Result<T, E>, is_alone: bool) -> End {
    match result {
        Ok(_) => End::Done,
        Err(error) => End::Failed {
            why: chain(&error),
            is_alone,
        },
    }
}

/// An error and its causes in one sentence.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
