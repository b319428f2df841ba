//! `kubectl ringkv`: what `kv-operator local` does with the cluster of a directory, done with a `KvCluster` of a Kubernetes by whoever has a
//! kubeconfig.
//!
//! ```text
//! a person's machine                     API server                                the cluster
//! status           ── get KvCluster ──►  .status, as the operator wrote it
//! plan, top, split ── get Secret ─────►  <cluster>-identity: certificates
//! restart, drain,  ── list ───────────►  StatefulSets, pods, volumes
//! replace,         ── port-forward ───►  ───────────── mutual TLS ──────────────►  admin services of a few nodes that are ready
//! give-up          ── patch ──────────►  annotation ringkv.dev/orders  ◄── reads ─ the operator
//! ```
//!
//! The API server only carries bytes: a node is trusted for its certificate, wherever it is reached.

pub mod ask;
mod choose;
mod error;
mod forward;
mod look;
mod orders;
mod reach;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use reach::Reach;
