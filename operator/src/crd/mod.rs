//! The custom resources `KvCluster` and `KvTable`: their types, their rules, and the CRDs that are made from both.
//!
//! One invariant: whatever the API server refuses, [`rules`] and [`table_rules`] refuse with the same words, since both come from the
//! same row.

pub mod condition;
pub mod manifest;
pub mod rules;
mod spec;
mod status;
pub mod table;
pub mod table_rules;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt;

pub use spec::{
    Auth, AuthMode, Bytes, Day, Disruption, Growth, KvCluster, KvClusterSpec, Maintenance,
    MaintenanceWindow, Monitoring, NodeGroup, Partitions, Pod, REPLICATION_FACTOR_DEFAULT,
    Rebalance, Repair, Service, ServiceType, Storage, StoragePolicy, Tls, Upgrade, duration,
    time_of_day,
};
pub use status::{
    Endpoint, KvClusterStatus, NodeState, NodeStatus, PlanStatus, STATUS_NODES_MAX, UpgradeStatus,
};
pub use table::{
    BillingMode, DeletionPolicy, KeyType, KvTable, KvTableSpec, KvTableStatus, TableBilling,
    TableKey, TableKeys, TableOrigin,
};

/// The API group of every kind.
pub const GROUP: &str = "ringkv.dev";
/// The one version there is.
pub const VERSION: &str = "v1alpha1";

/// A kind's definition and its file below `crds/`.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The file.
    pub file_name: &'static str,
    /// The definition, with its rules as CEL.
    pub crd: CustomResourceDefinition,
}

impl Definition {
    /// The text of the file.
    ///
    /// # Errors
    /// None in practice: the definition is made of plain maps, lists and strings.
    pub fn yaml(&self) -> Result<String, serde_yaml::Error> {
        let yaml = serde_yaml::to_string(&self.crd)?;
        Ok(format!(
            "# Made by `kv-operator crds --write crds`; change operator/src/crd instead.\n{yaml}"
        ))
    }
}

/// All kinds.
#[must_use]
pub fn definitions() -> [Definition; 2] {
    let table_rules = table_rules::RULES.iter().map(rules::Rule::to_cel).collect();
    [
        Definition {
            file_name: "ringkv.dev_kvclusters.yaml",
            crd: definition(),
        },
        Definition {
            file_name: "ringkv.dev_kvtables.yaml",
            crd: with_rules(KvTable::crd(), table_rules::name_rule(), table_rules),
        },
    ]
}

/// The definition of `KvCluster`, with the rows of [`rules::RULES`] as CEL.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let rows = rules::RULES.iter().map(rules::Rule::to_cel).collect();
    with_rules(KvCluster::crd(), rules::name_rule(), rows)
}

fn with_rules(
    mut crd: CustomResourceDefinition,
    name_rule: ValidationRule,
    rules: Vec<ValidationRule>,
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(root) = schema {
            add_rules(root, name_rule.clone(), rules.clone());
        }
    }
    crd
}

fn add_rules(root: &mut JSONSchemaProps, name_rule: ValidationRule, rules: Vec<ValidationRule>) {
    root.x_kubernetes_validations = Some(vec![name_rule]);
    let spec = root
        .properties
        .as_mut()
        .and_then(|properties| properties.get_mut("spec"));
    if let Some(spec) = spec {
        spec.x_kubernetes_validations = Some(rules);
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
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        forbid_null(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_crds_are_the_definitions() {
        for definition in definitions() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");
            let path = format!("{folder}/{}", definition.file_name);
            let file = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                file == definition.yaml().expect("definition serializes"),
                "{path} is out of date; run `cargo run -p kv-operator -- crds --write crds`"
            );
        }
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
        let mut bare = Vec::new();
        for definition in definitions() {
            let root = definition.crd.spec.versions[0]
                .schema
                .as_ref()
                .and_then(|s| s.open_api_v3_schema.as_ref());
            let properties = root
                .expect("schema")
                .properties
                .as_ref()
                .expect("properties");
            for name in ["spec", "status"] {
                walk(name, &properties[name], &mut bare);
            }
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
        for definition in definitions() {
            let root = definition.crd.spec.versions[0]
                .schema
                .as_ref()
                .and_then(|s| s.open_api_v3_schema.as_ref());
            walk("", root.expect("schema"));
        }
    }
}
