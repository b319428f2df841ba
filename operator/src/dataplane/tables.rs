//! Tables as a whole, through the admin service: the DynamoDB API's own operations in its own JSON.

use kv_proto::admin::{ControlTableReply, ControlTableRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{AdminClients, client};
use crate::crd::{BillingMode, KeyType, TableBilling, TableKey, TableKeys};
use crate::plan::table::{Change, Declared, Found, State};

/// The tag of a table that was made for a `KvTable`; its value is the `KvTable`'s UID.
pub const OWNER_TAG: &str = "ringkv.dev/kvtable";
const NOT_FOUND: &str = "ResourceNotFoundException";
const IN_USE: &str = "ResourceInUseException";

/// Why a table is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No node answers.
    #[error(transparent)]
    Nodes(#[from] client::Error),
    /// The API refuses, for good as far as it says.
    #[error("{operation} was refused: {kind}: {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The exception.
        kind: String,
        /// The API's words.
        message: String,
    },
    /// The API can't at the moment.
    #[error("{operation} failed: {kind}: {message}")]
    Passing {
        /// What was asked.
        operation: &'static str,
        /// The exception.
        kind: String,
        /// The API's words.
        message: String,
    },
    /// An answer that this operator can't read.
    #[error("the answer to {operation} can't be read")]
    Unreadable {
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the same again will be refused until somebody changes something.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// A table that was there a moment ago is being deleted: the next look shows it.
    fn of_one_that_goes(self) -> Self {
        match self {
            Self::Refused {
                operation,
                kind,
                message,
            } if kind == NOT_FOUND => Self::Passing {
                operation,
                kind,
                message,
            },
            other => other,
        }
    }

    fn is(&self, exception: &str) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == exception)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    table: Table,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Table {
    table_id: String,
    table_arn: String,
    table_status: Status,
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<Element>,
    #[serde(default)]
    billing_mode_summary: Option<Summary>,
    provisioned_throughput: Throughput,
    #[serde(default)]
    deletion_protection_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: Code,
}

#[derive(Clone, Copy, Deserialize)]
enum Code {
    S,
    N,
    B,
}

impl From<Code> for KeyType {
    fn from(code: Code) -> Self {
        match code {
            Code::S => Self::String,
            Code::N => Self::Number,
            Code::B => Self::Binary,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Element {
    attribute_name: String,
    key_type: Role,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Role {
    Hash,
    Range,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    billing_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    read_capacity_units: i64,
    write_capacity_units: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tagged {
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expiring {
    time_to_live_description: Expiry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expiry {
    #[serde(default)]
    attribute_name: Option<String>,
    time_to_live_status: String,
}

impl Table {
    fn found(self) -> Found {
        let of = |role: Role| {
            let element = self
                .key_schema
                .iter()
                .find(|element| element.key_type == role)?;
            let name = &element.attribute_name;
            let defined = self
                .attribute_definitions
                .iter()
                .find(|defined| defined.attribute_name == *name)?;
            Some(TableKey {
                name: name.clone(),
                type_: defined.attribute_type.into(),
            })
        };
        let is_on_demand = self
            .billing_mode_summary
            .is_some_and(|summary| summary.billing_mode == "PAY_PER_REQUEST");
        let units = |units| (!is_on_demand).then_some(units);
        Found {
            keys: TableKeys {
                partition: of(Role::Hash).unwrap_or_default(),
                sort: of(Role::Range),
            },
            state: match self.table_status {
                Status::Creating => State::Creating,
                Status::Active => State::Active,
                Status::Updating => State::Updating,
                Status::Deleting => State::Deleting,
            },
            billing: TableBilling {
                mode: if is_on_demand {
                    BillingMode::PayPerRequest
                } else {
                    BillingMode::Provisioned
                },
                read_units: units(self.provisioned_throughput.read_capacity_units),
                write_units: units(self.provisioned_throughput.write_capacity_units),
            },
            deletion_protection: self.deletion_protection_enabled,
            owner: None,
            time_to_live: None,
            id: self.table_id,
            arn: self.table_arn,
        }
    }
}

/// The tables of one account of one cluster.
#[derive(Debug)]
pub struct Tables<'c> {
    /// Connections to its nodes.
    pub clients: &'c mut AdminClients,
    /// Nodes to ask, the best first.
    pub addresses: &'c [String],
    /// The account.
    pub account: &'static str,
}

impl Tables<'_> {
    async fn ask<T: DeserializeOwned>(
        &mut self,
        operation: &'static str,
        body: Value,
    ) -> Result<T, Error> {
        let request = ControlTableRequest {
            account: self.account.to_owned(),
            operation: operation.to_owned(),
            body: body.to_string().into_bytes().into(),
        };
        let reply = self.clients.control_table(self.addresses, request).await?;
        read(operation, &reply)
    }

    /// What there is of a table.
    ///
    /// # Errors
    /// No node answers, or the API can't.
    pub async fn look(&mut self, declared: &Declared) -> Result<Option<Found>, Error> {
        let name = json!({"TableName": declared.name});
        let described: Described = match self.ask("DescribeTable", name.clone()).await {
            Err(error) if error.is(NOT_FOUND) => return Ok(None),
            described => described?,
        };
        let mut found = described.table.found();
        if !matches!(found.state, State::Active | State::Updating) {
            return Ok(Some(found));
        }
        let arn = json!({"ResourceArn": found.arn});
        let tagged = self.ask("ListTagsOfResource", arn).await;
        let tagged: Tagged = tagged.map_err(Error::of_one_that_goes)?;
        let mut tags = tagged.tags.into_iter();
        found.owner = tags
            .find(|tag| tag.key == OWNER_TAG)
            .map(|Tag { key: _, value }| value);
        if declared.time_to_live.is_some() {
            let expiring = self.ask("DescribeTimeToLive", name).await;
            let expiring: Expiring = expiring.map_err(Error::of_one_that_goes)?;
            let expiry = expiring.time_to_live_description;
            found.time_to_live = expiry
                .attribute_name
                .filter(|_| expiry.time_to_live_status.starts_with("ENABL"));
        }
        Ok(Some(found))
    }

    /// Makes a table, with the tag. One that is there by now is no error: the next look shows what it is.
    ///
    /// # Errors
    /// No node answers, or the API refuses.
    pub async fn create(&mut self, declared: &Declared) -> Result<(), Error> {
        settle(self.ask("CreateTable", creation(declared)).await, IN_USE)
    }

    /// Puts a setting right. A table that just changes is no error: the next look shows more.
    ///
    /// # Errors
    /// No node answers, or the API refuses.
    pub async fn change(&mut self, name: &str, change: &Change) -> Result<(), Error> {
        let (operation, body) = changing(name, change);
        settle(self.ask(operation, body).await, IN_USE)
    }

    /// Deletes a table. One that is gone is no error.
    ///
    /// # Errors
    /// No node answers, or the API refuses.
    pub async fn delete(&mut self, name: &str) -> Result<(), Error> {
        let asked = self.ask("DeleteTable", json!({"TableName": name})).await;
        settle(asked, NOT_FOUND)
    }
}

fn settle(asked: Result<Value, Error>, expected: &str) -> Result<(), Error> {
    match asked {
        Err(error) if error.is(expected) => Ok(()),
        asked => asked.map(|_| ()),
    }
}

fn creation(declared: &Declared) -> Value {
    let keys = &declared.keys;
    let keys = std::iter::once((&keys.partition, "HASH"))
        .chain(keys.sort.iter().map(|sort| (sort, "RANGE")));
    let (mut schema, mut attributes) = (Vec::new(), Vec::new());
    for (key, role) in keys {
        schema.push(json!({"AttributeName": key.name, "KeyType": role}));
        attributes.push(json!({"AttributeName": key.name, "AttributeType": key.type_.code()}));
    }
    let mut body = json!({
        "TableName": declared.name,
        "KeySchema": schema,
        "AttributeDefinitions": attributes,
        "Tags": [{"Key": OWNER_TAG, "Value": declared.owner}],
        "DeletionProtectionEnabled": declared.deletion_protection.unwrap_or(false),
    });
    add_billing(&mut body, declared.billing.unwrap_or_default());
    body
}

fn add_billing(body: &mut Value, billing: TableBilling) {
    match billing.mode {
        BillingMode::PayPerRequest => body["BillingMode"] = "PAY_PER_REQUEST".into(),
        BillingMode::Provisioned => {
            body["BillingMode"] = "PROVISIONED".into();
            body["ProvisionedThroughput"] = json!({
                "ReadCapacityUnits": billing.read_units,
                "WriteCapacityUnits": billing.write_units,
            });
        }
    }
}

fn changing(name: &str, change: &Change) -> (&'static str, Value) {
    let expiry = |attribute: &str, is_on: bool| {
        json!({
            "TableName": name,
            "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": is_on},
        })
    };
    match change {
        Change::Billing(billing) => {
            let mut body = json!({"TableName": name});
            add_billing(&mut body, *billing);
            ("UpdateTable", body)
        }
        Change::Protection(is_on) => (
            "UpdateTable",
            json!({"TableName": name, "DeletionProtectionEnabled": is_on}),
        ),
        Change::StopExpiry(attribute) => ("UpdateTimeToLive", expiry(attribute, false)),
        Change::StartExpiry(attribute) => ("UpdateTimeToLive", expiry(attribute, true)),
    }
}

fn read<T: DeserializeOwned>(
    operation: &'static str,
    reply: &ControlTableReply,
) -> Result<T, Error> {
    let unreadable = |source| Error::Unreadable { operation, source };
    if reply.status == 200 {
        return serde_json::from_slice(&reply.body).map_err(unreadable);
    }
    let said: Value = serde_json::from_slice(&reply.body).map_err(unreadable)?;
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    let full = text("__type").unwrap_or_default();
    let kind = full.rsplit('#').next().unwrap_or(full).to_owned();
    let message = text("message").or_else(|| text("Message"));
    let message = message.unwrap_or_default().to_owned();
    let is_passing =
        reply.status >= 500 || ["ThrottlingException", "LimitExceededException"].contains(&&*kind);
    Err(if is_passing {
        Error::Passing {
            operation,
            kind,
            message,
        }
    } else {
        Error::Refused {
            operation,
            kind,
            message,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u32, body: &Value) -> ControlTableReply {
        ControlTableReply {
            status,
            body: body.to_string().into_bytes().into(),
        }
    }

    #[test]
    fn a_description_is_read() {
        let mut body = json!({"Table": {
            "AttributeDefinitions": [
                {"AttributeName": "other", "AttributeType": "B"},
                {"AttributeName": "sk", "AttributeType": "N"},
                {"AttributeName": "pk", "AttributeType": "S"},
            ],
            "TableName": "orders",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "TableStatus": "ACTIVE",
            "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
            "TableId": "id-1",
            "DeletionProtectionEnabled": true,
        }});
        let described: Described = read("DescribeTable", &reply(200, &body)).expect("read");
        let found = described.table.found();
        assert_eq!(
            (
                found.keys.partition.name.as_str(),
                found.keys.partition.type_
            ),
            ("pk", KeyType::String)
        );
        assert_eq!(found.keys.sort.expect("a sort key").type_, KeyType::Number);
        assert_eq!(
            (found.state, found.deletion_protection),
            (State::Active, true)
        );
        assert_eq!(
            (found.billing.mode, found.billing.read_units),
            (BillingMode::Provisioned, Some(5))
        );
        body["Table"]["BillingModeSummary"] = json!({"BillingMode": "PAY_PER_REQUEST"});
        let described: Described = read("DescribeTable", &reply(200, &body)).expect("read");
        assert_eq!(described.table.found().billing, TableBilling::default());
    }

    #[test]
    fn errors_are_told_apart() {
        let error = |status, kind: &str| {
            let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "why"});
            read::<Value>("CreateTable", &reply(status, &body)).expect_err("no success")
        };
        assert!(error(400, NOT_FOUND).is(NOT_FOUND));
        let refused = error(400, "ValidationException");
        assert!(refused.is_refusal());
        assert_eq!(
            refused.to_string(),
            "CreateTable was refused: ValidationException: why"
        );
        assert!(!error(400, "ThrottlingException").is_refusal());
        assert!(!error(503, "ServiceUnavailableException").is_refusal());
        assert!(settle(Err(error(400, IN_USE)), IN_USE).is_ok());
        assert!(settle(Err(refused), IN_USE).is_err());
    }

    #[test]
    fn a_table_is_made_with_its_tag_and_on_demand_unless_declared_otherwise() {
        let mut declared = Declared {
            name: "orders".into(),
            keys: TableKeys {
                partition: TableKey {
                    name: "pk".into(),
                    type_: KeyType::String,
                },
                sort: None,
            },
            billing: None,
            time_to_live: None,
            deletion_protection: None,
            owner: "uid-1".into(),
        };
        let body = creation(&declared);
        assert_eq!(body["BillingMode"], "PAY_PER_REQUEST");
        assert_eq!(body["Tags"], json!([{"Key": OWNER_TAG, "Value": "uid-1"}]));
        assert_eq!(body["AttributeDefinitions"][0]["AttributeType"], "S");
        assert!(body.get("ProvisionedThroughput").is_none());
        declared.billing = Some(TableBilling {
            mode: BillingMode::Provisioned,
            read_units: Some(5),
            write_units: Some(6),
        });
        let body = creation(&declared);
        assert_eq!(body["ProvisionedThroughput"]["WriteCapacityUnits"], 6);
    }
}
