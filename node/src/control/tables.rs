//! Tables as a whole, for the operator's `KvTable`s: the DynamoDB API's own operations, without HTTP and signatures.
//!
//! Only what makes, shows, changes and ends a table: the operator has no business with items.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_core::api::{Caller, RequestClass};
use kv_proto::admin::{ControlTableReply, ControlTableRequest};

use crate::admin::ControlError;
use crate::database::Database;
use crate::dynamo::{self, Ids, Operation};

/// Less than the operator waits, so that it hears why.
const DEADLINE: Duration = Duration::from_secs(4);
/// No description of a table is near as long.
const BODY_LEN_MAX: usize = 256 << 10;
const ACCOUNT_LEN_MAX: usize = 256;
/// What tables' operations are asked by.
const PRINCIPAL: &str = "kv-operator";

/// The operations that may be asked for.
const SERVED: &[Operation] = &[
    Operation::DescribeTable,
    Operation::ListTagsOfResource,
    Operation::DescribeTimeToLive,
    Operation::CreateTable,
    Operation::UpdateTable,
    Operation::UpdateTimeToLive,
    Operation::DeleteTable,
];

/// Runs what is asked for.
///
/// # Errors
/// The request is none that is served here. What the API refuses is an answer.
pub async fn run<D: Database>(
    database: &Arc<D>,
    request: ControlTableRequest,
) -> Result<ControlTableReply, ControlError> {
    let operation = checked(&request)?;
    let ControlTableRequest {
        account,
        operation: _,
        body,
    } = request;
    let caller = Caller {
        principal: PRINCIPAL.to_owned(),
        account,
        class: RequestClass::Foreground.into(),
        trace: Ids::new().next().as_str().to_owned(),
    };
    let deadline = Instant::now() + DEADLINE;
    let (status, body) = dynamo::answer(database, operation, caller, deadline, &body).await;
    Ok(ControlTableReply {
        status: status.into(),
        body: body.into(),
    })
}

/// The operation, if all of the request may be.
fn checked(request: &ControlTableRequest) -> Result<Operation, ControlError> {
    let invalid = |field, problem| ControlError::Invalid { field, problem };
    let asked = |served: &&Operation| served.name() == request.operation;
    let operation = SERVED.iter().find(asked);
    let operation = operation.ok_or(invalid("operation", "is none on a table as a whole"))?;
    if request.account.is_empty() || request.account.len() > ACCOUNT_LEN_MAX {
        return Err(invalid("account", "is 1 to 256 bytes long"));
    }
    if request.body.is_empty() || request.body.len() > BODY_LEN_MAX {
        return Err(invalid("body", "is 1 byte to 256 KiB long"));
    }
    Ok(*operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_on_a_table_as_a_whole_are_served() {
        let request = |operation: &str, account: &str, bytes: usize| ControlTableRequest {
            account: account.into(),
            operation: operation.into(),
            body: vec![b'x'; bytes].into(),
        };
        let whole = checked(&request("CreateTable", "0", BODY_LEN_MAX));
        assert_eq!(whole, Ok(Operation::CreateTable));
        for (bad, blamed) in [
            (request("PutItem", "0", 2), "operation"),
            (request("createtable", "0", 2), "operation"),
            (request("", "0", 2), "operation"),
            (request("DeleteTable", "", 2), "account"),
            (request("DeleteTable", &"0".repeat(257), 2), "account"),
            (request("DeleteTable", "0", 0), "body"),
            (request("DeleteTable", "0", BODY_LEN_MAX + 1), "body"),
        ] {
            let refused = checked(&bad).unwrap_err();
            assert!(
                matches!(refused, ControlError::Invalid { field, .. } if field == blamed),
                "{blamed}: {refused}"
            );
        }
    }
}
