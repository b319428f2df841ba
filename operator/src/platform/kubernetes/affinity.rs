//! Where a pod should run: what the operator says, and besides what the spec says. Pure.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    PodAffinityTerm, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::names;
use super::objects::NodeSeat;
use super::wanted::Wanted;

/// In its zone for certain, and away from the cluster's other nodes where that is possible; what the spec asks for must hold besides.
pub fn affinity(wanted: &Wanted, seat: &NodeSeat) -> Affinity {
    let mut affinity = wanted.pod.affinity.clone().unwrap_or_default();
    if wanted.has_zones {
        let nodes = affinity.node_affinity.get_or_insert_default();
        bind_to_zone(nodes, &seat.zone);
    }
    let apart = WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: PodAffinityTerm {
            topology_key: names::HOSTNAME.to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(names::pod_selector(&wanted.name)),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        },
    };
    let pods = affinity.pod_anti_affinity.get_or_insert_default();
    let wishes = &mut pods.preferred_during_scheduling_ignored_during_execution;
    wishes.get_or_insert_default().insert(0, apart);
    affinity
}

/// Terms are alternatives: each must ask for the zone. One that asks for nothing matches no worker, and stays so.
fn bind_to_zone(nodes: &mut NodeAffinity, zone: &str) {
    let in_zone = NodeSelectorRequirement {
        key: names::TOPOLOGY_ZONE.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![zone.to_owned()]),
    };
    let required = &mut nodes.required_during_scheduling_ignored_during_execution;
    let Some(selector) = required else {
        *required = Some(NodeSelector {
            node_selector_terms: vec![NodeSelectorTerm {
                match_expressions: Some(vec![in_zone]),
                ..NodeSelectorTerm::default()
            }],
        });
        return;
    };
    let asks = |term: &&mut NodeSelectorTerm| {
        let has_any = |list: &Option<Vec<NodeSelectorRequirement>>| {
            list.as_ref().is_some_and(|list| !list.is_empty())
        };
        has_any(&term.match_expressions) || has_any(&term.match_fields)
    };
    for term in selector.node_selector_terms.iter_mut().filter(asks) {
        let expressions = term.match_expressions.get_or_insert_default();
        expressions.push(in_zone.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crd::KvCluster;

    fn made(spec: &Value) -> Value {
        let spec = serde_json::from_value(spec.clone()).expect("a spec");
        let wanted = Wanted::of(&KvCluster::new("rides", spec), "ringkv/kv-node:1");
        let seat = NodeSeat {
            id: 7,
            name: "rides-7".into(),
            zone: "zone-a".into(),
            group: "default".into(),
        };
        serde_json::to_value(affinity(&wanted, &seat)).expect("JSON")
    }

    #[test]
    fn what_the_spec_asks_for_holds_besides_the_zone_and_the_wish_to_be_apart() {
        let asked = json!([
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]},
            {}
        ]);
        let other = json!({"weight": 1, "podAffinityTerm": {"topologyKey": "rack"}});
        let found = made(
            &json!({"nodes": 3, "zones": ["zone-a"], "pod": {"affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": asked}},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [other]},
            }}}),
        );
        let in_zone = json!({"key": names::TOPOLOGY_ZONE, "operator": "In", "values": ["zone-a"]});
        let terms = &found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        assert_eq!(terms[0]["matchExpressions"][0]["key"], "disk");
        assert_eq!(terms[0]["matchExpressions"][1], in_zone);
        assert_eq!(terms[1]["matchExpressions"][0], in_zone);
        assert_eq!(terms[2], json!({}));
        let wishes = &found["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(wishes[0]["podAffinityTerm"]["topologyKey"], names::HOSTNAME);
        assert_eq!(wishes[1], other);
    }

    #[test]
    fn without_zones_only_the_spec_binds_to_workers() {
        assert_eq!(made(&json!({"nodes": 3})).get("nodeAffinity"), None);
    }
}
