//! The metadata group: the only place where cluster state lives (DESIGN §5).
//!
//! [`records`] are its rows, [`wire`] what is said to and by its leader, [`state`] the deterministic state machine, [`watch`] the
//! history from which every node follows it, [`view`] the immutable picture that routing uses.

pub mod extras;
pub mod indexes;
pub mod records;
pub mod splits;
pub mod state;
mod topology;
pub mod view;
pub mod watch;
pub mod wire;

pub use state::MetaState;
pub use view::View;
