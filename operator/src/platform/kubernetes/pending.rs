//! Nodes that run as the spec asks, but from a template of before: of an earlier operator, with its image of nodes, or with another time of
//! draining. Nobody restarts them for that; a person is told that their next restart changes them.

use k8s_openapi::api::core::v1::Pod;

use super::objects::NodeSeat;
use super::{KubernetesPlatform, names, objects, presence};
use crate::crd::condition::{ConditionType, Reason, Verdict};
use crate::platform::{Inventory, NodeObject};
use crate::reconcile::Cluster;

/// How many nodes a message names.
const NAMES_MAX: usize = 5;
const HOW: &str =
    "the next restart brings it: `kubectl ringkv restart`, or another spec.restartedAt";

/// What is told of nodes that were made as they would not be made now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pending {
    /// Those that run another image.
    images: Vec<String>,
    /// Those of another template, with the same image.
    templates: Vec<String>,
}

impl KubernetesPlatform {
    /// Whether nodes wait for a restart to become as this operator makes them. What the spec changed is not among it: that restarts
    /// them by itself.
    #[must_use]
    pub fn restart_pending(&mut self, cluster: &Cluster, inventory: &Inventory) -> Verdict {
        self.digests
            .retain(|id, _| inventory.nodes.contains_key(id));
        let mut pending = Pending::default();
        for node in inventory.nodes.values() {
            let pod = self.cached(&self.caches.pods, &names::pod(&node.name));
            let group = cluster.group(&node.group);
            if let Some((pod, group)) = pod.zip(group)
                && pod.metadata.deletion_timestamp.is_none()
                && presence::revision(&pod).as_ref() == Some(&group.revision)
            {
                let digest = self.digest(node);
                pending.add(&node.name, &pod, &digest, &self.wanted.image);
            }
        }
        pending.verdict(inventory.nodes.len(), &self.wanted.image)
    }

    /// The digest of the template that a node would be made from now. It costs too much to be made each round anew.
    fn digest(&mut self, node: &NodeObject) -> String {
        let wanted = &self.wanted;
        let digest = self.digests.entry(node.id).or_insert_with(|| {
            let seat = NodeSeat {
                id: node.id.0,
                name: node.name.clone(),
                zone: node.zone.clone(),
                group: node.group.clone(),
            };
            objects::template_digest(wanted, &seat, wanted.drain_seconds)
        });
        digest.clone()
    }
}

impl Pending {
    fn add(&mut self, name: &str, pod: &Pod, digest: &str, image: &str) {
        if names::annotation(&pod.metadata, names::TEMPLATE) == Some(digest) {
            return;
        }
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let runs = container.and_then(|container| container.image.as_deref());
        let list = if runs == Some(image) {
            &mut self.templates
        } else {
            &mut self.images
        };
        list.push(name.to_owned());
    }

    fn verdict(&self, all: usize, image: &str) -> Verdict {
        let Self { images, templates } = self;
        let told = |names: &[String], what: &str| {
            format!("{} of {all} nodes {what}: {}", names.len(), named(names))
        };
        let other_image = format!("do not run {image}, the image that is the default now");
        let other_template = "run from a template of before, of an earlier operator or with another spec.drainSeconds";
        let (reason, parts) = match (images.is_empty(), templates.is_empty()) {
            (true, true) => {
                return Verdict::no(ConditionType::RestartPending, Reason::AllCurrent, "");
            }
            (true, false) => (Reason::OlderTemplate, vec![told(templates, other_template)]),
            (false, true) => (Reason::OlderImage, vec![told(images, &other_image)]),
            (false, false) => (
                Reason::OlderImage,
                vec![told(images, &other_image), told(templates, other_template)],
            ),
        };
        let message = format!("{}; {HOW}", parts.join("; "));
        Verdict::yes(ConditionType::RestartPending, reason, message)
    }
}

fn named(names: &[String]) -> String {
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of pods with these digests and images, where `now` of `new` is what a node is made as.
    fn verdict(pods: &[(Option<&str>, &str)]) -> Verdict {
        let mut pending = Pending::default();
        for (id, (digest, image)) in (1_u32..).zip(pods) {
            let name = format!("rides-{id}");
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"annotations": digest.map(|digest| json!({names::TEMPLATE: digest}))},
                "spec": {"containers": [{"name": "node", "image": image}]},
            }))
            .expect("a pod");
            pending.add(&name, &pod, "now", "new");
        }
        pending.verdict(pods.len(), "new")
    }

    #[test]
    fn nodes_as_they_are_made_now_wait_for_nothing() {
        // Whatever admission made of the image.
        let found = verdict(&[(Some("now"), "new"), (Some("now"), "mirror/new")]);
        assert!(!found.holds && found.reason == Reason::AllCurrent);
        assert!(!verdict(&[]).holds);
    }

    #[test]
    fn who_runs_as_of_before_is_named_and_how_to_change_it() {
        let found = verdict(&[(Some("now"), "new"), (Some("then"), "old"), (None, "old")]);
        assert_eq!((found.holds, found.reason), (true, Reason::OlderImage));
        let told = "2 of 3 nodes do not run new, the image that is the default now: rides-2, rides-3; the next restart brings it: ";
        assert!(found.message.starts_with(told), "{}", found.message);
        let found = verdict(&[(None, "new"), (Some("now"), "new")]);
        assert_eq!((found.holds, found.reason), (true, Reason::OlderTemplate));
        assert!(found.message.starts_with("1 of 2 nodes run from"));
    }

    #[test]
    fn a_message_stays_short() {
        let found = verdict(&[(None, "old"); 40]);
        assert!(
            found.message.contains("rides-5 and 35 more"),
            "{}",
            found.message
        );
        let both = verdict(&[(None, "old"), (None, "new")]);
        assert!(both.reason == Reason::OlderImage && both.message.contains("template of before"));
    }
}
