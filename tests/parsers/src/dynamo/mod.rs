//! Parsers of the DynamoDB API, from kv-node's sources.

#[path = "../../../../node/src/dynamo/auth/mod.rs"]
pub mod auth;
#[path = "../../../../node/src/dynamo/error.rs"]
pub mod error;
#[path = "../../../../node/src/dynamo/input/mod.rs"]
pub mod input;
#[path = "../../../../node/src/dynamo/output.rs"]
pub mod output;
#[path = "../../../../node/src/dynamo/partiql/mod.rs"]
pub mod partiql;
#[path = "../../../../node/src/dynamo/values.rs"]
pub mod values;
