//! Fifth stage, the only one that changes anything.

use super::build::{Built, Task};
use crate::dataplane::DataPlane;
use crate::platform::{Action, Platform};

/// What was done, and what went wrong, in words for a condition.
#[derive(Debug, Default)]
pub struct Applied {
    failures: Vec<String>,
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
            look: Some(look),
        }
    }

    /// Set if nothing was to be done, whatever was planned.
    #[must_use]
    pub const fn look(&self) -> Option<Look> {
        self.look
    }

    /// What went wrong, each with its causes.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

/// Does the tasks in order. A node that does not start keeps no other from starting; any other failure ends the round, since
/// what follows relies on it.
pub async fn apply<P: Platform, D: DataPlane>(
    platform: &mut P,
    dataplane: &mut D,
    built: Built,
) -> Applied {
    let Built { tasks, error } = built;
    let mut applied = Applied::default();
    for task in tasks {
        let (result, is_alone) = match &task {
            Task::Platform(action) => {
                let result = platform.apply(action).await.map_err(|error| chain(&error));
                (result, matches!(action, Action::Start(_)))
            }
            Task::Bootstrap { address, request } => {
                let result = dataplane.bootstrap(address, request.clone()).await;
                (result.map_err(|error| chain(&error)), false)
            }
        };
        if let Err(failure) = result {
            tracing::debug!(?task, failure, "a step failed; it is tried again");
            applied.failures.push(failure);
            if !is_alone {
                return applied;
            }
        }
    }
    applied.failures.extend(error.map(|error| chain(&error)));
    applied
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
