//! What a call is refused with: a code, the words of the DynamoDB API, and typed details (AIP-193).
//!
//! | code | exceptions |
//! | --- | --- |
//! | `INVALID_ARGUMENT` | Validation, Serialization |
//! | `UNAUTHENTICATED` | those of signatures |
//! | `NOT_FOUND` | ResourceNotFound |
//! | `FAILED_PRECONDITION` | ConditionalCheckFailed, ResourceInUse |
//! | `RESOURCE_EXHAUSTED` | Throttling: retry |
//! | `UNAVAILABLE` | ServiceUnavailable: nothing was done, retry |
//! | `UNKNOWN` | InternalServerError: it may have been done |
//! | `DEADLINE_EXCEEDED` | the latter two once the client's deadline is over; the reason tells which |

use std::collections::HashMap;
use std::time::Duration;

use kv_model::encoding::item;
use kv_proto::kv::ConditionFailed;
use prost::Message;
use prost_types::Any;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::pb;

use super::values;
use crate::dynamo::Error;

const DOMAIN: &str = "ringkv.dev";
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Metadata of every answer.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Api(Error),
    /// What comes later, named.
    Unimplemented(&'static str),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Api(error)
    }
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Refusal::Api(Error::validation(message))
    }

    /// Name of the exception, also a label of metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Refusal::Api(error) => error.name(),
            Refusal::Unimplemented(_) => "Unimplemented",
        }
    }

    /// The status; `late`: the deadline of the client is over.
    pub(super) fn status(self, request_id: &str, late: bool) -> Status {
        let reason = self.name();
        let (code, message, failed) = match self {
            Refusal::Unimplemented(what) => (Code::Unimplemented, what.to_owned(), None),
            Refusal::Api(error) => {
                let code = code(&error, late);
                let message = error.to_string();
                let failed = match error {
                    Error::ConditionalCheckFailed { item } => item,
                    _ => None,
                };
                (code, message, failed)
            }
        };
        let mut details = vec![
            any(
                "google.rpc.ErrorInfo",
                &pb::ErrorInfo {
                    reason: reason.into(),
                    domain: DOMAIN.into(),
                    metadata: HashMap::new(),
                },
            ),
            any(
                "google.rpc.RequestInfo",
                &pb::RequestInfo {
                    request_id: request_id.into(),
                    serving_data: String::new(),
                },
            ),
        ];
        if matches!(code, Code::ResourceExhausted | Code::Unavailable) {
            let delay = prost_types::Duration {
                seconds: 0,
                nanos: RETRY_AFTER.subsec_nanos().cast_signed(),
            };
            let retry = pb::RetryInfo {
                retry_delay: Some(delay),
            };
            details.push(any("google.rpc.RetryInfo", &retry));
        }
        if let Some(Ok(failed)) = failed.as_deref().map(item::decode) {
            let failed = ConditionFailed {
                item: Some(values::item(failed)),
            };
            details.push(any("ringkv.kv.v1.ConditionFailed", &failed));
        }
        let whole = pb::Status {
            code: code as i32,
            message: message.clone(),
            details,
        };
        let mut status = Status::with_details(code, message, whole.encode_to_vec().into());
        if let Ok(id) = MetadataValue::try_from(request_id) {
            status.metadata_mut().insert(REQUEST_ID, id);
        }
        status
    }
}

fn code(error: &Error, late: bool) -> Code {
    match error {
        Error::Unavailable(_) | Error::Internal(_) if late => Code::DeadlineExceeded,
        Error::Serialization(_) | Error::SerializationOf(_) | Error::Validation(_) => {
            Code::InvalidArgument
        }
        Error::UnknownOperation => Code::Unimplemented,
        Error::MissingAuthenticationToken
        | Error::IncompleteSignature(_)
        | Error::InvalidSignature(_)
        | Error::UnrecognizedClient => Code::Unauthenticated,
        Error::Named("TransactionConflictException", _) => Code::Aborted,
        Error::ResourceNotFound(_) | Error::Named(..) => Code::NotFound,
        Error::ExpiredIterator(_)
        | Error::TrimmedDataAccess(_)
        | Error::ResourceInUse(_)
        | Error::ConditionalCheckFailed { .. } => Code::FailedPrecondition,
        Error::TransactionCanceled(_) => Code::Aborted,
        Error::LimitExceeded(_) | Error::Throttling(_) => Code::ResourceExhausted,
        Error::Unavailable(_) => Code::Unavailable,
        Error::Internal(_) => Code::Unknown,
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}
