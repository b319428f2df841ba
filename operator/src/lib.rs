//! The ringkv operator: it brings what a `KvCluster` asks for about, with pods on Kubernetes and with child processes on a laptop.
//!
//! `operator/DESIGN.md` has the picture; [`reconcile`] is the loop.

pub mod cli;
pub mod command;
pub mod controller;
pub mod crd;
pub mod dataplane;
pub mod exit;
pub mod kubectl;
pub mod local;
pub mod metrics;
pub mod plan;
pub mod platform;
pub mod reconcile;
