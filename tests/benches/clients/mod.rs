//! Who asks: the DynamoDB API over HTTP/1.1, etcd over gRPC; and the server that only answers.

pub mod constant;
pub mod etcd;
pub mod http;
pub mod roam;

/// The text that belongs to a key: of this size, and no other key's.
pub fn value_of(key: u64, bytes: usize) -> String {
    let head = format!("{key:08}-");
    let mut value = head.repeat(bytes / head.len() + 1);
    value.truncate(bytes);
    value
}

pub fn key_name(key: u64) -> String {
    format!("key-{key:08}")
}
