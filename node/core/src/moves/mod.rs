//! Actual replicas towards desired ones (`DESIGN.md` of this crate, "A move").
//!
//! [`plan`] says which group is to have which members, [`voters`] the same for the metadata group, [`step`] what a group's leader does about
//! it, [`members`] what applying such a change does, [`reports`] what the metadata leader knows, [`progress`] how far moves are, [`permit`] who may be restarted, [`relief`]
//! which leaders go elsewhere and which partitions are split for their load.

pub mod members;
pub mod permit;
pub mod plan;
pub mod progress;
pub mod relief;
pub mod reports;
pub mod step;
pub mod voters;
