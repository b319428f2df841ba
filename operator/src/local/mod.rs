//! `kv-operator local`: the same reconcile core as on Kubernetes, with a file for the API server and processes for pods.

pub mod delete;
pub mod error;
pub mod nodes;
pub mod object;
pub mod order;
pub mod orders;
pub mod plan;
pub mod run;
pub mod shutdown;
pub mod split;
pub mod status;
pub mod stop;
mod terminal;
pub mod top;
mod watch;

pub use error::Error;
