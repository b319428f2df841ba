//! The custom resource `KvCluster`: its types, its rules, and the CRD that is made from both.
//!
//! One invariant: whatever the API server refuses, [`rules`] refuses with the same words, since both come from the
//! same row.

pub mod condition;
pub mod manifest;
pub mod rules;
mod spec;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::CustomResourceExt;

pub use spec::{
    Auth, AuthMode, Bytes, Disruption, Growth, KvCluster, KvClusterSpec, NodeGroup, Partitions,
    Pod, REPLICATION_FACTOR_DEFAULT, Rebalance, Repair, Service, ServiceType, Storage,
    StoragePolicy, Tls, Upgrade, duration,
};
pub use status::{
    Endpoint, KvClusterStatus, NodeState, NodeStatus, PlanStatus, STATUS_NODES_MAX, UpgradeStatus,
};

/// The API group of every kind.
pub const GROUP: &str = "ringkv.dev";
/// The one version there is.
pub const VERSION: &str = "v1alpha1";
/// The file below `crds/` that holds the definition.
pub const FILE_NAME: &str = "ringkv.dev_kvclusters.yaml";

/// The definition, with the rows of [`rules::RULES`] as CEL.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut crd = KvCluster::crd();
    for version in &mut crd.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(root) = schema {
            add_rules(root);
        }
    }
    crd
}

/// The definition as the text of [`FILE_NAME`].
///
/// # Errors
/// None in practice: the definition is made of plain maps, lists and strings.
pub fn definition_yaml() -> Result<String, serde_yaml::Error> {
    let yaml = serde_yaml::to_string(&definition())?;
    Ok(format!(
        "# Made by `kv-operator crds --write crds`; change operator/src/crd instead.\n{yaml}"
    ))
}

fn add_rules(root: &mut JSONSchemaProps) {
    root.x_kubernetes_validations = Some(vec![rules::name_rule()]);
    let spec = root
        .properties
        .as_mut()
        .and_then(|properties| properties.get_mut("spec"));
    if let Some(spec) = spec {
        spec.x_kubernetes_validations =
            Some(rules::RULES.iter().map(rules::Rule::to_cel).collect());
        forbid_null(spec);
    }
}

/// A null that is not allowed is pruned by the API server, so that `has()` says the same of it as of a missing field.
fn forbid_null(schema: &mut JSONSchemaProps) {
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        property.nullable = None;
        forbid_null(property);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_crds_is_the_definition() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crds/ringkv.dev_kvclusters.yaml"
        );
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == definition_yaml().expect("definition serializes"),
            "{path} is out of date; run `cargo run -p kv-operator -- crds --write crds`"
        );
    }

    #[test]
    fn every_field_says_what_it_is() {
        fn walk(path: &str, schema: &JSONSchemaProps, bare: &mut Vec<String>) {
            for (name, property) in schema.properties.iter().flatten() {
                let path = format!("{path}.{name}");
                if property
                    .description
                    .as_ref()
                    .is_none_or(|text| !text.contains(' '))
                {
                    bare.push(path.clone());
                }
                walk(&path, property, bare);
            }
        }
        let crd = definition();
        let root = crd.spec.versions[0]
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref());
        let properties = root
            .expect("schema")
            .properties
            .as_ref()
            .expect("properties");
        let mut bare = Vec::new();
        for name in ["spec", "status"] {
            walk(name, &properties[name], &mut bare);
        }
        assert_eq!(bare, Vec::<String>::new(), "fields without a description");
    }

    #[test]
    fn the_schema_is_structural() {
        fn walk(path: &str, schema: &JSONSchemaProps) {
            assert!(
                schema.properties.is_none() || schema.additional_properties.is_none(),
                "{path} has both properties and additionalProperties"
            );
            for (name, property) in schema.properties.iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(
                    !path.starts_with(".spec") || property.nullable.is_none(),
                    "{path} may be null"
                );
                walk(&path, property);
            }
        }
        let crd = definition();
        let root = crd.spec.versions[0]
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref());
        walk("", root.expect("schema"));
    }
}
