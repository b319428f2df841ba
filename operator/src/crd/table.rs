//! `KvTable`: what a user writes, and what the operator reports. These sentences are `kubectl explain`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table of a cluster. What is not said here, a table may have: indexes, streams, tags.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "ringkv.dev",
    version = "v1alpha1",
    kind = "KvTable",
    plural = "kvtables",
    namespaced,
    shortname = "kvt",
    category = "ringkv",
    status = "KvTableStatus",
    derive = "PartialEq",
    doc = "A DynamoDB-compatible table of a KvCluster in the same namespace. It is made if it is missing, adopted if its keys are the same, and else left alone.",
    printcolumn = r#"{"name":"Cluster", "type":"string", "jsonPath":".spec.clusterName", "description":"The KvCluster that it belongs to"}"#,
    printcolumn = r#"{"name":"Table", "type":"string", "jsonPath":".status.tableName", "description":"Its name in the DynamoDB API"}"#,
    printcolumn = r#"{"name":"Ready", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Ready\")].status", "description":"The table is there, as declared, and serves"}"#,
    printcolumn = r#"{"name":"Reason", "type":"string", "jsonPath":".status.conditions[?(@.type==\"Ready\")].reason", "description":"Why it is ready or not"}"#,
    printcolumn = r#"{"name":"Drifted", "type":"string", "priority":1, "jsonPath":".status.conditions[?(@.type==\"Drifted\")].status", "description":"The table differs from what is declared"}"#,
    printcolumn = r#"{"name":"Origin", "type":"string", "priority":1, "jsonPath":".status.origin", "description":"Whether it was made or adopted"}"#,
    printcolumn = r#"{"name":"Age", "type":"date", "jsonPath":".metadata.creationTimestamp", "description":"Time since the KvTable was made"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KvTableSpec {
    /// Name of the `KvCluster`, in the same namespace, that the table is in; 1 to 40 characters. Has no default and can't be changed.
    #[schemars(length(max = 40))]
    pub cluster_name: String,

    /// Name of the table in the DynamoDB API: 3 to 255 of a-z, A-Z, 0-9, '_', '.' and '-'. Default: the name of the `KvTable`. Can't be
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub table_name: Option<String>,

    /// The primary key. Has no default and can't be changed: no table's can.
    pub keys: TableKeys,

    /// How throughput is reckoned. Default: on demand for a table that is made; one that is adopted keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<TableBilling>,

    /// Name of the attribute that holds the time, in seconds since 1970, at which an item expires; 1 to 255 characters. Default: none is set,
    /// and one that is set otherwise stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub time_to_live: Option<String>,

    /// Whether nobody may delete the table until this is turned off. Default: off for a table that is made; one that is adopted keeps
    /// what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,

    /// What becomes of the table when the `KvTable` is deleted: `Retain` leaves it, `Delete` deletes it with its data if the operator made it
    /// for this very `KvTable`; an adopted one is always left. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// A primary key.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableKeys {
    /// The partition key, by which items are spread. Has no default.
    pub partition: TableKey,
    /// The sort key, by which items of one partition key are ordered. Default: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<TableKey>,
}

/// An attribute of a key.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableKey {
    /// Name of the attribute, 1 to 255 characters. Has no default.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Type of the attribute, which the API calls S, N or B: `String`, `Number` or `Binary`. Has no default.
    #[serde(rename = "type")]
    pub type_: KeyType,
}

/// Type of an attribute of a key. In words: YAML 1.1, which kubectl reads, takes the API's `N` for `false`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum KeyType {
    /// Text.
    #[default]
    String,
    /// A number.
    Number,
    /// Bytes.
    Binary,
}

impl KeyType {
    /// As the API writes it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
        }
    }
}

/// How throughput is reckoned.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableBilling {
    /// `PayPerRequest`: on demand. `Provisioned`: with the units below. Has no default.
    pub mode: BillingMode,
    /// Read units a second, 1 to 1000000000000; with `Provisioned` only, where it has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_units: Option<i64>,
    /// Write units a second, 1 to 1000000000000; with `Provisioned` only, where it has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_units: Option<i64>,
}

/// Whether units are said beforehand.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum BillingMode {
    /// On demand.
    #[default]
    PayPerRequest,
    /// Units a second are set.
    Provisioned,
}

/// What becomes of a table whose `KvTable` is deleted.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes with its data, if it was made for this `KvTable`.
    Delete,
}

/// What is known of a table, as of the last look at it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KvTableStatus {
    /// The `metadata.generation` that this status was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the table in the DynamoDB API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_name: Option<String>,
    /// Status of the table as the DynamoDB API has it: `CREATING`, `ACTIVE`, `UPDATING` or `DELETING`; left out while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_status: Option<String>,
    /// Id of the table, never used for another one; left out while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    /// ARN of the table; left out while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_arn: Option<String>,
    /// Where the table comes from: `Created` for this `KvTable`, or `Adopted`; left out until that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<TableOrigin>,
    /// Ready and Drifted, as the Kubernetes API conventions have them.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a table comes from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TableOrigin {
    /// The operator made it for this `KvTable`.
    Created,
    /// It was there.
    Adopted,
}

impl KvTable {
    /// Name of the table in the DynamoDB API.
    #[must_use]
    pub fn table_name(&self) -> String {
        self.spec
            .table_name
            .clone()
            .unwrap_or_else(|| self.name_any())
    }

    /// Whether the table goes with the `KvTable`.
    #[must_use]
    pub fn is_deleting_table(&self) -> bool {
        self.spec.deletion_policy == Some(DeletionPolicy::Delete)
    }
}
