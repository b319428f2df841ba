//! A partition: the writes and reads of one key range.

pub mod evaluate;
