//! The DynamoDB API over real HTTP, on top of a database of one node in memory.

mod auth;
mod batches;
mod connections;
mod errors;
mod indexes;
mod items;
mod pages;
mod statements;
mod support;
mod surroundings;
mod tables;
mod transactions;
