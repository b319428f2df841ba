//! `kv-operator local`: the same reconcile core as on Kubernetes, with a file for the API server and processes for pods.

pub mod ask;
pub mod delete;
pub mod error;
pub mod object;
pub mod orders;
pub mod run;
pub mod shutdown;
pub mod status;
pub mod stop;
mod terminal;
mod watch;

pub use error::Error;
