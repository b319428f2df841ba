//! What a pod's status says of a node's process. Pure.
//!
//! A container that isn't running counts as Absent, though a pod stands for it: then what is wanted now takes hold at once. One on a
//! worker that is out of reach is told from one that runs by the node's own silence alone.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::names;
use crate::crd::condition::Reason;
use crate::platform::{Presence, Trouble};

/// Whether the process is there, and what keeps it from being.
#[must_use]
pub fn presence(pod: Option<&Pod>) -> (Presence, Option<Trouble>) {
    let Some(pod) = pod else {
        return (Presence::Absent, None);
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return (Presence::Terminating, None);
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Unknown") => return (Presence::Unknown, None),
        Some("Failed" | "Succeeded") => {
            let why = status
                .and_then(|status| status.message.clone().or(status.reason.clone()))
                .unwrap_or_default();
            return absent(Reason::NodesDown, format!("{name} ended: {why}"));
        }
        _ => {}
    }
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    match containers.and_then(|all| all.first()) {
        Some(container) => of_container(name, container),
        None => match unschedulable(pod) {
            Some(why) => absent(
                Reason::CannotStart,
                format!("{name} has no worker to run on: {why}"),
            ),
            None => (Presence::Starting, None),
        },
    }
}

fn absent(reason: Reason, message: String) -> (Presence, Option<Trouble>) {
    (Presence::Absent, Some(Trouble { reason, message }))
}

fn of_container(name: &str, container: &ContainerStatus) -> (Presence, Option<Trouble>) {
    let state = container.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return (Presence::Running, None);
    }
    if state.terminated.is_some() {
        return absent(
            Reason::NodesDown,
            format!("{name} ended{}", last_words(&state)),
        );
    }
    let waiting = state.waiting.unwrap_or_default();
    match waiting.reason.as_deref() {
        None | Some("ContainerCreating" | "PodInitializing") => (Presence::Starting, None),
        Some("CrashLoopBackOff") => {
            let last = container.last_state.clone().unwrap_or_default();
            absent(
                Reason::NodesDown,
                format!("{name} ends by itself{}", last_words(&last)),
            )
        }
        Some(reason) => {
            let why = waiting.message.unwrap_or_default();
            absent(
                Reason::CannotStart,
                format!("{name} can't be started: {reason}: {why}"),
            )
        }
    }
}

/// How a container ended, as it said itself.
fn last_words(state: &ContainerState) -> String {
    let Some(ended) = &state.terminated else {
        return String::new();
    };
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let words = ended.message.as_deref().unwrap_or_default();
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    format!(" with status {} ({reason}){last}", ended.exit_code)
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    (scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| scheduled.message.clone().unwrap_or_default())
}

/// Whether Services send requests there.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the pod was made from another template than the `StatefulSet` has now, as far as its controller has seen it.
#[must_use]
pub fn is_of_an_older_template(pod: &Pod, set: &StatefulSet) -> bool {
    let Some(status) = &set.status else {
        return false;
    };
    let made_of = names::label(&pod.metadata, "controller-revision-hash");
    status.observed_generation == set.metadata.generation
        && status.update_revision.is_some()
        && made_of.is_some()
        && status.update_revision.as_deref() != made_of
}

/// As what the process was started.
#[must_use]
pub fn revision(pod: &Pod) -> Option<String> {
    names::annotation(&pod.metadata, names::REVISION).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "rides-1-0"}, "status": status}))
            .expect("a pod")
    }

    fn container(state: &serde_json::Value) -> Pod {
        pod(json!({"phase": "Pending", "containerStatuses": [{
            "name": "node", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": state,
            "lastState": {"terminated": {"exitCode": 74, "reason": "Error", "message": "a\nkv-node: disk\n"}}
        }]}))
    }

    #[test]
    fn only_a_container_that_runs_is_there() {
        for (state, expected) in [
            (json!({"running": {}}), Presence::Running),
            (
                json!({"waiting": {"reason": "ContainerCreating"}}),
                Presence::Starting,
            ),
            (
                json!({"waiting": {"reason": "ImagePullBackOff"}}),
                Presence::Absent,
            ),
            (json!({"terminated": {"exitCode": 1}}), Presence::Absent),
        ] {
            assert_eq!(presence(Some(&container(&state))).0, expected, "{state}");
        }
        assert_eq!(presence(None), (Presence::Absent, None));
        assert_eq!(
            presence(Some(&pod(json!({"phase": "Unknown"})))).0,
            Presence::Unknown
        );
        assert_eq!(
            presence(Some(&pod(json!({"phase": "Pending"})))).0,
            Presence::Starting
        );
    }

    #[test]
    fn troubles_tell_what_was_said_last() {
        let (_, trouble) = presence(Some(&container(
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        )));
        let trouble = trouble.expect("trouble");
        assert_eq!(trouble.reason, Reason::NodesDown);
        assert_eq!(
            trouble.message,
            "rides-1-0 ends by itself with status 74 (Error): kv-node: disk"
        );
        let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
        let (presence, trouble) = presence(Some(&pod(
            json!({"phase": "Pending", "conditions": conditions}),
        )));
        assert_eq!(presence, Presence::Absent);
        assert!(trouble.expect("trouble").message.contains("0/3 nodes"));
    }
}
