//! Every parser of foreign bytes, each as a function that takes any bytes: the bodies of the fuzz targets in `tests/fuzz`
//! and of the replay of their corpora in `tests/corpora.rs`.
//!
//! A target panics if the parser does, or if one of its laws is broken: what was parsed and written again is the same. Time
//! and memory are watched by whoever calls.
//!
//! Parsers that live in kv-node are compiled from its sources (`dynamo`, `kv`, `storage`), since the crate itself links
//! RocksDB, which no fuzzer should have to build. So they can't come to need sockets or files without failing here.

#[allow(
    dead_code,
    unused_imports,
    reason = "whole files of kv-node, of which a target calls the parser alone"
)]
mod dynamo;
mod encodings;
mod expressions;
mod json;
#[allow(dead_code, reason = "as of `dynamo`")]
mod kv;
mod logs;
mod messages;
mod requests;
mod statements;
#[allow(dead_code, reason = "as of `dynamo`")]
mod storage;

/// A parser, with the laws that it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also that of the fuzz target and of the folder of its corpus.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

pub static TARGETS: &[Target] = &[
    target("condition", expressions::condition),
    target("key_condition", expressions::key_condition),
    target("update", expressions::update),
    target("projection", expressions::projection),
    target("statement", statements::statement),
    target("json", json::item),
    target("item", encodings::item),
    target("key", encodings::key),
    target("record", encodings::record),
    target("request", requests::shape),
    target("signature", requests::signature),
    target("log_file", logs::log_file),
    target("log_record", logs::log_record),
    target("disk_record", logs::disk_record),
    target("frame", messages::frame),
    target("command", messages::command),
    target("metadata", messages::metadata),
    target("grpc", messages::grpc),
];

/// Runs the target `name`.
///
/// # Panics
/// There is no such target, or it found a mistake.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of that name").run)(bytes);
}
