//! What a person's commands do with a running cluster, wherever it runs: `kv-operator local` finds it in a directory, `kubectl ringkv` on
//! Kubernetes.

mod error;
pub mod manifest_file;
pub mod order;
pub mod plan;
mod seen;
pub mod show;
pub mod split;
pub mod top;

pub use error::Error;
pub use seen::Seen;
