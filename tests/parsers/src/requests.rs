//! What comes over HTTP: bodies against the shapes of operations, and signatures.

use http::Request;

use crate::dynamo::auth::{AccessKey, Authority};
use crate::dynamo::error::Error;
use crate::dynamo::input::{self, Structure};

fn input_of(operation: &str) -> Option<&'static Structure> {
    Some(match operation {
        "GetItem" => &input::GET_ITEM,
        "PutItem" => &input::PUT_ITEM,
        "UpdateItem" => &input::UPDATE_ITEM,
        "DeleteItem" => &input::DELETE_ITEM,
        "Query" => &input::QUERY,
        "Scan" => &input::SCAN,
        "BatchGetItem" => &input::BATCH_GET_ITEM,
        "BatchWriteItem" => &input::BATCH_WRITE_ITEM,
        "CreateTable" => &input::CREATE_TABLE,
        "UpdateTable" => &input::UPDATE_TABLE,
        "ListTables" => &input::LIST_TABLES,
        "ExecuteStatement" => &input::EXECUTE_STATEMENT,
        "BatchExecuteStatement" => &input::BATCH_EXECUTE_STATEMENT,
        "GetRecords" => &input::GET_RECORDS,
        "GetShardIterator" => &input::GET_SHARD_ITERATOR,
        other => return input::of_generated(other).ok(),
    })
}

/// A line with the operation, then the body. A refusal is an answer that is JSON, and never much larger than the request.
pub fn shape(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (name, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let Some(input) = std::str::from_utf8(name).ok().and_then(input_of) else {
        return;
    };
    if let Err(error) = input::check(input, body) {
        let mut answer = Vec::new();
        error.write(&mut answer);
        let parsed = serde_json::from_slice::<serde_json::Value>(&answer);
        assert!(parsed.is_ok_and(|answer| answer.is_object()));
        assert!(answer.len() <= 16 * bytes.len() + 64 * 1024);
    }
}

/// When the signatures of the corpus were made: 2026-01-01 00:00 UTC.
const NOW: i64 = 1_767_225_600;
const ID: &str = "AKIDEXAMPLE";

/// `METHOD URI`, lines `name: value`, an empty line, the body. Whoever is let in bears the one key that there is.
pub fn signature(bytes: &[u8]) {
    let Some(request) = request(bytes) else {
        return;
    };
    let (parts, body) = request.into_parts();
    let key = AccessKey {
        id: ID.into(),
        secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        account: "123456789012".into(),
    };
    let strict = Authority::new(vec![key], "000000000000".into(), "us-east-1".into(), true);
    match strict.verify(&parts, body, NOW) {
        Ok(principal) => assert_eq!(principal.access_key, ID),
        Err(error) => refused(&error),
    }
    let lax = Authority::new(Vec::new(), "000000000000".into(), "us-east-1".into(), true);
    if let Err(error) = lax.verify(&parts, body, NOW) {
        refused(&error);
    }
}

fn refused(error: &Error) {
    let mut answer = Vec::new();
    error.write(&mut answer);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer).is_ok());
}

fn request(bytes: &[u8]) -> Option<Request<&[u8]>> {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let first = std::str::from_utf8(line()?).ok()?;
    let (method, uri) = first.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    request.body(rest).ok()
}
