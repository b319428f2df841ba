//! The protobuf services of ringkv and the one way to connect to them.

pub mod client;
pub mod identity;

/// Operator to node.
pub mod admin {
    tonic::include_proto!("ringkv.admin.v1");
}

/// Node to node.
pub mod peer {
    tonic::include_proto!("ringkv.peer.v1");
}

/// Clients' native API.
pub mod kv {
    tonic::include_proto!("ringkv.kv.v1");

    /// `kv.proto` compiled (a `FileDescriptorSet`), for the reflection service.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kv.bin"));
}
