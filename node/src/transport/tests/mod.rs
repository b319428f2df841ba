//! The transport over loopback sockets, with certificates of its own making.

mod certificates;
mod delivery;
mod gossip;
mod refusals;
mod throughput;
