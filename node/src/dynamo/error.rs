//! What a request is refused with: the service's exception types, statuses and words.

use bytes::Bytes;
use kv_core::api;

use super::output;

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The body is no JSON, or not of the operation's shape; without words if it is no JSON at all.
    #[error("{}", .0.as_deref().unwrap_or("the body is not JSON"))]
    Serialization(Option<&'static str>),
    /// As [`Error::Serialization`], for words that hold a part of the request.
    #[error("{0}")]
    SerializationOf(String),
    #[error("unknown operation")]
    UnknownOperation,
    #[error("Request is missing Authentication Token")]
    MissingAuthenticationToken,
    #[error("{0}")]
    IncompleteSignature(String),
    #[error("{0}")]
    InvalidSignature(String),
    #[error("The security token included in the request is invalid.")]
    UnrecognizedClient,
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    ResourceInUse(String),
    /// With the encoded item that failed the condition, if it was asked for and there is one.
    #[error("The conditional request failed")]
    ConditionalCheckFailed { item: Option<Bytes> },
    /// A transaction did nothing; why, by item.
    #[error("{}", cancelled(.0))]
    TransactionCanceled(Vec<Reason>),
    #[error("{0}")]
    LimitExceeded(String),
    /// Another exception of the service, by name.
    #[error("{1}")]
    Named(&'static str, String),
    #[error("{0}")]
    ExpiredIterator(String),
    #[error("{0}")]
    TrimmedDataAccess(String),
    #[error("{0}")]
    Throttling(String),
    /// Nothing was done; a retry is safe.
    #[error("{0}")]
    Unavailable(String),
    /// The outcome is unknown.
    #[error("{0}")]
    Internal(String),
}

/// Why an item kept a transaction from being done.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// `None` for an item that did not.
    pub code: &'static str,
    pub message: Option<String>,
    /// The encoded item that failed a condition, if it was asked for.
    pub item: Option<Bytes>,
}

impl Reason {
    /// Of an item that was no reason.
    pub fn none() -> Self {
        Reason {
            code: "None",
            message: None,
            item: None,
        }
    }

    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Reason {
            code,
            message: Some(message.into()),
            item: None,
        }
    }
}

fn cancelled(reasons: &[Reason]) -> String {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code).collect();
    let codes = codes.join(", ");
    format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    )
}

const CORAL: &str = "com.amazon.coral.service#";
const AVAILABILITY: &str = "com.amazon.coral.availability#";
const VALIDATE: &str = "com.amazon.coral.validate#";
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810#";

impl Error {
    pub fn validation(message: impl Into<String>) -> Self {
        Error::Validation(message.into())
    }

    /// `One or more parameter values were invalid: …`
    pub fn invalid(what: impl std::fmt::Display) -> Self {
        Error::Validation(format!("One or more parameter values were invalid: {what}"))
    }

    /// A parameter or value that a later version brings.
    pub fn later(parameter: &str) -> Self {
        Error::invalid(format_args!("{parameter} is not supported yet"))
    }

    /// What operations on items say of a table that isn't there.
    pub fn no_table() -> Self {
        Error::ResourceNotFound("Requested resource not found".into())
    }

    /// What operations on tables say of a table that isn't there.
    pub fn no_table_named(name: &str) -> Self {
        Error::ResourceNotFound(format!(
            "Requested resource not found: Table: {name} not found"
        ))
    }

    /// Name of the exception, also a label of metrics.
    pub fn name(&self) -> &'static str {
        self.kind().1
    }

    pub fn status(&self) -> http::StatusCode {
        match self {
            Error::Unavailable(_) => http::StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => http::StatusCode::INTERNAL_SERVER_ERROR,
            _ => http::StatusCode::BAD_REQUEST,
        }
    }

    /// Namespace and name of the exception.
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Error::Serialization(_) | Error::SerializationOf(_) => {
                (CORAL, "SerializationException")
            }
            Error::UnknownOperation => (CORAL, "UnknownOperationException"),
            Error::MissingAuthenticationToken => (CORAL, "MissingAuthenticationTokenException"),
            Error::IncompleteSignature(_) => (CORAL, "IncompleteSignatureException"),
            Error::InvalidSignature(_) => (CORAL, "InvalidSignatureException"),
            Error::UnrecognizedClient => (CORAL, "UnrecognizedClientException"),
            Error::Validation(_) => (VALIDATE, "ValidationException"),
            Error::ResourceNotFound(_) => (DYNAMODB, "ResourceNotFoundException"),
            Error::ResourceInUse(_) => (DYNAMODB, "ResourceInUseException"),
            Error::ConditionalCheckFailed { .. } => (DYNAMODB, "ConditionalCheckFailedException"),
            Error::TransactionCanceled(_) => (DYNAMODB, "TransactionCanceledException"),
            Error::Named(name, _) => (DYNAMODB, name),
            Error::LimitExceeded(_) => (DYNAMODB, "LimitExceededException"),
            Error::ExpiredIterator(_) => (DYNAMODB, "ExpiredIteratorException"),
            Error::TrimmedDataAccess(_) => (DYNAMODB, "TrimmedDataAccessException"),
            Error::Throttling(_) => (AVAILABILITY, "ThrottlingException"),
            Error::Unavailable(_) => (AVAILABILITY, "ServiceUnavailableException"),
            Error::Internal(_) => (DYNAMODB, "InternalServerError"),
        }
    }

    /// The body of the answer. `SerializationException` and `TransactionCanceledException` alone spell their `Message` with a capital.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (namespace, name) = self.kind();
        output::object(out, |o| {
            o.value("__type", |out| {
                out.push(b'"');
                out.extend_from_slice(namespace.as_bytes());
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
            });
            match self {
                Error::Serialization(None) | Error::UnknownOperation => {}
                Error::Serialization(Some(message)) => o.string("Message", message),
                Error::SerializationOf(message) => o.string("Message", message),
                Error::ConditionalCheckFailed { item } => {
                    o.string("message", &self.to_string());
                    if let Some(item) = item {
                        o.value("Item", |out| output::item(item, out));
                    }
                }
                Error::TransactionCanceled(reasons) => {
                    o.array("CancellationReasons", reasons, |reason, out| {
                        output::object(out, |o| {
                            o.string("Code", reason.code);
                            if let Some(item) = &reason.item {
                                o.value("Item", |out| output::item(item, out));
                            }
                            if let Some(message) = &reason.message {
                                o.string("Message", message);
                            }
                        });
                    });
                    o.string("Message", &self.to_string());
                }
                _ => o.string("message", &self.to_string()),
            }
        });
    }
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        match error {
            api::Error::ConditionFailed { item } => Error::ConditionalCheckFailed { item },
            api::Error::Conflict { .. } => Error::Named(
                "TransactionConflictException",
                "Transaction is ongoing for the item".into(),
            ),
            api::Error::Validation(message) => Error::Validation(message),
            api::Error::TableNotFound(_) => Error::no_table(),
            api::Error::TableInUse(message) => Error::ResourceInUse(message),
            api::Error::Throttled(_) => {
                Error::Throttling("Rate of requests exceeds the allowed throughput.".into())
            }
            api::Error::Unavailable(_) => {
                Error::Unavailable("The service is currently unavailable or busy.".into())
            }
            api::Error::OutcomeUnknown(_) => Error::Internal("Internal server error".into()),
        }
    }
}

impl From<kv_model::expression::Error> for Error {
    fn from(error: kv_model::expression::Error) -> Self {
        Error::Validation(error.to_string())
    }
}
