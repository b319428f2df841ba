//! `kv-operator local` as a user runs it, with nodes that keep no data (`examples/fake-node.rs`).

mod harness;

mod adoption;
mod commands;
mod elasticity;
mod failures;
mod lifecycle;
mod specs;
