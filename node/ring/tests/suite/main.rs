//! The crate from outside: one binary, so that it links once.

mod bounds;
mod common;
mod placement;
mod ring;
